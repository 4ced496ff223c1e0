//! Indexes: what they are sorted by, how far they are built, and the keys that a document has in them.

use std::sync::{Arc, LazyLock};

use bson::{Bson, Document};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_query::ejson::{Mode, ReadOptions, read_document, write_document};
use yunzhan_query::geo;
use yunzhan_query::key::{self, Entries, EntryOptions};
use yunzhan_query::{Direction, Order, Path};

use super::permission::OWNER_FIELD;
use super::shape::OWNER_INDEX;

/// Most indexes of one collection besides the owner's: each makes every write dearer.
pub const INDEXES_MAX: usize = 32;

/// Most keys of one document in all indexes of its collection: each is a row that every change of the document may
/// touch.
pub(in crate::documents) const DOCUMENT_KEYS_MAX: usize = key::ENTRIES_MAX;

/// Longest name of an index in bytes.
const INDEX_NAME_BYTES_MAX: usize = 64;

/// What stands in a definition for the direction of a geo index, as MongoDB calls it.
pub(crate) const GEO_DIRECTION: &str = "2dsphere";

/// What the owner's index is called, as CloudBase's console calls it.
pub(in crate::documents) const OWNER_INDEX_NAME: &str = "_openid_";

/// An index of a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// Its number in rows; never given to another index of the collection while its entries last.
    pub(in crate::documents) id: i64,
    /// Its name.
    pub name: String,
    /// What it is sorted by.
    pub keys: Keys,
    /// Whether two documents may not have the same values.
    pub unique: bool,
    /// How far it has come.
    pub state: State,
    /// Some document has, or had, several keys in it.
    pub(in crate::documents) multikey: bool,
    /// Some key was, or had been, cut.
    pub(in crate::documents) truncated: bool,
    /// Documents that were looked at so far, and how many there were when the building began.
    pub progress: Progress,
    /// Why it could not be built.
    pub failure: Option<String>,
}

/// What an index is sorted by.
#[derive(Clone, Debug, PartialEq)]
pub enum Keys {
    /// The values of fields.
    Fields(Order),
    /// The places on the earth that one field holds.
    Geo(Path),
}

/// How far an index has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Writers keep it up; documents from before are still being added.
    Building,
    /// Queries use it.
    Ready,
    /// It could not be built, and says why; to be dropped by somebody.
    Failed,
    /// Nobody uses it or keeps it up; its entries are being taken away.
    Dropping,
}

/// How much of the building is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Documents looked at.
    pub done: u64,
    /// Documents that were there when it began.
    pub total: u64,
}

/// The keys of one document in each index of its collection that writers keep up.
#[derive(Clone, Debug, Default)]
pub(in crate::documents) struct DocumentKeys(pub(in crate::documents) Vec<Entries>);

/// The owner's index, which every collection has. A server may write anything into `_openid`, also an array.
static OWNER: LazyLock<Arc<Index>> = LazyLock::new(|| {
    let fields = [(OWNER_FIELD, Direction::Ascending)];
    Arc::new(Index {
        id: OWNER_INDEX,
        name: OWNER_INDEX_NAME.to_owned(),
        keys: Keys::Fields(Order::from_fields(fields).expect("the owner's field is a path")),
        unique: false,
        state: State::Ready,
        multikey: true,
        truncated: true,
        progress: Progress::default(),
        failure: None,
    })
});

/// The index on the owner that every collection has.
pub(in crate::documents) fn owner_index() -> Arc<Index> {
    Arc::clone(&OWNER)
}

// === impl Index ===

impl Index {
    /// Whether writers keep it up.
    pub(in crate::documents) fn is_kept(&self) -> bool {
        matches!(self.state, State::Building | State::Ready)
    }

    /// Whether a query may use it.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Whether it is one that somebody made, and so may be dropped.
    pub fn is_own(&self) -> bool {
        self.id != OWNER_INDEX
    }

    /// Whether it knows all of these fields, of which there are some, written as they are to add an index.
    pub(in crate::documents) fn covers(&self, fields: &[String]) -> bool {
        let has = |wanted: &String| match &self.keys {
            Keys::Fields(order) => order.fields().iter().any(|field| field.path.is(wanted)),
            Keys::Geo(path) => wanted
                .strip_suffix(GEO_DIRECTION)
                .is_some_and(|field| field.strip_suffix(':').is_some_and(|field| path.is(field))),
        };
        !fields.is_empty() && fields.iter().all(has)
    }

    /// The keys of a document in it, `keys_max` at the most. Of a document that is stored already, arrays in two fields
    /// may stand that would be refused of a new one.
    ///
    /// # Errors
    /// `TooLarge`; `InvalidParameter` where a geo index finds what is no place, and for arrays in two fields. All name
    /// the index.
    pub(in crate::documents) fn entries(
        &self,
        document: &Document,
        keys_max: usize,
        is_stored: bool,
    ) -> Result<Entries> {
        let entries = match &self.keys {
            Keys::Geo(path) => geo::index_keys(document, path, keys_max).map(|keys| Entries {
                multikey: keys.len() > 1,
                truncated: false,
                keys,
            }),
            Keys::Fields(order) => {
                // The owner's is stored since before an empty array had a tag of its own; nothing is sorted by it.
                let (empty_as_null, combines_arrays) = (!self.is_own(), is_stored);
                let options = EntryOptions { keys_max, empty_as_null, combines_arrays };
                key::entries_with(document, order, options)
            }
        };
        let entries = entries.map_err(|error| self.refusal(error))?;
        if self.unique && entries.truncated {
            let message =
                format!("index {}: a value of a unique index has at most 1 KiB", self.name);
            return Err(Error::new(Kind::TooLarge, message));
        }
        Ok(entries)
    }

    fn refusal(&self, error: yunzhan_query::Error) -> Error {
        let error = Error::from(error);
        let message = match error.kind() {
            Kind::TooLarge => format!(
                "index {}: a document has at most {DOCUMENT_KEYS_MAX} keys in all indexes of its collection; shorten its arrays or drop an index",
                self.name
            ),
            _ => format!("index {}: {}", self.name, error.message()),
        };
        Error::new(error.kind(), message)
    }
}

const NO_KEYS: Entries = Entries { keys: Vec::new(), multikey: false, truncated: false };

/// The keys of a document in the indexes that writers keep up, in the order of `indexes`.
///
/// # Errors
/// `TooLarge` for a document with more than [`DOCUMENT_KEYS_MAX`] keys, or with a unique value that is too long;
/// `InvalidParameter` for one with no place where a geo index wants one, or with arrays in two fields of one index.
pub(in crate::documents) fn keys_of(
    indexes: &[Arc<Index>],
    document: &Document,
) -> Result<DocumentKeys> {
    let mut room = DOCUMENT_KEYS_MAX;
    let of = |index: &Arc<Index>| {
        if !index.is_kept() {
            return Ok(NO_KEYS);
        }
        let entries = index.entries(document, room, false)?;
        room -= entries.keys.len();
        Ok(entries)
    };
    indexes.iter().map(of).collect::<Result<_>>().map(DocumentKeys)
}

/// Refuses an index of a document that would then have too many keys together with those that it has in other indexes.
///
/// # Errors
/// `TooLarge`, naming the index.
pub(in crate::documents) fn check_room(
    indexes: &[Arc<Index>],
    index: &Index,
    document: &Document,
    entries: &Entries,
) -> Result<()> {
    let others = || indexes.iter().filter(|other| other.is_kept() && other.id != index.id);
    let mut keys = entries.keys.len();
    for other in others() {
        keys += match other.multikey {
            true => other.entries(document, DOCUMENT_KEYS_MAX, true).map_or(0, |of| of.keys.len()),
            false => 1,
        };
    }
    if keys <= DOCUMENT_KEYS_MAX {
        return Ok(());
    }
    let message =
        format!("a document would have more than {DOCUMENT_KEYS_MAX} keys in all indexes");
    Err(Error::new(Kind::TooLarge, message))
}

// === impl Keys ===

impl Keys {
    /// Reads `{"owner":1,"created":-1}` or `{"place":"2dsphere"}`.
    ///
    /// # Errors
    /// `InvalidParameter` for what is no definition of an index.
    pub fn parse(definition: &Document) -> Result<Self> {
        if definition.values().any(|direction| direction.as_str() == Some(GEO_DIRECTION)) {
            return Self::parse_geo(definition);
        }
        let order = Order::parse(definition)?;
        match order.fields() {
            [] => Err(refused("an index has at least one field")),
            [only] if only.path.is("_id") => {
                Err(refused("every collection is sorted by _id already"))
            }
            _ => Ok(Self::Fields(order)),
        }
    }

    fn parse_geo(definition: &Document) -> Result<Self> {
        let mut fields = definition.keys();
        let (Some(field), None) = (fields.next(), fields.next()) else {
            return Err(refused("a 2dsphere index has one field"));
        };
        match field.as_str() {
            "_id" => Err(refused("every collection is sorted by _id already")),
            field => Ok(Self::Geo(Path::parse(field)?)),
        }
    }

    /// Whether it is places that it is sorted by, which cannot be unique.
    pub(in crate::documents) fn is_geo(&self) -> bool {
        matches!(self, Self::Geo(_))
    }

    /// The same as [`Keys::parse`] reads it.
    pub fn definition(&self) -> Document {
        let order = match self {
            Self::Fields(order) => order,
            Self::Geo(path) => {
                return Document::from_iter([(path.to_string(), Bson::from(GEO_DIRECTION))]);
            }
        };
        let fields = order.fields().iter().map(|field| {
            let direction = match field.direction {
                Direction::Ascending => 1,
                Direction::Descending => -1,
            };
            (field.path.to_string(), Bson::Int32(direction))
        });
        fields.collect()
    }

    /// The definition as it is stored.
    pub(in crate::documents) fn text(&self) -> String {
        write_document(&self.definition(), Mode::Client)
    }

    /// Reads what [`Keys::text`] wrote.
    pub(in crate::documents) fn from_text(text: &str) -> Result<Self> {
        let broken =
            || Error::internal("an index has a definition that this version does not know");
        let definition = read_document(text.as_bytes(), &ReadOptions::at(0));
        definition
            .map_err(Error::from)
            .and_then(|fields| Self::parse(&fields))
            .map_err(|_| broken())
    }

    /// A name made of the fields, as MongoDB makes it: `owner_1_created_-1`.
    pub fn default_name(&self) -> String {
        let fields = self.definition();
        let parts = fields.iter().map(|(field, direction)| match direction.as_str() {
            Some(kind) => format!("{field}_{kind}"),
            None => format!("{field}_{direction}"),
        });
        let name = parts.collect::<Vec<_>>().join("_");
        name.chars().filter(char::is_ascii_graphic).take(INDEX_NAME_BYTES_MAX).collect()
    }
}

// === impl State ===

impl State {
    /// The name in rows and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Dropping => "dropping",
        }
    }

    /// Reads what [`State::name`] gives.
    pub(in crate::documents) fn from_name(name: &str) -> Result<Self> {
        let every = [Self::Building, Self::Ready, Self::Failed, Self::Dropping];
        let found = every.into_iter().find(|state| state.name() == name);
        found.ok_or_else(|| Error::internal("an index has a state that this version does not know"))
    }
}

/// The keys that a stored document may have. What an index that is being built refuses is not in it yet.
///
/// # Errors
/// As [`keys_of`], of indexes that are ready: then the document was accepted before.
pub(in crate::documents) fn keys_before(
    indexes: &[Arc<Index>],
    document: &Document,
) -> Result<DocumentKeys> {
    // What was accepted before the bound on all indexes together is within that on each.
    let entries = |index: &Arc<Index>| index.entries(document, key::ENTRIES_MAX, true);
    let of = |index: &Arc<Index>| match (index.is_kept(), index.state) {
        (false, _) => Ok(NO_KEYS),
        (true, State::Building) => Ok(entries(index).unwrap_or(NO_KEYS)),
        (true, _) => entries(index),
    };
    indexes.iter().map(of).collect::<Result<_>>().map(DocumentKeys)
}

/// Checks the name of an index.
///
/// # Errors
/// `InvalidParameter`.
pub(in crate::documents) fn check_index_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'%' | b'?' | b'#');
    if (1..=INDEX_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && name != OWNER_INDEX_NAME
    {
        return Ok(());
    }
    Err(refused(
        "an index's name has 1 to 64 visible ASCII characters without / % ? #, and is not _openid_",
    ))
}

fn refused(message: &'static str) -> Error {
    Error::new(Kind::InvalidParameter, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use bson::doc;
    use expect_test::expect;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "a document written in place reads better")]
    fn check(definition: Document) -> String {
        match Keys::parse(&definition) {
            Ok(keys) => {
                format!("{} {}", keys.default_name(), Keys::from_text(&keys.text()).unwrap().text())
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn definitions_are_read_and_written_back() {
        let lines = [
            check(doc! { "owner": 1, "created": -1 }),
            check(doc! {}),
            check(doc! { "_id": 1 }),
            check(doc! { "a": 2 }),
            check(doc! { "a..b": 1 }),
            check(doc! { "shop.at": "2dsphere" }),
            check(doc! { "at": "2dsphere", "a": 1 }),
            check(doc! { "at": "2d" }),
        ];
        expect![[r#"
            owner_1_created_-1 {"owner":1,"created":-1}
            an index has at least one field
            every collection is sorted by _id already
            direction must be 1 or -1, at field a
            field path has an empty part, at field a..b
            shop.at_2dsphere {"shop.at":"2dsphere"}
            a 2dsphere index has one field
            direction must be 1 or -1, at field at"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn names_are_plain() {
        for good in ["a", "owner_1_created_-1"] {
            assert!(check_index_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "索引", "_openid_", &"a".repeat(65)] {
            assert!(check_index_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_that_is_cut_cannot_be_unique() {
        let index = Index {
            id: 2,
            name: "a_1".into(),
            keys: Keys::parse(&doc! { "a": 1 }).unwrap(),
            unique: true,
            state: State::Ready,
            multikey: false,
            truncated: false,
            progress: Progress::default(),
            failure: None,
        };
        let entries = |document: &Document| index.entries(document, DOCUMENT_KEYS_MAX, false);
        assert_eq!(entries(&doc! { "a": "x" }).unwrap().keys.len(), 1);
        let error = entries(&doc! { "a": "x".repeat(2000) }).unwrap_err();
        expect!["index a_1: a value of a unique index has at most 1 KiB"]
            .assert_eq(error.message());
    }
}
