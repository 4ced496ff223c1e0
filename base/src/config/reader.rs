//! How rooms ask for their keys.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::document::{Document, VARIABLE_PREFIX};
use super::problem::{Show, SourceSpan};
use super::reference::Reference;
use super::settings::{self, Setting};
use super::tree::{Entry, Item, Node, Span, Table};
use super::value::{FromConfig, Given};
use super::words::Words;
use crate::secret::Secret;

/// Elements that variables may add to a list; beyond that a file is the better place.
const LIST_ELEMENTS_MAX: usize = 1000;

/// One table of the configuration. Every question answers with a value, a default when the given one is wrong; the
/// mistakes wait in the document.
pub struct Reader<'d> {
    document: &'d Document,
    /// Names from the top; list elements by their number.
    path: Vec<String>,
    /// The same for the reference: `envs.<name>`, `routes[]`.
    pattern: String,
    table: Option<&'d Table>,
    /// Where the table stands, for mistakes of the whole.
    header: Option<&'d Span>,
}

/// A name that the file uses for a table or for a list; variables may set both. See [`Reader::table_or_list`].
pub struct TableOrList<'d> {
    /// `[name]`, and what variables such as `YUNZHAN_NAME__KEY` set.
    pub table: Reader<'d>,
    /// `[[name]]`, in order.
    pub list: Vec<Reader<'d>>,
    /// Whether there is a list, if only an empty one.
    pub is_list: bool,
}

/// What was given for a key, and where.
struct Found<'d> {
    given: Given<'d>,
    place: Origin<'d>,
}

#[derive(Clone)]
enum Origin<'d> {
    File(&'d Span),
    Variable(String),
}

/// How a key is asked for.
struct Question<'q> {
    key: &'static str,
    default: Option<&'q str>,
    doc: &'static str,
    live: bool,
    /// Least and greatest value, for the reference.
    bounds: Option<Words>,
}

impl<'d> Reader<'d> {
    pub(super) fn root(document: &'d Document) -> Self {
        let table = Some(&document.root);
        Self { document, path: Vec::new(), pattern: String::new(), table, header: None }
    }

    /// The table `[name]`; an absent one is empty.
    pub fn table(&mut self, name: &'static str) -> Reader<'d> {
        self.know(name);
        let node = self.entry(name);
        let pattern = join(&self.pattern, name);
        self.child(&[name], pattern, node.map(|entry| &entry.node))
    }

    fn named_table(&mut self, chosen: String) -> (String, Reader<'d>) {
        self.know(&chosen);
        let node = self.entry(&chosen).map(|entry| &entry.node);
        let reader = self.child(&[&chosen], join(&self.pattern, "<name>"), node);
        (chosen, reader)
    }

    /// The tables `[name.*]` whose names the operator chooses. A variable such as `YUNZHAN_ENVS__DEMO__APPID` makes one
    /// too, its name in lower case.
    pub fn tables(&mut self, name: &'static str) -> Vec<(String, Reader<'d>)> {
        let mut parent = self.table(name);
        let mut names: Vec<String> =
            parent.table.into_iter().flat_map(Table::keys).cloned().collect();
        names.extend(self.names_in_variables(name, &names));
        if self.document.for_reference {
            names.push("<name>".into());
        }
        names.into_iter().map(|chosen| parent.named_table(chosen)).collect()
    }

    /// The tables `[[name]]`, in order.
    pub fn list(&mut self, name: &'static str) -> Vec<Reader<'d>> {
        self.know(name);
        let nodes = match self.entry(name).map(|entry| &entry.node) {
            None => &[][..],
            Some(Node { item: Item::Array(nodes), .. }) => nodes,
            Some(node) => {
                self.expected_table(&self.dotted(name), node, &format!("[[{name}]]"));
                &[]
            }
        };
        self.elements(name, nodes)
    }

    /// The elements of a list in the file, and those that variables add.
    fn elements(&self, name: &'static str, nodes: &'d [Node]) -> Vec<Reader<'d>> {
        let pattern = format!("{}[]", join(&self.pattern, name));
        let mut count = nodes.len();
        while count < LIST_ELEMENTS_MAX
            && self.variables_begin_with(&[name, &count.to_string(), ""])
        {
            count += 1;
        }
        let count = if self.document.for_reference { 1 } else { count };
        let element = |index: usize| {
            self.child(&[name, &index.to_string()], pattern.clone(), nodes.get(index))
        };
        (0..count).map(element).collect()
    }

    /// A name that is the table `[name]` or the list `[[name]]`, as the operator likes: TOML has one of them in a file.
    pub fn table_or_list(&mut self, name: &'static str) -> TableOrList<'d> {
        self.know(name);
        let (node, nodes) = match self.entry(name).map(|entry| &entry.node) {
            Some(Node { item: Item::Array(nodes), .. }) => (None, Some(nodes)),
            node => (node, None),
        };
        let table = self.child(&[name], join(&self.pattern, name), node);
        let list = self.elements(name, nodes.map_or(&[][..], |nodes| nodes));
        let is_list = !self.document.for_reference && (nodes.is_some() || !list.is_empty());
        TableOrList { table, list, is_list }
    }

    /// The value of a key that takes effect at the next start.
    pub fn value<T: FromConfig>(&mut self, key: &'static str, default: T, doc: &'static str) -> T {
        let shown = default.show();
        self.ask(&Question { key, default: Some(&shown), doc, live: false, bounds: None })
            .unwrap_or(default)
    }

    /// The value of a key that follows a reload: a [`super::Follow`] has it among its keys.
    pub fn live<T: FromConfig>(&mut self, key: &'static str, default: T, doc: &'static str) -> T {
        let shown = default.show();
        self.ask(&Question { key, default: Some(&shown), doc, live: true, bounds: None })
            .unwrap_or(default)
    }

    /// The value of a key within bounds, both included.
    pub fn value_in<T: FromConfig + PartialOrd>(
        &mut self,
        key: &'static str,
        default: T,
        bounds: RangeInclusive<T>,
        doc: &'static str,
    ) -> T {
        debug_assert!(bounds.contains(&default));
        let (least, most) = (bounds.start().show(), bounds.end().show());
        let shown = default.show();
        let question = Question {
            key,
            default: Some(&shown),
            doc,
            live: false,
            bounds: Some(Words::new(
                format!("from {least} to {most}"),
                format!("{least} 到 {most}"),
            )),
        };
        let value = self.ask(&question).unwrap_or(default);
        if !bounds.contains(&value) {
            let given = value.show();
            let zh = format!("应在 {least} 与 {most} 之间, 得到 {given}");
            self.problem(key, (format!("expected between {least} and {most}, got {given}"), zh));
        }
        value
    }

    /// The value of a key without a default.
    pub fn optional<T: FromConfig>(&mut self, key: &'static str, doc: &'static str) -> Option<T> {
        self.ask(&Question { key, default: None, doc, live: false, bounds: None })
    }

    /// The value of a key without a default that follows a reload.
    pub fn live_optional<T: FromConfig>(
        &mut self,
        key: &'static str,
        doc: &'static str,
    ) -> Option<T> {
        self.ask(&Question { key, default: None, doc, live: true, bounds: None })
    }

    /// The value of a key that this table cannot be without.
    pub fn required<T: FromConfig>(&mut self, key: &'static str, doc: &'static str) -> Option<T> {
        let value = self.optional(key, doc);
        self.refuse_missing(key);
        value
    }

    fn refuse_missing(&mut self, key: &'static str) {
        if self.find(key).is_none() && !self.document.for_reference {
            self.problem(key, (format!("{key} is missing"), format!("缺少 {key}")));
        }
    }

    /// The value of a key that this table cannot be without and that follows a reload.
    pub fn live_required<T: FromConfig>(
        &mut self,
        key: &'static str,
        doc: &'static str,
    ) -> Option<T> {
        let value = self.live_optional(key, doc);
        self.refuse_missing(key);
        value
    }

    /// A secret: the key itself, or a file whose path stands in `<key>_file`, or either as a variable.
    pub fn secret(&mut self, key: &'static str, doc: &'static str) -> Option<Secret> {
        self.note(
            &Question { key, default: None, doc, live: false, bounds: None },
            "a secret; or its file in `<key>_file`",
        );
        let file_key = format!("{key}_file");
        self.know(&file_key);
        self.document.record.borrow_mut().secrets.insert(self.dotted(key));
        let (value, file) = (self.find(key), self.find(&file_key));
        // A variable is nearer to the process than the file; within one source, two are a contradiction.
        let origin = value.as_ref().or(file.as_ref()).map(|found| found.place.kept());
        let secret = match (value, file) {
            (Some(value), Some(file)) if value.place.is_file() == file.place.is_file() => {
                let en = format!("both {key} and {file_key} are set; keep one");
                self.report(
                    &file_key,
                    &file.place,
                    Show::KeyOnly,
                    (en, format!("{key} 与 {file_key} 只能设置一个")).into(),
                    Vec::new(),
                );
                None
            }
            (Some(value), Some(file)) if value.place.is_file() => {
                self.secret_of_file(&file_key, &file)
            }
            (Some(value), _) => self.secret_of_value(key, &value),
            (None, Some(file)) => self.secret_of_file(&file_key, &file),
            (None, None) => None,
        };
        if let (Some(secret), Some(origin)) = (&secret, origin) {
            let setting = Setting { given: secret.clone(), origin, show: Show::KeyOnly };
            self.document.record.borrow_mut().settings.insert(self.dotted(key), setting);
        }
        secret
    }

    /// Reports a mistake that only the room can see, at the key when it was set, else at the table.
    pub fn problem(&mut self, key: &str, message: impl Into<Words>) {
        let is_secret = self.document.record.borrow().secrets.contains(&self.dotted(key));
        let show = if is_secret { Show::KeyOnly } else { Show::Value };
        let place = match self.find(key) {
            Some(found) => self.place(&found.place, show),
            None => {
                self.header.map_or(SourceSpan::Whole, |span| self.document.place(span, Show::Guess))
            }
        };
        self.document.report(&self.dotted(key), place, message.into(), Vec::new());
    }

    /// The text that the key was set to, where it is text.
    pub fn text(&self, key: &str) -> Option<String> {
        self.find(key)?.given.text().map(str::to_owned)
    }

    /// Whether the key was set at all.
    pub fn is_set(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    fn ask<T: FromConfig>(&mut self, question: &Question<'_>) -> Option<T> {
        let expected = T::expected();
        self.note(question, &expected.en);
        let found = self.find(question.key)?;
        match T::read(&found.given) {
            Ok(value) => {
                self.remember(question.key, &found, value.show());
                Some(value)
            }
            Err(reason) => {
                let given = found.given.show();
                let message = Words::new(
                    format!("expected {}, got {given}", expected.en),
                    format!("应为{}, 得到 {given}", expected.zh),
                );
                let notes = reason.0.into_iter().chain([self.right(question)]).collect();
                self.report(question.key, &found.place, Show::Value, message, notes);
                None
            }
        }
    }

    /// What would be right: the default, and the variable that sets the key.
    fn right(&self, question: &Question<'_>) -> Words {
        let variable = self.variable(&[question.key]);
        match question.default {
            Some(default) => Words::new(
                format!("default: {default}; variable: {variable}"),
                format!("默认值: {default}; 环境变量: {variable}"),
            ),
            None => Words::new(
                format!("no default; variable: {variable}"),
                format!("无默认值; 环境变量: {variable}"),
            ),
        }
    }

    fn secret_of_value(&self, key: &str, found: &Found<'_>) -> Option<Secret> {
        match found.given.text() {
            Some(text) if !text.is_empty() => Some(Secret::from(text)),
            _ => {
                let words = Words::new(
                    "expected a secret as text in quotes, not empty",
                    "应为带引号的非空密钥文本",
                );
                self.report(key, &found.place, Show::KeyOnly, words, Vec::new());
                None
            }
        }
    }

    fn secret_of_file(&self, file_key: &str, found: &Found<'_>) -> Option<Secret> {
        let path = match PathBuf::read(&found.given) {
            Ok(path) => path,
            Err(_) => {
                let words = Words::new(
                    "expected the path of a file that holds the secret",
                    "应为存放密钥的文件路径",
                );
                self.report(file_key, &found.place, Show::Value, words, Vec::new());
                return None;
            }
        };
        let refuse = |en: String, zh: String| {
            self.report(file_key, &found.place, Show::Value, (en, zh).into(), Vec::new());
            None
        };
        let shown = path.display();
        match self.document.read_file(&path) {
            Err(why) => {
                refuse(format!("cannot read {shown}: {why}"), format!("无法读取 {shown}: {why}"))
            }
            Ok(bytes) => {
                // Editors and `echo` end a file with a newline that is no part of the secret.
                let trimmed = bytes.trim_ascii_end();
                if trimmed.is_empty() {
                    return refuse(format!("{shown} is empty"), format!("{shown} 为空"));
                }
                Some(Secret::new(trimmed))
            }
        }
    }

    fn child(&self, names: &[&str], pattern: String, node: Option<&'d Node>) -> Reader<'d> {
        let path =
            self.path.iter().cloned().chain(names.iter().map(|&name| name.to_owned())).collect();
        let mut child = Reader {
            document: self.document,
            path,
            pattern,
            table: None,
            header: node.map(|node| &node.span),
        };
        match node {
            Some(Node { item: Item::Table(table), .. }) => child.table = Some(table),
            Some(node) => {
                let dotted = child.dotted("");
                self.expected_table(&dotted, node, &format!("[{dotted}]"));
            }
            None => {}
        }
        self.document.record.borrow_mut().known.entry(child.path.clone()).or_default();
        child
    }

    fn expected_table(&self, dotted: &str, node: &Node, header: &str) {
        let words = Words::new(format!("expected a table {header}"), format!("应为表 {header}"));
        let place = self.document.place(&node.span, Show::Guess);
        self.document.report(dotted, place, words, Vec::new());
    }

    fn entry(&self, key: &str) -> Option<&'d Entry> {
        self.table.and_then(|table| table.get(key))
    }

    /// The variable when there is one, else the file.
    fn find(&self, key: &str) -> Option<Found<'d>> {
        let name = self.variable(&[key]);
        if let Some(text) = self.document.variables.get(&name) {
            return Some(Found { given: Given::variable(text), place: Origin::Variable(name) });
        }
        let node = &self.entry(key)?.node;
        if matches!(node.item, Item::Broken) {
            return None;
        }
        Some(Found { given: Given::node(node), place: Origin::File(&node.span) })
    }

    fn know(&self, key: &str) {
        let mut record = self.document.record.borrow_mut();
        record.known.entry(self.path.clone()).or_default().insert(key.to_owned());
        record.known_variables.insert(self.variable(&[key]));
    }

    fn note(&self, question: &Question<'_>, expected: &str) {
        self.know(question.key);
        if self.document.for_reference {
            self.document.record.borrow_mut().references.push(Reference {
                path: join(&self.pattern, question.key),
                expected: match &question.bounds {
                    Some(bounds) => format!("{expected}, {}", bounds.en),
                    None => expected.to_owned(),
                },
                default: question.default.map(str::to_owned),
                doc: question.doc,
                live: question.live,
            });
        }
    }

    /// Keeps the value as it was understood: `60s` and `1m` are the same, wherever they stand.
    fn remember(&self, key: &str, found: &Found<'_>, value: String) {
        let (given, origin) = (Secret::new(value), found.place.kept());
        let setting = Setting { given, origin, show: Show::Value };
        self.document.record.borrow_mut().settings.insert(self.dotted(key), setting);
    }

    fn report(
        &self,
        key: &str,
        origin: &Origin<'_>,
        show: Show,
        message: Words,
        notes: Vec<Words>,
    ) {
        self.document.report(&self.dotted(key), self.place(origin, show), message, notes);
    }

    fn place(&self, origin: &Origin<'_>, show: Show) -> SourceSpan {
        match origin {
            Origin::File(span) => self.document.place(span, show),
            Origin::Variable(name) => SourceSpan::Variable(name.clone()),
        }
    }

    fn dotted(&self, key: &str) -> String {
        let mut dotted = self.path.join(".");
        if !dotted.is_empty() && !key.is_empty() {
            dotted.push('.');
        }
        dotted + key
    }

    fn variable(&self, keys: &[&str]) -> String {
        let names = self.path.iter().map(String::as_str).chain(keys.iter().copied());
        let segments: Vec<String> = names.map(upper).collect();
        format!("{VARIABLE_PREFIX}{}", segments.join("__"))
    }

    fn variables_begin_with(&self, keys: &[&str]) -> bool {
        let prefix = self.variable(keys);
        self.document
            .variables
            .range(prefix.clone()..)
            .next()
            .is_some_and(|(name, _)| name.starts_with(&prefix))
    }

    /// Names that only variables mention: the `DEMO` of `YUNZHAN_ENVS__DEMO__APPID`.
    fn names_in_variables(&self, name: &str, in_file: &[String]) -> Vec<String> {
        let prefix = self.variable(&[name, ""]);
        let mut found: Vec<String> = Vec::new();
        let ours = self.document.variables.range(prefix.clone()..);
        for (variable, _) in ours.take_while(|(variable, _)| variable.starts_with(&prefix)) {
            let Some((chosen, _)) = variable[prefix.len()..].split_once("__") else { continue };
            let is_known = in_file.iter().any(|known| upper(known) == chosen);
            let chosen = chosen.to_ascii_lowercase();
            if !is_known && !found.contains(&chosen) && found.len() < LIST_ELEMENTS_MAX {
                found.push(chosen);
            }
        }
        found
    }
}

impl Origin<'_> {
    fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// The same, for longer than the document lives.
    fn kept(&self) -> settings::Origin {
        match self {
            Self::File(span) => settings::Origin::File((*span).clone()),
            Self::Variable(name) => settings::Origin::Variable(name.clone()),
        }
    }
}

/// A name as variables spell it.
fn upper(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect()
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}
