//! Sealing of stored secrets, until the engine offers it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use yunzhan_base::{Error, Result, Secret};

use crate::crypto::random;

const VERSION: u8 = 1;

/// The key that seals what is stored and must stay secret.
pub struct MasterKey(LessSafeKey);

impl MasterKey {
    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &bytes).expect("AES-256 takes 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Seals a value for one context: it opens in no other.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random().expect("the system gives random bytes");
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut sealed,
            )
            .expect("a secret is far below the bound of AES-GCM");
        [&[VERSION][..], &nonce, &sealed].concat()
    }

    /// Opens a sealed value.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Secret> {
        let broken = || {
            Error::internal(format!(
                "the sealed value of {context} does not open with this master key"
            ))
        };
        let (nonce, sealed) = sealed
            .strip_prefix(&[VERSION])
            .and_then(|rest| rest.split_first_chunk::<NONCE_LEN>())
            .ok_or_else(broken)?;
        let mut plain = sealed.to_vec();
        let length = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut plain)
            .map_err(|_| broken())?
            .len();
        plain.truncate(length);
        Ok(Secret::new(plain))
    }
}
