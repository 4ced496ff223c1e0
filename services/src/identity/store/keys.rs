//! Signing keys and secrets of the server, sealed.

use yunzhan_base::{Error, Result, Secret};
use yunzhan_engine::sql::{Expect, Value};

use super::{SERVER_SECRETS, SIGNING_KEYS, Store, blob, step, system, text};
use crate::columns::Columns;
use crate::identity::token::{KEY_BYTES, SigningKey};

impl Store {
    /// Every signing key. Those that sign no more are read without their private half.
    pub(crate) async fn signing_keys(&self, now_ms: i64) -> Result<Vec<SigningKey>> {
        let sql = "SELECT kid, public_key, seed, signs_from_ms FROM {signing_keys} ORDER BY signs_from_ms DESC";
        let rows = self.read(&system(), sql, SIGNING_KEYS, Vec::new()).await?;
        let mut keys = Vec::new();
        let mut has_signer = false;
        for row in rows {
            let key = self.signing_key(row.into(), !has_signer)?;
            has_signer |= key.signs_from_ms <= now_ms;
            keys.push(key);
        }
        Ok(keys)
    }

    fn signing_key(&self, mut columns: Columns, signs: bool) -> Result<SigningKey> {
        let (kid, public) = (columns.text()?, columns.bytes()?);
        let (sealed, signs_from_ms) = (columns.bytes()?, columns.integer()?);
        let key = if signs {
            let seed = self.master_key.open(&signing_key_context(&kid), &sealed)?;
            SigningKey::from_seed(&seed, signs_from_ms)?
        } else {
            let public: [u8; KEY_BYTES] =
                public.try_into().map_err(|_| Error::internal("a public key has not 32 bytes"))?;
            SigningKey::from_public(public, signs_from_ms)?
        };
        if key.kid == kid {
            Ok(key)
        } else {
            Err(Error::internal("a signing key is not the one its id names"))
        }
    }

    /// Adds a signing key, and removes those that are named.
    pub(crate) async fn replace_signing_keys(
        &self,
        added: Option<(&SigningKey, &Secret)>,
        removed: &[String],
    ) -> Result<()> {
        let mut steps = Vec::new();
        if let Some((key, seed)) = added {
            let sealed = self.master_key.seal(&signing_key_context(&key.kid), seed.expose());
            steps.push(step(
                "INSERT INTO {signing_keys} (kid, public_key, seed, signs_from_ms) VALUES (?, ?, ?, ?)",
                SIGNING_KEYS,
                vec![text(&key.kid), blob(&key.public), Value::Blob(sealed), Value::Integer(key.signs_from_ms)],
                Expect::Rows(1),
            ));
        }
        for kid in removed {
            steps.push(step(
                "DELETE FROM {signing_keys} WHERE kid = ?",
                SIGNING_KEYS,
                vec![text(kid)],
                Expect::Any,
            ));
        }
        self.write(&system(), steps).await
    }

    /// A secret of this server, made of `fresh` when there is none; two replicas that start at once agree on one.
    pub(crate) async fn server_secret(&self, name: &str, fresh: &Secret) -> Result<Secret> {
        let context = format!("server_secrets/{name}");
        let sealed = self.master_key.seal(&context, fresh.expose());
        let insert = step(
            "{insert_or_ignore} INTO {server_secrets} (name, secret) VALUES (?, ?)",
            SERVER_SECRETS,
            vec![text(name), Value::Blob(sealed)],
            Expect::Any,
        );
        self.write(&system(), vec![insert]).await?;
        let sql = "SELECT secret FROM {server_secrets} WHERE name = ?";
        let rows = self.read(&system(), sql, SERVER_SECRETS, vec![text(name)]).await?;
        let row =
            rows.into_iter().next().ok_or_else(|| Error::internal("a server secret is gone"))?;
        self.master_key.open(&context, &Columns::from(row).bytes()?)
    }
}

/// Binds a sealed seed to its row: moved into another row it does not open.
fn signing_key_context(kid: &str) -> String {
    format!("signing_keys/seed/{kid}")
}
