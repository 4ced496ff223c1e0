//! Uploads and long bodies through the rules that are built in, as people met them with comparable programs: issues of
//! ModSecurity where nothing else is named.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::{Request, starter};
use yunzhan_waf::{BodyIntake, RuleSet, Transaction, Verdict};

const MIB: usize = 1 << 20;
const FORM: &str = "multipart/form-data; boundary=B";

fn begin(rules: &Arc<RuleSet>, content_type: &str) -> Transaction {
    let request = Request::post("/api/upload", content_type, b"");
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    common::begin(rules, "/api/upload", headers)
}

/// The status of a refusal, the rules that told something, and the most that was held.
fn run<'c>(
    rules: &Arc<RuleSet>,
    content_type: &str,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> (Option<u16>, Vec<u64>, usize) {
    let (mut transaction, mut held) = (begin(rules, content_type), 0);
    for chunk in chunks {
        transaction.request_body(&Bytes::copy_from_slice(chunk));
        held = held.max(transaction.held_bytes());
    }
    let status = match transaction.request_end() {
        Verdict::Pass => None,
        Verdict::Refuse(refusal) => Some(refusal.status),
    };
    (status, transaction.events().iter().filter_map(|event| event.rule).collect(), held)
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    let head =
        format!("--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\n");
    [head.as_bytes(), content, b"\r\n"].concat()
}

fn field(content: &str) -> Vec<u8> {
    format!("--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{content}\r\n").into_bytes()
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 7_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// #1471, #2093, #589: 14 MiB, where 12.5 are looked at.
#[test]
fn a_file_longer_than_what_rules_look_at_passes() {
    let rules = starter();
    let body = [file("film.mp4", &noise(14 * MIB)), b"--B--\r\n".to_vec()].concat();
    let (status, told, held) = run(&rules, FORM, body.chunks(16 << 10));
    assert_eq!((status, told), (None, vec![]));
    assert!(held < 64 << 10, "{held}");
    // What follows the file is looked at.
    let body = [file("film.mp4", &noise(14 * MIB)), field("1 union select name from users")];
    let body = [body.concat(), b"--B--\r\n".to_vec()].concat();
    let (status, told, _) = run(&rules, FORM, body.chunks(16 << 10));
    assert_eq!(status, Some(403), "{told:?}");
    // And so is whether it ends.
    let (status, told, _) = run(&rules, FORM, file("film.mp4", &noise(MIB)).chunks(16 << 10));
    assert_eq!((status, told), (Some(403), vec![101_170, 101_180]));
}

#[test]
fn octet_streams_and_pictures_need_not_be_fed() {
    let rules = starter();
    for content_type in ["application/octet-stream", "image/png", "video/mp4", "application/zip"] {
        let transaction = begin(&rules, content_type);
        assert_eq!(transaction.request_body_intake(), BodyIntake::Ignored, "{content_type}");
        assert!(!transaction.looks_at_more_request_body());
    }
}

/// #2277, coraza #1611: what is cut is looked at as far as it was held, and the cut is no mistake of the sender's.
#[test]
fn a_body_that_is_cut_is_judged_by_what_was_held() {
    let rules = starter();
    let kinds = [
        ("application/json", "[\"", "\"]"),
        ("application/x-www-form-urlencoded", "a=", "&b=1"),
        ("text/xml", "<a>", "</a>"),
    ];
    let filling = "x".repeat(13 * MIB);
    for (content_type, begin, end) in kinds {
        let body = format!("{begin}{filling}{end}");
        let (status, told, held) = run(&rules, content_type, body.as_bytes().chunks(64 << 10));
        assert_eq!((status, told), (None, vec![101_200]), "{content_type}");
        assert!(held < 26 * MIB, "{held}");
        let body = format!("{begin}1 union select name from users {filling}{end}");
        let (status, ..) = run(&rules, content_type, body.as_bytes().chunks(64 << 10));
        assert_eq!(status, Some(403), "{content_type}");
    }
}

/// #531, #652, #1747: lines that begin as boundaries do are common in files.
#[test]
fn files_may_hold_lines_of_hyphens() {
    let rules = starter();
    let contents = [
        "-----BEGIN CERTIFICATE-----\r\nMIIB\r\n-----END CERTIFICATE-----\r\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "Regards\r\n-- \r\nA. B.\r\n--\r\n",
        "%PDF-1.4\n--\u{1}\u{2}xref\n%%EOF\n",
        "Content-Type: multipart/mixed; boundary=\"C\"\r\n\r\n--C\r\nX: 1\r\n\r\n1\r\n--C--\r\n",
    ];
    for content in contents {
        let files = [file("a.pem", content.as_bytes()), file("b.eml", content.as_bytes())].concat();
        let body =
            [files, field("1"), file("c.pdf", content.as_bytes()), b"--B--\r\n".to_vec()].concat();
        for chunk in [1, 7, 16, 1 << 20] {
            let (status, told, _) = run(&rules, FORM, body.chunks(chunk));
            assert_eq!((status, told), (None, vec![]), "{content:?} in chunks of {chunk}");
        }
    }
}

/// audio.cpp #643: a boundary is one at the beginning of a line alone.
#[test]
fn text_like_a_boundary_within_a_line_parts_nothing() {
    let rules = starter();
    let part = file("--B--.txt", b"1 --B\r\n2--B--\r\n\r\r\n--\r\nB");
    let body = [part, field("1 union select name from users"), b"--B--\r\n".to_vec()].concat();
    for chunk in [1, 5, 1 << 20] {
        let (status, ..) = run(&rules, FORM, body.chunks(chunk));
        assert_eq!(status, Some(403), "the field behind it is seen");
    }
}

/// #3610: Firefox names its boundary so, and a proxy puts the charset behind it.
#[test]
fn a_boundary_may_hold_the_word_boundary() {
    let boundary = "----geckoformboundary4a7acee3709293e183ef2932a147a331";
    let content_type = format!("multipart/form-data;boundary={boundary};charset=UTF-8");
    let head =
        format!("--{boundary}\r\nContent-Disposition: form-data; name=a; filename=a.png\r\n\r\n");
    let end = format!("\r\n--{boundary}--\r\n");
    let body = [head.as_bytes(), &noise(20_000), end.as_bytes()].concat();
    // coraza-spoa #180, defnull/multipart #68, netty #11668: the same in whatever chunks.
    for chunk in [1, 1000, 12_167, 1 << 20] {
        let (status, told, _) = run(&starter(), &content_type, body.chunks(chunk));
        assert_eq!((status, told), (None, vec![]), "in chunks of {chunk}");
    }
}

/// cpp-httplib #2557: a boundary that never comes holds nothing up.
#[test]
fn a_body_without_its_boundary_is_not_held() {
    let (status, told, held) = run(&starter(), FORM, noise(4 * MIB).chunks(16 << 10));
    assert_eq!((status, told), (Some(403), vec![101_170, 101_180]));
    assert!(held < 64 << 10, "{held}");
}

/// #899: rules may judge a body by its length, also beyond what is held of it.
#[test]
fn rules_see_the_whole_length() {
    let own = "SecRule FULL_REQUEST_LENGTH \"@gt 2097152\" \"id:1,phase:2,deny,status:413\"\n\
               SecRequestBodyAccess On\nSecRequestBodyLimit 1000\nSecRequestBodyLimitAction ProcessPartial\n";
    let rules = common::with_built_in(own);
    for (content_type, len) in [("application/x-www-form-urlencoded", 3 * MIB), (FORM, 3 * MIB)] {
        let body = vec![b'x'; len];
        assert_eq!(run(&rules, content_type, body.chunks(16 << 10)).0, Some(413));
        assert_eq!(run(&rules, content_type, body[..MIB].chunks(16 << 10)).0, None);
    }
}
