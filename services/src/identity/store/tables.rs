//! The tables, as numbered steps.

use yunzhan_engine::sql::migrate::{Migration, Scope};

/// The tables of identity.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "signing keys and ended sessions",
        database: Scope::System,
        statements: &[
            "CREATE TABLE IF NOT EXISTS {signing_keys} (
                 kid {name:64} NOT NULL PRIMARY KEY,
                 public_key {key:32} NOT NULL,
                 seed {blob} NOT NULL,
                 signs_from_ms BIGINT NOT NULL)",
            "CREATE TABLE IF NOT EXISTS {server_secrets} (
                 name {name:64} NOT NULL PRIMARY KEY,
                 secret {blob} NOT NULL)",
            "CREATE TABLE IF NOT EXISTS {ended_sessions} (
                 session_id {name:32} NOT NULL PRIMARY KEY,
                 issued_s_max BIGINT NOT NULL,
                 ended_ms BIGINT NOT NULL,
                 until_s BIGINT NOT NULL)",
            "CREATE INDEX ended_sessions_age ON {ended_sessions} (ended_ms)",
        ],
    },
    Migration {
        version: 1,
        name: "users, sessions and provider tokens",
        database: Scope::Env,
        statements: &[
            "CREATE TABLE IF NOT EXISTS {users} (
                 env {env} NOT NULL,
                 uid {name:32} NOT NULL,
                 openid {name:128} NOT NULL,
                 roles {text} NOT NULL,
                 created_ms BIGINT NOT NULL,
                 seen_ms BIGINT NOT NULL,
                 PRIMARY KEY (env, uid)) {clustered}",
            "CREATE TABLE IF NOT EXISTS {sessions} (
                 env {env} NOT NULL,
                 session_id {name:32} NOT NULL,
                 uid {name:32} NOT NULL,
                 openid {name:128},
                 current_hash {key:32} NOT NULL,
                 previous_hash {key:32} NOT NULL,
                 salt {key:16} NOT NULL,
                 rotated_ms BIGINT NOT NULL,
                 idle_until_ms BIGINT NOT NULL,
                 ends_ms BIGINT NOT NULL,
                 revoked_ms BIGINT NOT NULL,
                 PRIMARY KEY (env, session_id)) {clustered}",
            "CREATE INDEX sessions_idle ON {sessions} (env, idle_until_ms)",
            "CREATE INDEX sessions_uid ON {sessions} (env, uid)",
            "CREATE TABLE IF NOT EXISTS {provider_tokens} (
                 env {env} NOT NULL,
                 token_hash {key:32} NOT NULL,
                 openid {name:128} NOT NULL,
                 expires_ms BIGINT NOT NULL,
                 PRIMARY KEY (env, token_hash)) {clustered}",
            "CREATE INDEX provider_tokens_age ON {provider_tokens} (env, expires_ms)",
        ],
    },
    Migration {
        version: 2,
        name: "the environment of an ended session",
        database: Scope::System,
        statements: &["ALTER TABLE {ended_sessions} ADD COLUMN env {env}"],
    },
];
