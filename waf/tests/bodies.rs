//! What rules see of bodies of each kind, through whole transactions.

use std::sync::Arc;

use yunzhan_waf::seclang::Sources;
use yunzhan_waf::transaction::{Limits, NoCollections};
use yunzhan_waf::{HostContext, RuleSet, Transaction};

const RULES: &str = r#"
SecRuleEngine On
SecRequestBodyNoFilesLimit 300
SecRequestBodyLimitAction ProcessPartial
SecRule REQUEST_HEADERS:Content-Type "@contains json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "@contains xml" "id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQBODY_PROCESSOR|ARGS|ARGS_POST_NAMES|FILES|FILES_TMP_CONTENT|FILES_COMBINED_SIZE|XML:/*|XML://@*|MULTIPART_PART_HEADERS:a "!@rx ^0?$" "id:3,phase:2,pass,setvar:'tx.seen=%{tx.seen}%{MATCHED_VAR_NAME}=%{MATCHED_VAR};'"
SecRule REQBODY_ERROR|INBOUND_DATA_ERROR|MULTIPART_STRICT_ERROR "@eq 1" "id:4,phase:2,pass,setvar:'tx.seen=%{tx.seen}!%{MATCHED_VAR_NAME};'"
SecRule REQBODY_ERROR "@eq 1" "id:5,phase:2,pass,setvar:'tx.seen=%{tx.seen}%{REQBODY_ERROR_MSG}'"
"#;

struct Only;

impl Sources for Only {
    fn list(&self, _folder: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn read(&self, _path: &str) -> Result<Vec<u8>, String> {
        Ok(RULES.as_bytes().to_vec())
    }
}

/// In a body, `|` is CRLF.
fn check(content_type: &str, body: &str, wanted: &str) {
    let rules = Arc::new(RuleSet::load("rules.conf", &Only).expect("the rules are sound"));
    let context = HostContext {
        now_ms: 0,
        offset_s: 0,
        unique_id: "1",
        mode: None,
        collections: Arc::new(NoCollections),
        limits: Limits::default(),
    };
    let mut transaction = Transaction::begin(rules, context);
    transaction.connection(("10.0.0.1", 1234), ("10.0.0.2", 80));
    transaction.request_line(b"POST", b"/", b"HTTP/1.1");
    transaction.request_header(b"Content-Type", content_type.as_bytes());
    transaction.request_headers_end();
    transaction.request_body(&body.replace('|', "\r\n").into_bytes().into());
    transaction.request_end();
    let seen = transaction.tx("seen").unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(seen), wanted, "{body}");
}

#[test]
fn rules_see_bodies() {
    const FORM: &str = "multipart/form-data; boundary=B";
    let file = "Content-Disposition: form-data; name=a; filename=\"x\"";
    check(
        FORM,
        &format!(
            "--B|Content-Disposition: form-data; name=b||1|--B|{file}||{}|--B--|",
            "x".repeat(400)
        ),
        &format!(
            "REQBODY_PROCESSOR=MULTIPART;ARGS:b=1;ARGS_POST_NAMES:b=b;FILES:a=x;FILES_TMP_CONTENT:a={};\
             FILES_COMBINED_SIZE=400;MULTIPART_PART_HEADERS:a={file};",
            "x".repeat(400)
        ),
    );
    let long = "1".repeat(400);
    check(
        FORM,
        &format!("--B|Content-Disposition: form-data; name=b||{long}|--B--|"),
        &format!(
            "REQBODY_PROCESSOR=MULTIPART;ARGS:b={};ARGS_POST_NAMES:b=b;!INBOUND_DATA_ERROR;",
            &long[..253]
        ),
    );
    check("text/xml", "<a b='c'>d</a>", "REQBODY_PROCESSOR=XML;XML:/*=d;XML://@*=c;");
    check(
        "text/xml",
        "<a>d</b>",
        "REQBODY_PROCESSOR=XML;XML:/*=d;!REQBODY_ERROR;XML: unexpected byte at 7",
    );
    check(
        "application/json",
        &format!("[{}]", "1".repeat(400)),
        &format!(
            "REQBODY_PROCESSOR=JSON;ARGS:json.array_0={};ARGS_POST_NAMES:json.array_0=json.array_0;!INBOUND_DATA_ERROR;",
            &long[..299]
        ),
    );
}
