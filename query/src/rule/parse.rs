//! From the text of an expression to a [`Node`]: one recursive descent, without a separate lexer.

use bson::Bson;

use super::syntax::{Lookup, Node, Operand, Operator, Part, Shape, Source, Span, Step};
use crate::error::{Error, Kind, Result};
use crate::path::Path;

/// Length of one expression. `CloudBase` takes 1024 characters.
const SOURCE_BYTES_MAX: usize = 4 << 10;

/// Nesting of parentheses, negations, lists and arguments.
const DEPTH_MAX: usize = 32;

/// Clauses and values in one expression: what one evaluation costs, times the size of the document.
const NODES_MAX: usize = 256;

/// `get` in one expression, as in `CloudBase`: each may be a read of the database.
const GETS_MAX: usize = 3;

/// `get` in the argument of `get`, as in `CloudBase`.
const GET_DEPTH_MAX: usize = 2;

/// Length of a collection's name in `get`.
const COLLECTION_BYTES_MAX: usize = 128;

/// What every argument of `get` begins with.
const GET_PREFIX: &str = "database.";

pub(super) fn parse(name: &'static str, source: &str) -> Result<Node> {
    let mut parser = Parser { name, source, at: 0, depth: 0, nodes: 0, gets: 0, get_depth: 0 };
    if source.len() > SOURCE_BYTES_MAX {
        let message = format!("expression is over {SOURCE_BYTES_MAX} bytes long");
        return Err(parser.too_large(&message));
    }
    let term = parser.rule()?;
    let root = parser.condition(term)?;
    match parser.rest().chars().next() {
        None => Ok(root),
        Some(_) => Err(parser.expected_after()),
    }
}

/// What an expression may turn out to be.
enum Term {
    Condition(Node),
    Value(Operand),
}

struct Parser<'s> {
    name: &'static str,
    source: &'s str,
    /// In bytes, always between two characters.
    at: usize,
    depth: usize,
    nodes: usize,
    gets: usize,
    get_depth: usize,
}

// === conditions ===

impl Parser<'_> {
    fn rule(&mut self) -> Result<Term> {
        let first = self.all()?;
        if !self.sees("||") {
            return Ok(first);
        }
        let mut nodes = vec![self.condition(first)?];
        while self.takes("||") {
            let next = self.all()?;
            nodes.push(self.condition(next)?);
        }
        Ok(Term::Condition(Node { span: span_of(&nodes), shape: Shape::Any(nodes) }))
    }

    fn all(&mut self) -> Result<Term> {
        let first = self.comparison()?;
        if !self.sees("&&") {
            return Ok(first);
        }
        let mut nodes = vec![self.condition(first)?];
        while self.takes("&&") {
            let next = self.comparison()?;
            nodes.push(self.condition(next)?);
        }
        Ok(Term::Condition(Node { span: span_of(&nodes), shape: Shape::All(nodes) }))
    }

    fn comparison(&mut self) -> Result<Term> {
        let left = self.not()?;
        let Some(operator) = self.operator() else { return Ok(left) };
        let left = self.operand(left, "a value, a comparison in parentheses cannot be compared")?;
        self.skip_space();
        let start = self.at;
        let right = self.not()?;
        let right = self.operand(right, "a value after the operator")?;
        self.check_operands(operator, &left, &right, start)?;
        if self.operator().is_some() {
            return Err(self.expected("&& or || before this, comparisons do not chain"));
        }
        let span = left.span.start..right.span.end;
        self.node(span, Shape::Compare(operator, left, right)).map(Term::Condition)
    }

    fn not(&mut self) -> Result<Term> {
        self.skip_space();
        let start = self.at;
        if self.sees("!=") || !self.takes("!") {
            return self.value();
        }
        let inner = self.deeper(Self::not)?;
        let inner = self.condition(inner)?;
        let span = self.span_from(start);
        self.node(span, Shape::Not(Box::new(inner))).map(Term::Condition)
    }

    /// Takes a term as a condition.
    fn condition(&mut self, term: Term) -> Result<Node> {
        let operand = match term {
            Term::Condition(node) => return Ok(node),
            Term::Value(operand) => operand,
        };
        let span = operand.span.clone();
        match operand.source {
            Source::Literal(Bson::Boolean(truth)) => self.node(span, Shape::Truth(truth)),
            Source::Doc(_) | Source::Data(_) | Source::Get(_) => {
                let end = span.end..span.end;
                let truth = Operand { span: end, source: Source::Literal(Bson::Boolean(true)) };
                self.node(span, Shape::Compare(Operator::Equal, operand, truth))
            }
            _ => {
                self.at = span.start;
                Err(self.expected("a comparison, this value is no condition"))
            }
        }
    }

    fn operand(&mut self, term: Term, expected: &str) -> Result<Operand> {
        match term {
            Term::Value(operand) => Ok(operand),
            Term::Condition(node) => {
                self.at = node.span.start;
                Err(self.expected(expected))
            }
        }
    }

    fn operator(&mut self) -> Option<Operator> {
        const SIGNS: [(&str, Operator); 6] = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        self.skip_space();
        if self.takes_word("in") {
            return Some(Operator::In);
        }
        SIGNS.into_iter().find(|(sign, _)| self.takes(sign)).map(|(_, operator)| operator)
    }

    /// What may follow a whole condition.
    fn expected_after(&mut self) -> Error {
        let what = match self.rest().chars().next() {
            Some('=') => "==, a single = does not compare",
            Some('&' | '|') => "&& or ||, which are written twice",
            _ => "&&, || or the end",
        };
        self.expected(what)
    }

    /// Refuses comparisons that could never hold: they are mistakes of whoever wrote the rule.
    fn check_operands(
        &mut self,
        operator: Operator,
        left: &Operand,
        right: &Operand,
        right_start: usize,
    ) -> Result<()> {
        use Operator::{Equal, In, NotEqual};
        let is_null = |operand: &Operand| matches!(operand.source, Source::Literal(Bson::Null));
        let ordered = !matches!(operator, Equal | NotEqual | In);
        for (operand, other, start) in [(left, right, left.span.start), (right, left, right_start)]
        {
            let wrong = match &operand.source {
                Source::Auth if ordered || operator == In || !is_null(other) => {
                    "auth.openid or another field, auth itself is compared with null only"
                }
                Source::Roles if operator != In || start != right_start => {
                    "auth.roles after in, it is a list"
                }
                Source::Literal(Bson::Null | Bson::Boolean(_)) | Source::List(_) if ordered => {
                    "a value that has an order"
                }
                Source::List(_) if operator != In => "in before a list",
                _ => continue,
            };
            self.at = start;
            return Err(self.expected(wrong));
        }
        let list = matches!(
            right.source,
            Source::List(_) | Source::Roles | Source::Doc(_) | Source::Data(_) | Source::Get(_)
        );
        if operator == In && !list {
            self.at = right_start;
            return Err(self.expected("a list after in"));
        }
        Ok(())
    }

    fn node(&mut self, span: Span, shape: Shape) -> Result<Node> {
        self.count()?;
        Ok(Node { span, shape })
    }
}

// === values ===

impl Parser<'_> {
    fn value(&mut self) -> Result<Term> {
        self.skip_space();
        let start = self.at;
        if self.takes("(") {
            let mut inner = self.deeper(Self::rule)?;
            self.must("(", ")")?;
            match &mut inner {
                Term::Condition(node) => node.span = start..self.at,
                Term::Value(operand) => operand.span = start..self.at,
            }
            return Ok(inner);
        }
        self.count()?;
        let source = self.source()?;
        Ok(Term::Value(Operand { span: self.span_from(start), source }))
    }

    /// What was read from `start` on, without the space that was looked over.
    fn span_from(&self, start: usize) -> Span {
        start..start + self.source[start..self.at].trim_end().len()
    }

    fn source(&mut self) -> Result<Source> {
        match self.rest().chars().next() {
            Some('\'' | '"') => self.string().map(|text| Source::Literal(Bson::String(text))),
            Some('`') => self.template().map(text_or_template),
            Some('[') => self.list(),
            Some('-' | '0'..='9') => self.number().map(Source::Literal),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Source> {
        const EXPECTED: &str = "a value: auth, doc.<field>, request.data.<field>, now, get(…), text, \
            number, true, false, null or a list";
        let start = self.at;
        let word = self.name().unwrap_or_default();
        match word {
            "true" => Ok(Source::Literal(Bson::Boolean(true))),
            "false" => Ok(Source::Literal(Bson::Boolean(false))),
            "null" => Ok(Source::Literal(Bson::Null)),
            "now" => Ok(Source::Now),
            "auth" => self.auth(),
            "doc" => self.path("a field after doc, as doc.name").map(Source::Doc),
            "request" => {
                if !(self.takes(".") && self.takes_word("data")) {
                    return Err(self.expected("request.data.<field>"));
                }
                self.path("a field after request.data").map(Source::Data)
            }
            "get" => self.get(),
            _ => {
                self.at = start;
                Err(self.expected(EXPECTED))
            }
        }
    }

    fn auth(&mut self) -> Result<Source> {
        if !self.takes(".") {
            return Ok(Source::Auth);
        }
        let start = self.at;
        match self.name().unwrap_or_default() {
            "openid" => Ok(Source::Openid),
            "uid" => Ok(Source::Uid),
            "loginType" => Ok(Source::LoginType),
            "roles" => Ok(Source::Roles),
            _ => {
                self.at = start;
                Err(self.expected("openid, uid, loginType or roles after auth"))
            }
        }
    }

    fn path(&mut self, expected: &str) -> Result<Path> {
        let start = self.at;
        let mut text = String::new();
        for step in self.steps()? {
            let Step::Name(name) = step else {
                self.at = start;
                return Err(self.expected("a text or a number in brackets after a field"));
            };
            if name.contains('.') {
                self.at = start;
                return Err(self.expected("no dot in a field's name"));
            }
            text.push_str(if text.is_empty() { "" } else { "." });
            text.push_str(&name);
        }
        if text.is_empty() {
            self.at = start;
            return Err(self.expected(expected));
        }
        Path::parse(&text).map_err(|error| {
            self.at = start;
            Error { kind: error.kind, ..self.expected(&format!("a field path: {}", error.message)) }
        })
    }

    fn steps(&mut self) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            if self.takes(".") {
                self.count()?;
                let name = self.name().map(|name| Step::Name(name.to_owned()));
                steps.push(name.ok_or_else(|| self.expected("a field's name after the dot"))?);
            } else if self.takes("[") {
                steps.push(self.deeper(Self::bracket)?);
            } else {
                return Ok(steps);
            }
        }
    }

    fn bracket(&mut self) -> Result<Step> {
        let inner = self.value()?;
        let operand = self.operand(inner, "a value in brackets")?;
        self.must("[", "]")?;
        Ok(match operand.source {
            Source::Literal(Bson::String(name)) => Step::Name(name),
            Source::Literal(Bson::Int64(position)) => Step::Name(position.to_string()),
            _ => Step::Value(operand),
        })
    }

    fn list(&mut self) -> Result<Source> {
        self.takes("[");
        let mut items = Vec::new();
        if self.takes("]") {
            return Ok(Source::List(items));
        }
        loop {
            let item = self.deeper(Self::value)?;
            items.push(self.operand(item, "a value in a list")?);
            if !self.takes(",") {
                self.must("[", "]")?;
                return Ok(Source::List(items));
            }
        }
    }

    fn get(&mut self) -> Result<Source> {
        let start = self.at;
        self.gets += 1;
        if self.gets > GETS_MAX {
            return Err(self.too_large(&format!("over {GETS_MAX} get() in one expression")));
        }
        self.get_depth += 1;
        if self.get_depth > GET_DEPTH_MAX {
            let message = self.message(&format!("get() nests deeper than {GET_DEPTH_MAX}"));
            return Err(Error::new(Kind::TooDeep, message));
        }
        if !self.takes("(") {
            return Err(self.expected("( after get"));
        }
        let parts = self.deeper(Self::argument)?;
        self.must("(", ")")?;
        self.get_depth -= 1;
        let (collection, id) = split_argument(parts).ok_or_else(|| {
            self.at = start;
            self.expected("get('database.<collection>.<id>') with the collection written out")
        })?;
        let steps = self.steps()?;
        Ok(Source::Get(Box::new(Lookup { collection, id, steps })))
    }

    fn argument(&mut self) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        loop {
            let value = self.value()?;
            let operand = self.operand(value, "a value in get()")?;
            match operand.source {
                Source::Literal(Bson::String(text)) => parts.push(Part::Text(text)),
                Source::Template(pieces) => parts.extend(pieces),
                _ => parts.push(Part::Value(operand)),
            }
            if !self.takes("+") {
                return Ok(parts);
            }
        }
    }
}

// === texts, numbers, signs ===

impl<'s> Parser<'s> {
    fn string(&mut self) -> Result<String> {
        let quote = self.rest().chars().next().unwrap_or('\'');
        self.at += quote.len_utf8();
        let mut text = String::new();
        loop {
            match self.character()? {
                (character, false) if character == quote => return Ok(text),
                (character, _) => text.push(character),
            }
        }
    }

    fn template(&mut self) -> Result<Vec<Part>> {
        self.at += 1;
        let mut parts = Vec::new();
        let mut text = String::new();
        loop {
            if self.source[self.at..].starts_with("${") {
                self.at += 2;
                parts.push(Part::Text(std::mem::take(&mut text)));
                let value = self.deeper(Self::value)?;
                parts.push(Part::Value(self.operand(value, "a value in ${…}")?));
                self.must("${", "}")?;
                continue;
            }
            match self.character()? {
                ('`', false) => break,
                (character, _) => text.push(character),
            }
        }
        parts.push(Part::Text(text));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(parts)
    }

    /// The next character of a text, and whether it was escaped.
    fn character(&mut self) -> Result<(char, bool)> {
        let mut characters = self.source[self.at..].chars();
        let first = characters.next().ok_or_else(|| self.expected("the end of the text"))?;
        if first != '\\' {
            self.at += first.len_utf8();
            return Ok((first, false));
        }
        let character = match characters.next() {
            Some('n') => '\n',
            Some('t') => '\t',
            Some(itself @ ('\\' | '\'' | '"' | '`' | '$')) => itself,
            _ => return Err(self.expected("\\n, \\t or an escaped quote")),
        };
        self.at += 2;
        Ok((character, true))
    }

    fn number(&mut self) -> Result<Bson> {
        let in_number = |(index, character): &(usize, char)| {
            character.is_ascii_alphanumeric()
                || *character == '.'
                || (*index == 0 && *character == '-')
        };
        let rest = self.rest();
        let length = rest.char_indices().take_while(in_number).count();
        let text = &rest[..length];
        let number = text.parse().map(Bson::Int64).or_else(|_| text.parse().map(Bson::Double));
        let finite = |number: &Bson| number.as_f64().is_none_or(f64::is_finite);
        let number = number.ok().filter(finite).ok_or_else(|| self.expected("a number"))?;
        self.at += length;
        Ok(number)
    }

    /// A run of letters, digits, `_` and `$`.
    fn name(&mut self) -> Option<&'s str> {
        let in_name =
            |character: char| character.is_alphanumeric() || matches!(character, '_' | '$');
        let rest = &self.source[self.at..];
        let length = rest.find(|character| !in_name(character)).unwrap_or(rest.len());
        self.at += length;
        (length > 0).then(|| &rest[..length])
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let start = self.at;
        let found = self.name() == Some(word);
        if !found {
            self.at = start;
        }
        found
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = self.sees(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    fn sees(&mut self, sign: &str) -> bool {
        self.rest().starts_with(sign)
    }

    fn must(&mut self, opened: &str, sign: &str) -> Result<()> {
        match self.takes(sign) {
            true => Ok(()),
            false => Err(self.expected(&format!("{sign} for the {opened} before"))),
        }
    }

    fn rest(&mut self) -> &'s str {
        self.skip_space();
        &self.source[self.at..]
    }

    fn skip_space(&mut self) {
        let rest = &self.source[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }
}

// === bounds and errors ===

impl Parser<'_> {
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let message = self.message(&format!("expression nests deeper than {DEPTH_MAX}"));
            return Err(Error::new(Kind::TooDeep, message));
        }
        let parsed = parse(self)?;
        self.depth -= 1;
        Ok(parsed)
    }

    fn count(&mut self) -> Result<()> {
        self.nodes += 1;
        match self.nodes > NODES_MAX {
            true => Err(self.too_large(&format!("over {NODES_MAX} clauses and values"))),
            false => Ok(()),
        }
    }

    fn too_large(&self, message: &str) -> Error {
        Error::new(Kind::TooLarge, self.message(message))
    }

    fn expected(&self, what: &str) -> Error {
        Error::malformed(self.message(&format!("expected {what}")))
    }

    fn message(&self, what: &str) -> String {
        let column = self.source[..self.at].chars().count() + 1;
        format!("rule {}, column {column}: {what}", self.name)
    }
}

fn span_of(nodes: &[Node]) -> Span {
    let (first, last) = (&nodes[0], &nodes[nodes.len() - 1]);
    first.span.start..last.span.end
}

fn text_or_template(parts: Vec<Part>) -> Source {
    match parts.as_slice() {
        [] => Source::Literal(Bson::String(String::new())),
        [Part::Text(text)] => Source::Literal(Bson::String(text.clone())),
        _ => Source::Template(parts),
    }
}

/// The collection, and what the id is made of.
fn split_argument(parts: Vec<Part>) -> Option<(String, Vec<Part>)> {
    let mut head = String::new();
    let mut rest = parts.into_iter().peekable();
    while let Some(Part::Text(text)) = rest.next_if(|part| matches!(part, Part::Text(_))) {
        head.push_str(&text);
    }
    let (collection, id) = head.strip_prefix(GET_PREFIX)?.split_once('.')?;
    let bad = |character: char| character == '$' || character.is_control();
    if collection.is_empty() || collection.len() > COLLECTION_BYTES_MAX || collection.contains(bad)
    {
        return None;
    }
    let mut parts = Vec::new();
    if !id.is_empty() {
        parts.push(Part::Text(id.to_owned()));
    }
    parts.extend(rest);
    (!parts.is_empty()).then(|| (collection.to_owned(), parts))
}
