//! Finds the functions of a Rust source and their lengths, tests left out. No parser: comments, strings and characters
//! are blanked, and then braces match.

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// Index of the line with `fn`.
    pub(super) line_index: usize,
    /// Lines from `fn` to the closing brace.
    pub(super) lines: usize,
}

/// The functions of a source in their order; those inside a module or function for tests are left out.
pub(super) fn functions(source: &str) -> Vec<Function> {
    let code = without_tests(&blank(source));
    let starts = code.match_indices("fn ").filter(|(at, _)| begins_word(&code, *at));
    starts.filter_map(|(at, _)| function_at(&code, at)).collect()
}

fn begins_word(code: &str, at: usize) -> bool {
    let before = code.as_bytes().get(at.wrapping_sub(1));
    !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

fn function_at(code: &str, at: usize) -> Option<Function> {
    let rest = code.get(at..)?;
    let name = rest.get(3..)?.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    let opening = rest.find(['{', ';'])?;
    let is_pointer_or_declaration = name.is_empty() || rest.as_bytes().get(opening) == Some(&b';');
    if is_pointer_or_declaration {
        return None;
    }
    let end = closing_brace(rest, opening)?;
    Some(Function {
        name: name.to_owned(),
        line_index: count_lines(code.get(..at)?),
        lines: count_lines(rest.get(..end)?) + 1,
    })
}

fn count_lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// Where the brace that opens at `opening` closes.
fn closing_brace(code: &str, opening: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(opening) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The code with what follows `#[cfg(test)]` and `#[test]` blanked, up to the closing brace or semicolon.
fn without_tests(code: &str) -> String {
    let mut kept = code.to_owned();
    for mark in ["#[cfg(test)]", "#[test]", "#[tokio::test"] {
        while let Some(at) = kept.find(mark) {
            let end = item_end(&kept, at);
            let blanked = spaces(kept.get(at..end).unwrap_or_default());
            kept.replace_range(at..end, &blanked);
        }
    }
    kept
}

/// Where the item that begins at `at` ends.
fn item_end(code: &str, at: usize) -> usize {
    let rest = code.get(at..).unwrap_or_default();
    let end = match rest.find(['{', ';']) {
        Some(opening) if rest.as_bytes().get(opening) == Some(&b'{') => {
            closing_brace(rest, opening)
        }
        other => other,
    };
    end.map_or(code.len(), |end| at + end + 1)
}

/// As many blanks as the text has bytes, with its lines kept.
fn spaces(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

/// The source with comments, strings and characters blanked, so that a brace is a brace.
fn blank(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = opaque_length(rest, code.as_bytes().last().copied()).unwrap_or(0);
        if length == 0 {
            code.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        } else {
            let (opaque, after) = rest.split_at(length);
            code.push_str(&spaces(opaque));
            rest = after;
        }
    }
    code
}

/// How many bytes at the beginning of `rest` are a comment, a string or a character; nothing for code.
fn opaque_length(rest: &str, before: Option<u8>) -> Option<usize> {
    let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match rest.as_bytes().first()? {
        b'/' if rest.starts_with("//") => Some(rest.find('\n').unwrap_or(rest.len())),
        b'/' if rest.starts_with("/*") => Some(comment_length(rest)),
        b'"' => Some(quoted_length(rest, '"')),
        b'r' if !in_word => raw_string_length(rest),
        b'b' if !in_word && rest.starts_with("br") => {
            raw_string_length(rest.get(1..)?).map(|length| length + 1)
        }
        b'\'' => character_length(rest),
        _ => None,
    }
}

/// A block comment with the comments inside it.
fn comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let bytes = rest.as_bytes();
    let mut at = 0;
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"/*" => depth += 1,
            b"*/" if depth == 1 => return at + 2,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    rest.len()
}

/// A string or character with its quotes.
fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        if !escaped && letter == quote {
            return at + 1;
        }
        escaped = !escaped && letter == '\\';
    }
    rest.len()
}

/// `r"…"` and `r#"…"#` with any number of `#`; nothing for an identifier.
fn raw_string_length(rest: &str) -> Option<usize> {
    let hashes = rest.get(1..)?.bytes().take_while(|byte| *byte == b'#').count();
    let body = rest.get(1 + hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let closed = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(2 + hashes + closed)
}

/// `'x'` and `'\n'`; nothing for a lifetime.
fn character_length(rest: &str) -> Option<usize> {
    let mut letters = rest.char_indices().skip(1);
    let (_, first) = letters.next()?;
    let (at, second) = letters.next()?;
    match (first, second) {
        ('\\', _) => Some(quoted_length(rest, '\'')),
        (_, '\'') => Some(at + 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn check(source: &str, expected: &expect_test::Expect) {
        let lines = functions(source)
            .into_iter()
            .map(|f| format!("{}:{} {}\n", f.line_index + 1, f.name, f.lines))
            .collect::<String>();
        expected.assert_eq(&lines);
    }

    #[test]
    fn lengths_count_from_the_name_to_the_brace() {
        let source = "\
struct A { call: fn(u8) -> u8 }
pub const fn one() -> u8 { 1 }
trait T { fn declared(&self); }
fn three<'a>(a: &'a str)
{
}
";
        check(
            source,
            &expect![[r#"
                2:one 1
                4:three 3
            "#]],
        );
    }

    #[test]
    fn braces_in_strings_comments_and_characters_are_not_code() {
        let source = "\
fn f() {
    // } /* \" fn comment() {
    /* { /* { */ */
    let a = \"}\\\"}\"; let b = '}'; let c = '\\''; let d = r#\"}\"}\"#; let e = br\"}\";
    let fine = after('\"', r);
}
fn g<'r>() {}
";
        check(
            source,
            &expect![[r#"
                1:f 6
                7:g 1
            "#]],
        );
    }

    #[test]
    fn tests_are_left_out() {
        let source = "\
fn f() {}
#[cfg(test)]
use a::b;
#[test]
fn t() {
}
#[cfg(test)]
mod tests {
    fn helper() { if true { } }
}
fn last() {}
";
        check(
            source,
            &expect![[r#"
                1:f 1
                11:last 1
            "#]],
        );
    }
}
