//! Whatever a signed request says, no reader of it panics, and nothing is admitted whose meaning was not signed.
//!
//! The first byte chooses: arbitrary heads with arbitrary bodies; or one request that is signed well, of which body, query or
//! a header is then exchanged. The exchanged request is admitted only if every member that a service would read is the
//! signed one.

#![no_main]

#[allow(dead_code, reason = "each target uses its part")]
mod rig;

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Uri, header};
use libfuzzer_sys::fuzz_target;
use yunzhan_base::Access;

static RIG: LazyLock<rig::Rig> = LazyLock::new(rig::Rig::new);

const DAY: &str = "2025-06-15";
const BODY: &str = r#"{"action":"database.getDocument","envName":"shop","limit":5,"empty":""}"#;
const JSON: &str = "application/json";
const FORM: &str = "multipart/form-data; boundary=b";

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    match choice % 4 {
        0 => arbitrary_head(rest),
        1 => exchanged_body(rest, JSON),
        2 => exchanged_body(rest, FORM),
        _ => exchanged_query(rest),
    }
});

/// Head, time stamp, content type and body, each up to a zero byte.
fn arbitrary_head(input: &[u8]) {
    let mut parts = input.splitn(4, |byte| *byte == 0);
    let mut headers = HeaderMap::new();
    for name in [header::AUTHORIZATION.as_str(), "x-timestamp", "content-type"] {
        let part = parts.next().unwrap_or_default();
        if let Ok(value) = HeaderValue::from_bytes(part) {
            headers.insert(name, value);
        }
    }
    headers.insert("host", HeaderValue::from_static("localhost"));
    let body = Bytes::copy_from_slice(parts.next().unwrap_or_default());
    let admitted = RIG.admit(Access::Server, &Uri::from_static("/admin?env=shop"), &headers, &body);
    assert!(admitted.is_none());
}

fn exchanged_body(body: &[u8], content_type: &'static str) {
    let mut headers = signed(content_type);
    headers.insert("content-type", HeaderValue::from_static(content_type));
    let uri = Uri::from_static("/admin?env=shop");
    let body = Bytes::copy_from_slice(body);
    if RIG.admit(Access::Server, &uri, &headers, &body).is_none() {
        return;
    }
    // Only the JSON body was signed; a form with the same fields is the same request to the SDKs' signature.
    if content_type == JSON {
        let read: serde_json::Value = serde_json::from_slice(&body).expect("an admitted body is JSON");
        let members = read.as_object().expect("an admitted body is an object");
        assert_eq!(trimmed(&members["action"]), "database.getDocument");
        assert_eq!(trimmed(&members["envName"]), "shop");
        let unsigned = members.iter().filter(|(name, value)| {
            !["action", "envName", "limit"].contains(&name.as_str()) && !value.as_str().is_some_and(is_blank)
        });
        assert_eq!(unsigned.count(), 0);
    }
}

/// Whether nothing is left of a text when JavaScript trims it: the signature skips it.
fn is_blank(text: &str) -> bool {
    text.chars().all(|c| (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}')
}

fn trimmed(value: &serde_json::Value) -> &str {
    value.as_str().expect("a string").trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

fn exchanged_query(query: &[u8]) {
    let Ok(query) = std::str::from_utf8(query) else { return };
    let Ok(uri) = format!("/admin?{query}").parse::<Uri>() else { return };
    let admitted = RIG.admit(Access::Server, &uri, &signed(JSON), &Bytes::from_static(BODY.as_bytes()));
    let same = uri.path() == "/admin" && uri.query() == Some("env=shop");
    assert_eq!(admitted.is_some(), same, "{uri}");
}

/// The head of `POST /admin?env=shop` with [`BODY`], signed step by step as the SDKs do.
fn signed(content_type: &str) -> HeaderMap {
    let payload = "&action=database.getDocument\r\n&envname=shop\r\n&limit=5\r\n";
    let signed_type = content_type.split(';').next().expect("a first part");
    let canonical = format!(
        "post\n//localhost/admin\nenv=shop\ncontent-type:{signed_type}\nhost:localhost\n\ncontent-type;host\n{}",
        sha256(payload)
    );
    let text = format!("TC3-HMAC-SHA256\n{}\n{DAY}/tcb/tc3_request\n{}", rig::NOW_S, sha256(&canonical));
    let first = mac(format!("TC3{}", RIG.key.secret_key).as_bytes(), DAY);
    let signature = hex::encode(mac(&mac(&mac(&first, "tcb"), "tc3_request"), &text));
    let authorization = format!(
        "TC3-HMAC-SHA256 Credential={}/{DAY}/tcb/tc3_request, SignedParams=action;envname;limit, \
         SignedHeaders=content-type;host, Signature={signature}",
        RIG.key.secret_id
    );
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, authorization.parse().expect("plain characters"));
    headers.insert("x-timestamp", HeaderValue::from(rig::NOW_S));
    headers.insert("content-type", content_type.parse().expect("plain characters"));
    headers.insert("host", HeaderValue::from_static("localhost"));
    headers
}

fn sha256(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}
