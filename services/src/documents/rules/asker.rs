//! One caller's questions to rules, with the documents that the rules need.

use std::sync::{Arc, Mutex};

use bson::Document;
use yunzhan_base::{EnvId, Kind, Result};
use yunzhan_query::rule::{self, Admission, Decision, Facts, Fetched, Get, Rule, Why};

use crate::documents::Documents;
use crate::documents::logic::id::{id_key, slot_of};
use crate::documents::logic::shape::decode;

/// Who asks, and what was fetched for it. One for a call: what `get` found counts for all of it.
pub(super) struct Asker<'a> {
    documents: &'a Documents,
    env: &'a EnvId,
    pub(super) caller: rule::Caller,
    now_ms: i64,
    fetched: Mutex<Fetched>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(documents: &'a Documents, env: &'a EnvId, caller: rule::Caller) -> Self {
        let (now_ms, fetched) = (documents.now_ms(), Mutex::default());
        Self { documents, env, caller, now_ms, fetched }
    }

    /// Why a rule denies something to one document; nothing when it allows it.
    ///
    /// # Errors
    /// `TooLarge` when the call needs too many other documents.
    pub(super) async fn decide(
        &self,
        rule: &Rule,
        document: Option<&Document>,
        data: Option<&Document>,
    ) -> Result<Option<Why>> {
        loop {
            let decision = rule.decide(&self.facts(data), document, &self.known());
            match decision {
                Decision::Allowed => return Ok(None),
                Decision::Denied(why) => return Ok(Some(why)),
                Decision::Needs(get) => self.fetch(get).await?,
            }
        }
    }

    /// Why a rule does not admit a query; nothing when it does.
    ///
    /// # Errors
    /// `TooLarge` when the call needs too many other documents.
    pub(super) async fn admits(
        &self,
        rule: &Rule,
        query: &Document,
        data: Option<&Document>,
    ) -> Result<Option<Why>> {
        loop {
            let admission = rule.admits(query, &self.facts(data), &self.known());
            match admission {
                Admission::Admitted => return Ok(None),
                Admission::Refused(why) => return Ok(Some(why)),
                Admission::Needs(get) => self.fetch(get).await?,
            }
        }
    }

    /// What rules know beside documents.
    pub(super) fn facts<'f>(&'f self, data: Option<&'f Document>) -> Facts<'f> {
        Facts { caller: &self.caller, now_ms: self.now_ms, data }
    }

    /// What was fetched until now.
    pub(super) fn known(&self) -> std::sync::MutexGuard<'_, Fetched> {
        self.fetched.lock().expect("no panic while held")
    }

    /// Fetches what a rule asks for. The bound on what may be fetched ends every question.
    async fn fetch(&self, get: Get) -> Result<()> {
        let found = self.read(&get).await?;
        Ok(self.known().insert(get, found)?)
    }

    /// A document by its collection and id, as a server sees it.
    pub(super) async fn read(&self, get: &Get) -> Result<Option<Document>> {
        // What cannot be an id is the id of no document.
        let Ok(key) = id_key(&get.id) else { return Ok(None) };
        let collection = match self.documents.collection(self.env, &get.collection).await {
            Ok(collection) => collection,
            Err(error) if error.kind() == Kind::CollectionNotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let table = self.documents.table(self.env, Arc::clone(&collection));
        let found = table.document(&key, slot_of(&key)).await?;
        found.map(|stored| decode(&stored.body)).transpose()
    }
}
