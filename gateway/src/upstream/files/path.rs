//! What a path may name: no hidden file, and nothing that two readers could take for different files.

use std::borrow::Cow;

use yunzhan_base::{Result, call};

use super::missing;

/// The page of a folder.
const INDEX: &str = "index.html";

/// Where sites show who they are: certificates, app links (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// A path below the root, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilePath {
    /// Segments between slashes, the first of them without one; empty for the root.
    relative: String,
    /// Whether it ends with a slash, as a folder's does.
    is_folder: bool,
}

impl FilePath {
    /// Reads a path as it was sent. Hidden files are not there, `..` leads nowhere, and a slash that was escaped is none.
    pub(super) fn read(raw: &str) -> Result<Self> {
        let mut relative = String::with_capacity(raw.len());
        // Slashes in a row count as one, as everywhere on a disk.
        for segment in raw.split('/').filter(|segment| !segment.is_empty()) {
            let segment = call::decode(segment, false)?;
            let is_well_known = relative.is_empty() && segment == WELL_KNOWN;
            if segment.contains(['/', '\\']) || (segment.starts_with('.') && !is_well_known) {
                return Err(missing());
            }
            if !relative.is_empty() {
                relative.push('/');
            }
            relative.push_str(&segment);
        }
        let is_folder = relative.is_empty() || raw.ends_with('/');
        Ok(Self { relative, is_folder })
    }

    /// Whether a folder is meant.
    pub(super) fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// The file that is meant: of a folder, its page.
    pub(super) fn file(&self) -> Cow<'_, str> {
        if self.is_folder { Cow::Owned(self.index()) } else { Cow::Borrowed(&self.relative) }
    }

    /// The page of the folder that this would be.
    pub(super) fn index(&self) -> String {
        if self.relative.is_empty() {
            INDEX.to_owned()
        } else {
            format!("{}/{INDEX}", self.relative)
        }
    }

    /// Its last segment as an address spells it (RFC 3986 section 3.3).
    pub(super) fn last_escaped(&self) -> String {
        let last = self.relative.rsplit('/').next().unwrap_or_default();
        let mut escaped = String::with_capacity(last.len());
        for byte in last.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
                escaped.push(char::from(byte));
            } else {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        }
        escaped
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_file() {
        for (raw, file) in [
            ("/", "index.html"),
            ("", "index.html"),
            ("//", "index.html"),
            ("/a.js", "a.js"),
            ("//a//b.js", "a/b.js"),
            ("/a/", "a/index.html"),
            ("/a/b%20%E4%BA%91.txt", "a/b 云.txt"),
            ("/a+b", "a+b"),
            ("/%2561", "%61"),
            ("/.well-known/assetlinks.json", ".well-known/assetlinks.json"),
            ("/%2ewell-known/a", ".well-known/a"),
            ("/a..b/c.", "a..b/c."),
        ] {
            assert_eq!(FilePath::read(raw).unwrap().file(), file, "{raw}");
        }
    }

    #[test]
    fn hidden_files_and_other_ways_are_not_there() {
        for raw in [
            "/.env",
            "/.git/config",
            "/a/.git/config",
            "/.well-known/.env",
            "/a/.well-known/b",
            "/.well-known2",
            "/../a",
            "/a/../../b",
            "/a/..",
            "/%2e%2e/a",
            "/.%2e/a",
            "/./a",
            "/a%2fb",
            "/a%2F..%2Fb",
            "/..%5cb",
            "/a%5Cb",
            "/a\\b",
        ] {
            assert_eq!(
                FilePath::read(raw).unwrap_err().kind(),
                yunzhan_base::Kind::NotFound,
                "{raw}"
            );
        }
        for raw in ["/a%00.html", "/%", "/%f", "/%zz", "/%ff"] {
            assert_eq!(
                FilePath::read(raw).unwrap_err().kind(),
                yunzhan_base::Kind::Malformed,
                "{raw}"
            );
        }
    }
}
