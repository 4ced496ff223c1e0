//! The rule tester: says what a rule answers, and clause by clause why. It shows documents, so it is for operators.

use bson::{Bson, Document, doc};
use yunzhan_base::{EnvId, Error, Kind, Result};
use yunzhan_query::filter::Limits;
use yunzhan_query::rule::{self, Get, Rule, Rules};
use yunzhan_query::{Filter, Update};

use super::asker::Asker;
use super::{foresee, written};
use crate::documents::Documents;

/// A question to the rules of a collection.
#[derive(Clone, Debug)]
pub struct RuleTest {
    /// Who would call.
    pub caller: rule::Caller,
    /// What the call would do.
    pub operation: rule::Operation,
    /// To what.
    pub subject: Subject,
    /// What it would write: a document, or for an update also operators such as `$set`.
    pub data: Option<Document>,
    /// Rules to ask in the place of those that are stored.
    pub draft: Option<String>,
}

/// What a rule is asked about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// All documents that match.
    Query(Document),
    /// The stored document with this id.
    Id(Bson),
    /// This document, stored or not; for create the new one.
    Document(Document),
}

/// The answer to a [`RuleTest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// Whether the rule allows it.
    pub allowed: bool,
    /// The verdict, then one line for each clause.
    pub explanation: Vec<String>,
}

impl Documents {
    /// Asks the rules of a collection, or a draft of them, without doing anything.
    ///
    /// # Errors
    /// `CollectionNotFound`; `InvalidParameter` for a draft or a query that cannot be read, for a collection that has
    /// no rules, and for a subject that does not go with the operation.
    pub async fn test_rules(
        &self,
        env: &EnvId,
        collection: &str,
        test: RuleTest,
    ) -> Result<Tested> {
        let found = self.collection(env, collection).await?;
        let stored = found.rules.as_ref().and_then(|custom| custom.rules());
        let rules = match (&test.draft, stored) {
            (Some(draft), _) => &Rules::parse(draft)?,
            (None, Some(stored)) => stored,
            (None, None) => return Err(no_rules(collection, found.permission.name())),
        };
        let rule = rules.rule(test.operation);
        let asker = Asker::new(self, env, test.caller);
        let tested = match (test.subject, test.operation) {
            (Subject::Document(document), rule::Operation::Create) => {
                let data = test.data.unwrap_or_else(|| document.clone());
                decide(&asker, rule, Some(&document), Some(&data)).await?
            }
            (_, rule::Operation::Create) => {
                let message = "create is about a new document; name it as document";
                return Err(Error::new(Kind::InvalidParameter, message));
            }
            (Subject::Query(query), _) => {
                let data = test.data.map(|data| foresee(&data).data);
                admits(&asker, rule, query, data.as_ref()).await?
            }
            (Subject::Document(document), _) => {
                let data = test.data.map(|data| writes(data, &document)).transpose()?;
                decide(&asker, rule, Some(&document), data.as_ref()).await?
            }
            (Subject::Id(id), _) => {
                let id = own_id(id, &asker.caller)?;
                let get = Get { collection: collection.to_owned(), id };
                let document = asker.read(&get).await?;
                let before = document.clone().unwrap_or_default();
                let data = test.data.map(|data| writes(data, &before)).transpose()?;
                let mut tested = decide(&asker, rule, document.as_ref(), data.as_ref()).await?;
                if document.is_none() {
                    tested.explanation.push("there is no document with this id".to_owned());
                }
                tested
            }
        };
        Ok(tested)
    }
}

async fn decide(
    asker: &Asker<'_>,
    rule: &Rule,
    document: Option<&Document>,
    data: Option<&Document>,
) -> Result<Tested> {
    let why = asker.decide(rule, document, data).await?;
    let explained = rule.explain(&asker.facts(data), document, &asker.known());
    Ok(Tested { allowed: why.is_none(), explanation: explained.lines().to_vec() })
}

async fn admits(
    asker: &Asker<'_>,
    rule: &Rule,
    mut query: Document,
    data: Option<&Document>,
) -> Result<Tested> {
    rule::substitute(&mut query, &asker.caller)?;
    Filter::parse(&query, &Limits::default())?;
    let why = asker.admits(rule, &query, data).await?;
    let explained = rule.explain_query(&query, &asker.facts(data), &asker.known());
    Ok(Tested { allowed: why.is_none(), explanation: explained.lines().to_vec() })
}

/// What a call writes into this document.
fn writes(data: Document, before: &Document) -> Result<Document> {
    let update = Update::parse(data)?;
    written(&update, before, None)
}

fn own_id(id: Bson, caller: &rule::Caller) -> Result<Bson> {
    let mut query = doc! { "_id": id };
    rule::substitute(&mut query, caller)?;
    Ok(query.remove("_id").unwrap_or_default())
}

fn no_rules(collection: &str, permission: &str) -> Error {
    let message = format!(
        "collection {collection} has the permission {permission} and no rules that can be read; name a draft of rules to test"
    );
    Error::new(Kind::InvalidParameter, message)
}
