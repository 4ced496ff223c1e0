//! How a question is answered: which way leads to the documents, and what it costs.

use std::sync::Arc;

use serde::Serialize;
use yunzhan_base::Result;
use yunzhan_query::Order;

use super::nearest_neighbours::NearestNeighbours;
use super::scan::Scan;
use super::{Caller, Documents, Index, Which};

/// The way to the documents of a question, and what scanning it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// `ids`, `index` or `scan`.
    pub access: &'static str,
    /// The index that is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// Ranges of its keys, or ids, that are looked up.
    pub ranges: u64,
    /// Whether the documents come in the wanted order, so that a page ends the scan.
    pub ordered: bool,
    /// Whether every document on the way matches, so that counting reads none.
    pub exact: bool,
    /// Entries that were read besides, where a geo index told by them alone how near a document is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries_examined: Option<u64>,
    /// Documents that were read.
    pub documents_examined: u64,
    /// Documents among them that match.
    pub documents_matched: u64,
    /// The fields of the index that would lead to them, where the whole collection was read for want of one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wanted_index: Vec<String>,
}

impl Documents {
    /// Scans the way to the first `limit` documents, or to all where they have to be sorted, and tells of it.
    ///
    /// # Errors
    /// As [`Documents::find`].
    pub async fn explain(
        &self,
        caller: Caller<'_>,
        collection: &str,
        which: Which,
        order: &Order,
        limit: usize,
    ) -> Result<Explanation> {
        let (table, filter) = self.open_query(caller, collection, which).await?;
        let indexes = table.collection.indexes.clone();
        if let Some(nearest) =
            NearestNeighbours::new(&table, &filter, order, self.config().scan_documents_max)
        {
            return explain_nearest(nearest, &indexes, limit).await;
        }
        let mut scan = Scan::new(table, &filter, order, self.config().scan_documents_max);
        let most = if scan.is_ordered { limit as u64 } else { u64::MAX };
        let mut matched = 0;
        while matched < most
            && let Some(stored) = scan.next().await?
        {
            matched += u64::from(scan.matches(&stored.body)?);
        }
        let access = scan.access();
        Ok(Explanation {
            wanted_index: if access == "scan" { scan.wanted_index() } else { Vec::new() },
            access,
            index: scan.index.map(|place| indexes[place].name.clone()),
            ranges: scan.ranges as u64,
            ordered: scan.is_ordered,
            exact: scan.is_exact,
            entries_examined: None,
            documents_examined: scan.examined,
            documents_matched: matched,
        })
    }
}

async fn explain_nearest(
    mut nearest: NearestNeighbours<'_>,
    indexes: &[Arc<Index>],
    limit: usize,
) -> Result<Explanation> {
    let mut matched = 0;
    while matched < limit as u64 && nearest.next().await?.is_some() {
        matched += 1;
    }
    let stats = nearest.stats();
    Ok(Explanation {
        access: "index",
        index: stats.index.map(|place| indexes[place].name.clone()),
        ranges: stats.ranges,
        ordered: true,
        exact: false,
        entries_examined: Some(stats.entries),
        documents_examined: stats.documents,
        documents_matched: matched,
        wanted_index: Vec::new(),
    })
}
