//! Files that include files.

use super::ast::{Directive, Problem, SourceSpan};
use super::file::{Include, Reading};
use super::{FILES_MAX, INCLUDE_DEPTH_MAX, LOAD_BYTES_MAX};

/// Where rules come from. Paths have `/` between folder and file.
pub trait Sources {
    /// The names of the files in a folder, in any order. The folder is empty for the one in which relative names begin.
    ///
    /// # Errors
    /// A sentence that says why the folder cannot be read.
    fn list(&self, folder: &str) -> Result<Vec<String>, String>;

    /// The bytes of a file.
    ///
    /// # Errors
    /// A sentence that says why the file cannot be read.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
}

/// The directives of a file and of all that it includes, in order. Relative names begin in the folder of the file that
/// includes. `*` and `?` in the last part of a path stand for names, which are taken in the order of their bytes.
///
/// # Errors
/// All mistakes, in the order in which the text is read, those between directives last.
pub fn load(root: &str, files: &dyn Sources) -> Result<Vec<Directive>, Vec<Problem>> {
    let mut reading = Reading::default();
    let place = SourceSpan { file: root.into(), line: 1 };
    let mut load = Load { files, open: Vec::new(), files_read: 0, bytes_read: 0 };
    load.file(&mut reading, &place, root);
    reading.finish(true)
}

struct Load<'a> {
    files: &'a dyn Sources,
    /// Files that are being read: each includes the next.
    open: Vec<String>,
    files_read: usize,
    bytes_read: usize,
}

impl Load<'_> {
    /// Reads a file that is wanted at a place.
    fn file(&mut self, reading: &mut Reading, place: &SourceSpan, path: &str) {
        if let Err(problem) = self.try_file(reading, path) {
            reading.report(place.clone(), None, problem);
        }
    }

    fn try_file(&mut self, reading: &mut Reading, path: &str) -> Result<(), String> {
        if reading.is_ended() {
            return Ok(());
        }
        if self.open.iter().any(|open| open == path) {
            return Err(format!("`{path}` includes itself"));
        }
        if self.open.len() == INCLUDE_DEPTH_MAX {
            return Err(format!("files include files more than {INCLUDE_DEPTH_MAX} deep"));
        }
        if self.files_read == FILES_MAX {
            return Err(format!("more than {FILES_MAX} files"));
        }
        let text = self.files.read(path)?;
        self.files_read += 1;
        self.bytes_read += text.len();
        if self.bytes_read > LOAD_BYTES_MAX {
            return Err(format!("the files have more than {LOAD_BYTES_MAX} bytes"));
        }
        self.open.push(path.to_owned());
        reading.file(
            path,
            &text,
            &mut |reading, place, include| match self.expand(path, &include) {
                Ok(paths) => paths.iter().for_each(|path| self.file(reading, &place, path)),
                Err(problem) => reading.report(place, None, problem),
            },
        );
        self.open.pop();
        Ok(())
    }

    /// The files that an `Include` means.
    fn expand(&self, including: &str, include: &Include) -> Result<Vec<String>, String> {
        let pattern = beside(including, &include.pattern);
        let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", &pattern));
        let folder = if folder.is_empty() && pattern.starts_with('/') { "/" } else { folder };
        if folder.contains(['*', '?']) {
            return Err(format!("`{pattern}`: a folder's name has `*` or `?`"));
        }
        if !name.contains(['*', '?']) {
            let is_there = !include.is_optional
                || self
                    .files
                    .list(folder)
                    .is_ok_and(|names| names.iter().any(|known| known == name));
            return Ok(if is_there { vec![pattern] } else { Vec::new() });
        }
        let mut names = match self.files.list(folder) {
            Err(_) if include.is_optional => Vec::new(),
            names => names?,
        };
        names.retain(|known| matches(name.as_bytes(), known.as_bytes()));
        if names.is_empty() && !include.is_optional {
            return Err(format!("`{pattern}` matches no file; IncludeOptional may"));
        }
        names.sort();
        let prefix = &pattern[..pattern.len() - name.len()];
        Ok(names.iter().map(|name| format!("{prefix}{name}")).collect())
    }
}

/// A path as it is meant in a file.
fn beside(including: &str, path: &str) -> String {
    match including.rsplit_once('/') {
        Some((folder, _)) if !path.starts_with('/') => format!("{folder}/{path}"),
        _ => path.to_owned(),
    }
}

/// Whether a name matches a pattern with `*` and `?`. Only the last `*` is ever tried again, so that the work is bounded
/// by the product of both lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while place < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, place));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[place] => {
                at += 1;
                place += 1;
            }
            _ => match &mut star {
                Some((after, from)) => {
                    *from += 1;
                    (at, place) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}
