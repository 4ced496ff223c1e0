//! The places where SQLite and MySQL spell the same thing differently.
//!
//! Statements are written once, in the common subset, with `{table}` names and a few markers:
//!
//! | marker | meaning | SQLite | MySQL |
//! |---|---|---|---|
//! | `{documents}` | a logical table | `yz_env_documents` | the same |
//! | `{key:N}` | bytes that are compared, N at most | `BLOB` | `VARBINARY(N)` |
//! | `{blob}` | bytes that are only kept | `BLOB` | `LONGBLOB` |
//! | `{name:N}` | text that is compared exactly, N characters at most | `TEXT` | `VARCHAR(N)`, binary, not padded |
//! | `{text}` | text that is only kept | `TEXT` | `LONGTEXT` |
//! | `{env}` | the type of the column `env` | `TEXT` | `VARCHAR(63)`, ASCII, binary |
//! | `{id}` | a number that the database gives, and primary key | `INTEGER PRIMARY KEY AUTOINCREMENT` | `BIGINT … AUTO_INCREMENT` |
//! | `{clustered}` | after `CREATE TABLE (…)`: rows live in the primary key | `WITHOUT ROWID` | nothing: always so |
//! | `{insert_or_ignore} INTO` | one row; a duplicate changes nothing and counts 0 | `INSERT` | `INSERT` |
//! | `{on_conflict:k1,k2} SET c = {new:c}` | one row; a duplicate is updated and counts 1 | `ON CONFLICT (…) DO UPDATE` | `ON DUPLICATE KEY UPDATE` |
//! | `{or_keep:k1,k2}` | at the end of an insert: a row that is there stays as it is | `ON CONFLICT (…) DO NOTHING` | `ON DUPLICATE KEY UPDATE k1 = VALUES(k1)` |
//! | `{rows:N}` | after `VALUES`: the step's rows, each the statement's parameters and its own, N together | `(?, …)`, once a row | `(?, …)`, many at once |
//! | `{rows_as:a key, b number}` | in brackets: a table of the step's rows with these columns | `SELECT ? AS a, ? AS b`, once a row | the same with casts, many at once |
//! | `{take:c}` | after `SET`: adds 1 to the column of one row, where it is not negative; the unit binds the new number as [`Value::Taken`](super::Value::Taken) | `c = yz_take(c + 1)`, a function of ours | `c = LAST_INSERT_ID(c + 1)` |
//! | `{now_ms}` | the time of the database's clock, in milliseconds since 1970 | `unixepoch('subsec')` | `UTC_TIMESTAMP(3)` |
//! | `{system:nodes}` | a logical table of the system, in a unit of an environment | only where both are in one file | always |
//! | `{{`, `}}` | braces themselves | | |
//!
//! `{insert_or_ignore}` is a plain insert whose duplicate-key error the engine takes for "0 rows": MySQL's own
//! `INSERT IGNORE` would also cut values that are too long.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, RwLock};

use yunzhan_base::{Error, Result};

use super::migrate::Scope;
use super::rows_text::RowsText;
use super::{Logical, Statement};

/// What every physical table name begins with, so that a schema may be shared with other programs and no logical name
/// can be a reserved word.
pub const TABLE_PREFIX: &str = "yz_";

/// The function of the embedded engine's connections that notes the number it is given, and gives it back, as MySQL's
/// `LAST_INSERT_ID` does.
pub(crate) const TAKE: &str = "yz_take";

/// Who reads the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// MySQL 8 and TiDB.
    MySql,
    /// MariaDB, which names its collations differently.
    MariaDb,
}

/// A statement's text as the database reads it.
#[derive(Debug, Default)]
pub(crate) struct Text {
    /// The text.
    pub(crate) sql: String,
    /// Whether a duplicate key means "0 rows changed".
    pub(crate) ignores_duplicates: bool,
    /// Whether the database may count an updated row as two.
    pub(crate) is_upsert: bool,
    /// Whether it takes a number that later steps of its unit bind.
    pub(crate) takes: bool,
    /// Where its rows stand, if it takes many at once.
    pub(crate) rows: Option<RowsText>,
    /// How many more times it goes to a reader thread at once, because it ran too long on its caller's.
    hops: AtomicU32,
}

/// Every text that was expanded, so that each is expanded once.
#[derive(Debug)]
pub(crate) struct Texts {
    dialect: Dialect,
    known: RwLock<HashMap<TextKey, Arc<Text>>>,
}

/// A static text is known by where it stands: its memory never changes and is never freed.
type TextKey = (usize, usize, Scope);

// === impl Text ===

impl Text {
    /// Sends the next `times` runs to a reader thread.
    pub(crate) fn hop_for(&self, times: u32) {
        self.hops.store(times, Ordering::Relaxed);
    }

    /// Whether this run goes to a reader thread.
    pub(crate) fn takes_hop(&self) -> bool {
        // Two threads may count one hop twice or not at all; the number is a rhythm, not a sum.
        let left = self.hops.load(Ordering::Relaxed);
        if left > 0 {
            self.hops.store(left - 1, Ordering::Relaxed);
        }
        left > 0
    }
}

// === impl Texts ===

impl Texts {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, known: RwLock::default() }
    }

    /// The text of a statement for tables of this scope.
    pub(crate) fn of(&self, scope: Scope, statement: &Statement) -> Result<Arc<Text>> {
        let key = (statement.sql.as_ptr() as usize, statement.sql.len(), scope);
        if let Some(text) = self.known.read().expect("no panic while held").get(&key) {
            return Ok(Arc::clone(text));
        }
        let text = self.dialect.expand(scope, statement.sql, Some(statement.tables))?;
        let text = Arc::new(text);
        self.known.write().expect("no panic while held").insert(key, Arc::clone(&text));
        Ok(text)
    }
}

// === impl Dialect ===

impl Dialect {
    /// The physical name of a logical table.
    pub fn table(self, scope: Scope, name: &str) -> String {
        format!("{TABLE_PREFIX}{}_{name}", scope.name())
    }

    /// Expands names and markers. `tables`, when given, is the complete list of names that may occur.
    pub(crate) fn expand(
        self,
        scope: Scope,
        sql: &str,
        tables: Option<&[Logical]>,
    ) -> Result<Text> {
        let mut text = Text::default();
        let mut rest = sql;
        while let Some(at) = rest.find(['{', '}']) {
            text.sql.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
                text.sql.push_str(&rest[..1]);
                rest = after;
                continue;
            }
            let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let (marker, after) = inside.ok_or_else(|| broken(sql, "a brace stands alone"))?;
            rest = self
                .replace(&mut text, scope, marker, after, tables)
                .map_err(|why| broken(sql, &why))?;
        }
        text.sql.push_str(rest);
        if text.rows.is_some() && text.ignores_duplicates {
            return Err(broken(sql, "of many rows {or_keep:…} keeps what is there"));
        }
        Ok(text)
    }

    /// Writes what `marker` stands for and gives back the text after it.
    fn replace<'a>(
        self,
        text: &mut Text,
        scope: Scope,
        marker: &str,
        after: &'a str,
        tables: Option<&[Logical]>,
    ) -> Result<&'a str, String> {
        match marker.split_once(':').map_or((marker, ""), |(name, rest)| (name, rest)) {
            ("insert_or_ignore", "") => {
                text.ignores_duplicates = true;
                text.sql.push_str("INSERT");
            }
            ("on_conflict", keys) => {
                text.is_upsert = true;
                text.sql.push_str(&self.on_conflict(keys));
                let rest = after.trim_start().strip_prefix("SET");
                return rest.ok_or_else(|| "SET must follow {on_conflict:…}".to_owned());
            }
            ("or_keep", keys) => {
                text.is_upsert = true;
                text.sql.push_str(&self.or_keep(keys));
            }
            ("rows", columns) => text.rows = Some(RowsText::values(&mut text.sql, columns)?),
            ("rows_as", columns) => {
                let has_casts = self != Self::Sqlite;
                text.rows = Some(RowsText::table(&mut text.sql, columns, has_casts)?);
            }
            ("take", column) => {
                text.takes = true;
                text.sql.push_str(&self.take(column));
            }
            ("new", column) => text.sql.push_str(&self.new_value(column)),
            ("now_ms", "") => text.sql.push_str(self.now_ms()),
            ("system", table) if !table.is_empty() => {
                check_table(table, "", tables)?;
                text.sql.push_str(&self.table(Scope::System, table));
            }
            (name, size) => match self.column_type(name, size) {
                Some(column_type) => text.sql.push_str(&column_type),
                None => {
                    check_table(name, size, tables)?;
                    text.sql.push_str(&self.table(scope, name));
                }
            },
        }
        Ok(after)
    }

    fn on_conflict(self, keys: &str) -> String {
        match self {
            Self::Sqlite => format!("ON CONFLICT ({keys}) DO UPDATE SET"),
            Self::MySql | Self::MariaDb => "ON DUPLICATE KEY UPDATE".to_owned(),
        }
    }

    fn or_keep(self, keys: &str) -> String {
        let first = keys.split(',').next().unwrap_or_default();
        match self {
            Self::Sqlite => format!("ON CONFLICT ({keys}) DO NOTHING"),
            Self::MySql | Self::MariaDb => {
                format!("ON DUPLICATE KEY UPDATE {first} = VALUES({first})")
            }
        }
    }

    fn take(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("{column} = {TAKE}({column} + 1)"),
            Self::MySql | Self::MariaDb => format!("{column} = LAST_INSERT_ID({column} + 1)"),
        }
    }

    fn new_value(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("excluded.{column}"),
            Self::MySql | Self::MariaDb => format!("VALUES({column})"),
        }
    }

    /// Neither spelling knows a time zone, so that no hour comes twice in autumn.
    fn now_ms(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)",
            Self::MySql | Self::MariaDb => {
                "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)"
            }
        }
    }

    /// The collation that compares text as bytes and does not take trailing spaces for nothing.
    fn exact(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::MySql => "CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin",
            Self::MariaDb => "CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
        }
    }

    fn column_type(self, name: &str, size: &str) -> Option<String> {
        let is_sqlite = self == Self::Sqlite;
        let exact = self.exact();
        Some(match (name, size) {
            ("key", _) | ("blob", "") if is_sqlite => "BLOB".to_owned(),
            ("name", _) | ("text" | "env", "") if is_sqlite => "TEXT".to_owned(),
            ("id", "") if is_sqlite => "INTEGER PRIMARY KEY AUTOINCREMENT".to_owned(),
            ("clustered", "") if is_sqlite => "WITHOUT ROWID".to_owned(),
            ("key", size) => format!("VARBINARY({size})"),
            ("blob", "") => "LONGBLOB".to_owned(),
            ("name", size) => format!("VARCHAR({size}) {exact}"),
            ("text", "") => format!("LONGTEXT {exact}"),
            ("env", "") => "VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin".to_owned(),
            ("id", "") => "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY".to_owned(),
            ("clustered", "") => String::new(),
            _ => return None,
        })
    }
}

fn check_table(name: &str, size: &str, tables: Option<&[Logical]>) -> Result<(), String> {
    let is_name = !name.is_empty()
        && size.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let is_listed = tables.is_none_or(|tables| tables.iter().any(|table| table.0 == name));
    match (is_name, is_listed) {
        (true, true) => Ok(()),
        (true, false) => Err(format!("table {name} is not in the statement's list of tables")),
        (false, _) => Err(format!("there is no marker {{{name}}}")),
    }
}

/// Statements are part of the program, so a broken one is a fault of ours.
fn broken(sql: &str, why: &str) -> Error {
    Error::internal(format!("broken statement: {why}: {sql}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(sql: &str, expected: &Expect) {
        let spellings: Vec<String> = [Dialect::Sqlite, Dialect::MySql, Dialect::MariaDb]
            .into_iter()
            .map(|dialect| match dialect.expand(Scope::Env, sql, None) {
                Ok(text) => format!("{dialect:?}: {}\n", text.sql),
                Err(error) => format!("{dialect:?}: {}\n", error.log_text()),
            })
            .collect();
        expected.assert_eq(&spellings.concat());
    }

    #[test]
    fn markers_become_each_dialect() {
        check(
            "CREATE TABLE {docs} (env {env}, k {key:700}, n {name:100}, b {blob}, t {text}) {clustered}",
            &expect![[r#"
                Sqlite: CREATE TABLE yz_env_docs (env TEXT, k BLOB, n TEXT, b BLOB, t TEXT) WITHOUT ROWID
                MySql: CREATE TABLE yz_env_docs (env VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin, k VARBINARY(700), n VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin, b LONGBLOB, t LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin) 
                MariaDb: CREATE TABLE yz_env_docs (env VARCHAR(63) CHARACTER SET ascii COLLATE ascii_bin, k VARBINARY(700), n VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin, b LONGBLOB, t LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin) 
            "#]],
        );
        check(
            "INSERT INTO {docs} (k, n) VALUES (?, '{{}}') {on_conflict:k} SET n = {new:n}",
            &expect![[r#"
                Sqlite: INSERT INTO yz_env_docs (k, n) VALUES (?, '{}') ON CONFLICT (k) DO UPDATE SET n = excluded.n
                MySql: INSERT INTO yz_env_docs (k, n) VALUES (?, '{}') ON DUPLICATE KEY UPDATE n = VALUES(n)
                MariaDb: INSERT INTO yz_env_docs (k, n) VALUES (?, '{}') ON DUPLICATE KEY UPDATE n = VALUES(n)
            "#]],
        );
    }

    #[test]
    fn rows_and_counters_become_each_dialect() {
        check(
            "INSERT INTO {docs} (env, k) VALUES {rows:2} {or_keep:env, k}",
            &expect![[r#"
                Sqlite: INSERT INTO yz_env_docs (env, k) VALUES (?, ?) ON CONFLICT (env, k) DO NOTHING
                MySql: INSERT INTO yz_env_docs (env, k) VALUES (?, ?) ON DUPLICATE KEY UPDATE env = VALUES(env)
                MariaDb: INSERT INTO yz_env_docs (env, k) VALUES (?, ?) ON DUPLICATE KEY UPDATE env = VALUES(env)
            "#]],
        );
        check(
            "UPDATE {docs} SET {take:n} WHERE env = ?",
            &expect![[r#"
                Sqlite: UPDATE yz_env_docs SET n = yz_take(n + 1) WHERE env = ?
                MySql: UPDATE yz_env_docs SET n = LAST_INSERT_ID(n + 1) WHERE env = ?
                MariaDb: UPDATE yz_env_docs SET n = LAST_INSERT_ID(n + 1) WHERE env = ?
            "#]],
        );
        check(
            "DELETE FROM {docs} WHERE k IN (SELECT a FROM ({rows_as:a key, b number}) r)",
            &expect![[r#"
                Sqlite: DELETE FROM yz_env_docs WHERE k IN (SELECT a FROM (SELECT ? AS a, ? AS b) r)
                MySql: DELETE FROM yz_env_docs WHERE k IN (SELECT a FROM (SELECT CAST(? AS BINARY) AS a, CAST(? AS SIGNED) AS b) r)
                MariaDb: DELETE FROM yz_env_docs WHERE k IN (SELECT a FROM (SELECT CAST(? AS BINARY) AS a, CAST(? AS SIGNED) AS b) r)
            "#]],
        );
    }

    #[test]
    fn the_time_and_tables_of_the_system_are_spelt_out() {
        check(
            "UPDATE {system:nodes} SET beat = {now_ms}",
            &expect![[r#"
                Sqlite: UPDATE yz_system_nodes SET beat = CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)
                MySql: UPDATE yz_system_nodes SET beat = (TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)
                MariaDb: UPDATE yz_system_nodes SET beat = (TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)
            "#]],
        );
        let unlisted = Dialect::Sqlite.expand(Scope::Env, "SELECT 1 FROM {system:keys}", Some(&[]));
        assert!(unlisted.is_err());
    }

    #[test]
    fn broken_statements_are_named() {
        check(
            "SELECT {nope:3}",
            &expect![[r#"
                Sqlite: an internal error: broken statement: there is no marker {nope}: SELECT {nope:3}
                MySql: an internal error: broken statement: there is no marker {nope}: SELECT {nope:3}
                MariaDb: an internal error: broken statement: there is no marker {nope}: SELECT {nope:3}
            "#]],
        );
        let unlisted = Dialect::Sqlite.expand(Scope::System, "SELECT 1 FROM {keys}", Some(&[]));
        expect![[r#"an internal error: broken statement: table keys is not in the statement's list of tables: SELECT 1 FROM {keys}"#]]
            .assert_eq(&unlisted.unwrap_err().log_text());
        assert!(Dialect::Sqlite.expand(Scope::System, "SELECT }", None).is_err());
    }
}
