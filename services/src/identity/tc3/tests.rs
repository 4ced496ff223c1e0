//! Requests that the published packages really sent, and what must become of each small change to them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::*;

/// Recorded from the unmodified packages; how is told beside the recorder.
const VECTORS: &str = include_str!("../testdata/tc3.json");

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    name: String,
    secret_key: String,
    now: i64,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body_base64: String,
    hashed_payload: String,
    #[serde(skip)]
    body: Vec<u8>,
}

/// As the server has them.
fn names() -> ActionNames {
    ActionNames::of(&[&crate::dialect::documents::SERVICE])
}

fn vectors() -> Vec<Vector> {
    let mut vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
    for vector in &mut vectors {
        vector.body = STANDARD.decode(&vector.body_base64).unwrap();
        if vector.name.contains("signature-nodejs") {
            // The signer alone takes any name; the SDKs never write this one so, and the signature does not know case.
            vector.replace_body("\"Action\"", "\"action\"");
        }
    }
    vectors
}

impl Vector {
    fn header(&mut self, name: &str) -> &mut String {
        let found = self.headers.iter_mut().find(|(key, _)| key.eq_ignore_ascii_case(name));
        &mut found.unwrap().1
    }

    fn replace_body(&mut self, from: &str, to: &str) {
        let text = String::from_utf8(std::mem::take(&mut self.body)).unwrap();
        assert!(text.contains(from), "{}: {from}", self.name);
        self.body = text.replacen(from, to, 1).into_bytes();
    }

    fn header_map(&self) -> HeaderMap {
        let pair = |(name, value): &(String, String)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        self.headers.iter().map(pair).collect()
    }

    /// The verdict in one line.
    fn verdict(&self) -> String {
        self.verify().map_or_else(|error| format!("{error:?}"), |()| "valid".into())
    }

    fn verify(&self) -> Result<()> {
        let headers = self.header_map();
        let head = Head::read(&headers)?;
        head.check_time(self.now)?;
        let request = Signed {
            method: &self.method.parse().unwrap(),
            uri: &self.target.parse().unwrap(),
            headers: &headers,
            body: &self.body,
        };
        verify(&head, request, self.secret_key.as_bytes(), &names())
    }
}

#[test]
fn every_recorded_request_is_valid() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 8);
    for vector in vectors {
        let headers = vector.header_map();
        let head = Head::read(&headers).unwrap();
        let payload = params::payload_hash(&head, &headers, &vector.body, &names()).unwrap();
        assert_eq!(hex::encode(payload), vector.hashed_payload, "{}", vector.name);
        assert_eq!(vector.verdict(), "valid", "{}", vector.name);
    }
}

#[test]
fn one_changed_byte_anywhere_is_refused() {
    for vector in vectors() {
        let check = |what: &str, change: fn(&mut Vector)| {
            let mut changed = vector.clone();
            change(&mut changed);
            let verdict = changed.verdict();
            assert!(verdict.starts_with("signature_invalid"), "{}: {what}: {verdict}", vector.name);
        };
        check("method", |v| v.method = "PUT".into());
        check("path", |v| v.target = v.target.replace("/admin", "/admin2"));
        check("path case", |v| v.target = v.target.replace("/admin", "/Admin"));
        check("query", |v| v.target.push_str("&env=other"));
        check("host", |v| *v.header("host") = "other.example.com".into());
        check("content type", |v| *v.header("content-type") = "text/plain".into());
        check("timestamp", |v| *v.header("x-timestamp") = (v.now - 2).to_string());
        check("secret", |v| v.secret_key.push('x'));
        check("signature", |v| {
            let text = v.header("authorization");
            let last = if text.pop() == Some('0') { '1' } else { '0' };
            text.push(last);
        });
        check("key", |v| {
            *v.header("authorization") = v.header("authorization").replace("/tcb/", "/cos/");
        });
        check("doubled host", |v| v.headers.push(("Host".into(), "other".into())));
        check("doubled authorization", |v| {
            let again = v.header("authorization").clone();
            v.headers.push(("authorization".into(), again));
        });
    }
}

#[test]
fn the_body_is_bound_member_by_member() {
    let json = &vectors()[0];
    let check = |from: &str, to: &str| {
        let mut changed = json.clone();
        changed.replace_body(from, to);
        changed.verdict()
    };
    let mismatch = "signature_invalid: the signature does not match; check the secret key, and that no proxy changes the host, path or body";
    let unsigned = "signature_invalid: a parameter of the body is not covered by the signature";
    let twice = "signature_invalid: two parameters of the body have one name, up to case";
    assert_eq!(check("\"goods\"", "\"users\""), mismatch);
    assert_eq!(check("\"limit\":5", "\"limit\":50"), mismatch);
    assert_eq!(check("\"limit\":5", "\"limit\": 5.0"), mismatch);
    assert_eq!(check("\"action\":\"database.getDocument\",", ""), mismatch);
    assert_eq!(check("\"tcb_sessionToken\":\"\"", "\"tcb_sessionToken\":\"x\""), unsigned);
    let spelt = "signature_invalid: the parameter action is spelt in another way";
    assert_eq!(check("{", "{\"ACTION\":\"database.removeDocument\","), spelt);
    assert_eq!(check("\"action\"", "\"Action\""), spelt);
    assert_eq!(check("\"action\"", "\" action\""), spelt);
    // An unknown member may be spelt as it likes: nobody reads it.
    assert_eq!(check("{", "{\"X\":\"\",\"x\":\"\","), twice);
    assert_eq!(check("{", "{\"action\":\"database.getDocument\","), twice);
    assert_eq!(check("{", "{\" action \":\"\","), spelt);
    assert_eq!(check("{", "{\"more\":0,"), unsigned);
    // White space between members changes nothing that anybody reads.
    assert_eq!(check("{", "{ \n"), "valid");
    assert!(
        check("{", "[").starts_with("signature_invalid: a signed body is a JSON object or a form")
    );
}

#[test]
fn a_form_is_bound_field_by_field() {
    for form in vectors().iter().filter(|vector| vector.name.contains("multipart")) {
        let check = |change: fn(&mut Vector)| {
            let mut changed = form.clone();
            change(&mut changed);
            changed.verdict()
        };
        let malformed = "signature_invalid: the signed form is malformed";
        let refused = check(|v| v.replace_body("subscribeMessage.send", "wxacode.get"));
        assert!(refused.contains("does not match"), "{refused}");
        let refused = check(|v| {
            v.replace_body("\"tcb_sessionToken\"\r\n\r\n", "\"tcb_sessionToken\"\r\n\r\nx");
        });
        assert!(refused.starts_with("signature_invalid"), "{refused}");
        assert_eq!(check(|v| v.body.truncate(v.body.len() - 8)), malformed);
        assert_eq!(check(|v| v.body.insert(0, b'x')), malformed);
        assert_eq!(check(|v| v.body.push(b'x')), malformed);
        assert_eq!(check(|v| v.replace_body("\r\n\r\nwx.openApi", "\n\nwx.openApi")), malformed);
    }
}

#[test]
fn the_window_is_ours_and_not_the_callers() {
    let check = |seconds: i64| {
        let mut vector = vectors()[0].clone();
        *vector.header("x-signature-expires") = "999999999".into();
        vector.now += seconds;
        vector.verdict().split(':').next().unwrap().to_owned()
    };
    // The SDK signs one second in the past.
    assert_eq!(check(599), "valid");
    assert_eq!(check(600), "signature_expired");
    assert_eq!(check(-61), "valid");
    assert_eq!(check(-62), "signature_expired");
    assert_eq!(check(i64::MAX / 2), "signature_expired");
}

#[test]
fn malformed_heads_are_refused_without_a_panic() {
    let good = vectors()[0].header("authorization").clone();
    let check = |text: &str, timestamp: &str| match Head::parse(text, timestamp) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.kind().name().to_owned(),
    };
    assert_eq!(check(&good, "1749999999"), "accepted");
    for end in 0..good.len() {
        assert_eq!(check(&good[..end], "1749999999"), "signature_invalid", "{end}");
    }
    for (from, to) in [
        ("TC3-HMAC-SHA256 ", "TC3-HMAC-SHA256  "),
        ("content-type;", ""),
        ("host;", ""),
        ("host;", "Host;"),
        ("host;", "host;;"),
        ("2025-06-15", "2025-06-14"),
        ("2025-06-15", "2025-6-15"),
        ("Signature=", "Signature=00"),
        ("SignedParams=", "Params="),
        ("SignedParams=action;collectionname;envname;limit;query;querytype;wxcloudapitoken, ", ""),
        ("AKIDexampleexample", ""),
        ("AKIDexampleexample", "a b"),
    ] {
        assert!(good.contains(from), "{from}");
        assert_eq!(
            check(&good.replacen(from, to, 1), "1749999999"),
            "signature_invalid",
            "{from} {to}"
        );
    }
    for timestamp in [
        "",
        "-1",
        "+1749999999",
        "01749999999",
        " 1749999999",
        "1749999999.0",
        "9".repeat(30).as_str(),
    ] {
        assert_eq!(check(&good, timestamp), "signature_invalid", "{timestamp}");
    }
    assert_eq!(check(&"x".repeat(1 << 20), "1749999999"), "signature_invalid");
}

#[test]
fn names_are_encoded_as_the_signer_does() {
    assert_eq!(params::canonical_name(" Odd Name!"), "odd%20name%21");
    assert_eq!(params::canonical_name("云(*)'~_-."), "%E4%BA%91%28%2A%29%27~_-.");
}

#[test]
fn white_space_is_javascripts() {
    assert_eq!(params::trim("\u{feff}\u{a0}\u{3000}a\u{2028}\n"), "a");
    assert_eq!(params::trim("\u{85}a\u{200b}"), "\u{85}a\u{200b}");
}
