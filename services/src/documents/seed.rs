//! Loads a file of collections and documents into an environment: the demo's shop, and whatever else a team begins
//! with.
//!
//! The file is JSON: `{"collections":[{"name":"goods","permission":"ADMINWRITE","documents":[{"_id":"…"}]}]}`,
//! documents in Extended JSON. Loading it again changes nothing: what is there already stays as it is.

use bson::{Bson, Document};
use yunzhan_base::{EnvId, Error, Kind, Principal, Result};
use yunzhan_query::ejson::{ReadOptions, read_document};

use super::logic::permission::{Preset, Reach};
use super::logic::shape::{Prepared, prepare_insert};
use super::{Caller, Documents, INSERT_DOCUMENTS_MAX};

/// What a seed added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seeded {
    /// Collections that were not there before.
    pub collections: usize,
    /// Documents that were not there before.
    pub documents: usize,
}

/// One collection of the file.
#[derive(Debug)]
struct Section {
    name: String,
    permission: Preset,
    documents: Vec<Document>,
}

impl Documents {
    /// Loads a seed. Every document needs an `_id`, by which a second loading knows it again.
    ///
    /// # Errors
    /// `Malformed` or `InvalidParameter`, naming the collection, before anything is written.
    pub async fn seed(&self, env: &EnvId, json: &[u8]) -> Result<Seeded> {
        let mut seeded = Seeded::default();
        let operator = Caller { env, principal: &Principal::Operator };
        for section in parse(json, self.now_ms())? {
            match self.create_collection(operator, &section.name, section.permission).await {
                Ok(_) => seeded.collections += 1,
                Err(error) if error.kind() == Kind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            let table = self.table(env, self.collection(env, &section.name).await?);
            let mut ids = self.ids(Reach::All, None);
            for document in section.documents {
                let prepared: Prepared = {
                    let indexes = &table.collection.indexes;
                    prepare_insert(document, Reach::All, &mut ids, indexes)?
                };
                seeded.documents += usize::from(self.add_missing(&table, &prepared).await?);
            }
        }
        Ok(seeded)
    }
}

fn parse(json: &[u8], now_ms: i64) -> Result<Vec<Section>> {
    let mut file = read_document(json, &ReadOptions::at(now_ms))?;
    let Some(Bson::Array(sections)) = file.remove("collections") else {
        return Err(refused("a seed is {\"collections\":[…]}".into()));
    };
    sections.into_iter().map(section).collect()
}

fn section(section: Bson) -> Result<Section> {
    let Bson::Document(mut section) = section else {
        return Err(refused("an entry of collections is not an object".into()));
    };
    let name = section.get_str("name").unwrap_or_default().to_owned();
    let permission = match section.get_str("permission") {
        Ok(permission) => permission.parse()?,
        Err(_) => Preset::DEFAULT,
    };
    let documents = match section.remove("documents") {
        None => Vec::new(),
        Some(Bson::Array(documents)) => documents,
        Some(_) => return Err(refused(format!("documents of collection {name} is not a list"))),
    };
    if documents.len() > INSERT_DOCUMENTS_MAX {
        return Err(refused(format!(
            "collection {name} has more than {INSERT_DOCUMENTS_MAX} documents"
        )));
    }
    let documents = documents.into_iter().map(|document| identified(&name, document));
    Ok(Section { documents: documents.collect::<Result<_>>()?, permission, name })
}

fn identified(collection: &str, document: Bson) -> Result<Document> {
    match document {
        Bson::Document(document) if document.contains_key("_id") => Ok(document),
        _ => Err(refused(format!("a document of collection {collection} has no _id"))),
    }
}

fn refused(message: String) -> Error {
    Error::new(Kind::InvalidParameter, message)
}
