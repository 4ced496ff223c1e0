//! A configuration file with the variables that override it, and what was asked of it so far.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::problem::{Problem, Problems, Show, SourceSpan};
use super::reader::Reader;
use super::reference::Reference;
use super::settings::{Setting, Settings};
use super::suggest::nearest;
use super::tree::{self, Item, Span, Table};
use super::words::Words;
use crate::secret::Secret;

/// The largest configuration file in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// What variables of ours begin with.
pub(super) const VARIABLE_PREFIX: &str = "YUNZHAN_";

/// Variables of the test suite, which are nobody's mistake.
const VARIABLE_PREFIX_TEST: &str = "YUNZHAN_TEST_";

/// Environment variables by name.
pub type Variables = BTreeMap<String, String>;

type ReadFile = Box<dyn Fn(&Path) -> Result<Vec<u8>, String>>;

/// A configuration: the file's tree, the variables, and a record of what rooms asked for.
pub struct Document {
    file: String,
    text: String,
    pub(super) root: Table,
    pub(super) variables: Variables,
    read_file: ReadFile,
    /// Whether every named table and list pretends to have one element, so that all keys are asked for.
    pub(super) for_reference: bool,
    pub(super) record: RefCell<Record>,
}

/// What rooms asked for.
#[derive(Default)]
pub(super) struct Record {
    pub(super) problems: Vec<Problem>,
    pub(super) references: Vec<Reference>,
    pub(super) settings: BTreeMap<String, Setting>,
    /// Dotted names of keys whose values are never shown.
    pub(super) secrets: BTreeSet<String>,
    /// Keys by the path of their table.
    pub(super) known: BTreeMap<Vec<String>, BTreeSet<String>>,
    pub(super) known_variables: BTreeSet<String>,
}

impl Document {
    /// Parses the text. Syntax mistakes are kept for [`Document::finish`], and what could be read can be asked for.
    pub fn parse(file: &str, text: &str, variables: Variables) -> Self {
        let too_large = text.len() > DOCUMENT_BYTES_MAX;
        let text = if too_large { "" } else { text.strip_prefix('\u{feff}').unwrap_or(text) };
        let (root, errors) = tree::parse(text);
        let document = Self {
            file: file.to_owned(),
            text: text.to_owned(),
            root,
            variables,
            read_file: Box::new(|_| Err("no files can be read here".into())),
            for_reference: false,
            record: RefCell::default(),
        };
        if too_large {
            let message = format!("the file is larger than {DOCUMENT_BYTES_MAX} bytes");
            let zh = format!("文件大于 {DOCUMENT_BYTES_MAX} 字节");
            document.report("", SourceSpan::Whole, (message, zh).into(), Vec::new());
        }
        for (message, span) in errors {
            let place = span.map_or(SourceSpan::Whole, |span| document.place(&span, Show::Guess));
            let words =
                Words::new(format!("not TOML: {message}"), format!("不是合法的 TOML: {message}"));
            document.report("", place, words, Vec::new());
        }
        document
    }

    /// Lets `<key>_file` settings be read by this function, which knows the folder that relative paths start from.
    #[must_use]
    pub fn with_files(mut self, read: impl Fn(&Path) -> Result<Vec<u8>, String> + 'static) -> Self {
        self.read_file = Box::new(read);
        self
    }

    /// Every key that `read` asks for, also of tables that the operator names.
    pub fn reference(read: impl FnOnce(&mut Reader<'_>)) -> Vec<Reference> {
        let document = Self { for_reference: true, ..Self::parse("", "", Variables::default()) };
        read(&mut document.root());
        document.record.into_inner().references
    }

    /// Reads from the top.
    pub fn root(&self) -> Reader<'_> {
        Reader::root(self)
    }

    /// Ends the reading: refuses what nobody asked for, and hands over every mistake.
    pub fn finish(&self) -> Result<(), Problems> {
        self.refuse_unknown_keys(&self.root, &mut Vec::new());
        self.refuse_unknown_variables();
        let problems = std::mem::take(&mut self.record.borrow_mut().problems);
        if problems.is_empty() { Ok(()) } else { Err(Problems::sorted(&self.file, problems)) }
    }

    /// What was set and read, to compare with the next configuration.
    pub fn settings(&self) -> Settings {
        Settings {
            file: self.file.clone(),
            text: Some(Secret::from(self.text.as_str())),
            set: self.record.borrow().settings.clone(),
        }
    }

    pub(super) fn read_file(&self, path: &Path) -> Result<Vec<u8>, String> {
        (self.read_file)(path)
    }

    pub(super) fn place(&self, span: &Span, show: Show) -> SourceSpan {
        SourceSpan::of(&self.text, span, show)
    }

    pub(super) fn report(&self, key: &str, place: SourceSpan, message: Words, notes: Vec<Words>) {
        self.record.borrow_mut().problems.push(Problem {
            key: key.to_owned(),
            place,
            message,
            notes,
        });
    }

    fn refuse_unknown_keys(&self, table: &Table, path: &mut Vec<String>) {
        for (key, entry) in table {
            let is_known =
                self.record.borrow().known.get(path).is_some_and(|keys| keys.contains(key));
            path.push(key.clone());
            if is_known {
                self.refuse_unknown_below(&entry.node.item, path);
            } else {
                self.refuse_key(&entry.key, path);
            }
            path.pop();
        }
    }

    fn refuse_unknown_below(&self, item: &Item, path: &mut Vec<String>) {
        match item {
            Item::Table(table) => self.refuse_unknown_keys(table, path),
            Item::Array(nodes) => {
                for (index, node) in nodes.iter().enumerate() {
                    if let Item::Table(table) = &node.item {
                        path.push(index.to_string());
                        self.refuse_unknown_keys(table, path);
                        path.pop();
                    }
                }
            }
            _ => {}
        }
    }

    fn refuse_key(&self, span: &Span, path: &[String]) {
        let (key, table) = path.split_last().expect("an unknown key has a name");
        let suggestion = self.suggest_key(key, table);
        let notes = suggestion.map(|(en, zh)| Words::new(en, zh)).into_iter().collect();
        let message = Words::new(format!("unknown key {key:?}"), format!("未知的键 {key:?}"));
        // What a misspelt key holds may be a secret, so its value is not shown.
        self.report(&path.join("."), self.place(span, Show::KeyOnly), message, notes);
    }

    fn suggest_key(&self, key: &str, table: &[String]) -> Option<(String, String)> {
        let record = self.record.borrow();
        let here = record.known.get(table).into_iter().flatten();
        if let Some(name) = nearest(key, here.map(String::as_str)) {
            return Some((format!("did you mean {name:?}?"), format!("是否想写 {name:?}?")));
        }
        let (elsewhere, _) = record.known.iter().find(|(_, keys)| keys.contains(key))?;
        let place = if elsewhere.is_empty() {
            "the top level".into()
        } else {
            format!("[{}]", elsewhere.join("."))
        };
        Some((format!("a key of this name belongs to {place}"), format!("此键属于 {place}")))
    }

    fn refuse_unknown_variables(&self) {
        let known = self.record.borrow().known_variables.clone();
        let ours = self.variables.keys().filter(|name| {
            name.starts_with(VARIABLE_PREFIX)
                && !name.starts_with(VARIABLE_PREFIX_TEST)
                && !is_of_kubernetes(name)
        });
        for name in ours.filter(|name| !known.contains(*name)) {
            let suggestion = nearest(name, known.iter().map(String::as_str));
            let note =
                |near| Words::new(format!("did you mean {near}?"), format!("是否想写 {near}?"));
            let message =
                Words::new(format!("unknown variable {name}"), format!("未知的环境变量 {name}"));
            let place = SourceSpan::Variable(name.clone());
            self.report("", place, message, suggestion.map(note).into_iter().collect());
        }
    }
}

/// Whether Kubernetes made this variable: in every pod it names each service of the namespace, so one called `yunzhan`
/// gives `YUNZHAN_SERVICE_HOST`, `YUNZHAN_SERVICE_PORT_HTTP`, `YUNZHAN_PORT` and `YUNZHAN_PORT_8080_TCP_ADDR`.
fn is_of_kubernetes(name: &str) -> bool {
    let names_a_port = name
        .split("_PORT_")
        .nth(1)
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || names_a_port
}
