//! The tables of this service, step by step.

use yunzhan_engine::sql::migrate::{Migration, Scope};

/// The tables of this service, in every environment's database.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "documents",
        database: Scope::Env,
        statements: &[
            // `id_mode` is `mixed` while documents may have ids that this server did not make, and so any slot.
            "CREATE TABLE IF NOT EXISTS {collections} (
                env {env} NOT NULL,
                name {name:64} NOT NULL,
                id BIGINT NOT NULL,
                permission {name:16} NOT NULL,
                id_mode {name:16} NOT NULL,
                version BIGINT NOT NULL,
                created_ms BIGINT NOT NULL,
                PRIMARY KEY (env, name),
                UNIQUE (env, id)) {clustered}",
            "CREATE TABLE IF NOT EXISTS {documents} (
                env {env} NOT NULL,
                collection BIGINT NOT NULL,
                id {key:768} NOT NULL,
                slot BIGINT NOT NULL,
                version BIGINT NOT NULL,
                body {blob} NOT NULL,
                PRIMARY KEY (env, collection, id))",
            "CREATE TABLE IF NOT EXISTS {index_entries} (
                env {env} NOT NULL,
                collection BIGINT NOT NULL,
                index_id BIGINT NOT NULL,
                entry {key:1024} NOT NULL,
                document {key:768} NOT NULL,
                PRIMARY KEY (env, collection, index_id, entry, document)) {clustered}",
        ],
    },
    Migration {
        version: 2,
        name: "indexes",
        database: Scope::Env,
        statements: &[
            // Every write batch of writing says by which shape it keeps the indexes up; with an outdated one it is
            // refused.
            "ALTER TABLE {collections} ADD COLUMN shape BIGINT NOT NULL DEFAULT 0",
            // The security rules of a collection whose permission is CUSTOM, as JSON.
            "ALTER TABLE {collections} ADD COLUMN rules {text}",
            "CREATE TABLE IF NOT EXISTS {indexes} (
                env {env} NOT NULL,
                collection BIGINT NOT NULL,
                id BIGINT NOT NULL,
                name {name:64} NOT NULL,
                definition {text} NOT NULL,
                is_unique BIGINT NOT NULL,
                state {name:16} NOT NULL,
                multikey BIGINT NOT NULL,
                truncated BIGINT NOT NULL,
                done BIGINT NOT NULL,
                total BIGINT NOT NULL,
                reached {key:768},
                failure {text},
                PRIMARY KEY (env, collection, id),
                UNIQUE (env, collection, name)) {clustered}",
            // Values that may stand once. The entries of such an index are in `index_entries` too, where queries look.
            "CREATE TABLE IF NOT EXISTS {unique_entries} (
                env {env} NOT NULL,
                collection BIGINT NOT NULL,
                index_id BIGINT NOT NULL,
                entry {key:1024} NOT NULL,
                document {key:768} NOT NULL,
                PRIMARY KEY (env, collection, index_id, entry)) {clustered}",
        ],
    },
    Migration {
        version: 3,
        name: "imports",
        database: Scope::Env,
        statements: &[
            // How far each import of a file is; the write batches that add its documents move it on.
            "CREATE TABLE IF NOT EXISTS {imports} (
                env {env} NOT NULL,
                collection BIGINT NOT NULL,
                name {name:64} NOT NULL,
                bytes BIGINT NOT NULL,
                lines_in BIGINT NOT NULL,
                documents BIGINT NOT NULL,
                kept BIGINT NOT NULL,
                is_done BIGINT NOT NULL,
                tail_bytes BIGINT NOT NULL,
                tail_sha256 {key:32} NOT NULL,
                changed_ms BIGINT NOT NULL,
                PRIMARY KEY (env, collection, name)) {clustered}",
        ],
    },
    Migration {
        version: 4,
        name: "change log",
        database: Scope::Env,
        statements: &[
            // First, servers that still count by it are refused, so that none writes past the log or above the counters.
            "ALTER TABLE {collections} RENAME COLUMN version TO last_version",
            // The counters of the slot groups, by which documents have their versions and changes their order. Nothing of the
            // log is there up to `trimmed`; `logged_bytes` is what it takes.
            "CREATE TABLE IF NOT EXISTS {sequences} (
                env {env} NOT NULL,
                slot_group BIGINT NOT NULL,
                sequence BIGINT NOT NULL,
                trimmed BIGINT NOT NULL,
                logged_bytes BIGINT NOT NULL,
                PRIMARY KEY (env, slot_group)) {clustered}",
            // Not clustered: SQLite gives a row of a clustered table a page of its own where it has a kilobyte, as before-images
            // have.
            "CREATE TABLE IF NOT EXISTS {changes} (
                env {env} NOT NULL,
                slot_group BIGINT NOT NULL,
                sequence BIGINT NOT NULL,
                ordinal BIGINT NOT NULL,
                collection BIGINT NOT NULL,
                kind BIGINT NOT NULL,
                document {key:768} NOT NULL,
                previous BIGINT NOT NULL,
                before_image {blob},
                at_ms BIGINT NOT NULL,
                PRIMARY KEY (env, slot_group, sequence, ordinal))",
            // Documents have had the versions of their collections until now; the counters go on above all of them.
            "INSERT INTO {sequences} (env, slot_group, sequence, trimmed, logged_bytes)
             SELECT c.env, 8 * a.n + b.n, MAX(c.last_version), MAX(c.last_version), 0 FROM {collections} c
             CROSS JOIN (SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4
                UNION SELECT 5 UNION SELECT 6 UNION SELECT 7) a
             CROSS JOIN (SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4
                UNION SELECT 5 UNION SELECT 6 UNION SELECT 7) b
             WHERE 1 = 1 GROUP BY c.env, a.n, b.n {or_keep:env,slot_group}",
        ],
    },
    Migration {
        version: 5,
        name: "collections without versions",
        database: Scope::Env,
        statements: &["ALTER TABLE {collections} DROP COLUMN last_version"],
    },
    Migration {
        version: 6,
        name: "write claims",
        database: Scope::Env,
        statements: &[
            // Which transaction is about to write which document, while several servers live.
            "CREATE TABLE IF NOT EXISTS {claims} (
                env {env} NOT NULL,
                collection BIGINT NOT NULL,
                document {key:768} NOT NULL,
                holder {name:128} NOT NULL,
                until_ms BIGINT NOT NULL,
                PRIMARY KEY (env, collection, document),
                UNIQUE (env, holder, collection, document)) {clustered}",
        ],
    },
];
