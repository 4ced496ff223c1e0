//! All SQL of the primary, its heartbeat, and the servers of ours that write to it. The tables are there where replicas are.

use std::time::Duration;

use yunzhan_base::Result;

use crate::sql::Value;
use crate::sql::migrate::{Migration, Scope};
use crate::sql::mysql::status::Link;

/// The name of the tables' steps.
pub(crate) const SERVICE: &str = "split";

/// The tables of replication.
pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "replicas",
    database: Scope::System,
    statements: &[
        // One row. `term` counts primaries, and `server` is the one of this term.
        "CREATE TABLE IF NOT EXISTS {replication} (
             name {name:32} NOT NULL PRIMARY KEY,
             beat_ms BIGINT NOT NULL,
             term BIGINT NOT NULL,
             server {name:255} NOT NULL
         )",
        // The processes of ours that may write.
        "CREATE TABLE IF NOT EXISTS {replication_writers} (
             id {name:32} NOT NULL PRIMARY KEY,
             expires_ms BIGINT NOT NULL
         )",
    ],
}];

/// What every look at a server asks beside its variables: the heartbeat, and how many other processes may write.
pub(crate) const SEEN_COLUMNS_AND_TABLES: &str = "b.beat_ms, b.term, b.server,
    (SELECT COUNT(*) FROM {replication_writers} w WHERE w.id <> ? AND w.expires_ms > {now_ms})
    FROM (SELECT 1) one LEFT JOIN {replication} b ON b.name = 'heartbeat'";

/// Writes the heartbeat, unless somebody did since it was seen with `seen_ms`: then it is false. The text is short because it
/// may stand in the binary log as it is, and does so also when it matched nothing.
pub(super) async fn beat(link: &mut Link, seen_ms: i64) -> Result<bool> {
    const BEAT: &str =
        "UPDATE {replication} SET beat_ms = {now_ms} WHERE name = 'heartbeat' AND beat_ms = ?";
    Ok(link.run(BEAT, &[Value::Integer(seen_ms)]).await? == 1)
}

/// Makes the row of the heartbeat, in its first term, where there is none.
pub(super) async fn begin(link: &mut Link, primary: &str) -> Result<()> {
    const BEGIN: &str = "INSERT INTO {replication} (name, beat_ms, term, server)
        VALUES ('heartbeat', {now_ms}, 1, ?) {or_keep:name}";
    link.run(BEGIN, &[text(primary)]).await.map(drop)
}

/// Begins the term of a new primary, which was found in this one. False when somebody else did meanwhile.
pub(super) async fn begin_term(link: &mut Link, term: i64, primary: &str) -> Result<bool> {
    const TERM: &str = "UPDATE {replication} SET beat_ms = {now_ms}, term = term + 1, server = ?
        WHERE name = 'heartbeat' AND term = ?";
    Ok(link.run(TERM, &[text(primary), Value::Integer(term)]).await? == 1)
}

/// Says that this process may write, for `life` from now on by the primary's clock.
pub(super) async fn register(link: &mut Link, id: &str, life: Duration) -> Result<()> {
    const REGISTER: &str =
        "INSERT INTO {replication_writers} (id, expires_ms) VALUES (?, {now_ms} + ?)
        {on_conflict:id} SET expires_ms = {new:expires_ms}";
    link.run(REGISTER, &[text(id), ms(life)]).await.map(drop)
}

/// Forgets processes whose life was over `life` ago.
pub(super) async fn forget_dead(link: &mut Link, life: Duration) -> Result<()> {
    const FORGET: &str = "DELETE FROM {replication_writers} WHERE expires_ms < {now_ms} - ?";
    link.run(FORGET, &[ms(life)]).await.map(drop)
}

fn ms(duration: Duration) -> Value {
    Value::Integer(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}
