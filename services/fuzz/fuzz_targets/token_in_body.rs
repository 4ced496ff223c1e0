//! Whatever the body of a request to `/web` is, its caller is only the person whose token is the body's one `access_token`,
//! and the reader that the dialect has for bodies sees no other.
//!
//! The first byte chooses the head: no token, the same person's, or one that nobody signed. The second chooses the body: the
//! rest as it is, or a good body into which the rest is put.

#![no_main]

#[allow(dead_code, reason = "each target uses its part")]
mod rig;

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Uri, header};
use libfuzzer_sys::fuzz_target;
use yunzhan_base::{Access, Principal};
use yunzhan_query::Bson;
use yunzhan_query::ejson::{ReadOptions, read_document};

static RIG: LazyLock<rig::Rig> = LazyLock::new(rig::Rig::new);

/// Stands for the token in the input, which cannot know it.
const MARK: &[u8] = b"TOKEN";

fuzz_target!(|input: &[u8]| {
    let [head, choice, rest @ ..] = input else { return };
    let mut headers = HeaderMap::new();
    let bearer = match head % 3 {
        0 => None,
        1 => Some(format!("Bearer {}", RIG.token)),
        _ => Some("Bearer a.b.c".to_owned()),
    };
    if let Some(bearer) = &bearer {
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(bearer).expect("ASCII"));
    }
    let body = Bytes::from(with_token(&if choice % 2 == 0 { rest.to_vec() } else { edited(rest) }));
    let uri = Uri::from_static("/web?env=shop");
    let is_admitted = match RIG.admit(Access::UserInBody, &uri, &headers, &body) {
        Some(Principal::User(_)) => true,
        None => false,
        Some(other) => panic!("a token in a body made its bearer {other:?}"),
    };
    let is_forged = head % 3 == 2;
    // What the dialect reads once identity has let the caller in; it may refuse what identity passed over.
    let read = read_document(&body, &ReadOptions::at(0));
    let named = read.as_ref().map(|body| body.get("access_token").and_then(Bson::as_str));
    if is_admitted {
        assert!(!is_forged);
        assert!(named.is_err() || named == Ok(Some(RIG.token.as_str())));
        assert!(count(&body, RIG.token.as_bytes()) > 0 || count(&body, b"\\") > 0);
    } else if named == Ok(Some(RIG.token.as_str())) {
        // Refused for what is forged, or for naming two tokens, which an escape may hide.
        assert!(is_forged || count(&body, b"access_token") > 1 || count(&body, b"\\") > 0);
    }
});

/// A body as the SDK sends it, with bytes put in place of others.
fn edited(input: &[u8]) -> Vec<u8> {
    let body = br#"{"action":"database.queryDocument","access_token":"TOKEN","env":"shop","query":{}}"#;
    let [at, cut, put @ ..] = input else { return body.to_vec() };
    let at = usize::from(*at) % body.len();
    let end = (at + usize::from(*cut)).min(body.len());
    [&body[..at], put, &body[end..]].concat()
}

fn with_token(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + RIG.token.len());
    let mut rest = body;
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(RIG.token.as_bytes());
        rest = &rest[at + MARK.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn count(text: &[u8], word: &[u8]) -> usize {
    text.windows(word.len()).filter(|window| *window == word).count()
}
