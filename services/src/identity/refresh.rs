//! Refresh tokens: opaque, 256 secret bits, rotated at each use; one family per session.
//!
//! A token is `session (16 bytes) | secret (32) | tag (16)`. Only its SHA-256 is stored. The tag is a keyed hash by which we
//! know our own tokens without looking anything up: garbage costs no read, and a genuine token that is no longer the
//! session's is proof of reuse, however old it is, although a session keeps no history.
//!
//! The successor of a token is *derived* from it, from a salt drawn at the rotation, and from a key of ours. So a phone
//! that lost the answer, or that refreshed twice at once, gets the same successor again, and its copies never diverge. Whoever
//! reads the database can derive nothing: it holds neither a token nor the key.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use yunzhan_base::{EnvId, Result, Secret};
use yunzhan_engine::sql::SLOTS;

use crate::crypto::{equal, random, sha256};

/// Says what the text is, to people and to scanners that look for leaked secrets; and which format.
const PREFIX: &str = "yzr1_";

/// Bytes of a session's id: two for the slot, 112 random bits that make it unique.
pub(crate) const SESSION_BYTES: usize = 16;
/// Bytes of the secret: 256 bits.
const SECRET_BYTES: usize = 32;
/// Bytes of the tag: guessing one of 2^128 is hopeless.
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes of the salt of a rotation.
pub(crate) const SALT_BYTES: usize = 16;
/// Bytes of the key from which the two working keys are made.
pub(crate) const ROOT_KEY_BYTES: usize = 32;

/// Makes and recognises refresh tokens, and recognises provider tokens.
pub(crate) struct RefreshKeys {
    tag: hmac::Key,
    successor: hmac::Key,
    provider: hmac::Key,
}

/// A token of ours, as presented or as issued.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RefreshToken {
    session: [u8; SESSION_BYTES],
    secret: [u8; SECRET_BYTES],
    tag: [u8; TAG_BYTES],
}

// === impl RefreshKeys ===

impl RefreshKeys {
    /// The working keys of a root key.
    pub(crate) fn new(root: &Secret) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, root.expose());
        let derive = |label: &str| {
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, label.as_bytes()).as_ref())
        };
        Self {
            tag: derive("refresh token tag 1"),
            successor: derive("refresh token successor 1"),
            provider: derive("provider token tag 1"),
        }
    }

    /// By what a provider token of this environment is known without looking it up.
    pub(crate) fn provider_tag(&self, env: &EnvId, token: &[u8]) -> [u8; TAG_BYTES] {
        let mut context = hmac::Context::with_key(&self.provider);
        // The token has a fixed length, so that two pairs never read alike.
        context.update(env.as_str().as_bytes());
        context.update(token);
        context.sign().as_ref()[..TAG_BYTES].try_into().expect("half of SHA-256")
    }

    /// The first token of a new session, whose id is drawn with it and carries the slot of its rows.
    pub(crate) fn first(&self, env: &EnvId, slot: u16) -> Result<RefreshToken> {
        let mut session: [u8; SESSION_BYTES] = random()?;
        session[..2].copy_from_slice(&slot.to_be_bytes());
        Ok(self.seal(env, session, random()?))
    }

    /// The token that follows `token` in the rotation with this salt.
    pub(crate) fn successor(&self, env: &EnvId, token: &RefreshToken, salt: &[u8]) -> RefreshToken {
        let mut context = hmac::Context::with_key(&self.successor);
        context.update(&token.session);
        context.update(&token.secret);
        context.update(salt);
        let secret = context.sign().as_ref().try_into().expect("SHA-256 has 32 bytes");
        self.seal(env, token.session, secret)
    }

    /// Reads a presented token; `None` for everything that this server never issued in this environment.
    pub(crate) fn read(&self, env: &EnvId, text: &str) -> Option<RefreshToken> {
        let mut bytes = [0; SESSION_BYTES + SECRET_BYTES + TAG_BYTES];
        let length = BASE64.decode_slice(text.strip_prefix(PREFIX)?, &mut bytes).ok()?;
        if length != bytes.len() {
            return None;
        }
        let (session, rest) = bytes.split_first_chunk::<SESSION_BYTES>()?;
        let (secret, tag) = rest.split_first_chunk::<SECRET_BYTES>()?;
        let token = self.seal(env, *session, *secret);
        equal(&token.tag, tag).then_some(token)
    }

    fn seal(
        &self,
        env: &EnvId,
        session: [u8; SESSION_BYTES],
        secret: [u8; SECRET_BYTES],
    ) -> RefreshToken {
        let mut context = hmac::Context::with_key(&self.tag);
        // The parts after the name have fixed lengths, so two triples never read alike.
        context.update(env.as_str().as_bytes());
        context.update(&session);
        context.update(&secret);
        let tag = context.sign().as_ref()[..TAG_BYTES].try_into().expect("half of SHA-256");
        RefreshToken { session, secret, tag }
    }
}

impl std::fmt::Debug for RefreshKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshKeys")
    }
}

// === impl RefreshToken ===

impl RefreshToken {
    /// The text that the client keeps.
    pub(crate) fn text(&self) -> String {
        let mut text = PREFIX.to_owned();
        BASE64.encode_string(self.bytes(), &mut text);
        text
    }

    /// What is stored.
    pub(crate) fn hash(&self) -> [u8; 32] {
        sha256(&self.bytes())
    }

    /// The session whose family it belongs to.
    pub(crate) fn session(&self) -> String {
        BASE64.encode(self.session)
    }

    /// The slot of the session's rows.
    pub(crate) fn slot(&self) -> u16 {
        slot(&self.session)
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.session[..], &self.secret, &self.tag].concat()
    }
}

/// The slot of the rows of the session with this id.
pub(crate) fn slot_of_session(session: &str) -> Option<u16> {
    let mut bytes = [0; SESSION_BYTES];
    let length = BASE64.decode_slice(session, &mut bytes).ok()?;
    (length == SESSION_BYTES).then(|| slot(&bytes))
}

fn slot(session: &[u8; SESSION_BYTES]) -> u16 {
    u16::from_be_bytes([session[0], session[1]]) % SLOTS
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RefreshToken(session {})", self.session())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn keys(root: u8) -> RefreshKeys {
        RefreshKeys::new(&Secret::new([root; ROOT_KEY_BYTES]))
    }

    #[test]
    fn a_token_is_known_by_the_server_and_environment_that_issued_it() {
        let (shop, other) = ("shop".parse().unwrap(), "other".parse().unwrap());
        let token = keys(1).first(&shop, 3).unwrap();
        assert_eq!(keys(1).read(&shop, &token.text()).unwrap(), token);
        assert_eq!(keys(1).read(&other, &token.text()), None);
        assert_eq!(keys(2).read(&shop, &token.text()), None);
    }

    #[test]
    fn a_changed_or_cut_token_is_nobodys() {
        let env = "shop".parse().unwrap();
        let text = keys(1).first(&env, 1023).unwrap().text();
        for position in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            assert_eq!(
                keys(1).read(&env, &String::from_utf8(changed).unwrap()),
                None,
                "{position}"
            );
            assert_eq!(keys(1).read(&env, &text[..position]), None, "{position}");
        }
        assert_eq!(keys(1).read(&env, &format!("{text}A")), None);
        assert_eq!(keys(1).read(&env, ""), None);
    }

    #[test]
    fn the_successor_is_the_same_for_the_same_rotation_only() {
        let env = "shop".parse().unwrap();
        let first = keys(1).first(&env, 1023).unwrap();
        let second = keys(1).successor(&env, &first, &[7; SALT_BYTES]);
        assert_eq!(second, keys(1).successor(&env, &first, &[7; SALT_BYTES]));
        assert_eq!(second.session(), first.session());
        assert_eq!(slot_of_session(&second.session()), Some(1023));
        assert_eq!(keys(1).read(&env, &second.text()).unwrap(), second);
        assert_ne!(second.hash(), first.hash());
        assert_ne!(second, keys(1).successor(&env, &first, &[8; SALT_BYTES]));
    }
}
