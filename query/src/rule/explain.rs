//! Each clause of a rule with its truth and its values, for the rule tester. Not for clients: it shows documents.

use std::fmt;

use bson::Document;

use super::decide::{choices, holds};
use super::known::Known;
use super::prove::{Prover, pinned};
use super::syntax::Node;
use super::value::{Evaluated, Sources};
use super::why::{clause, values};
use super::{Admission, Decision, Facts, Fetched, Rule};

/// What a rule says, clause by clause. `Display` shows one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    lines: Vec<String>,
}

impl Explanation {
    /// The verdict, then one line for each clause.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Rule {
    /// Explains [`Rule::decide`]. Where a field in an argument of `get` is an array, the clauses are shown for its first item.
    pub fn explain(
        &self,
        facts: &Facts<'_>,
        doc: Option<&Document>,
        fetched: &Fetched,
    ) -> Explanation {
        let verdict = match self.decide(facts, doc, fetched) {
            Decision::Allowed => format!("allowed by rule {}", self.name),
            Decision::Denied(why) => format!("denied, {}", why.for_tester()),
            Decision::Needs(get) => needs(&get.collection),
        };
        let nothing = Document::new();
        let doc = doc.unwrap_or(&nothing);
        let (choices, _) = choices(&self.root, doc);
        let first = choices.first().map_or([].as_slice(), Vec::as_slice);
        let sources = Sources { facts: *facts, fetched, doc: Some(doc), choices: first };
        self.lines(verdict, &sources, &mut |node| {
            let word = |truth| if truth { "true" } else { "false" };
            holds(node, &sources).map(word)
        })
    }

    /// Explains [`Rule::admits`].
    pub fn explain_query(
        &self,
        query: &Document,
        facts: &Facts<'_>,
        fetched: &Fetched,
    ) -> Explanation {
        let verdict = match self.admits(query, facts, fetched) {
            Admission::Admitted => format!("admitted by rule {}", self.name),
            Admission::Refused(why) => format!("refused, {}", why.for_tester()),
            Admission::Needs(get) => needs(&get.collection),
        };
        let known = Known::read(query);
        let choices = pinned(&self.root, &known);
        let sources = Sources { facts: *facts, fetched, doc: None, choices: &choices };
        self.lines(verdict, &sources, &mut |node| {
            if Prover::new(sources).implies(&known, node, true)? {
                return Ok("implied");
            }
            let excluded = Prover::new(sources).implies(&known, node, false)?;
            Ok(if excluded { "excluded" } else { "open" })
        })
    }

    fn lines(
        &self,
        verdict: String,
        sources: &Sources<'_>,
        truth: &mut dyn FnMut(&Node) -> Evaluated<&'static str>,
    ) -> Explanation {
        let mut lines = vec![verdict];
        self.root.each_clause(&mut |node| {
            let truth = truth(node).unwrap_or("unknown");
            let values = values(self, node, sources);
            let values = if values.is_empty() {
                String::new()
            } else {
                format!("  ({})", values.join(", "))
            };
            lines.push(format!("  {truth:<8} {}{values}", clause(self, node)));
        });
        Explanation { lines }
    }
}

fn needs(collection: &str) -> String {
    format!("undecided, a document of collection {collection} is needed")
}
