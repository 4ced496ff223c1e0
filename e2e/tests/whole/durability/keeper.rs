//! The keeper of an environment: its server key, which sees and changes every document.

use serde_json::{Value, json};
use yunzhan_e2e::http::{Http, Request};

use super::ENV;

/// Somebody with the key.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) http: Http,
    pub(crate) access_key: String,
}

impl Keeper {
    /// Begins a call about a collection.
    pub(crate) fn asking(&self, action: &str, collection: &str, mut members: Value) -> Request<'_> {
        members["action"] = format!("database.{action}").into();
        members["envName"] = ENV.into();
        members["collectionName"] = collection.into();
        self.http.post(format!("/admin?env={ENV}"), &members).bearer(&self.access_key)
    }

    /// Begins giving the documents that match to these owners.
    pub(crate) fn giving(&self, collection: &str, query: &Value, owners: &[&str]) -> Request<'_> {
        let data = json!({ "$set": { "_openid": owners } }).to_string();
        let query = query.to_string();
        let members = json!({ "query": query, "data": data, "multi": true, "merge": true });
        self.asking("modifyDocument", collection, members)
    }

    /// The documents that match.
    pub(crate) async fn find(&self, collection: &str, query: &Value) -> Vec<Value> {
        let members = json!({ "query": query.to_string(), "limit": 1000 });
        let data = data(self.asking("getDocument", collection, members).send().await.value());
        let list = data["list"].as_array().unwrap().iter();
        list.map(|text| serde_json::from_str(text.as_str().unwrap()).unwrap()).collect()
    }
}

/// What an answer of this dialect holds, which tells failures in its body alone.
pub(crate) fn data(mut answer: Value) -> Value {
    assert!(answer.get("code").is_none(), "refused: {answer}");
    answer["data"].take()
}
