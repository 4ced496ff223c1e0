//! What is asked of a value: compiled once, matched many times, always in linear time.

mod addresses;
mod encoding;
mod identity;
mod injection;
mod number;
mod pcre;
mod phrases;
mod rx;
#[cfg(test)]
mod tests;
mod text;

use crate::bytes::ByteSet;

pub(crate) use addresses::Addresses;
pub(crate) use identity::Identity;
pub(crate) use number::{Comparison, leading_number};
pub(crate) use phrases::Phrases;
pub(crate) use rx::Rx;
pub(crate) use text::TextTest;

/// Files that operators read when they are compiled (`@pmFromFile`, `@ipMatchFromFile`), by the name that the rule gives.
pub trait Files {
    /// The bytes of a file, or why it cannot be read.
    ///
    /// # Errors
    /// A sentence that names the file.
    fn read(&self, name: &str) -> Result<Vec<u8>, String>;
}

/// What an operator captured: TX.0 to TX.9.
#[derive(Debug, Default)]
pub struct Captures {
    /// Whether anybody asks for them; without, operators do not spend time on them.
    pub is_wanted: bool,
    /// SourceSpan and bytes.
    pub found: Vec<(u8, Vec<u8>)>,
}

impl Captures {
    /// Notes what TX.0 is to be.
    fn note(&mut self, bytes: impl FnOnce() -> Vec<u8>) {
        if self.is_wanted {
            self.found.push((0, bytes()));
        }
    }
}

/// A compiled operator.
#[derive(Debug)]
pub struct Operator {
    /// What it does, so that gates can look into it.
    pub(crate) kind: Kind,
}

/// What an operator does. An argument that is `None` has macros and is known at match time.
#[derive(Debug)]
pub(crate) enum Kind {
    /// `@rx`; an empty pattern is [`Kind::Always`].
    Rx(Option<Box<Rx>>),
    /// `@rxGlobal`; the same.
    RxGlobal(Option<Box<Rx>>),
    /// `@pm`, `@pmFromFile`.
    Phrases(Phrases),
    /// `@contains` and its kin.
    Text(TextTest, Option<Vec<u8>>),
    /// `@eq` and its kin.
    Number(Comparison, Option<i64>),
    /// `@ipMatch`, `@ipMatchFromFile`.
    Addresses(Addresses),
    /// `@validateByteRange`: matches a value with any other byte.
    ByteRange(ByteSet),
    /// `@validateUrlEncoding`.
    UrlEncoding,
    /// `@validateUtf8Encoding`.
    Utf8Encoding,
    /// `@verifyCC` and its kin.
    Identity(Identity, Box<Rx>),
    /// `@detectSQLi`.
    SqlInjection,
    /// `@detectXSS`.
    ScriptInjection,
    /// `@unconditionalMatch`.
    Always,
    /// `@noMatch`.
    Never,
}

/// How an operator is made.
#[derive(Clone, Copy)]
enum Maker {
    Rx,
    RxGlobal,
    Phrases,
    PhrasesFile,
    Text(TextTest),
    Number(Comparison),
    Addresses,
    AddressesFile,
    ByteRange,
    Identity(Identity),
    UrlEncoding,
    Utf8Encoding,
    SqlInjection,
    ScriptInjection,
    Always,
    Never,
    /// Not offered, and why.
    Refused(&'static str),
}

const OUTSIDE: &str = "it asks somebody outside, and the WAF does no input or output";
const PROGRAM: &str = "it runs a program, and the WAF runs none";
const XML_RULES: &str = "documents are not checked against a schema";
const NOT_IN_3: &str = "ModSecurity 3 does nothing for it either";

/// Names as ModSecurity's manual spells them.
static MAKERS: [(&str, Maker); 40] = [
    ("beginsWith", Maker::Text(TextTest::BeginsWith)),
    ("contains", Maker::Text(TextTest::Contains)),
    ("containsWord", Maker::Text(TextTest::ContainsWord)),
    ("detectSQLi", Maker::SqlInjection),
    ("detectXSS", Maker::ScriptInjection),
    ("endsWith", Maker::Text(TextTest::EndsWith)),
    ("eq", Maker::Number(Comparison::Equal)),
    ("fuzzyHash", Maker::Refused("files are not compared by fuzzy hashes")),
    ("ge", Maker::Number(Comparison::GreaterOrEqual)),
    ("geoLookup", Maker::Refused("places of addresses are not known here")),
    ("gsbLookup", Maker::Refused(OUTSIDE)),
    ("gt", Maker::Number(Comparison::Greater)),
    ("inspectFile", Maker::Refused(PROGRAM)),
    ("ipMatch", Maker::Addresses),
    ("ipMatchF", Maker::AddressesFile),
    ("ipMatchFromFile", Maker::AddressesFile),
    ("le", Maker::Number(Comparison::LessOrEqual)),
    ("lt", Maker::Number(Comparison::Less)),
    ("noMatch", Maker::Never),
    ("pm", Maker::Phrases),
    ("pmf", Maker::PhrasesFile),
    ("pmFromFile", Maker::PhrasesFile),
    ("rbl", Maker::Refused(OUTSIDE)),
    ("rsub", Maker::Refused(NOT_IN_3)),
    ("rx", Maker::Rx),
    ("rxGlobal", Maker::RxGlobal),
    ("streq", Maker::Text(TextTest::Equals)),
    ("strmatch", Maker::Text(TextTest::Contains)),
    ("unconditionalMatch", Maker::Always),
    ("validateByteRange", Maker::ByteRange),
    ("validateDTD", Maker::Refused(XML_RULES)),
    ("validateHash", Maker::Refused(NOT_IN_3)),
    ("validateSchema", Maker::Refused(XML_RULES)),
    ("validateUrlEncoding", Maker::UrlEncoding),
    ("validateUtf8Encoding", Maker::Utf8Encoding),
    ("verifyCC", Maker::Identity(Identity::Card)),
    ("verifyCPF", Maker::Identity(Identity::Cpf)),
    ("verifySSN", Maker::Identity(Identity::Ssn)),
    ("verifySVNR", Maker::Identity(Identity::Svnr)),
    ("within", Maker::Text(TextTest::Within)),
];

/// Every operator that ModSecurity knows, and why it is not offered where it is not.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    MAKERS.iter().map(|(name, maker)| match maker {
        Maker::Refused(why) => (*name, Some(*why)),
        _ => (*name, None),
    })
}

fn maker(name: &str) -> Option<Maker> {
    MAKERS.iter().find(|row| row.0.eq_ignore_ascii_case(name)).map(|row| row.1)
}

impl Operator {
    /// What matches no value.
    pub(crate) fn never() -> Self {
        Self { kind: Kind::Never }
    }

    /// What matches every value.
    pub(crate) fn always() -> Self {
        Self { kind: Kind::Always }
    }

    /// Compiles an operator with an argument. `argument` is `None` where the argument has macros, and is known only when
    /// a request is there: then [`Operator::matches`] is given it.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without the place: an unknown operator, an argument that does not fit, a
    /// pattern that linear time cannot serve (look-around, back-references), a look-up that nothing here can do.
    pub fn compile(name: &str, argument: Option<&[u8]>, files: &dyn Files) -> Result<Self, String> {
        let maker = maker(name).ok_or_else(|| format!("there is no operator `@{name}`"))?;
        make(maker, name, argument, files).map(|kind| Self { kind })
    }

    /// Whether macros in the argument of an operator are replaced. In the arguments of others, `%{` is text.
    pub fn has_macros(name: &str) -> bool {
        use Maker::{Number, Rx, RxGlobal, Text};
        maker(name).is_some_and(|maker| matches!(maker, Text(_) | Number(_) | Rx | RxGlobal))
    }

    /// Whether a value matches, before any negation. `expanded` is the argument if it had macros. A pattern that only
    /// then turns out to be none matches nothing.
    pub fn matches(&self, value: &[u8], expanded: Option<&[u8]>, captures: &mut Captures) -> bool {
        let argument = expanded.unwrap_or_default();
        match &self.kind {
            Kind::Rx(Some(rx)) => rx.matches(value, captures),
            Kind::RxGlobal(Some(rx)) => rx.matches_all(value, captures),
            Kind::Rx(None) => {
                Rx::compile_at_match(argument).is_ok_and(|rx| rx.matches(value, captures))
            }
            Kind::RxGlobal(None) => {
                Rx::compile_at_match(argument).is_ok_and(|rx| rx.matches_all(value, captures))
            }
            Kind::Phrases(phrases) => found(phrases, value, captures),
            Kind::Text(test, text) => test.matches(value, text.as_deref().unwrap_or(argument)),
            Kind::Number(comparison, number) => {
                let number = number.unwrap_or_else(|| leading_number(argument));
                comparison.holds(leading_number(value), number)
            }
            Kind::Addresses(addresses) => addresses.has(value),
            Kind::ByteRange(allowed) => value.iter().any(|byte| !allowed.has(*byte)),
            Kind::UrlEncoding => encoding::is_wrong_url_encoding(value),
            Kind::Utf8Encoding => str::from_utf8(value).is_err(),
            Kind::Identity(identity, rx) => noted(identity.find(&rx.regex, value), captures),
            Kind::SqlInjection => noted(injection::sql(value).as_deref(), captures),
            Kind::ScriptInjection => noted(injection::script(value).then_some(value), captures),
            Kind::Always => true,
            Kind::Never => false,
        }
    }
}

impl Operator {
    /// Its name and argument, for people: a pattern as it was compiled, a list of phrases by its name alone. `expanded` is
    /// the argument where it has macros.
    pub(crate) fn describe(&self, expanded: Option<Vec<u8>>) -> String {
        let known = match &self.kind {
            Kind::Rx(Some(rx)) | Kind::RxGlobal(Some(rx)) | Kind::Identity(_, rx) => {
                Some(rx.pattern.clone())
            }
            Kind::Text(_, text) => text.as_deref().map(|it| String::from_utf8_lossy(it).into()),
            Kind::Number(_, number) => number.map(|number| number.to_string()),
            _ => None,
        };
        let expanded = || expanded.map(|it| String::from_utf8_lossy(&it).into_owned());
        match known.or_else(expanded) {
            Some(argument) => format!("@{} {argument}", self.name()),
            None => format!("@{}", self.name()),
        }
    }

    /// The first name that rows of [`MAKERS`] have for it.
    fn name(&self) -> &'static str {
        let is_named = |maker: &Maker| match (&self.kind, maker) {
            (Kind::Text(test, _), Maker::Text(named)) => test == named,
            (Kind::Number(comparison, _), Maker::Number(named)) => comparison == named,
            (Kind::Identity(identity, _), Maker::Identity(named)) => identity == named,
            (Kind::Rx(_), Maker::Rx)
            | (Kind::RxGlobal(_), Maker::RxGlobal)
            | (Kind::Phrases(_), Maker::Phrases)
            | (Kind::Addresses(_), Maker::Addresses)
            | (Kind::ByteRange(_), Maker::ByteRange)
            | (Kind::UrlEncoding, Maker::UrlEncoding)
            | (Kind::Utf8Encoding, Maker::Utf8Encoding)
            | (Kind::SqlInjection, Maker::SqlInjection)
            | (Kind::ScriptInjection, Maker::ScriptInjection)
            | (Kind::Always, Maker::Always)
            | (Kind::Never, Maker::Never) => true,
            _ => false,
        };
        MAKERS.iter().find(|(_, maker)| is_named(maker)).map_or("operator", |(name, _)| name)
    }
}

/// Whether something was found, which then is TX.0.
fn noted(found: Option<&[u8]>, captures: &mut Captures) -> bool {
    if let Some(found) = found {
        captures.note(|| found.to_vec());
    }
    found.is_some()
}

fn found(phrases: &Phrases, value: &[u8], captures: &mut Captures) -> bool {
    if captures.is_wanted { noted(phrases.find(value), captures) } else { phrases.is_match(value) }
}

fn make(
    maker: Maker,
    name: &str,
    argument: Option<&[u8]>,
    files: &dyn Files,
) -> Result<Kind, String> {
    let fixed = || argument.ok_or_else(|| format!("the argument of `@{name}` may have no macros"));
    let pattern = || argument.map(Rx::compile).transpose().map(|rx| rx.map(Box::new));
    Ok(match maker {
        Maker::Rx | Maker::RxGlobal if argument == Some(b"") => Kind::Always,
        Maker::Rx => Kind::Rx(pattern()?),
        Maker::RxGlobal => Kind::RxGlobal(pattern()?),
        Maker::Phrases => Kind::Phrases(Phrases::parse(fixed()?)?),
        Maker::PhrasesFile => Kind::Phrases(Phrases::parse_lines(&read(fixed()?, files)?)?),
        Maker::Text(test) => Kind::Text(test, argument.map(<[u8]>::to_vec)),
        Maker::Number(comparison) => Kind::Number(comparison, argument.map(leading_number)),
        Maker::Addresses => Kind::Addresses(Addresses::parse(fixed()?)?),
        Maker::AddressesFile => Kind::Addresses(Addresses::parse(&read(fixed()?, files)?)?),
        Maker::ByteRange => Kind::ByteRange(encoding::byte_range(fixed()?)?),
        Maker::Identity(_) if argument == Some(b"") => Kind::Never,
        Maker::Identity(identity) => Kind::Identity(identity, Box::new(Rx::compile(fixed()?)?)),
        Maker::UrlEncoding => Kind::UrlEncoding,
        Maker::Utf8Encoding => Kind::Utf8Encoding,
        Maker::SqlInjection => Kind::SqlInjection,
        Maker::ScriptInjection => Kind::ScriptInjection,
        Maker::Always => Kind::Always,
        Maker::Never => Kind::Never,
        Maker::Refused(why) => return Err(format!("`@{name}` is not supported: {why}")),
    })
}

/// The file that an argument names.
fn read(argument: &[u8], files: &dyn Files) -> Result<Vec<u8>, String> {
    let name = str::from_utf8(argument.trim_ascii()).map_err(|_| "a file's name is UTF-8")?;
    if name.starts_with("https://") || name.starts_with("http://") {
        return Err(format!("`{name}` is not fetched: keep the file beside the rules"));
    }
    files.read(name)
}
