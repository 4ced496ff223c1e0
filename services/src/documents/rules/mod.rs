//! Custom security rules: what a collection with the permission `CUSTOM` lets people do.
//!
//! `yunzhan_query::rule` says what a rule means; here it is asked, once for each call:
//! - A query is held against the rule before anything is read. What is not proven is refused, so sorting, counting and
//!   projecting show nothing that the rule denies.
//! - One document by its id is read and decided about. One that the rule denies is answered as one that is not there.
//! - What is inserted is decided about as it would stand, and before its id is looked for.
//! - What an update writes is known for each document only, so a rule that asks about `request.data` is asked twice:
//!   before, with what the update would make of an empty document, and for each document, with what it makes of that.
//!   Of a field that the update names, `request.data` holds the whole new value.
//!
//! `get` reads the same environment as a server does, outside of any transaction, and what it found counts for the
//! call.
//!
//! `asker.rs` asks one rule and fetches what it needs; `tester.rs` explains to whoever writes rules.

mod asker;
mod tester;

use std::sync::Arc;

use bson::Document;
use yunzhan_base::{Error, Kind, Principal, Result};
use yunzhan_query::rule::{self, Rule};
use yunzhan_query::{Filter, Update};

use self::asker::Asker;
pub use self::tester::{RuleTest, Subject, Tested};
use super::logic::custom::Custom;
use super::logic::permission::{Operation, Preset, Reach, denied, permit};
use super::logic::shape::{Prepared, decode};
use super::store::{Stored, Table};
use super::{Caller, Documents, Which};

/// What people may do with a collection, as somebody sets it.
#[derive(Clone, Copy, Debug)]
pub enum Permission<'r> {
    /// One of the four presets that need no rules.
    Preset(Preset),
    /// `CUSTOM`, with the JSON text of its rules.
    Rules(&'r str),
}

impl From<Preset> for Permission<'_> {
    fn from(preset: Preset) -> Self {
        Self::Preset(preset)
    }
}

impl<'r> Permission<'r> {
    /// What goes into the collection's row.
    pub(super) fn checked(self) -> Result<(Preset, Option<&'r str>)> {
        match self {
            Self::Preset(Preset::Custom) => {
                Err(Error::new(Kind::InvalidParameter, "CUSTOM comes with its rules"))
            }
            Self::Preset(preset) => Ok((preset, None)),
            Self::Rules(text) => Custom::parse(text).map(|_| (Preset::Custom, Some(text))),
        }
    }
}

/// The rules of a collection for one operation of one call; nothing stands in the way where a preset decides.
pub(super) struct Authorizer<'a>(Option<Ruled<'a>>);

struct Ruled<'a> {
    custom: Option<Arc<Custom>>,
    operation: Operation,
    asker: Asker<'a>,
}

/// What an update will write, as far as can be told before a document is read.
pub(super) struct Foreseen {
    data: Document,
    /// Whether it is the same for every document.
    is_exact: bool,
}

impl Documents {
    /// Finds the collection and decides about the operation, as far as can be decided without a query or a document:
    /// the authorizer has to be asked about those.
    pub(super) async fn open_ruled<'a>(
        &'a self,
        caller: Caller<'a>,
        collection: &str,
        operation: Operation,
    ) -> Result<(Table<'a>, Reach<'a>, Authorizer<'a>)> {
        let found = self.collection(caller.env, collection).await?;
        let reach = permit(caller.principal, caller.env, found.permission, operation)?;
        let ruled = match reach {
            Reach::Ruled(_) => {
                let asker = Asker::new(self, caller.env, asker_of(caller.principal));
                Some(Ruled { custom: found.rules.clone(), operation, asker })
            }
            Reach::All | Reach::Owned(_) => None,
        };
        Ok((self.table(caller.env, found), reach, Authorizer(ruled)))
    }

    /// Finds the collection for a question about all documents of a query, and the filter that gives only what the
    /// caller may read. An aggregation opens so what it looks up, with the query of everybody.
    ///
    /// # Errors
    /// `CollectionNotFound`, `PermissionDenied`.
    pub(super) async fn open_query<'a>(
        &'a self,
        caller: Caller<'a>,
        collection: &str,
        which: Which,
    ) -> Result<(Table<'a>, Filter)> {
        let (table, reach, authorizer) =
            self.open_ruled(caller, collection, Operation::Read).await?;
        let which = authorizer.admit(which.into_query()?, None).await?;
        Ok((table, which.filter(reach)?))
    }
}

/// A caller as rules see it.
fn asker_of(principal: &Principal) -> rule::Caller {
    let Some(user) = principal.user() else { return rule::Caller::default() };
    rule::Caller {
        logged_in: true,
        openid: user.openid.clone(),
        uid: Some(user.uid.clone()),
        login_type: user.anonymous.then(|| "ANONYMOUS".to_owned()),
        roles: user.roles.clone(),
    }
}

/// An operation as rules call it.
fn named(operation: Operation) -> rule::Operation {
    match operation {
        Operation::Read => rule::Operation::Read,
        Operation::Insert => rule::Operation::Create,
        Operation::Update => rule::Operation::Update,
        Operation::Remove => rule::Operation::Delete,
    }
}

// === impl Authorizer ===

impl Authorizer<'_> {
    /// Puts the caller into the query and holds it against the rule. What remains to be asked about each document,
    /// [`Authorizer::decides_each`] tells.
    ///
    /// # Errors
    /// `PermissionDenied`, whatever the collection holds.
    pub(super) async fn admit(&self, which: Which, written: Option<Foreseen>) -> Result<Which> {
        let Some(ruled) = &self.0 else { return Ok(which) };
        let rule = ruled.rule()?;
        let which = which.of_caller(&ruled.asker.caller)?;
        let data = written.as_ref().map(|written| &written.data);
        let why = match &which {
            Which::Matching { query, .. } => ruled.asker.admits(rule, query, data).await?,
            // What does not depend on the document is said at once, whether there is one or not.
            Which::One(_) if !rule.uses_doc() && written.as_ref().is_none_or(|w| w.is_exact) => {
                ruled.asker.decide(rule, None, data).await?
            }
            Which::One(_) => None,
        };
        why.map_or(Ok(which), |why| Err(ruled.refusal(&why)))
    }

    /// Holds the query at the front of a pipeline against the rule; without one, everybody's. Gives the stages with the
    /// caller in that query, where rules decide.
    ///
    /// # Errors
    /// `PermissionDenied`, whatever the collection holds.
    pub(super) async fn admit_stages(&self, stages: &[Document]) -> Result<Option<Vec<Document>>> {
        if self.0.is_none() {
            return Ok(None);
        }
        let front = stages.first().and_then(|stage| stage.get_document("$match").ok());
        let which = front.map_or(Ok(Which::every()), Which::parse)?.into_query()?;
        let Which::Matching { query, .. } = self.admit(which, None).await? else {
            return Ok(None);
        };
        let mut own = stages.to_vec();
        if let (Some(first), Some(_)) = (own.first_mut(), front) {
            first.insert("$match", query);
        }
        Ok(Some(own))
    }

    /// The authorizer, if each document of an admitted call still has to be asked about.
    pub(super) fn decides_each(&self, which: &Which) -> Option<&Self> {
        let ruled = self.0.as_ref()?;
        // Unreadable rules have admitted nothing.
        let rule = ruled.rule().ok()?;
        let by_id = matches!(which, Which::One(_)) && rule.uses_doc();
        (by_id || ruled.asks_data(rule)).then_some(self)
    }

    /// Whether the rule lets the call have this document, and do to it what the update says; `position` is the item
    /// that `$` in the update's paths stands for.
    pub(super) async fn allows(
        &self,
        document: &Document,
        update: Option<&Update>,
        position: Option<usize>,
    ) -> Result<bool> {
        let Some(ruled) = &self.0 else { return Ok(true) };
        let rule = ruled.rule()?;
        let update = update.filter(|_| ruled.asks_data(rule));
        let data = update.map(|update| written(update, document, position)).transpose()?;
        Ok(ruled.asker.decide(rule, Some(document), data.as_ref()).await?.is_none())
    }

    /// What was found by its id, if the rule lets the caller read it.
    pub(super) async fn pass(&self, found: Option<Stored>) -> Result<Option<Stored>> {
        let Some(stored) = found else { return Ok(None) };
        let uses_doc = match &self.0 {
            Some(ruled) => ruled.rule()?.uses_doc(),
            None => false,
        };
        // Most rules about everybody need no look into the document.
        let passes = !uses_doc || self.allows(&decode(&stored.body)?, None, None).await?;
        Ok(passes.then_some(stored))
    }

    /// Decides about new documents as they would stand.
    ///
    /// # Errors
    /// `PermissionDenied`, whatever the collection holds.
    pub(super) async fn creates(&self, documents: &[Prepared]) -> Result<()> {
        let Some(ruled) = &self.0 else { return Ok(()) };
        let rule = ruled.rule()?;
        for prepared in documents {
            let document = decode(&prepared.body)?;
            let why = ruled.asker.decide(rule, Some(&document), Some(&document)).await?;
            if let Some(why) = why {
                return Err(ruled.refusal(&why));
            }
        }
        Ok(())
    }

    /// The changed document, if the caller may read it too.
    pub(super) async fn show(&self, changed: Option<Document>) -> Result<Option<Document>> {
        let (Some(ruled), Some(document)) = (&self.0, &changed) else { return Ok(changed) };
        let Some(rules) = ruled.custom.as_ref().and_then(|custom| custom.rules()) else {
            return Ok(None);
        };
        let rule = rules.rule(rule::Operation::Read);
        let is_shown = ruled.asker.decide(rule, Some(document), None).await?.is_none();
        Ok(changed.filter(|_| is_shown))
    }

    /// What this update will write, where the rule asks for it.
    pub(super) fn foresee(&self, update: &Document) -> Option<Foreseen> {
        let ruled = self.0.as_ref()?;
        let asks = ruled.rule().is_ok_and(|rule| ruled.asks_data(rule));
        asks.then(|| foresee(update))
    }
}

impl Ruled<'_> {
    fn rule(&self) -> Result<&Rule> {
        let rules = self.custom.as_ref().and_then(|custom| custom.rules());
        let rules = rules.ok_or_else(|| denied(self.operation))?;
        Ok(rules.rule(named(self.operation)))
    }

    fn asks_data(&self, rule: &Rule) -> bool {
        self.operation == Operation::Update && rule.uses_data()
    }

    /// The same words as of a preset: what the rule says is its author's, and the log has it.
    fn refusal(&self, why: &rule::Why) -> Error {
        denied(self.operation).with_detail(why.to_string())
    }
}

/// What an update writes into this document: of each field that it names the value as it will be.
fn written(update: &Update, before: &Document, position: Option<usize>) -> Result<Document> {
    let mut after = before.clone();
    update.apply(&mut after, position)?;
    if update.is_replacement() {
        return Ok(after);
    }
    let mut written = Document::new();
    for field in update.fields() {
        if let Some(value) = after.get(field).filter(|_| !written.contains_key(field)) {
            written.insert(field, value);
        }
    }
    Ok(written)
}

/// What an update that was not parsed yet writes. One that is wrong writes nothing here, and is refused when it is
/// parsed.
fn foresee(update: &Document) -> Foreseen {
    let is_plain = |(operator, fields): (&String, &bson::Bson)| {
        let plainly = |fields: &Document| !fields.keys().any(|path| path.contains('.'));
        operator == "$set" && fields.as_document().is_some_and(plainly)
    };
    let is_replacement = update.keys().next().is_none_or(|first| !first.starts_with('$'));
    let is_exact = is_replacement || update.iter().all(is_plain);
    let mut data = Document::new();
    let applied = Update::parse(update.clone()).and_then(|update| update.apply(&mut data, None));
    match applied {
        Ok(_) => Foreseen { data, is_exact },
        Err(_) => Foreseen { data: Document::new(), is_exact: false },
    }
}
