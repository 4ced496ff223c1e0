//! `database.getDocument`: a page of documents, each as Extended JSON in a string.

use yunzhan_base::Result;
use yunzhan_query::ejson::{Mode, append_document, append_raw_document};

use crate::aside::{self, LONG_BYTES};
use crate::dialect::admin::request::Request;
use crate::dialect::admin::{Admin, Reply};
use crate::dialect::reply::{list, string};
use crate::documents::{Body, Find};

/// Documents in an answer when the caller names no limit; the SDKs always name one.
const LIMIT_DEFAULT: usize = 100;

pub(crate) fn handle<'c>(admin: &'c Admin, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let collection = request.collection()?;
        let find = read(&mut request)?;
        let (offset, limit) = (find.skip, find.limit);
        let (documents, caller) = (&admin.documents, request.caller());
        let found = match request.members.transaction()? {
            None => documents.find(caller, &collection, find).await?,
            Some(id) => documents.find_in(caller, &id, &collection, find).await?,
        };
        let mut answer = request.answer_with_bytes(2 * found.bytes());
        if let Some(total) = found.total {
            answer.number("total", total);
        }
        answer.number("offset", offset as u64);
        answer.number("limit", limit as u64);
        answer.begin("data");
        // Every document is written once into this text, and from there as a string into the answer.
        let mut text = String::new();
        let write = |out: &mut String, body: &Body| {
            text.clear();
            match body {
                Body::Stored(bson) => append_raw_document(&mut text, bson, Mode::Server)?,
                Body::Shaped(document) => append_document(&mut text, document, Mode::Server),
            }
            string(out, &text);
            Ok(())
        };
        let documents = answer.raw("list");
        let is_long = found.bytes() >= LONG_BYTES;
        aside::at_once(is_long, || list(documents, &found.documents, write))?;
        answer.end();
        Ok(answer)
    })
}

fn read(request: &mut Request<'_>) -> Result<Find> {
    let members = &mut request.members;
    Ok(Find {
        which: members.which()?,
        order: members.order()?,
        skip: members.count("offset")?.unwrap_or(0),
        limit: members.count("limit")?.unwrap_or(LIMIT_DEFAULT),
        projection: members.projection()?,
    })
}
