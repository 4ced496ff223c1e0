//! What an operator may set for documents.

use yunzhan_base::config::Reader;

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
        }
    }
}
