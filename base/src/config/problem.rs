//! A mistake in the configuration as people see it: where, the line with a caret under it, and what was expected.

use std::fmt;

use serde_json::{Value, json};

use super::tree::Span;
use super::words::{Lang, Words};

/// Mistakes that one run reports; a file with more is not a configuration.
pub(super) const PROBLEMS_MAX: usize = 100;

/// The longest value that a message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 64;

/// The longest line that is shown, in characters; a longer one is cut around the mistake.
const LINE_CHARS_MAX: usize = 120;

/// Words in the name of a key whose value is never shown, not even when the line is wrong.
const SECRET_WORDS: [&str; 5] = ["secret", "password", "token", "key", "credential"];

/// How much of a line may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// The key at fault is known not to hold a secret; others on the same line may.
    Value,
    /// Nobody knows what the line is: its names decide.
    Guess,
    /// The key, never the value.
    KeyOnly,
}

/// Where a mistake stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpan {
    /// In the file.
    Line {
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// Characters that the caret underlines.
        width: usize,
        /// The line itself; a secret's value is replaced by stars.
        text: String,
    },
    /// In an environment variable.
    Variable(String),
    /// Nowhere in particular.
    Whole,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Dotted name of the key, or empty.
    pub key: String,
    /// Where.
    pub place: SourceSpan,
    /// What is wrong.
    pub message: Words,
    /// What would be right: default, variable, suggestion.
    pub notes: Vec<Words>,
}

/// Every mistake of one configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file's name as the caller gave it.
    pub file: String,
    /// At least one mistake, in the order of the file.
    pub list: Vec<Problem>,
}

// === impl SourceSpan ===

impl SourceSpan {
    /// The place of a span in the file's text.
    pub(super) fn of(source: &str, span: &Span, show: Show) -> Self {
        let start = floor_boundary(source, span.start);
        let end = floor_boundary(source, span.end.max(start));
        let line_start = source[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = source[start..].find('\n').map_or(source.len(), |newline| start + newline);
        let raw = source[line_start..line_end].trim_end_matches('\r');
        Self::Line {
            line: source[..line_start].matches('\n').count() + 1,
            column: source[line_start..start].chars().count() + 1,
            width: source[start..end.min(line_end)].chars().count().max(1),
            text: if hides(raw, show) { hide_value(raw) } else { raw.to_owned() },
        }
    }

    /// For sorting: file first, in order.
    fn order(&self) -> (u8, usize, usize) {
        match self {
            Self::Line { line, column, .. } => (0, *line, *column),
            Self::Variable(_) => (1, 0, 0),
            Self::Whole => (2, 0, 0),
        }
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn hides(line: &str, show: Show) -> bool {
    let lower = line.to_ascii_lowercase();
    let names_a_secret = || SECRET_WORDS.iter().any(|word| lower.contains(word));
    match show {
        Show::Value => line.matches('=').nth(1).is_some() && names_a_secret(),
        Show::Guess => names_a_secret(),
        Show::KeyOnly => true,
    }
}

fn hide_value(line: &str) -> String {
    match line.split_once('=') {
        Some((key, _)) => format!("{key}= ***"),
        // A line without a key may be the middle of a secret that spans lines.
        None if line.trim_start().starts_with('[') => line.to_owned(),
        None => "***".into(),
    }
}

/// A value in a message, in bounded length.
pub(super) fn clip(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

// === impl Problem ===

impl Problem {
    /// The mistake as a few lines of text.
    pub fn render(&self, file: &str, lang: Lang) -> String {
        let mut text = format!("{}: {}\n", lang.pick("error", "错误"), self.message.in_lang(lang));
        let gutter = match &self.place {
            SourceSpan::Line { line, .. } => line.to_string().len(),
            SourceSpan::Variable(_) | SourceSpan::Whole => 1,
        };
        let margin = " ".repeat(gutter);
        let key = if self.key.is_empty() { String::new() } else { format!(" ({})", self.key) };
        match &self.place {
            SourceSpan::Line { line, column, width, text: shown } => {
                let (shown, caret_column) = window(shown, *column);
                let (pad, caret) = underline(&shown, caret_column, *width);
                text += &format!("{margin}--> {file}:{line}:{column}{key}\n{margin} |\n");
                text += &format!("{line} | {shown}\n{margin} | {pad}{caret}\n");
            }
            SourceSpan::Variable(name) => {
                text += &format!("{margin}--> {} {name}{key}\n", lang.pick("variable", "环境变量"));
            }
            SourceSpan::Whole => text += &format!("{margin}--> {file}{key}\n"),
        }
        for note in &self.notes {
            text += &format!("{margin} = {}\n", note.in_lang(lang));
        }
        text
    }

    /// The mistake for programs.
    pub fn to_json(&self, file: &str, lang: Lang) -> Value {
        let notes: Vec<_> = self.notes.iter().map(|note| note.in_lang(lang)).collect();
        let mut object = json!({ "message": self.message.in_lang(lang), "notes": notes });
        if !self.key.is_empty() {
            object["key"] = json!(self.key);
        }
        match &self.place {
            SourceSpan::Line { line, column, .. } => {
                object["file"] = json!(file);
                object["line"] = json!(line);
                object["column"] = json!(column);
            }
            SourceSpan::Variable(name) => object["variable"] = json!(name),
            SourceSpan::Whole => object["file"] = json!(file),
        }
        object
    }
}

/// The part of a long line around the mistake, and the column in it.
fn window(line: &str, column: usize) -> (String, usize) {
    // A hidden value made the line shorter than the place of its mistake.
    let column = column.min(line.chars().count() + 1);
    let chars: Vec<char> =
        line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
    if chars.len() <= LINE_CHARS_MAX {
        return (chars.into_iter().collect(), column);
    }
    let from = column.saturating_sub(LINE_CHARS_MAX / 3);
    let cut = chars.iter().skip(from).take(LINE_CHARS_MAX);
    let head = if from > 0 { "…" } else { "" };
    let shown: String = head.chars().chain(cut.copied()).collect();
    (shown, column - from + head.chars().count())
}

/// Blanks as wide as what stands before the mistake, and carets as wide as the mistake.
fn underline(line: &str, column: usize, width: usize) -> (String, String) {
    let before = line.chars().take(column - 1);
    let pad = before
        .map(|c| {
            if c == '\t' {
                "\t"
            } else if is_wide(c) {
                "  "
            } else {
                " "
            }
        })
        .collect();
    let marked = line.chars().skip(column - 1).take(width);
    let columns: usize = marked.map(|c| if is_wide(c) { 2 } else { 1 }).sum();
    (pad, "^".repeat(columns.max(1)))
}

/// Characters that terminals draw in two columns: Chinese, Japanese, Korean, full-width forms, pictures.
const fn is_wide(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe4f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}')
}

// === impl Problems ===

impl Problems {
    /// In the order of the file, and no more than anyone reads.
    pub(super) fn sorted(file: &str, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.place.order());
        let more = list.len().saturating_sub(PROBLEMS_MAX);
        list.truncate(PROBLEMS_MAX);
        if more > 0 {
            let message = Words::new(format!("and {more} more"), format!("另有 {more} 处"));
            list.push(Problem {
                key: String::new(),
                place: SourceSpan::Whole,
                message,
                notes: Vec::new(),
            });
        }
        Self { file: file.to_owned(), list }
    }

    /// All of them as text for people, an empty line between two.
    pub fn render(&self, lang: Lang) -> String {
        let rendered = self.list.iter().map(|problem| problem.render(&self.file, lang));
        rendered.collect::<Vec<_>>().join("\n")
    }

    /// All of them for programs.
    pub fn to_json(&self, lang: Lang) -> Value {
        self.list.iter().map(|problem| problem.to_json(&self.file, lang)).collect()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Lang::En))
    }
}

impl std::error::Error for Problems {}
