//! What the targets share: a few rules that look at everything, and a transaction.

use std::sync::{Arc, LazyLock};

use yunzhan_waf::seclang::Sources;
use yunzhan_waf::transaction::{Limits, NoCollections};
use yunzhan_waf::{HostContext, RuleSet, Transaction, Verdict};

/// Rules that look at whatever a reader fills, through transformations and operators of several kinds.
const RULES: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecRequestBodyJsonDepthLimit 20
SecArgumentsLimit 200
SecUploadFileLimit 3
SecRule REQUEST_HEADERS:Content-Type "@contains json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "@contains xml" "id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule ARGS|ARGS_NAMES|ARGS_POST|REQUEST_COOKIES|REQUEST_HEADERS|!REQUEST_HEADERS:Host "@rx <script|union\s+select" "id:3,phase:2,pass,t:none,t:urlDecodeUni,t:htmlEntityDecode,t:lowercase,multiMatch,capture,msg:'%{MATCHED_VAR_NAME}',logdata:'%{TX.0}',setvar:'tx.score=+5',setvar:'tx.%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'"
SecRule ARGS|XML:/*|XML://@* "@detectSQLi" "id:4,phase:2,pass,t:none,t:urlDecodeUni,setvar:tx.score=+5"
SecRule ARGS|FILES|XML:/*|XML://@* "@detectXSS" "id:5,phase:2,pass,t:none,t:htmlEntityDecode,t:jsDecode,t:removeNulls,setvar:tx.score=+5"
SecRule FILES|FILES_NAMES|FILES_SIZES|FILES_TMP_CONTENT|MULTIPART_FILENAME|MULTIPART_NAME "@pm php <? .. passwd" "id:6,phase:2,pass,t:none,t:normalizePath,t:compressWhitespace,setvar:tx.score=+1"
SecRule MULTIPART_PART_HEADERS "@rx ^content-type\s*:\s*(.*)$" "id:7,phase:2,pass,capture,t:lowercase,setvar:'tx.type=%{tx.1}'"
SecRule &ARGS|&FILES|&XML:/* "@gt 1" "id:8,phase:2,pass"
SecRule REQBODY_ERROR|MULTIPART_STRICT_ERROR|MULTIPART_UNMATCHED_BOUNDARY|URLENCODED_ERROR "!@eq 0" "id:9,phase:2,pass,msg:'%{REQBODY_ERROR_MSG}'"
SecRule REQUEST_URI|REQUEST_FILENAME|REQUEST_LINE|QUERY_STRING "@rx \.\./" "id:10,phase:1,pass,t:none,t:urlDecodeUni,t:normalisePathWin,setvar:tx.score=+5"
SecRule REQUEST_BODY "@validateByteRange 32-126" "id:11,phase:2,pass,t:none,t:base64DecodeExt,t:cssDecode"
SecRule RESPONSE_BODY|RESPONSE_HEADERS "@contains error" "id:12,phase:4,pass,t:lowercase"
SecRule TX:score "@ge 15" "id:13,phase:2,deny,status:403"
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

static SET: LazyLock<Arc<RuleSet>> = LazyLock::new(|| match RuleSet::load("rules.conf", &Only) {
    Ok(rules) => Arc::new(rules),
    Err(problems) => panic!("the rules have mistakes: {problems:?}"),
});

/// Begins a transaction.
pub fn begin() -> Transaction {
    let context = HostContext {
        now_ms: 1_700_000_000_000,
        offset_s: 28_800,
        unique_id: "1",
        mode: None,
        collections: Arc::new(NoCollections),
        limits: Limits::default(),
    };
    let mut transaction = Transaction::begin(Arc::clone(&SET), context);
    transaction.connection(("10.0.0.1", 1234), ("10.0.0.2", 80));
    transaction
}

/// One request with this body, in one piece and in two: both end the same.
pub fn body(content_type: &str, bytes: &[u8]) {
    let run = |pieces: &[&[u8]]| -> (Verdict, Vec<Option<u64>>) {
        let mut transaction = begin();
        transaction.request_line(b"POST", b"/", b"HTTP/1.1");
        transaction.request_header(b"Content-Type", content_type.as_bytes());
        transaction.request_headers_end();
        for piece in pieces {
            transaction.request_body(piece);
        }
        let verdict = transaction.request_end();
        transaction.log();
        (verdict, transaction.events().iter().map(|event| event.rule).collect())
    };
    let (left, right) = bytes.split_at(bytes.len() / 2);
    assert_eq!(run(&[bytes]), run(&[left, right]), "pieces do not matter");
}
