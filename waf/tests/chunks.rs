//! Bodies in chunks: however a body is cut, rules see the same and say the same, and no more is held than needs to be.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use yunzhan_waf::seclang::Sources;
use yunzhan_waf::transaction::FILE_BEGINNING_BYTES;
use yunzhan_waf::{BodyIntake, RuleSet, Transaction, Verdict};

/// Rules that tell of every value that any reader makes.
const RULES: &str = r#"
SecRuleEngine On
SecRequestBodyJsonDepthLimit 6
SecArgumentsLimit 30
SecUploadFileLimit 3
SecResponseBodyAccess On
SecRule REQUEST_HEADERS:Content-Type "@contains json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "@contains xml" "id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "@contains forced" "id:3,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On"
SecRule ARGS|ARGS_NAMES|REQUEST_BODY|XML:/*|XML://@*|FILES|FILES_NAMES|FILES_SIZES|FILES_COMBINED_SIZE|FILES_TMP_CONTENT|MULTIPART_PART_HEADERS|ARGS_COMBINED_SIZE|URLENCODED_ERROR|INBOUND_DATA_ERROR|REQBODY_ERROR|REQBODY_ERROR_MSG|MULTIPART_STRICT_ERROR|MULTIPART_UNMATCHED_BOUNDARY|MULTIPART_DATA_AFTER|MULTIPART_LF_LINE|RESPONSE_BODY|OUTBOUND_DATA_ERROR "@unconditionalMatch" "id:4,phase:5,pass,setvar:'tx.seen=%{tx.seen};%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'"
SecRule REQBODY_ERROR "@eq 1" "id:6,phase:2,pass,msg:'%{REQBODY_ERROR_MSG}'"
SecRule ARGS|REQUEST_BODY|FILES_TMP_CONTENT|XML:/* "@rx (?i)union\s+select" "id:5,phase:2,deny,status:403,t:none,t:urlDecodeUni"
SecRule RESPONSE_BODY "@contains secret" "id:7,phase:4,deny,status:500"
"#;

struct Only(String);

impl Sources for Only {
    fn list(&self, _folder: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn read(&self, _path: &str) -> Result<Vec<u8>, String> {
        Ok(self.0.clone().into_bytes())
    }
}

fn rules(settings: &str) -> Arc<RuleSet> {
    Arc::new(RuleSet::load("rules.conf", &Only(format!("{RULES}{settings}\n"))).unwrap())
}

fn begin(rules: &Arc<RuleSet>, content_type: &str) -> Transaction {
    common::begin(rules, "/", [("Content-Type", content_type.as_bytes())])
}

/// What came of a request: verdicts, the rules that told something, and every variable.
type Outcome = (Vec<Verdict>, Vec<(Option<u64>, String)>, String);

/// `stops` is a caller that no longer feeds once nobody looks.
fn run<'c>(
    rules: &Arc<RuleSet>,
    content_type: &str,
    stops: bool,
    request: impl IntoIterator<Item = &'c [u8]>,
    response: impl IntoIterator<Item = &'c [u8]>,
) -> Outcome {
    let mut transaction = begin(rules, content_type);
    for chunk in request {
        if stops && !transaction.looks_at_more_request_body() {
            break;
        }
        transaction.request_body(&Bytes::copy_from_slice(chunk));
    }
    let first = transaction.request_end();
    transaction.response_header(b"content-type", b"text/html");
    transaction.response_headers_end(200, b"HTTP/1.1");
    for chunk in response {
        if stops && !transaction.looks_at_more_response_body() {
            break;
        }
        transaction.response_body(&Bytes::copy_from_slice(chunk));
    }
    let second = transaction.response_end();
    transaction.log();
    let events =
        transaction.events().iter().map(|event| (event.rule, event.message.clone())).collect();
    let seen = String::from_utf8_lossy(transaction.tx("seen").unwrap_or_default()).into_owned();
    (vec![first, second], events, seen)
}

/// Where a body is cut: each place counted from the one before.
fn split<'b>(body: &'b [u8], steps: &[usize]) -> Vec<&'b [u8]> {
    let (mut rest, mut chunks) = (body, Vec::new());
    for step in steps {
        let (chunk, more) = rest.split_at((*step).min(rest.len()));
        chunks.push(chunk);
        rest = more;
    }
    chunks.push(rest);
    chunks
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z 0-9\u{4e00}-\u{4e08}]{0,12}",
        Just("1 union select 2".to_owned()),
        Just("%41+%zz".to_owned()),
        Just("--B".to_owned()),
        Just("\r\n--\r\n".to_owned()),
    ]
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::vec(("[a-z]{1,4}", value()), 0..6)
}

fn json_text(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string().replace('u', "\\u0075")
}

/// A media type, and a body of it, now and then spoilt.
fn body() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let form = pairs().prop_map(|pairs| {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        ("application/x-www-form-urlencoded", pairs.join("&"))
    });
    let json = pairs().prop_map(|pairs| {
        let field =
            |(name, value): &(String, String)| format!("\"{name}\":[1.5e3,{}]", json_text(value));
        let fields: Vec<_> = pairs.iter().map(field).collect();
        ("application/json", format!("{{{}}}", fields.join(", ")))
    });
    let xml = pairs().prop_map(|pairs| {
        let element = |(name, value): &(String, String)| {
            let value = value.replace('%', "&#37;");
            format!("<{name} x='{value}'>{value}<![CDATA[{value}]]></{name}>")
        };
        ("text/xml", format!("<r>{}</r>", pairs.iter().map(element).collect::<String>()))
    });
    let multipart = |content_type| {
        (pairs(), proptest::collection::vec(any::<bool>(), 6)).prop_map(move |(pairs, are_files)| {
            let part = |((name, value), is_file): (&(String, String), &bool)| {
                let file = if *is_file { "; filename=\"x.png\"" } else { "" };
                format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n")
            };
            let parts: String = pairs.iter().zip(&are_files).map(part).collect();
            (content_type, parts + "--B--\r\n")
        })
    };
    let raw = value().prop_map(|text| ("application/x-thing", text));
    let sound = prop_oneof![
        form,
        json,
        xml,
        multipart("multipart/form-data; boundary=B"),
        multipart("multipart/form-data; boundary=B; x=forced"),
        raw
    ];
    (sound, proptest::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()))).prop_map(
        |((content_type, text), wrong)| {
            let mut bytes = text.into_bytes();
            if let (Some((at, byte)), false) = (wrong, bytes.is_empty()) {
                *at.get_mut(&mut bytes) = byte;
            }
            (content_type, bytes)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn chunks_do_not_matter(
        (content_type, body) in body(),
        answer in "[a-z]{0,20}(secret)?[a-z]{0,20}",
        steps in proptest::collection::vec(0..12_usize, 0..20),
        limit in prop_oneof![Just(10_000), 0..200_u64],
        no_files in prop_oneof![Just(10_000), 0..200_u64],
        action in prop_oneof![Just("Reject"), Just("ProcessPartial")],
        mode in prop_oneof![Just("On"), Just("DetectionOnly")],
    ) {
        let rules = rules(&format!(
            "SecRuleEngine {mode}\nSecRequestBodyLimit {limit}\nSecRequestBodyNoFilesLimit {no_files}\n\
             SecRequestBodyLimitAction {action}\nSecResponseBodyLimit 25\nSecResponseBodyLimitAction {action}"
        ));
        let whole = run(&rules, content_type, false, [body.as_slice()], [answer.as_bytes()]);
        for stops in [false, true] {
            let (chunks, answers) = (split(&body, &steps), split(answer.as_bytes(), &steps));
            prop_assert_eq!(&whole, &run(&rules, content_type, stops, chunks, answers));
            let (chunks, answers) = (body.chunks(1), answer.as_bytes().chunks(1));
            prop_assert_eq!(&whole, &run(&rules, content_type, stops, chunks, answers));
        }
    }

    /// Of what our own bound cuts nobody asks whether it is complete.
    #[test]
    fn a_cut_is_never_a_mistake((content_type, body) in body(), limit in 0..200_u64) {
        let wide = rules("");
        let whole = run(&wide, content_type, false, [body.as_slice()], []);
        let rules = rules(&format!("SecRequestBodyLimit {limit}\nSecRequestBodyLimitAction ProcessPartial"));
        let cut = run(&rules, content_type, false, [body.as_slice()], []);
        let is_mistaken = |outcome: &Outcome| outcome.1.iter().any(|(rule, _)| *rule == Some(6));
        prop_assert!(is_mistaken(&whole) || !is_mistaken(&cut), "{cut:?}");
    }
}

const FORM: &str = "multipart/form-data; boundary=B";
const FILE: &str = "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.bin\"\r\n\r\n";
const FIELD: &str = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1 union select 2";
const END: &str = "\r\n--B--\r\n";

/// Bytes as files have them, the same each time.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

#[test]
fn a_long_file_passes_in_chunks_of_which_little_is_held() {
    const CHUNK_BYTES: usize = 16 << 10;
    let rules = rules("SecRequestBodyLimitAction ProcessPartial");
    let mut transaction = begin(&rules, FORM);
    assert_eq!(transaction.request_body_intake(), BodyIntake::Parsed);
    transaction.request_body(&Bytes::from_static(FILE.as_bytes()));
    let (noise, mut held) = (Bytes::from(noise(CHUNK_BYTES * 3)), 0);
    for at in 0..(64 << 20) / CHUNK_BYTES {
        let chunk = noise.slice(at % CHUNK_BYTES..at % CHUNK_BYTES + CHUNK_BYTES);
        assert_eq!(transaction.request_body(&chunk), Verdict::Pass);
        held = held.max(transaction.held_bytes());
    }
    assert!(transaction.looks_at_more_request_body(), "a field may follow");
    transaction.request_body(&Bytes::from_static(b"\r\n"));
    transaction.request_body(&Bytes::from_static(FIELD.as_bytes()));
    transaction.request_body(&Bytes::from_static(END.as_bytes()));
    assert!(
        !matches!(transaction.request_end(), Verdict::Pass),
        "the field behind the file is seen"
    );
    held = held.max(transaction.held_bytes());
    assert!(held > FILE_BEGINNING_BYTES && held < 300 << 10, "{held} bytes are held");
}

#[test]
fn the_length_of_a_body_is_bounded_where_a_directive_says_so() {
    let body = [FILE.as_bytes(), &noise(3000), END.as_bytes()].concat();
    let check = |content_type: &str, action: &str, mode: &str, wanted: Option<u16>| {
        let settings = format!(
            "SecRuleEngine {mode}\nSecRequestBodyLimit 2000\nSecRequestBodyLimitAction {action}"
        );
        let mut transaction = begin(&rules(&settings), content_type);
        let verdicts: Vec<_> = body
            .chunks(700)
            .map(|chunk| transaction.request_body(&Bytes::copy_from_slice(chunk)))
            .collect();
        let status = |verdict: &Verdict| match verdict {
            Verdict::Refuse(refusal) => Some(refusal.status),
            Verdict::Pass => None,
        };
        assert_eq!(status(&verdicts[1]), None);
        assert_eq!(status(&verdicts[2]), wanted, "{content_type} {action} {mode}");
        assert_eq!(status(&transaction.request_end()), wanted);
        assert_eq!(
            transaction.looks_at_more_request_body(),
            wanted.is_none() && action == "Reject" && mode == "On"
        );
    };
    for content_type in [FORM, "application/json", "application/octet-stream"] {
        check(content_type, "Reject", "On", Some(413));
        check(content_type, "Reject", "DetectionOnly", None);
        check(content_type, "ProcessPartial", "On", None);
    }
}

#[test]
fn a_single_chunk_is_shared_and_so_are_the_values_in_it() {
    let rules = rules("");
    let check = |content_type: &str, chunks: &[&Bytes], held_max: usize| {
        let mut transaction = begin(&rules, content_type);
        let before = transaction.held_bytes();
        for chunk in chunks {
            transaction.request_body(chunk);
        }
        transaction.request_end();
        let held = transaction.held_bytes() - before;
        assert!(held < held_max, "{content_type}: {held} bytes");
        transaction
    };
    let text = "x".repeat(1 << 20);
    let form = Bytes::from(format!("a={text}&b=1"));
    let transaction = check("application/x-www-form-urlencoded", &[&form], (1 << 20) + 9000);
    assert_eq!(transaction.held_request_body().as_ptr(), form.as_ptr());
    let json = Bytes::from(format!("{{\"a\":\"{text}\"}}"));
    check("application/json", &[&json], (1 << 20) + 9000);
    // Several are joined, once.
    let (left, right) = (form.slice(..5000), form.slice(5000..));
    let transaction =
        check("application/x-www-form-urlencoded", &[&left, &right], (1 << 20) + 9000);
    assert_eq!(transaction.held_request_body(), form);
    // The value of a field is no copy of what its reader held.
    let field = Bytes::from(format!("{}{text}{END}", FIELD));
    check(FORM, &[&field], (1 << 20) + (1 << 20) / 2);
}

#[test]
fn what_is_asked_before_a_body_is_fed() {
    const PLAIN: &str = "SecRuleEngine On\nSecRequestBodyLimitAction ProcessPartial\n";
    let check = |text: &str, content_type: &str, intake: BodyIntake, looks: bool| {
        let rules = RuleSet::load("rules.conf", &Only(format!("{PLAIN}{text}\n"))).unwrap();
        let transaction = begin(&Arc::new(rules), content_type);
        let asked = (transaction.request_body_intake(), transaction.looks_at_more_request_body());
        assert_eq!(asked, (intake, looks), "{text} {content_type}");
    };
    const BODY: &str = "SecRule REQUEST_BODY \"@rx x\" \"id:1,phase:2,deny\"";
    const OFF: &str = "SecAction \"id:1,phase:1,pass,ctl:requestBodyAccess=Off\"";
    const LENGTH: &str = "SecRule REQUEST_BODY_LENGTH \"@gt 5\" \"id:1,phase:2,deny\"";
    let octets = "application/octet-stream";
    check("", octets, BodyIntake::Ignored, false);
    check(BODY, octets, BodyIntake::Held, true);
    check(LENGTH, octets, BodyIntake::Parsed, true);
    check("SecRequestBodyLimitAction Reject", octets, BodyIntake::Parsed, true);
    check("", FORM, BodyIntake::Parsed, true);
    check(OFF, FORM, BodyIntake::Ignored, false);
    check("", "application/x-www-form-urlencoded", BodyIntake::Held, true);
    check("SecRuleEngine Off", "application/x-www-form-urlencoded", BodyIntake::Ignored, false);
}

#[test]
fn nobody_looks_behind_the_last_boundary() {
    let rules = rules("SecRequestBodyLimitAction ProcessPartial");
    let mut transaction = begin(&rules, FORM);
    transaction.request_body(&Bytes::from([FILE, END].concat()));
    assert!(transaction.looks_at_more_request_body(), "one byte more would be told");
    transaction.request_body(&Bytes::from_static(b"x"));
    assert!(!transaction.looks_at_more_request_body());
}
