//! The rules that are built in, as text: a starter set, the profile of mini-programs, and what comes
//! before the OWASP Core Rule Set.
//!
//! They are compiled by whoever guards with them, like rules from a folder, and know no door that others lack.

use crate::seclang::Sources;

/// The folder by which files of rules include the ones that are built in: `Include /builtin/starter.conf`.
pub const FOLDER: &str = "/builtin";

/// The file that is the starter set; it includes the profile.
pub const ROOT: &str = "/builtin/starter.conf";

/// Name and text of each file.
static FILES: [(&str, &[u8]); 5] = [
    ("starter.conf", include_bytes!("../rules/starter.conf")),
    ("profile.conf", include_bytes!("../rules/profile.conf")),
    ("crs.conf", include_bytes!("../rules/crs.conf")),
    ("scanners.data", include_bytes!("../rules/scanners.data")),
    ("probes.data", include_bytes!("../rules/probes.data")),
];

/// What is built in, and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn;

impl Sources for BuiltIn {
    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        if folder != FOLDER {
            return Err(format!("cannot read {folder}: only {FOLDER} is built in"));
        }
        Ok(FILES.iter().map(|(name, _)| (*name).to_owned()).collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        file(path)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| format!("cannot read {path}: it is not built in"))
    }
}

/// Other sources, in which what is built in has a folder.
pub struct WithBuiltIn<'s>(pub &'s dyn Sources);

impl Sources for WithBuiltIn<'_> {
    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        if folder == FOLDER { BuiltIn.list(folder) } else { self.0.list(folder) }
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        if is_inside(path) { BuiltIn.read(path) } else { self.0.read(path) }
    }
}

fn is_inside(path: &str) -> bool {
    path.strip_prefix(FOLDER).is_some_and(|rest| rest.starts_with('/'))
}

fn file(path: &str) -> Option<&'static [u8]> {
    let name = path.strip_prefix(FOLDER)?.strip_prefix('/')?;
    FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::{BuiltIn, ROOT, WithBuiltIn};
    use crate::seclang::Sources;

    #[test]
    fn others_include_what_is_built_in() {
        let files = WithBuiltIn(&BuiltIn);
        assert!(files.read(ROOT).is_ok());
        assert!(files.list("/builtin").is_ok_and(|names| names.len() == 5));
        assert_eq!(
            files.read("/builtin/../etc/passwd"),
            Err("cannot read /builtin/../etc/passwd: it is not built in".into())
        );
        assert!(files.read("/builtins/starter.conf").is_err());
        assert!(files.read("starter.conf").is_err());
    }
}
