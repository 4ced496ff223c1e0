//! What the targets share: a few rules that look at everything, and a transaction.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
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

/// A rule that tells every value that a reader makes, and bounds that cut most bodies.
const WITNESS: &str = r#"
SecRule ARGS|ARGS_NAMES|REQUEST_BODY|XML:/*|XML://@*|FILES|FILES_NAMES|FILES_SIZES|FILES_COMBINED_SIZE|FILES_TMP_CONTENT|MULTIPART_PART_HEADERS|ARGS_COMBINED_SIZE|URLENCODED_ERROR|INBOUND_DATA_ERROR|REQBODY_ERROR_MSG|MULTIPART_STRICT_ERROR|MULTIPART_UNMATCHED_BOUNDARY|MULTIPART_DATA_AFTER|MULTIPART_LF_LINE "@unconditionalMatch" "id:20,phase:5,pass,nolog,setvar:'tx.seen=%{tx.seen};%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'"
"#;
const BOUNDS: &str = "SecRequestBodyLimit 150\nSecRequestBodyNoFilesLimit 100\nSecRequestBodyLimitAction";

struct Only(String);

impl Sources for Only {
    fn list(&self, _folder: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn read(&self, _path: &str) -> Result<Vec<u8>, String> {
        Ok(self.0.clone().into_bytes())
    }
}

fn load(more: &str) -> Arc<RuleSet> {
    match RuleSet::load("rules.conf", &Only(format!("{RULES}{more}\n"))) {
        Ok(rules) => Arc::new(rules),
        Err(problems) => panic!("the rules have mistakes: {problems:?}"),
    }
}

static SET: LazyLock<Arc<RuleSet>> = LazyLock::new(|| load(""));
static WIDE: LazyLock<Arc<RuleSet>> = LazyLock::new(|| load(WITNESS));
static REJECT: LazyLock<Arc<RuleSet>> =
    LazyLock::new(|| load(&format!("{WITNESS}{BOUNDS} Reject")));
static PARTIAL: LazyLock<Arc<RuleSet>> =
    LazyLock::new(|| load(&format!("{WITNESS}{BOUNDS} ProcessPartial")));

/// Which bounds of bodies hold.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// Those that nothing reaches.
    Wide,
    /// Small ones, beyond which a body is refused.
    Reject,
    /// Small ones, beyond which nothing is looked at.
    ProcessPartial,
}

/// Begins a transaction.
pub fn begin() -> Transaction {
    begin_with(&SET)
}

fn begin_with(rules: &Arc<RuleSet>) -> Transaction {
    let context = HostContext {
        now_ms: 1_700_000_000_000,
        offset_s: 28_800,
        unique_id: "1",
        mode: None,
        collections: Arc::new(NoCollections),
        limits: Limits::default(),
    };
    let mut transaction = Transaction::begin(Arc::clone(rules), context);
    transaction.connection(("10.0.0.1", 1234), ("10.0.0.2", 80));
    transaction
}

/// What came of a request: the verdict, the rules that told something, and every variable.
pub type Outcome = (Verdict, Vec<Option<u64>>, Vec<u8>);

/// One request whose body comes in these chunks.
pub fn chunks(bound: Bound, content_type: &[u8], chunks: &[&[u8]]) -> Outcome {
    let mut transaction = begin_with(match bound {
        Bound::Wide => &WIDE,
        Bound::Reject => &REJECT,
        Bound::ProcessPartial => &PARTIAL,
    });
    transaction.request_line(b"POST", b"/", b"HTTP/1.1");
    transaction.request_header(b"Content-Type", content_type);
    transaction.request_headers_end();
    for chunk in chunks {
        transaction.request_body(&Bytes::copy_from_slice(chunk));
    }
    let verdict = transaction.request_end();
    transaction.log();
    let events = transaction.events().iter().map(|event| event.rule).collect();
    (verdict, events, transaction.tx("seen").unwrap_or_default().to_vec())
}

/// A body cut at these places, each counted from the one before.
pub fn split<'b>(body: &'b [u8], steps: &[u8]) -> Vec<&'b [u8]> {
    let (mut rest, mut chunks) = (body, Vec::new());
    for step in steps {
        let (chunk, more) = rest.split_at(usize::from(*step).min(rest.len()));
        chunks.push(chunk);
        rest = more;
    }
    chunks.push(rest);
    chunks
}

/// One request with this body, in one piece and in two: both end the same.
pub fn body(content_type: &str, bytes: &[u8]) {
    let (left, right) = bytes.split_at(bytes.len() / 2);
    let run = |pieces: &[&[u8]]| chunks(Bound::Wide, content_type.as_bytes(), pieces);
    assert_eq!(run(&[bytes]), run(&[left, right]), "pieces do not matter");
}
