//! Which node a request of a transaction is for: a transaction lives in the memory of the one that began it, and its id says
//! which that is.

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use yunzhan_base::{Call, Error, Kind, Reply, Result};

use crate::documents::transaction_conflict;
use crate::nodes::cluster::Cluster;

/// The member of a body, and the parameter of a query, that names a transaction.
const MEMBER: &str = "transactionId";

/// The route and the action that commit.
const COMMIT_ROUTE: &str = "gateway.commit_transaction";
pub(super) const COMMIT_ACTION: &str = "database.commitTransaction";

/// The parameter of a path that does.
const PARAM: &str = "transaction";

/// The members of a body that say what is asked of which transaction; nothing else of it is read here.
#[derive(Deserialize)]
pub(super) struct Named<'b> {
    /// The action, in dialects that name it in the body.
    #[serde(borrow, default)]
    action: Option<&'b RawValue>,
    #[serde(borrow, rename = "transactionId")]
    transaction: &'b RawValue,
}

impl Named<'_> {
    /// What a body names; none for one that names no transaction.
    pub(super) fn in_body(body: &[u8]) -> Option<(Option<String>, String)> {
        // Most calls name none, and reading a body twice is not for nothing.
        memmem::find(body, MEMBER.as_bytes())?;
        let named: Named<'_> = serde_json::from_slice(body).ok()?;
        let text = |value: &RawValue| serde_json::from_str::<String>(value.get()).ok();
        Some((named.action.and_then(text), text(named.transaction)?))
    }
}

/// The answer of the node that holds the transaction of this id, if that is another one; beside the id stands whether the call
/// commits it.
///
/// # Errors
/// `Conflict`, on which clients begin anew, when that node is gone and with it the transaction; `BadUpstream` and `Timeout`
/// when nobody knows what it did.
pub(super) async fn answer_elsewhere(
    cluster: &Cluster,
    route: &str,
    call: &Call,
    transaction: Option<(String, bool)>,
) -> Result<Option<Reply>> {
    let Some((id, is_commit)) = transaction else { return Ok(None) };
    let session = cluster.elsewhere(&id);
    let Some(session) = session.filter(|_| cluster.has_peers()) else { return Ok(None) };
    match cluster.forward(session, route, call).await {
        Ok(response) => Ok(Some(Reply::from(response))),
        Err(error) if error.kind() == Kind::Unavailable => Err(gone(error)),
        // It died over the call; what was not committed is gone with it.
        Err(error) if error.kind() == Kind::BadUpstream && !is_commit => Err(gone(error)),
        Err(error) => Err(error),
    }
}

/// Nothing was done, and nobody holds the transaction any more, or nobody can reach it before it ends by itself.
fn gone(error: Error) -> Error {
    transaction_conflict().because(error)
}

/// The transaction that a call names in its path, its query or its body.
pub(super) fn named(call: &Call, route: &str) -> Option<(String, bool)> {
    Some((named_in(call)?, route == COMMIT_ROUTE))
}

fn named_in(call: &Call) -> Option<String> {
    if let Ok(id) = call.params.get(PARAM) {
        return Some(id.to_owned());
    }
    if let Ok(Some(id)) = call.query(MEMBER) {
        return Some(id.into_owned());
    }
    Named::in_body(call.bytes()).map(|(_, id)| id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::time::Duration;

    use yunzhan_base::{Context, RequestId};

    use super::*;

    fn id_in(query: &str, body: &'static str) -> Option<String> {
        let context = Context::internal(RequestId::NONE, None, Duration::from_secs(1));
        let uri = format!("/{query}").parse().unwrap();
        let call = Call::new(http::Method::POST, uri, context);
        named_in(&Call { body: bytes::Bytes::from_static(body.as_bytes()).into(), ..call })
    }

    #[test]
    fn a_transaction_is_named_in_the_query_or_the_body() {
        for (query, body, id) in [
            ("?transactionId=a%2Db", "", Some("a-b")),
            ("", r#"{"data":{"transactionId":"no"},"transactionId":"a-b"}"#, Some("a-b")),
            ("", r#"{"data":{"transactionId":"no"}}"#, None),
            ("", r#"{"data":"transactionId"}"#, None),
            ("", r#"{"transactionId":7}"#, None),
            ("", r#"["transactionId"]"#, None),
            ("", "", None),
        ] {
            assert_eq!(id_in(query, body).as_deref(), id, "{query} {body}");
        }
    }
}
