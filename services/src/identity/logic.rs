//! Pure decisions: who a login is, how long things live, and what a refresh token that was presented means.

use std::time::Duration;

use yunzhan_base::{EnvId, Error, Kind, Result};
use yunzhan_engine::sql::SLOTS;

use crate::crypto::{equal, sha256};

/// A provider token joins the two halves of a login that follow each other at once.
pub(crate) const PROVIDER_TOKEN_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// A session ends when it was not used for so long.
pub(crate) const SESSION_IDLE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// A session ends after so long however often it was used; a mini-program then logs in again without a question.
pub(crate) const SESSION_AGE_MAX: Duration = Duration::from_secs(90 * 24 * 3600);

/// Sessions that one person may have at once: more devices than anybody has, and few enough to end them together. Another
/// login ends the one that was not renewed for longest.
pub(crate) const SESSIONS_MAX: usize = 50;

/// The longest openid in bytes; WeChat's have 28.
pub(crate) const OPENID_BYTES_MAX: usize = 128;

/// The longest name of a development login in characters; at four bytes each its openid is within the bound above.
const DEVELOPMENT_NAME_CHARS_MAX: usize = 24;

/// What stands before the name of a development login, so that nobody takes it for an openid of WeChat's.
pub(crate) const DEVELOPMENT_PREFIX: &str = "dev-";

/// What the store knows of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// Whose it is.
    pub(crate) uid: String,
    /// WeChat's id of the person.
    pub(crate) openid: Option<String>,
    /// SHA-256 of the present refresh token.
    pub(crate) current: Vec<u8>,
    /// SHA-256 of the one before.
    pub(crate) previous: Vec<u8>,
    /// Of the last rotation.
    pub(crate) salt: Vec<u8>,
    /// When the last rotation was, in milliseconds since 1970.
    pub(crate) rotated_ms: i64,
    /// When the session ends unless it is used, in milliseconds since 1970.
    pub(crate) idle_until_ms: i64,
    /// When it ends in any case, in milliseconds since 1970.
    pub(crate) ends_ms: i64,
    /// When it was ended on purpose; 0 while it lives.
    pub(crate) revoked_ms: i64,
}

/// What to do with a genuine refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refresh {
    /// It is the present one: rotate.
    Rotate,
    /// It is the one just before: answer what was answered then.
    Repeat,
    /// It was replaced long ago: somebody has a copy. End the session.
    Theft,
    /// The session is over.
    Over,
}

/// What a genuine token of this session, presented now, means.
pub(crate) fn judge(
    session: &Session,
    presented: &[u8; 32],
    grace: Duration,
    now_ms: i64,
) -> Refresh {
    let over =
        session.revoked_ms != 0 || now_ms >= session.idle_until_ms || now_ms >= session.ends_ms;
    if over {
        Refresh::Over
    } else if equal(&session.current, presented) {
        Refresh::Rotate
    } else if equal(&session.previous, presented) && now_ms < session.rotated_ms + millis(grace) {
        Refresh::Repeat
    } else {
        Refresh::Theft
    }
}

/// Our id of a person: the same for the same openid in the same environment, on every replica and after every restore,
/// so that two first logins at once need no lock. 128 bits of SHA-256 in hexadecimal.
pub(crate) fn uid(env: &EnvId, openid: &str) -> String {
    let hash = sha256(format!("yunzhan uid 1\0{env}\0{openid}").as_bytes());
    hex::encode(&hash[..16])
}

/// The slot of a person's rows.
pub(crate) fn slot(uid: &str) -> u16 {
    let hash = sha256(uid.as_bytes());
    u16::from_be_bytes([hash[0], hash[1]]) % SLOTS
}

/// The openid of a development login under this name: whatever a person would write in a field for names.
pub(crate) fn development_openid(name: &str) -> Result<String> {
    let fits = (1..=DEVELOPMENT_NAME_CHARS_MAX).contains(&name.chars().count());
    if fits && !name.contains(char::is_control) && name.trim() == name {
        return Ok(format!("{DEVELOPMENT_PREFIX}{name}"));
    }
    Err(Error::new(
        Kind::InvalidParameter,
        "the name of a development login has 1 to 24 characters, and no blanks around it",
    ))
}

/// A role's name: lower-case letters, digits, `-` and `_`, at most 32, beginning with a letter.
pub(crate) fn check_role(role: &str) -> Result<()> {
    let starts_well = role.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if starts_well && role.len() <= 32 && role.bytes().all(plain) {
        return Ok(());
    }
    Err(Error::new(
        Kind::InvalidParameter,
        "a role has 1 to 32 of a-z, 0-9, '-' and '_', and begins with a letter",
    ))
}

/// Escapes everything that is not unreserved (RFC 3986, 2.3).
pub(crate) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A duration as the clock counts.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn session() -> Session {
        Session {
            uid: "u".into(),
            openid: None,
            current: vec![2; 32],
            previous: vec![1; 32],
            salt: Vec::new(),
            rotated_ms: 1_000_000,
            idle_until_ms: 9_000_000,
            ends_ms: 10_000_000,
            revoked_ms: 0,
        }
    }

    #[test]
    fn what_a_refresh_token_means() {
        let check = |presented: u8, now_ms: i64, session: &Session| {
            judge(session, &[presented; 32], Duration::from_secs(60), now_ms)
        };
        let alive = session();
        assert_eq!(check(2, 1_000_000, &alive), Refresh::Rotate);
        assert_eq!(check(2, 8_999_999, &alive), Refresh::Rotate);
        assert_eq!(check(1, 1_000_001, &alive), Refresh::Repeat);
        assert_eq!(check(1, 1_059_999, &alive), Refresh::Repeat);
        assert_eq!(check(1, 1_060_000, &alive), Refresh::Theft);
        assert_eq!(check(0, 1_000_001, &alive), Refresh::Theft);
        assert_eq!(check(2, 9_000_000, &alive), Refresh::Over);
        let revoked = Session { revoked_ms: 1, ..session() };
        assert_eq!(check(2, 1_000_001, &revoked), Refresh::Over);
        let aged = Session { idle_until_ms: i64::MAX, ..session() };
        assert_eq!(check(2, 10_000_000, &aged), Refresh::Over);
        let strict = judge(&alive, &[1; 32], Duration::ZERO, 1_000_000);
        assert_eq!(strict, Refresh::Theft);
        let fresh = Session { previous: Vec::new(), ..session() };
        assert_eq!(check(1, 1_000_001, &fresh), Refresh::Theft);
    }

    #[test]
    fn a_uid_is_stable_and_differs_by_environment() {
        let (shop, other) = ("shop".parse().unwrap(), "other".parse().unwrap());
        // Stored in documents for ever: this text may never change.
        assert_eq!(uid(&shop, "oABC"), "1e477d14e73a948d86f7a51e978ec9f3");
        assert_ne!(uid(&shop, "oABC"), uid(&other, "oABC"));
    }

    #[test]
    fn what_stands_in_an_address_is_escaped() {
        assert_eq!(percent_encode("a&secret=b/云~"), "a%26secret%3Db%2F%E4%BA%91~");
    }

    #[test]
    fn a_development_login_takes_the_names_that_people_write() {
        assert_eq!(development_openid("alice").unwrap(), "dev-alice");
        assert_eq!(development_openid("小明").unwrap(), "dev-小明");
        assert!(development_openid(&"𠮷".repeat(24)).unwrap().len() <= OPENID_BYTES_MAX);
        for bad in ["", " a", "a\n", "a\0b", &"a".repeat(25)] {
            assert!(development_openid(bad).is_err(), "{bad}");
        }
    }
}
