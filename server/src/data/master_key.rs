//! The key that seals every stored secret: given by the operator, or made at the first start.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;

use yunzhan_base::{DataDir, Error, Kind, Result, Secret};

use super::{Warning, failed, whole_file};

/// AES-256.
pub(crate) const MASTER_KEY_BYTES: usize = 32;

/// The key, and what to tell the operator about it.
pub(super) fn open(
    dir: &DataDir,
    given: Option<&Secret>,
    is_new: bool,
) -> Result<([u8; MASTER_KEY_BYTES], Option<Warning>)> {
    if let Some(given) = given {
        return Ok((parse(given)?, None));
    }
    let path = dir.master_key();
    match fs::read(&path) {
        Ok(text) => Ok((parse(&Secret::new(text))?, readable_by_others(dir))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_new => make(dir),
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
