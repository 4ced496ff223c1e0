//! The parsed file as a tree of our own, so that nothing outside this file knows the parser.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Bytes of the file, from and to.
pub(super) type Span = Range<usize>;

/// A table: its keys with where each key and value stands.
pub(super) type Table = BTreeMap<String, Entry>;

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry {
    /// Where the key stands.
    pub(super) key: Span,
    /// What it holds.
    pub(super) node: Node,
}

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    /// Where.
    pub(super) span: Span,
    /// What.
    pub(super) item: Item,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Item {
    /// Quoted text.
    Text(String),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A date, or a number beyond reason: no key of ours takes it.
    Other(String),
    /// What the parser could not read and complained of already.
    Broken,
    /// `[…]`, also of `[[tables]]`.
    Array(Vec<Node>),
    /// `{…}` or `[table]`.
    Table(Table),
}

/// Why the file is not TOML: the sentence and where.
pub(super) type SyntaxError = (String, Option<Span>);

/// Parses the text as far as it goes.
pub(super) fn parse(text: &str) -> (Table, Vec<SyntaxError>) {
    let (root, errors) = DeTable::parse_recoverable(text);
    let errors = errors.iter().map(|error| (error.message().to_owned(), error.span()));
    (table(root.get_ref()), errors.collect())
}

fn table(parsed: &DeTable<'_>) -> Table {
    let entry = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        (key.get_ref().to_string(), Entry { key: key.span(), node: node(value) })
    };
    parsed.iter().map(entry).collect()
}

fn node(parsed: &Spanned<DeValue<'_>>) -> Node {
    // The parser bounds nesting, so that this recursion is bounded too.
    let item = match parsed.get_ref() {
        DeValue::Array(nodes) => Item::Array(nodes.iter().map(node).collect()),
        DeValue::Table(entries) => Item::Table(table(entries)),
        // Where a value is missing the parser goes on with one of its own, which stands nowhere.
        _ if parsed.span().is_empty() => Item::Broken,
        DeValue::String(text) => Item::Text(text.to_string()),
        DeValue::Boolean(value) => Item::Boolean(*value),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(value) => Item::Integer(value),
            Err(_) => other(number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(value) => Item::Float(value),
            Err(_) => other(number.to_string()),
        },
        DeValue::Datetime(date) => Item::Other(date.to_string()),
    };
    Node { span: parsed.span(), item }
}

fn other(raw: String) -> Item {
    if raw.is_empty() { Item::Broken } else { Item::Other(raw) }
}

impl Item {
    /// As a mistake's message shows it, in bounded length.
    pub(super) fn show(&self) -> String {
        let text = match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Boolean(value) => value.to_string(),
            Self::Other(raw) => raw.clone(),
            Self::Array(nodes) => {
                let mut shown = nodes.iter().take(4).map(|node| node.item.show());
                let first = shown.by_ref().take(3).collect::<Vec<_>>().join(", ");
                format!("[{first}{}]", if nodes.len() > 3 { ", …" } else { "" })
            }
            Self::Table(_) => "a table".into(),
            Self::Broken => "nothing".into(),
        };
        super::problem::clip(&text)
    }
}
