//! The key that seals every stored secret: given by the operator, or made at the first start.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;

use aws_lc_rs::hmac;
use yunzhan_base::{DataDir, Error, Kind, Result, Secret};

use super::{Warning, failed, whole_file};

/// AES-256.
pub(crate) const MASTER_KEY_BYTES: usize = 32;

/// Names the purpose of the key's check value: no other value that is made of the key can equal it.
const CHECK_PURPOSE: &[u8] = b"yunzhan master key check 1";

/// Bytes of the check value that are kept: enough to tell keys apart.
const CHECK_BYTES: usize = 8;

/// The key, and what to tell the operator about it.
pub(super) fn open(
    dir: &DataDir,
    given: Option<&Secret>,
    is_new: bool,
) -> Result<([u8; MASTER_KEY_BYTES], Option<Warning>)> {
    match look(dir, given, is_new)? {
        Some(key) => Ok((key, given.map_or_else(|| readable_by_others(dir), |_| None))),
        None => make(dir),
    }
}

/// The key that is there; none when the first start will make one. Refuses a key with which the folder's secrets were not
/// sealed.
pub(super) fn look(
    dir: &DataDir,
    given: Option<&Secret>,
    is_new: bool,
) -> Result<Option<[u8; MASTER_KEY_BYTES]>> {
    let key = match given {
        Some(given) => parse(given)?,
        None => match read(dir, is_new)? {
            Some(key) => key,
            None => return Ok(None),
        },
    };
    match fs::read_to_string(dir.master_key_check()) {
        Ok(kept) if kept.trim_end() != check_value(&key) => Err(wrong(dir, given.is_some())),
        // Absent until the first start has used the key; what else may be wrong with it hides no mistake of the key.
        _ => Ok(Some(key)),
    }
}

/// Remembers which key sealed the secrets of this folder, once it has opened them all.
pub(super) fn keep_check(dir: &DataDir, key: &[u8; MASTER_KEY_BYTES]) -> Result<()> {
    let (path, value) = (dir.master_key_check(), check_value(key));
    if fs::read_to_string(&path).is_ok_and(|kept| kept.trim_end() == value) {
        return Ok(());
    }
    whole_file::write(&path, format!("{value}\n").as_bytes())
}

fn check_value(key: &[u8; MASTER_KEY_BYTES]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, CHECK_PURPOSE);
    tag.as_ref().iter().take(CHECK_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

fn wrong(dir: &DataDir, is_given: bool) -> Error {
    let at = if is_given { "server.master_key".into() } else { dir.master_key().display().to_string() };
    let (root, check) = (dir.root().display(), dir.master_key_check());
    let message = format!(
        "the master key of {at} is not the one that sealed the secrets of {root}: put that one back, or restore the folder from a backup (the key's check value is in {})",
        check.display()
    );
    Error::new(Kind::InvalidParameter, message)
}

fn read(dir: &DataDir, is_new: bool) -> Result<Option<[u8; MASTER_KEY_BYTES]>> {
    let path = dir.master_key();
    match fs::read(&path) {
        Ok(text) => parse(&Secret::new(text)).map(Some).map_err(|error| {
            let message = format!("{}: {}", path.display(), error.message());
            Error::new(error.kind(), message)
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_new => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::new(
            Kind::InvalidParameter,
            format!(
                "the master key is gone: put {} back from your backup, or name the key with server.master_key_file; without it no stored secret can be opened",
                path.display()
            ),
        )),
        Err(error) => Err(failed("read", &path, error)),
    }
}

/// Reads 64 hexadecimal digits.
pub(crate) fn parse(text: &Secret) -> Result<[u8; MASTER_KEY_BYTES]> {
    let digits = text.expose().trim_ascii();
    let mut key = [0; MASTER_KEY_BYTES];
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pairs = digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
    let bytes: Option<Vec<u8>> = pairs.collect();
    match bytes {
        Some(bytes) if digits.len() == 2 * MASTER_KEY_BYTES => {
            key.copy_from_slice(&bytes);
            Ok(key)
        }
        _ => Err(Error::new(
            Kind::InvalidParameter,
            "the master key must be 64 hexadecimal digits, for example from: openssl rand -hex 32",
        )),
    }
}

fn make(dir: &DataDir) -> Result<([u8; MASTER_KEY_BYTES], Option<Warning>)> {
    let mut key = [0; MASTER_KEY_BYTES];
    getrandom::fill(&mut key)
        .map_err(|error| Error::internal(format!("no randomness: {error}")))?;
    let path = dir.master_key();
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    whole_file::write(&path, format!("{digits}\n").as_bytes())?;
    let text = format!(
        "made the master key {}; keep a copy elsewhere: without it no stored secret can be opened",
        path.display()
    );
    Ok((key, Some(Warning { name: "master_key_made", text })))
}

fn readable_by_others(dir: &DataDir) -> Option<Warning> {
    let path = dir.master_key();
    let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o777;
    let text = format!(
        "master key {} is readable by others (mode {mode:o}); run chmod 600",
        path.display()
    );
    (mode & 0o077 != 0).then_some(Warning { name: "master_key_open", text })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_is_64_hexadecimal_digits() {
        let good = format!("{}\n", "0f".repeat(32));
        assert_eq!(parse(&Secret::from(good.as_str())).unwrap(), [0x0f; 32]);
        for bad in ["", "0f", &"0g".repeat(32), &"0f".repeat(33), &"云".repeat(32)] {
            let refused = parse(&Secret::from(bad)).unwrap_err().to_string();
            assert!(!refused.contains("0g"), "a wrong key is not repeated");
        }
    }
}
