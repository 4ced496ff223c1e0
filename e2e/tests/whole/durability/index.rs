//! Holds the owners' index against the documents: no document lacks an entry, and no entry lacks its document.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::keeper::{Keeper, data};

/// Checks the index of a collection as a server sees it, whose own search reads the documents and no index. `added` are
/// the ids of all documents that were ever there. The collection is of no use afterwards.
///
/// # Panics
/// When an entry is missing or left over.
pub(super) async fn agrees(keeper: &Keeper, collection: &str, owners: &[&str], added: &[String]) {
    let documents = keeper.find(collection, &json!({})).await;
    for owner in owners {
        let owned = documents.iter().filter(|document| is_of(document, owner));
        let walked = keeper.find(collection, &json!({ "_openid": owner })).await;
        assert_eq!(ids(&walked), ids(owned), "the index misses documents of {owner}");
    }
    // An entry that nothing leads to stands in the way of the same entry. So everybody gets every document that is there,
    // and every one that is gone: a left-over entry, whosever it is, makes one of these calls fail.
    let given = data(keeper.giving(collection, &json!({}), owners).send().await.value());
    assert_eq!(given["updated"], documents.len(), "not every document could be given away");
    let there = ids(&documents);
    for id in added.iter().filter(|id| !there.contains(id.as_str())) {
        let again = json!({ "_id": id, "_openid": owners }).to_string();
        let adding = keeper.asking("insertDocument", collection, json!({ "data": [again] }));
        data(adding.send().await.value());
    }
}

fn is_of(document: &Value, owner: &str) -> bool {
    match &document["_openid"] {
        Value::Array(owners) => owners.iter().any(|one| one == owner),
        one => one == owner,
    }
}

fn ids<'d>(documents: impl IntoIterator<Item = &'d Value>) -> BTreeSet<&'d str> {
    documents.into_iter().map(|document| document["_id"].as_str().unwrap()).collect()
}
