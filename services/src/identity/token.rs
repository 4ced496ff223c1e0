//! Access tokens: JSON Web Tokens (RFC 7519) in the profile for access tokens (RFC 9068), signed with Ed25519 (RFC 8037).
//!
//! Ed25519 and not ES256: checking costs the same (36 µs against 39 µs, signing 10 µs against 13 µs, in one run of aws-lc), and
//! its signatures need no random number whose quality the key would depend on.
//!
//! We read only what we wrote. The header segment must be, byte for byte, the one that a key of ours writes, so a header
//! that a stranger made is never parsed: `none`, another algorithm, an unknown `kid`, `crit`, `jwk` and `x5u` all end in the
//! same comparison. The signature is checked before the payload is decoded, so no stranger's JSON is parsed either.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use yunzhan_base::{Error, Kind, Result, Secret};

use crate::crypto::{random, sha256};

/// The longest access token in bytes. Ours have about 500; roles are bounded so that they stay below this.
pub(crate) const ACCESS_TOKEN_BYTES_MAX: usize = 4096;

/// How far the clocks of two replicas may differ, in seconds: a token may seem to come from that far in the future.
/// Its end is not stretched, since clients renew their tokens before they end.
pub(super) const CLOCK_SKEW_S_MAX: i64 = 60;

/// Bytes of an Ed25519 seed, and of a public key.
pub(crate) const KEY_BYTES: usize = 32;

/// What an access token says. Fields are only ever added: replicas of two versions read each other's tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// Issuer: the configured name of this installation.
    pub(crate) iss: String,
    /// Audience: the environment.
    pub(crate) aud: String,
    /// Subject: the uid.
    pub(crate) sub: String,
    /// Session.
    pub(crate) sid: String,
    /// Name of this token; makes two tokens of one second differ.
    pub(crate) jti: String,
    /// Issued at, in seconds since 1970; the token is not valid before.
    pub(crate) iat: i64,
    /// Not valid from then on, in seconds since 1970.
    pub(crate) exp: i64,
    /// WeChat's id of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) openid: Option<String>,
    /// What the person may do beyond owning their own documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<String>,
    /// Whether nobody knows who this is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) anonymous: bool,
}

/// One key. Its private half is there only while it signs.
pub(crate) struct SigningKey {
    /// Thumbprint of the public key (RFC 7638).
    pub(crate) kid: String,
    /// The public half.
    pub(crate) public: [u8; KEY_BYTES],
    /// From when on it signs, in milliseconds since 1970. It verifies as soon as it is known.
    pub(crate) signs_from_ms: i64,
    header: String,
    verifier: ParsedPublicKey,
    signer: Option<Ed25519KeyPair>,
}

/// The keys of this server, oldest first; never empty.
pub(crate) struct KeyRing {
    keys: Vec<SigningKey>,
    /// The public halves as a JSON Web Key Set, written once: every server that verifies our tokens asks for it.
    key_set: Bytes,
}

#[derive(Serialize)]
struct KeySet<'a> {
    keys: Vec<Jwk<'a>>,
}

/// One member of a JSON Web Key Set (RFC 7517, RFC 8037).
#[derive(Debug, Serialize)]
struct Jwk<'a> {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    r#use: &'static str,
    kid: &'a str,
    x: String,
}

// === impl Claims ===

impl Claims {
    /// Holds the claims against the installation's name, the time, and the lifetime that is configured now: shortening it
    /// shortens the tokens that are out already.
    fn check(mut self, issuer: &str, lifetime_s: i64, now_s: i64) -> Result<Self> {
        self.exp = self.exp.min(self.iat.saturating_add(lifetime_s));
        if self.iss != issuer {
            return Err(invalid("it was issued by another installation"));
        }
        if self.iat > now_s.saturating_add(CLOCK_SKEW_S_MAX) {
            return Err(invalid("it was issued in the future; check the servers' clocks"));
        }
        if self.exp <= now_s {
            return Err(expired());
        }
        Ok(self)
    }
}

// === impl SigningKey ===

impl SigningKey {
    /// Draws a new seed.
    pub(crate) fn generate_seed() -> Result<Secret> {
        Ok(Secret::new(random::<KEY_BYTES>()?))
    }

    /// A key that signs.
    pub(crate) fn from_seed(seed: &Secret, signs_from_ms: i64) -> Result<Self> {
        let broken = |_| Error::internal("a signing key's seed has not 32 bytes");
        let signer = Ed25519KeyPair::from_seed_unchecked(seed.expose()).map_err(broken)?;
        let public = signer.public_key().as_ref().try_into().expect("Ed25519 keys have 32 bytes");
        Ok(Self { signer: Some(signer), ..Self::from_public(public, signs_from_ms)? })
    }

    /// A key that only verifies.
    pub(crate) fn from_public(public: [u8; KEY_BYTES], signs_from_ms: i64) -> Result<Self> {
        let verifier = ParsedPublicKey::new(&ED25519, public)
            .map_err(|_| Error::internal("a stored public key is not an Ed25519 key"))?;
        let kid = thumbprint(&public);
        let header = format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"at+jwt"}}"#);
        let header = BASE64.encode(header);
        Ok(Self { kid, public, signs_from_ms, header, verifier, signer: None })
    }

    fn sign(&self, claims: &Claims) -> Option<String> {
        let payload = serde_json::to_vec(claims).expect("claims are plain data");
        let mut token = format!("{}.{}", self.header, BASE64.encode(payload));
        let signature = self.signer.as_ref()?.sign(token.as_bytes());
        token.push('.');
        BASE64.encode_string(signature, &mut token);
        Some(token)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

// === impl KeyRing ===

impl KeyRing {
    /// These keys, which need not be in order.
    pub(crate) fn new(mut keys: Vec<SigningKey>) -> Self {
        keys.sort_by_key(|key| key.signs_from_ms);
        let key_set = KeySet { keys: keys.iter().map(Jwk::of).collect() };
        let key_set = serde_json::to_vec(&key_set);
        Self { key_set: key_set.expect("keys are plain data").into(), keys }
    }

    /// The newest key whose time has come, or the first one.
    pub(crate) fn signer(&self, now_ms: i64) -> Option<&SigningKey> {
        let due = self.keys.iter().rev().find(|key| key.signs_from_ms <= now_ms);
        due.or(self.keys.first())
    }

    /// Signs claims with the key of this moment.
    pub(crate) fn sign(&self, claims: &Claims, now_ms: i64) -> Result<String> {
        let signed = self.signer(now_ms).and_then(|key| key.sign(claims));
        let token = signed.ok_or_else(|| Error::internal("no signing key has its private half"))?;
        debug_assert!(token.len() <= ACCESS_TOKEN_BYTES_MAX, "roles and openid are bounded");
        Ok(token)
    }

    /// The claims of a token that we signed and that is valid now. Errors: `TokenExpired`, else `Unauthenticated`.
    pub(crate) fn read(
        &self,
        token: &str,
        issuer: &str,
        lifetime_s: i64,
        now_s: i64,
    ) -> Result<Claims> {
        self.read_signed(token)?.check(issuer, lifetime_s, now_s)
    }

    /// The claims of a token that we signed, whenever that was.
    pub(crate) fn read_signed(&self, token: &str) -> Result<Claims> {
        let parts = split(token).ok_or_else(|| invalid("it is not a token of this server"))?;
        let key = self.keys.iter().find(|key| key.header == parts.header);
        let key = key.ok_or_else(|| invalid("no key of this server wrote its header"))?;
        let signature =
            decode::<64>(parts.signature).ok_or_else(|| invalid("its signature is malformed"))?;
        key.verifier
            .verify_sig(parts.signed.as_bytes(), &signature)
            .map_err(|_| invalid("its signature does not match"))?;
        let payload =
            BASE64.decode(parts.payload).map_err(|_| invalid("its payload is malformed"))?;
        serde_json::from_slice(&payload)
            .map_err(|error| invalid("its payload is of another version").because(error))
    }

    /// Every public key as a JSON Web Key Set, for those who verify our tokens themselves.
    pub(crate) fn key_set(&self) -> Bytes {
        self.key_set.clone()
    }

    /// The keys, oldest first.
    pub(crate) fn keys(&self) -> &[SigningKey] {
        &self.keys
    }
}

// === impl Jwk ===

impl<'k> Jwk<'k> {
    fn of(key: &'k SigningKey) -> Self {
        Self {
            kty: "OKP",
            crv: "Ed25519",
            alg: "EdDSA",
            r#use: "sig",
            kid: &key.kid,
            x: BASE64.encode(key.public),
        }
    }
}

struct Parts<'t> {
    header: &'t str,
    payload: &'t str,
    signature: &'t str,
    /// Header, dot and payload: what the signature covers.
    signed: &'t str,
}

/// Three non-empty segments and two dots, within the bound.
fn split(token: &str) -> Option<Parts<'_>> {
    if token.len() > ACCESS_TOKEN_BYTES_MAX {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let whole = ![header, payload, signature].iter().any(|part| part.is_empty());
    (whole && !payload.contains('.')).then_some(Parts { header, payload, signature, signed })
}

/// Strict base64url without padding, of exactly `N` bytes.
fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

fn thumbprint(public: &[u8; KEY_BYTES]) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, BASE64.encode(public));
    BASE64.encode(sha256(members.as_bytes()))
}

/// The refusal of a token that was good once.
pub(crate) fn expired() -> Error {
    Error::new(Kind::TokenExpired, "the access token has expired; renew it with the refresh token")
}

fn invalid(why: &'static str) -> Error {
    Error::new(Kind::Unauthenticated, "the access token is not valid; log in again")
        .with_detail(why)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;
