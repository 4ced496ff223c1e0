//! Keys by which a team's own servers speak the admin dialect: an id, a secret to sign with, and a bearer key for clients that
//! do not sign.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Serialize;
use yunzhan_base::principal::ServerKey;
use yunzhan_base::{EnvId, Result, Secret};

use crate::crypto::{equal, random, sha256};

/// Says what the text is, to people and to scanners that look for leaked secrets.
const KEY_ID_PREFIX: &str = "YZID";
/// Random bytes of a key id: unique, not secret.
const KEY_ID_RANDOM_BYTES: usize = 15;
/// Random bytes of each secret: 256 bits.
const SECRET_RANDOM_BYTES: usize = 32;

/// One key as the server keeps it.
#[derive(Clone)]
pub struct StoredKey {
    /// Whom it names.
    pub principal: Arc<ServerKey>,
    /// What signatures are made with; verifying needs the secret itself.
    pub secret: Secret,
    /// SHA-256 of the bearer key.
    pub access_hash: [u8; 32],
}

/// A key as its owner gets it, once.
#[derive(Clone, Serialize)]
pub struct NewKey {
    /// `secretId` of the SDKs.
    pub secret_id: String,
    /// `secretKey` of the SDKs.
    pub secret_key: String,
    /// `accessKey` of the SDKs; it contains the id, so that it is found without a search.
    pub access_key: String,
}

/// Every key that is valid, by id.
#[derive(Default)]
pub struct ServerKeys(HashMap<String, StoredKey>);

// === impl NewKey ===

impl NewKey {
    /// Draws a key, which is worth nothing before it is added to an environment.
    ///
    /// # Errors
    /// `Internal` without randomness.
    pub fn generate() -> Result<Self> {
        let secret_id =
            format!("{KEY_ID_PREFIX}{}", BASE64.encode(random::<KEY_ID_RANDOM_BYTES>()?));
        let bearer = BASE64.encode(random::<SECRET_RANDOM_BYTES>()?);
        Ok(Self {
            secret_key: BASE64.encode(random::<SECRET_RANDOM_BYTES>()?),
            access_key: format!("{secret_id}.{bearer}"),
            secret_id,
        })
    }

    pub(super) fn stored(&self, env: &EnvId) -> StoredKey {
        let secret = Secret::new(self.secret_key.as_str());
        StoredKey::new(
            env.clone(),
            self.secret_id.clone(),
            secret,
            sha256(self.access_key.as_bytes()),
        )
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewKey({})", self.secret_id)
    }
}

// === impl StoredKey ===

impl StoredKey {
    pub(super) fn new(env: EnvId, key_id: String, secret: Secret, access_hash: [u8; 32]) -> Self {
        Self { principal: Arc::new(ServerKey { env, key_id }), secret, access_hash }
    }
}

// === impl ServerKeys ===

impl ServerKeys {
    pub(super) fn new(keys: impl IntoIterator<Item = StoredKey>) -> Self {
        Self(keys.into_iter().map(|key| (key.principal.key_id.clone(), key)).collect())
    }

    /// The key with this id.
    pub fn get(&self, key_id: &str) -> Option<&StoredKey> {
        self.0.get(key_id)
    }

    /// The keys of one environment.
    pub fn of<'k>(&'k self, env: &'k EnvId) -> impl Iterator<Item = &'k StoredKey> {
        self.0.values().filter(move |key| key.principal.env == *env)
    }

    /// The key whose bearer form this is.
    pub fn by_access_key(&self, access_key: &str) -> Option<&StoredKey> {
        let (key_id, _) = access_key.split_once('.')?;
        let key = self.0.get(key_id)?;
        equal(&key.access_hash, &sha256(access_key.as_bytes())).then_some(key)
    }
}

impl fmt::Debug for ServerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoredKey({})", self.principal.key_id)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_key_is_found_by_the_whole_of_it() {
        let env: EnvId = "shop".parse().unwrap();
        let new = NewKey::generate().unwrap();
        let keys = ServerKeys::new([new.stored(&env)]);
        assert_eq!(keys.by_access_key(&new.access_key).unwrap().principal.env, env);
        let cut = &new.access_key[..new.access_key.len() - 1];
        for bad in [
            "",
            ".",
            cut,
            new.secret_id.as_str(),
            new.secret_key.as_str(),
            &format!("{}.", new.secret_id),
        ] {
            assert!(keys.by_access_key(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn secrets_never_show_themselves() {
        let new = NewKey::generate().unwrap();
        let shown = format!("{new:?} {:?}", new.stored(&"shop".parse().unwrap()));
        assert!(!shown.contains(&new.secret_key) && !shown.contains(&new.access_key), "{shown}");
    }
}
