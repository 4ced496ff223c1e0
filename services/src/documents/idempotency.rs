//! Calls that happen once, however often they are asked for: a client that saw no answer asks again under the same key.
//!
//! What a call asked for and what it came to are remembered in the write batch that writes, so that either both are
//! there or neither, and are forgotten with the engine's own memory of the key. Only what writes one document takes a
//! key.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use bson::{Bson, Document};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_engine::sql::WriteStep;

use super::logic::shape::{decode, encode};
use super::store::{Batch, Table};
use super::{Caller, Changed, Documents};

/// Longest idempotency key of a client in bytes.
const KEY_BYTES_MAX: usize = 128;

/// Largest document in bytes of BSON that is remembered as an answer.
const DOCUMENT_BYTES_MAX: usize = 64 << 10;

/// What makes the repetition of a call harmless.
#[derive(Clone, Debug)]
pub struct Idempotency<'a> {
    /// The client's name for the call: 1 to 128 visible ASCII characters.
    pub key: &'a str,
    /// What the call asks for, the same bytes each time. It is what tells a repetition from another call with the same
    /// key.
    pub request: Cow<'a, [u8]>,
    /// Whether the answer holds the document, which is then remembered as well.
    pub keeps_document: bool,
}

/// A call that is done once, as the database remembers it.
pub(super) struct IdempotentCall {
    /// Names the call for the engine's memory.
    pub(super) unit_key: String,
    /// What the call asks for.
    digest: String,
    keeps_document: bool,
    now_ms: i64,
}

impl Documents {
    /// The call as it is remembered, if it came with a key: what it does, and whether it writes one document at the
    /// most.
    ///
    /// # Errors
    /// `InvalidParameter` for a key that is none, and when the call may write several documents.
    pub(super) fn idempotent_call(
        &self,
        caller: Caller<'_>,
        collection: &str,
        (operation, is_single): (&str, bool),
        idempotency: Option<Idempotency<'_>>,
    ) -> Result<Option<IdempotentCall>> {
        let Some(call) = idempotency else { return Ok(None) };
        check_key(call.key)?;
        if !is_single {
            let message = "an idempotency key goes with a single document";
            return Err(Error::new(Kind::InvalidParameter, message));
        }
        // One caller's key in one collection; none of the parts before the key contains a line feed. Hashed, because
        // the parts are long.
        let name = format!("{}\n{}\n{collection}\n{}", caller.env, caller.name(), call.key);
        let request = [operation.as_bytes(), b"\n", &*call.request].concat();
        Ok(Some(IdempotentCall {
            unit_key: format!("documents:{}", hash(name.as_bytes())),
            digest: hash(&request),
            keeps_document: call.keeps_document,
            now_ms: self.now_ms(),
        }))
    }
}

impl IdempotentCall {
    /// The step that remembers, with the write batch, what was asked for and what it came to.
    ///
    /// # Errors
    /// `TooLarge` for a document that is not remembered.
    pub(super) fn remember(&self, table: &Table<'_>, answer: &Changed) -> Result<WriteStep> {
        let memory = format!("{}:{}", self.digest, hex::encode(self.written(answer)?));
        Ok(table.remember_request(&self.request_key(), &memory, self.now_ms))
    }

    /// Remembers a call that has nothing to write.
    pub(super) async fn remember_alone(
        &self,
        table: &Table<'_>,
        answer: Changed,
    ) -> Result<Changed> {
        let mut batch = Batch::at(self.now_ms);
        batch.push(self.remember(table, &answer)?);
        let written = table.write(None, batch, Some(self.unit_key.clone())).await?;
        if written.repeated { self.repeated(table).await } else { Ok(answer) }
    }

    /// What the first call under this key came to; none when this is the first.
    ///
    /// # Errors
    /// `InvalidParameter` when that call asked for something else.
    pub(super) async fn recall(&self, table: &Table<'_>) -> Result<Option<Changed>> {
        let Some(memory) = table.remembered_request(&self.request_key()).await? else {
            return Ok(None);
        };
        let (first, answer) = memory.split_once(':').unwrap_or((&memory, ""));
        if first != self.digest {
            return Err(Error::new(
                Kind::InvalidParameter,
                "this Idempotency-Key came before with another request; a new request needs a new key",
            ));
        }
        read(answer).map(Some)
    }

    /// As [`IdempotentCall::recall`], where the engine has said that the call was done before.
    ///
    /// # Errors
    /// `InvalidParameter` too when what it came to is forgotten: a sweep takes the two memories of a call one by one.
    pub(super) async fn repeated(&self, table: &Table<'_>) -> Result<Changed> {
        self.recall(table).await?.ok_or_else(|| {
            let message = "the call with this Idempotency-Key was done before, and its answer is forgotten; look at what is stored, and take a new key";
            Error::new(Kind::InvalidParameter, message)
        })
    }

    /// Names the memory beside the engine's own, which forgets both at the same age.
    fn request_key(&self) -> String {
        format!("{}:request", self.unit_key)
    }

    fn written(&self, answer: &Changed) -> Result<Vec<u8>> {
        let number = |number| Bson::Int64(i64::try_from(number).unwrap_or(i64::MAX));
        let mut written = Document::new();
        written.insert("matched", number(answer.matched));
        written.insert("updated", number(answer.updated));
        written.extend(answer.upserted.clone().map(|id| ("upserted".to_owned(), id)));
        if self.keeps_document
            && let Some(document) = &answer.document
        {
            if encode(document)?.len() > DOCUMENT_BYTES_MAX {
                let message = format!(
                    "a document of more than {} KiB is not returned under an idempotency key; leave the key away, or update the document and read it afterwards",
                    DOCUMENT_BYTES_MAX >> 10
                );
                return Err(Error::new(Kind::TooLarge, message));
            }
            written.insert("document", document.clone());
        }
        encode(&written)
    }
}

fn read(answer: &str) -> Result<Changed> {
    if answer.is_empty() {
        return Ok(Changed::default());
    }
    let bytes = hex::decode(answer).map_err(|error| {
        Error::internal("what is remembered of a call is not hexadecimal").because(error)
    })?;
    let mut answer = decode(&bytes)?;
    let number = |name| answer.get_i64(name).ok().and_then(|number| number.try_into().ok());
    let (matched, updated) = (number("matched"), number("updated"));
    let document = match answer.remove("document") {
        Some(Bson::Document(document)) => Some(document),
        _ => None,
    };
    Ok(Changed {
        matched: matched.unwrap_or(0),
        updated: updated.unwrap_or(0),
        upserted: answer.remove("upserted"),
        document,
    })
}

fn check_key(key: &str) -> Result<()> {
    let is_key =
        (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if is_key {
        return Ok(());
    }
    let message = format!("an idempotency key has 1 to {KEY_BYTES_MAX} visible ASCII characters");
    Err(Error::new(Kind::InvalidParameter, message))
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}
