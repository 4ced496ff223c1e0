//! Provider tokens join the two halves of a login: 256 random bits, stored as their SHA-256, good once and for minutes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use yunzhan_base::Result;
use yunzhan_engine::sql::SLOTS;

use crate::crypto::{random, sha256};

/// Says what the text is, and which format.
const PREFIX: &str = "yzp1_";

/// Two bytes for the slot of the person's rows, so that one unit uses the token up and begins the session.
const SLOT_BYTES: usize = 2;

/// Random bytes.
const SECRET_BYTES: usize = 32;

/// A token, as issued or as presented.
pub(crate) struct ProviderToken([u8; SLOT_BYTES + SECRET_BYTES]);

impl ProviderToken {
    /// Draws a token.
    pub(crate) fn new(slot: u16) -> Result<Self> {
        let mut bytes: [u8; SLOT_BYTES + SECRET_BYTES] = random()?;
        bytes[..SLOT_BYTES].copy_from_slice(&slot.to_be_bytes());
        Ok(Self(bytes))
    }

    /// Reads a presented token; whether it was ever issued, the store knows.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut bytes = [0; SLOT_BYTES + SECRET_BYTES];
        let length = BASE64.decode_slice(text.strip_prefix(PREFIX)?, &mut bytes).ok()?;
        (length == bytes.len()).then_some(Self(bytes))
    }

    /// The text that the client sends back.
    pub(crate) fn text(&self) -> String {
        format!("{PREFIX}{}", BASE64.encode(self.0))
    }

    /// What is stored.
    pub(crate) fn hash(&self) -> [u8; 32] {
        sha256(&self.0)
    }

    /// The slot of the person's rows.
    pub(crate) fn slot(&self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]]) % SLOTS
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_whole_or_not_at_all() {
        let token = ProviderToken::new(1023).unwrap();
        let read = ProviderToken::read(&token.text()).unwrap();
        assert_eq!((read.hash(), read.slot()), (token.hash(), 1023));
        for bad in
            ["", "yzp1_", &token.text()[1..], &token.text()[..40], &format!("{}A", token.text())]
        {
            assert!(ProviderToken::read(bad).is_none(), "{bad}");
        }
    }
}
