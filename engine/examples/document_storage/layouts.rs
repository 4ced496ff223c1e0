//! The ways to store a document that are compared.

use bson::Document;
use rusqlite::Connection;

use crate::Outcome;
use crate::sample::Sample;

/// One way.
pub(crate) struct Layout {
    pub(crate) name: &'static str,
    pub(crate) tables: &'static str,
    /// How the file is opened beyond what the engine does.
    pub(crate) pragmas: &'static str,
    pub(crate) insert: fn(&Connection, &Sample) -> Outcome,
    pub(crate) fetch: fn(&Connection, &Sample) -> Outcome<Vec<u8>>,
    pub(crate) parse: fn(&[u8]) -> Outcome,
    pub(crate) top: fn(&Connection, &Sample) -> Outcome,
    pub(crate) update: fn(&Connection, &Sample) -> Outcome,
}

pub(crate) const LAYOUTS: &[Layout] = &[
    Layout {
        name: "BSON, rowid table + entries",
        tables: BSON_ROWID,
        pragmas: "",
        insert: bson_insert,
        fetch: bson_fetch,
        parse: bson_parse,
        top: bson_top,
        update: bson_update,
    },
    Layout {
        name: "BSON, table by key + entries",
        tables: BSON_BY_KEY,
        pragmas: "",
        insert: bson_insert,
        fetch: bson_fetch,
        parse: bson_parse,
        top: bson_top,
        update: bson_update,
    },
    Layout {
        name: "JSONB + expression index",
        tables: JSONB,
        pragmas: "",
        insert: jsonb_insert,
        fetch: jsonb_fetch,
        parse: jsonb_parse,
        top: jsonb_top,
        update: jsonb_update,
    },
    Layout {
        name: "first, page cache of 16 MiB",
        tables: BSON_ROWID,
        pragmas: "PRAGMA cache_size = -16384",
        insert: bson_insert,
        fetch: bson_fetch,
        parse: bson_parse,
        top: bson_top,
        update: bson_update,
    },
    Layout {
        name: "first, file mapped to memory",
        tables: BSON_ROWID,
        pragmas: "PRAGMA mmap_size = 1073741824",
        insert: bson_insert,
        fetch: bson_fetch,
        parse: bson_parse,
        top: bson_top,
        update: bson_update,
    },
];

const BSON_ROWID: &str = "
    CREATE TABLE documents (env TEXT NOT NULL, collection BIGINT NOT NULL, id BLOB NOT NULL, version BIGINT NOT NULL,
        body BLOB NOT NULL, PRIMARY KEY (env, collection, id));
    CREATE TABLE entries (env TEXT NOT NULL, collection BIGINT NOT NULL, index_id BIGINT NOT NULL, entry BLOB NOT NULL,
        document BLOB NOT NULL, PRIMARY KEY (env, collection, index_id, entry, document)) WITHOUT ROWID;";
const BSON_BY_KEY: &str = "
    CREATE TABLE documents (env TEXT NOT NULL, collection BIGINT NOT NULL, id BLOB NOT NULL, version BIGINT NOT NULL,
        body BLOB NOT NULL, PRIMARY KEY (env, collection, id)) WITHOUT ROWID;
    CREATE TABLE entries (env TEXT NOT NULL, collection BIGINT NOT NULL, index_id BIGINT NOT NULL, entry BLOB NOT NULL,
        document BLOB NOT NULL, PRIMARY KEY (env, collection, index_id, entry, document)) WITHOUT ROWID;";
const JSONB: &str = "
    CREATE TABLE documents (env TEXT NOT NULL, collection BIGINT NOT NULL, id BLOB NOT NULL, version BIGINT NOT NULL,
        body BLOB NOT NULL, PRIMARY KEY (env, collection, id));
    CREATE INDEX owner_created ON documents (env, collection, body ->> '$._openid', body ->> '$.created');";

fn bson_insert(connection: &Connection, sample: &Sample) -> Outcome {
    connection
        .prepare_cached(
            "INSERT INTO documents (env, collection, id, version, body) VALUES (?, ?, ?, 1, ?)",
        )?
        .execute(("shop", 1, sample.key(), sample.bson()))?;
    insert_entry(connection, sample)
}

fn insert_entry(connection: &Connection, sample: &Sample) -> Outcome {
    connection
        .prepare_cached(
            "INSERT INTO entries (env, collection, index_id, entry, document) VALUES (?, ?, ?, ?, ?)",
        )?
        .execute(("shop", 1, 1, sample.entry(), sample.key()))?;
    Ok(())
}

fn bson_fetch(connection: &Connection, sample: &Sample) -> Outcome<Vec<u8>> {
    let mut statement = connection.prepare_cached(
        "SELECT version, body FROM documents WHERE env = ? AND collection = ? AND id = ?",
    )?;
    Ok(statement.query_row(("shop", 1, sample.key()), |row| row.get(1))?)
}

fn bson_parse(bytes: &[u8]) -> Outcome {
    Document::from_reader(bytes)?;
    Ok(())
}

fn bson_top(connection: &Connection, sample: &Sample) -> Outcome {
    let mut statement = connection.prepare_cached(
        "SELECT d.version, d.body FROM entries e
         JOIN documents d ON d.env = e.env AND d.collection = e.collection AND d.id = e.document
         WHERE e.env = ? AND e.collection = ? AND e.index_id = 1 AND e.entry >= ? AND e.entry < ?
         ORDER BY e.entry DESC, e.document DESC LIMIT 20",
    )?;
    let (from, mut to) = (sample.owner_prefix(), sample.owner_prefix());
    to.push(0xff);
    let bodies = statement.query_map(("shop", 1, from, to), |row| row.get::<_, Vec<u8>>(1))?;
    assert_eq!(bodies.collect::<Result<Vec<_>, _>>()?.len(), 20);
    Ok(())
}

/// `$set: {status: "paid"}`: read, change, write if the version is the same. The index is not touched.
fn bson_update(connection: &Connection, sample: &Sample) -> Outcome {
    let mut document = Document::from_reader(bson_fetch(connection, sample)?.as_slice())?;
    document.insert("status", "paid");
    connection
        .prepare_cached(
            "UPDATE documents SET version = version, body = ?
             WHERE env = ? AND collection = ? AND id = ? AND version = 1",
        )?
        .execute((document.to_vec()?, "shop", 1, sample.key()))?;
    Ok(())
}

fn jsonb_insert(connection: &Connection, sample: &Sample) -> Outcome {
    connection
        .prepare_cached(
            "INSERT INTO documents (env, collection, id, version, body) VALUES (?, ?, ?, 1, jsonb(?))",
        )?
        .execute(("shop", 1, sample.key(), sample.json()))?;
    Ok(())
}

fn jsonb_fetch(connection: &Connection, sample: &Sample) -> Outcome<Vec<u8>> {
    let mut statement = connection.prepare_cached(
        "SELECT version, json(body) FROM documents WHERE env = ? AND collection = ? AND id = ?",
    )?;
    Ok(statement.query_row(("shop", 1, sample.key()), |row| row.get::<_, String>(1))?.into_bytes())
}

fn jsonb_parse(bytes: &[u8]) -> Outcome {
    serde_json::from_slice::<serde_json::Value>(bytes)?;
    Ok(())
}

fn jsonb_top(connection: &Connection, sample: &Sample) -> Outcome {
    let mut statement = connection.prepare_cached(
        "SELECT version, json(body) FROM documents
         WHERE env = ? AND collection = ? AND body ->> '$._openid' = ?
         ORDER BY body ->> '$.created' DESC LIMIT 20",
    )?;
    let bodies = statement.query_map(("shop", 1, sample.owner()), |row| row.get::<_, String>(1))?;
    assert_eq!(bodies.collect::<Result<Vec<_>, _>>()?.len(), 20);
    Ok(())
}

fn jsonb_update(connection: &Connection, sample: &Sample) -> Outcome {
    connection
        .prepare_cached(
            "UPDATE documents SET version = version, body = jsonb_set(body, '$.status', 'paid')
             WHERE env = ? AND collection = ? AND id = ? AND version = 1",
        )?
        .execute(("shop", 1, sample.key()))?;
    Ok(())
}
