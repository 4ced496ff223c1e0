//! Provider tokens join the two halves of a login: 256 random bits, stored as their SHA-256, good once and for minutes.
//!
//! A token is `slot (2 bytes) | secret (32) | tag (16)`. The tag is a keyed hash: anybody may send anything here, and what this
//! server never issued in this environment costs no look-up.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use yunzhan_base::{EnvId, Result};
use yunzhan_engine::sql::SLOTS;

use super::refresh::{RefreshKeys, TAG_BYTES};
use crate::crypto::{equal, random, sha256};

/// Says what the text is, and which format.
const PREFIX: &str = "yzp2_";

/// Two bytes for the slot of the person's rows, so that one unit uses the token up and begins the session.
const SLOT_BYTES: usize = 2;

/// Random bytes.
const SECRET_BYTES: usize = 32;

/// A token of ours, as issued or as presented.
pub(crate) struct ProviderToken {
    own: [u8; SLOT_BYTES + SECRET_BYTES],
    tag: [u8; TAG_BYTES],
}

impl ProviderToken {
    /// Draws a token.
    pub(crate) fn new(keys: &RefreshKeys, env: &EnvId, slot: u16) -> Result<Self> {
        let mut own: [u8; SLOT_BYTES + SECRET_BYTES] = random()?;
        own[..SLOT_BYTES].copy_from_slice(&slot.to_be_bytes());
        Ok(Self { own, tag: keys.provider_tag(env, &own) })
    }

    /// Reads a presented token; none for everything that this server never issued in this environment. Whether it is still
    /// good, the store knows.
    pub(crate) fn read(keys: &RefreshKeys, env: &EnvId, text: &str) -> Option<Self> {
        let mut bytes = [0; SLOT_BYTES + SECRET_BYTES + TAG_BYTES];
        let length = BASE64.decode_slice(text.strip_prefix(PREFIX)?, &mut bytes).ok()?;
        let (own, tag) = bytes.split_first_chunk::<{ SLOT_BYTES + SECRET_BYTES }>()?;
        let token = Self { own: *own, tag: keys.provider_tag(env, own) };
        (length == bytes.len() && equal(&token.tag, tag)).then_some(token)
    }

    /// The text that the client sends back.
    pub(crate) fn text(&self) -> String {
        format!("{PREFIX}{}", BASE64.encode([&self.own[..], &self.tag].concat()))
    }

    /// What is stored.
    pub(crate) fn hash(&self) -> [u8; 32] {
        sha256(&self.own)
    }

    /// The slot of the person's rows.
    pub(crate) fn slot(&self) -> u16 {
        u16::from_be_bytes([self.own[0], self.own[1]]) % SLOTS
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use yunzhan_base::Secret;

    use super::*;
    use crate::identity::refresh::ROOT_KEY_BYTES;

    #[test]
    fn a_token_is_read_whole_and_where_it_was_issued_or_not_at_all() {
        let keys = |root: u8| RefreshKeys::new(&Secret::new([root; ROOT_KEY_BYTES]));
        let (shop, other) = ("shop".parse().unwrap(), "other".parse().unwrap());
        let token = ProviderToken::new(&keys(1), &shop, 1023).unwrap();
        let text = token.text();
        let read = ProviderToken::read(&keys(1), &shop, &text).unwrap();
        assert_eq!((read.hash(), read.slot()), (token.hash(), 1023));
        assert!(ProviderToken::read(&keys(1), &other, &text).is_none());
        assert!(ProviderToken::read(&keys(2), &shop, &text).is_none());
        let made_up = format!("{PREFIX}{}", BASE64.encode([7; 50]));
        for bad in ["", PREFIX, &text[1..], &text[..40], &format!("{text}A"), &made_up] {
            assert!(ProviderToken::read(&keys(1), &shop, bad).is_none(), "{bad}");
        }
    }
}
