//! Secrets at rest: sealed with the master key, opened only by whoever names the same place.
//!
//! A sealed secret is `1`, a nonce of 12 random bytes, and what AES-256-GCM (NIST SP 800-38D) makes of the secret with
//! the *context* as additional data. The context names the place (`env/shop/app_secret`), so that a row which is copied
//! to another place does not open there. Random nonces allow 2^32 seals of one key; a server seals some thousands.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use yunzhan_base::{Error, Kind, Result, Secret};

/// The length of the key in bytes.
pub const KEY_BYTES: usize = 32;
/// The format of what [`MasterKey::seal`] gives; its first byte.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// The key that seals the secrets in the data folder or database. Clones share it.
#[derive(Clone)]
pub struct MasterKey(Arc<RandomizedNonceKey>);

// === impl MasterKey ===

impl MasterKey {
    /// The key with these bytes; the caller wipes its own copy.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes);
        Self(Arc::new(key.expect("32 bytes are an AES-256 key")))
    }

    /// Seals `plain` for the place that `context` names. 29 bytes longer than `plain`.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        let mut sealed = plain.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(context.as_bytes()), &mut sealed)
            .expect("the system gives random bytes, and secrets are shorter than 64 GiB");
        let mut whole = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        whole.push(VERSION);
        whole.extend_from_slice(nonce.as_ref());
        whole.extend_from_slice(&sealed);
        whole
    }

    /// Opens what [`MasterKey::seal`] sealed with the same key and context; anything else is an internal error that
    /// says in the log what to look at, and nothing about the secret.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Secret> {
        let fault = |why: &str| {
            Error::new(Kind::Internal, Kind::Internal.entry().en)
                .with_detail(format!("cannot open the sealed secret {context}: {why}"))
        };
        let (&version, rest) = sealed.split_first().ok_or_else(|| fault("it is empty"))?;
        if version != VERSION {
            return Err(fault(&format!("its format {version} is not known to this program")));
        }
        if rest.len() < NONCE_BYTES + TAG_BYTES {
            return Err(fault("it is cut off"));
        }
        let (nonce, body) = rest.split_at(NONCE_BYTES);
        let nonce = Nonce::try_assume_unique_for_key(nonce).expect("12 bytes");
        let mut body = body.to_vec();
        let plain = self
            .0
            .open_in_place(nonce, Aad::from(context.as_bytes()), &mut body)
            .map_err(|_| fault("it was sealed with another master key, or changed since"))?;
        let plain_bytes = plain.len();
        body.truncate(plain_bytes);
        Ok(Secret::new(body))
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use expect_test::expect;

    use super::*;

    const PLACE: &str = "env/shop/app_secret";

    fn key() -> MasterKey {
        MasterKey::from_bytes([7; KEY_BYTES])
    }

    #[test]
    fn a_secret_comes_back_and_never_looks_the_same() {
        for plain in [b"".as_slice(), b"s", &[0; 4096]] {
            let sealed = key().seal(PLACE, plain);
            assert_eq!(sealed.len(), plain.len() + 29);
            assert_eq!(key().open(PLACE, &sealed).unwrap().expose(), plain);
            assert_ne!(sealed, key().seal(PLACE, plain));
        }
    }

    #[test]
    fn an_old_sample_opens() {
        // Made by another implementation of AES-256-GCM with the key of these tests.
        assert_eq!(key().open(PLACE, &SAMPLE).unwrap().expose(), b"tea");
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let sealed = key().seal(PLACE, b"secret");
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            key().open(PLACE, &changed).unwrap_err();
            key().open(PLACE, &sealed[..index]).unwrap_err();
        }
    }

    #[test]
    fn the_fault_says_where_and_not_what() {
        let sealed = key().seal(PLACE, b"secret");
        let other = MasterKey::from_bytes([8; KEY_BYTES]);
        let said = [
            key().open("env/other/app_secret", &sealed).unwrap_err().log_text(),
            other.open(PLACE, &sealed).unwrap_err().log_text(),
            key().open(PLACE, &[2; 40]).unwrap_err().log_text(),
            key().open(PLACE, &[1; 20]).unwrap_err().log_text(),
            format!("{:?}", key()),
        ];
        expect![[r#"
            an internal error: cannot open the sealed secret env/other/app_secret: it was sealed with another master key, or changed since
            an internal error: cannot open the sealed secret env/shop/app_secret: it was sealed with another master key, or changed since
            an internal error: cannot open the sealed secret env/shop/app_secret: its format 2 is not known to this program
            an internal error: cannot open the sealed secret env/shop/app_secret: it is cut off
            MasterKey(***)"#]]
        .assert_eq(&said.join("\n"));
    }

    const SAMPLE: [u8; 32] = [
        1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 108, 228, 136, 91, 29, 45, 20, 66, 17, 51, 7, 196,
        4, 91, 22, 85, 228, 185, 201,
    ];
}
