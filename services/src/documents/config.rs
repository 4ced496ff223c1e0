//! What an operator may set for documents.

use std::time::Duration;

use yunzhan_base::config::{ByteSize, Reader};

/// Documents in one answer when the caller names no limit. WeChat's own client gives 20; what a client asks for counts.
const QUERY_DOCUMENTS_DEFAULT: usize = 20;

/// Most documents in one answer: the SDKs cut at 1,000 themselves.
const QUERY_DOCUMENTS_MAX: usize = 1000;

/// Most small documents that one call reads on its way, or their worth: each KiB of a document counts as one more, and
/// each eighth condition as much again. A filter that no index serves reads them all: 100,000 take about a second of
/// one core, which one scan may cost at most.
const SCAN_DOCUMENTS_MAX: usize = 100_000;

/// Most small documents that one aggregation reads, those of its lookups included: half a million take about five
/// seconds of one core, in pieces between which others run.
const AGGREGATE_DOCUMENTS_MAX: usize = 500_000;

/// How long changes are kept: a client that was away for the length of a lunch goes on where it was.
const CHANGE_LOG_AGE: Duration = Duration::from_secs(60 * 60);

/// Bytes of changes that are kept in each environment: a busy hour of a shop of some thousand orders, each with what it was
/// before.
const CHANGE_LOG_BYTES_MAX: u64 = 256 << 20;

/// The section `[documents]`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Documents in one answer to a person who names no limit.
    pub query_documents_default: usize,
    /// Most documents in one answer.
    pub query_documents_max: usize,
    /// Most small documents, or their worth in bytes and conditions, that one call reads on its way.
    pub scan_documents_max: usize,
    /// Most small documents, or their worth, that one aggregation reads.
    pub aggregate_documents_max: usize,
    /// How long changes stay in the change log.
    pub change_log_age: Duration,
    /// Most bytes of the change log of one environment.
    pub change_log_bytes_max: u64,
}

impl Config {
    /// Reads the section.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            query_documents_default: reader.value_in(
                "query_documents_default",
                QUERY_DOCUMENTS_DEFAULT,
                1..=QUERY_DOCUMENTS_MAX,
                "documents in one answer when the client names no limit",
            ),
            query_documents_max: reader.value_in(
                "query_documents_max",
                QUERY_DOCUMENTS_MAX,
                1..=10_000,
                "most documents in one answer",
            ),
            scan_documents_max: reader.value_in(
                "scan_documents_max",
                SCAN_DOCUMENTS_MAX,
                1000..=10_000_000,
                "most small documents that one call reads, where each KiB counts as one; beyond it, the answer names the missing index",
            ),
            aggregate_documents_max: reader.value_in(
                "aggregate_documents_max",
                AGGREGATE_DOCUMENTS_MAX,
                1000..=10_000_000,
                "most small documents that one aggregation reads, those of its lookups included",
            ),
            change_log_age: reader.value_in(
                "change_log_age",
                CHANGE_LOG_AGE,
                Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 60 * 60),
                "how long the change log of an environment goes back; whoever follows it and was away for longer reads the documents again",
            ),
            change_log_bytes_max: reader
                .value_in(
                    "change_log_max",
                    ByteSize::bytes(CHANGE_LOG_BYTES_MAX),
                    ByteSize::mib(1)..=ByteSize::gib(1024),
                    "most bytes of the change log of one environment; beyond it, the oldest changes go early",
                )
                .get(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            query_documents_default: QUERY_DOCUMENTS_DEFAULT,
            query_documents_max: QUERY_DOCUMENTS_MAX,
            scan_documents_max: SCAN_DOCUMENTS_MAX,
            aggregate_documents_max: AGGREGATE_DOCUMENTS_MAX,
            change_log_age: CHANGE_LOG_AGE,
            change_log_bytes_max: CHANGE_LOG_BYTES_MAX,
        }
    }
}
