//! What a loaded server offers: each request is tried once before it is measured, and its answer is looked at.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Operation;
use crate::load::{Answer, Connection};
use crate::peer::{Question, Server};

/// A running server that holds everything, with what it offers and what is to be said about it.
pub(super) struct Loaded {
    pub(super) server: Server,
    offers: Vec<Offer>,
    pub(super) notes: Vec<String>,
}

/// What a server is to be asked.
pub(super) struct Wanted {
    pub(super) operation: Operation,
    /// The requests as they go over the wire; at least one.
    pub(super) pool: Vec<Vec<u8>>,
    /// Where the answer has its list; empty where it has none.
    pub(super) list: &'static str,
    /// Which member of the list's items tells them apart.
    pub(super) by: &'static str,
    /// How many items the list has.
    pub(super) items: usize,
}

/// What came of trying it.
pub(super) struct Offer {
    name: &'static str,
    outcome: Outcome,
}

enum Outcome {
    Answers { question: Question, found: BTreeSet<String> },
    Refuses(String),
}

impl Loaded {
    /// Tries everything that is wanted.
    ///
    /// # Errors
    /// When a server answers with something else than it should.
    pub(super) fn new(server: Server, wanted: Vec<Wanted>, notes: Vec<String>) -> Result<Self> {
        let try_one = |wanted: Wanted| {
            let name = wanted.operation.name;
            let outcome = wanted.try_at(&server).with_context(|| format!("trying: {name}"))?;
            anyhow::Ok(Offer { name, outcome })
        };
        let offers = wanted.into_iter().map(try_one).collect::<Result<_>>()?;
        Ok(Self { server, offers, notes })
    }

    /// Whom to ask for this operation, and what to send, where it is offered.
    pub(super) fn question(&self, name: &str) -> Option<(&Server, &Question)> {
        Some((&self.server, self.offer(name)?.question()?))
    }

    /// What came of trying this operation.
    pub(super) fn offer(&self, name: &str) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.name == name)
    }
}

impl Offer {
    /// What to send, where the server answers it.
    pub(super) fn question(&self) -> Option<&Question> {
        match &self.outcome {
            Outcome::Answers { question, .. } => Some(question),
            Outcome::Refuses(_) => None,
        }
    }

    /// Why it does not.
    pub(super) fn refusal(&self) -> &str {
        match &self.outcome {
            Outcome::Answers { .. } => "",
            Outcome::Refuses(why) => why,
        }
    }

    fn found(&self) -> Option<&BTreeSet<String>> {
        match &self.outcome {
            Outcome::Answers { found, .. } => Some(found),
            Outcome::Refuses(_) => None,
        }
    }
}

/// Whether both answered, and not the same.
pub(super) fn differ(offers: &[Option<&Offer>; 2]) -> bool {
    let [theirs, ours] = offers.map(|offer| offer.and_then(Offer::found));
    theirs.is_some() && ours.is_some() && theirs != ours
}

impl Wanted {
    fn try_at(self, server: &Server) -> Result<Outcome> {
        let question = Question { name: self.operation.name, pool: self.pool };
        let answer = Connection::open(server.plain)?.ask(question.first())?;
        match answer.status {
            200..=299 => {
                let found = found(&answer, self.list, self.by)?;
                ensure!(
                    found.len() == self.items,
                    "{} items instead of {}: {}",
                    found.len(),
                    self.items,
                    answer.text()
                );
                Ok(Outcome::Answers { question, found })
            }
            // What the planner or the dialect refuses is not measured either; the report says what was answered.
            400..=499 | 501 => Ok(Outcome::Refuses(refusal(&answer))),
            status => bail!("status {status}: {}", answer.text()),
        }
    }
}

/// What tells the items of the answer's list apart, as text.
fn found(answer: &Answer, list: &str, by: &str) -> Result<BTreeSet<String>> {
    if list.is_empty() {
        return Ok(BTreeSet::new());
    }
    let value: Value = serde_json::from_slice(&answer.body).context("an answer without JSON")?;
    let items = value.get(list).and_then(Value::as_array);
    let items = items.with_context(|| format!("no list named {list}: {}", answer.text()))?;
    let text =
        |item: &Value| item.get(by).and_then(Value::as_str).map(|text| text.trim().to_owned());
    Ok(items.iter().filter_map(text).collect())
}

fn refusal(answer: &Answer) -> String {
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let message = value.get("message").or_else(|| value.get("error"));
    let message = message.and_then(Value::as_str).unwrap_or("no reason given");
    format!("{}: {message}", answer.status)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn items_are_told_apart_by_a_member() {
        let listed = answer(200, r#"{"list":[{"name":"b "},{"name":"a"},{"n":1}]}"#);
        let found = |list| found(&listed, list, "name").map(|found| format!("{found:?}"));
        expect![[r#"{"a", "b"}"#]].assert_eq(&found("list").unwrap());
        expect![[r#"{}"#]].assert_eq(&found("").unwrap());
        assert!(found("results").is_err());
    }

    #[test]
    fn a_refusal_says_what_the_server_said() {
        let texts = [
            refusal(&answer(501, r#"{"code":"X","message":"not offered"}"#)),
            refusal(&answer(400, r#"{"code":102,"error":"bad"}"#)),
            refusal(&answer(404, "")),
        ];
        expect!["501: not offered\n400: bad\n404: no reason given"].assert_eq(&texts.join("\n"));
    }
}
