//! May this caller do that? Custom security rules of a collection.
//!
//! A rule set is JSON: `{"read": …, "write": …, "create": …, "update": …, "delete": …}`, each `true`, `false` or an
//! expression. `create`, `update` and `delete` default to `write`; what is absent is false. Server calls know no rules.
//!
//! ```text
//! rule       = all { "||" all }
//! all        = comparison { "&&" comparison }
//! comparison = not [ ("==" | "!=" | "<" | "<=" | ">" | ">=" | "in") not ]      comparisons do not chain
//! not        = "!" not | value
//! value      = "(" rule ")" | literal | "[" [ value { "," value } ] "]" | "now"
//!            | "auth" | "auth.openid" | "auth.uid" | "auth.loginType" | "auth.roles"
//!            | "doc" step { step } | "request.data" step { step }
//!            | "get(" id { "+" id } ")" { step }
//! id         = string | template | value                 together: database.<collection>.<id of a document>
//! step       = "." name | "[" (string | number) "]"; after get() also "[" value "]"
//! literal    = string in ' or " | template in ` with ${value} | number | "true" | "false" | "null"
//! ```
//!
//! What the words mean, where it could be doubted:
//! - A condition is a comparison, `true` or `false`, or a field alone, which stands for `field == true`. `!a == b` is
//!   refused: put the comparison in parentheses.
//! - `doc.f` compared with anything else means what the filter on `f` means: `doc.f == 'x'` is `{f: 'x'}`, `!=` is `$ne`,
//!   `doc.f in […]` is `$in`, `doc.f > 1` is `{f: {$gt: 1}}`. So an array holds the comparison if one of its items does,
//!   `doc.f != 'x'` asks that none of them is `'x'`, and values of different types are in no order. `'x' in doc.f` is
//!   `doc.f == 'x'`, since a filter cannot tell them apart. The proof about queries rests on this.
//! - Everything else is compared as it is: `request.data.f == 'x'` is false for an array. A rule for create that must not let
//!   an array pass asks about `request.data`. `now` is a number, which is in no order with a date.
//! - What is missing equals only `null` that is written out: a caller without openid does not own the documents without
//!   `_openid`, and a document that `get` does not find has no field in common with anything.
//! - A field of `doc` in the argument of `get` that is an array stands for any one of its items: the rule holds if it holds
//!   for one choice.
//!
//! In reading order: `syntax.rs` is what a rule is made of, `parse.rs` reads it, `value.rs` evaluates its values, `clause.rs` is
//! what a clause asks of a field, `decide.rs` asks one document, `known.rs` reads from a query what its matches have in common,
//! `prove.rs` decides whether that implies the rule, `why.rs` and `explain.rs` say what failed, `substitute.rs` puts the
//! caller into a query.

mod clause;
mod decide;
mod explain;
mod known;
mod parse;
mod prove;
mod substitute;
mod syntax;
mod value;
mod why;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod properties;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use bson::{Bson, Document};

pub use self::explain::Explanation;
pub use self::substitute::substitute;
use self::syntax::Node;
pub use self::why::Why;
use crate::compare::equal;
use crate::ejson::{ReadOptions, read_document};
use crate::error::{Error, Kind, Result};

/// Length of a rule set: six expressions of the greatest length, and their JSON.
const RULES_BYTES_MAX: usize = 32 << 10;

/// Documents that one evaluation may have fetched: `get` three times, for a few choices of an array's items.
const FETCHED_MAX: usize = 24;

/// What a caller wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Read documents, count them, watch them.
    Read,
    /// Insert a document.
    Create,
    /// Change a document.
    Update,
    /// Delete a document.
    Delete,
}

impl Operation {
    /// Its key in a rule set.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// The rules of one collection.
#[derive(Clone, Debug)]
pub struct Rules {
    read: Rule,
    create: Rule,
    update: Rule,
    delete: Rule,
}

impl Rules {
    /// Parses the JSON text of a rule set.
    ///
    /// # Errors
    /// `Malformed` naming the rule, the column and what is expected there; `TooLarge` or `TooDeep` beyond the bounds.
    pub fn parse(json: &str) -> Result<Self> {
        let options = ReadOptions { bytes_max: RULES_BYTES_MAX, ..ReadOptions::at(0) };
        let set = read_document(json.as_bytes(), &options)?;
        let known = |key: &&String| {
            !matches!(key.as_str(), "read" | "write" | "create" | "update" | "delete")
        };
        if let Some(key) = set.keys().find(known) {
            let message = "unknown rule, expected read, write, create, update or delete";
            return Err(Error::malformed(message).at(key));
        }
        let rule = |name| set.get(name).map(|source| Rule::of(name, source)).transpose();
        let write = rule("write")?.unwrap_or_else(|| Rule::never("write"));
        let or_write = |name| Ok(rule(name)?.unwrap_or_else(|| write.clone()));
        Ok(Self {
            read: rule("read")?.unwrap_or_else(|| Rule::never("read")),
            create: or_write("create")?,
            update: or_write("update")?,
            delete: or_write("delete")?,
        })
    }

    /// The rule for an operation; that of `write` where the operation has none.
    pub fn rule(&self, operation: Operation) -> &Rule {
        match operation {
            Operation::Read => &self.read,
            Operation::Create => &self.create,
            Operation::Update => &self.update,
            Operation::Delete => &self.delete,
        }
    }
}

/// One rule of a set.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its key in the set.
    name: &'static str,
    source: Box<str>,
    root: Node,
}

impl Rule {
    fn of(name: &'static str, source: &Bson) -> Result<Self> {
        match source {
            Bson::Boolean(truth) => Self::expression(name, &truth.to_string()),
            Bson::String(expression) => Self::expression(name, expression),
            _ => Err(Error::malformed(format!("rule {name}: expected true, false or a string"))),
        }
    }

    fn never(name: &'static str) -> Self {
        Self::expression(name, "false").expect("false is an expression")
    }

    fn expression(name: &'static str, source: &str) -> Result<Self> {
        let root = parse::parse(name, source)?;
        Ok(Self { name, source: source.into(), root })
    }

    /// The key under which it stands: `write` also for operations that have no rule of their own.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it asks about the document, so that a query needs a proof or each document a decision.
    pub fn uses_doc(&self) -> bool {
        self.root.any_source(&|source| matches!(source, syntax::Source::Doc(_)))
    }

    /// Whether it asks about what the client writes.
    pub fn uses_data(&self) -> bool {
        self.root.any_source(&|source| matches!(source, syntax::Source::Data(_)))
    }

    /// Whether it may need other documents.
    pub fn uses_get(&self) -> bool {
        self.root.any_source(&|source| matches!(source, syntax::Source::Get(_)))
    }
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Whether anybody is logged in: `auth != null`.
    pub logged_in: bool,
    /// WeChat's id of the person.
    pub openid: Option<String>,
    /// Our id of the person.
    pub uid: Option<String>,
    /// How the person logged in, as `ANONYMOUS` or `CUSTOM`.
    pub login_type: Option<String>,
    /// What the person may do beyond the rest: `'admin' in auth.roles`.
    pub roles: Vec<String>,
}

/// What a rule knows beside documents.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The server's time in milliseconds since 1970.
    pub now_ms: i64,
    /// What the client writes, for create and update.
    pub data: Option<&'a Document>,
}

/// A document that a rule asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Get {
    /// The collection's name: no dot, no `$`, not empty.
    pub collection: String,
    /// The document's id: a text that is not empty, a number or an ObjectId.
    pub id: Bson,
}

/// The documents that were fetched for one evaluation. May be kept for all evaluations of one request.
#[derive(Clone, Debug, Default)]
pub struct Fetched(Vec<(Get, Option<Document>)>);

impl Fetched {
    /// Adds what was found, `None` for a document that does not exist.
    ///
    /// # Errors
    /// `TooLarge` beyond 24 documents.
    pub fn insert(&mut self, get: Get, found: Option<Document>) -> Result<()> {
        if self.0.len() >= FETCHED_MAX {
            let message = format!("the rules would need over {FETCHED_MAX} other documents");
            return Err(Error::new(Kind::TooLarge, message));
        }
        self.0.push((get, found));
        Ok(())
    }

    /// What was found; the outer `None` for what nobody fetched yet.
    fn find(&self, get: &Get) -> Option<Option<&Document>> {
        let same = |(known, _): &&(Get, Option<Document>)| {
            known.collection == get.collection && equal(&known.id, &get.id)
        };
        self.0.iter().find(same).map(|(_, found)| found.as_ref())
    }
}

/// Whether a rule allows something to one document.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It does.
    Allowed,
    /// It does not.
    Denied(Why),
    /// Fetch this document, put it into [`Fetched`], and ask again.
    Needs(Get),
}

/// Whether a rule allows something to every document that matches a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    /// It is proven.
    Admitted,
    /// It is not proven.
    Refused(Why),
    /// Fetch this document, put it into [`Fetched`], and ask again.
    Needs(Get),
}
