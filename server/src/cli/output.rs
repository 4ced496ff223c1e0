//! Printing: text for people, JSON for programs.

use std::io::Write;

use serde::Serialize;
use serde_json::json;
use yunzhan_base::Error;
use yunzhan_base::config::Lang;

use super::context::{Context, Failure};
use super::{EXIT_DONE, EXIT_FAILED};

/// To the standard output. A reader that went away, such as `head`, is no failure.
pub(crate) fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

/// To the standard error.
pub(super) fn complain(text: &str) {
    // Nobody is left to tell when the standard error is gone.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints an answer as JSON or as `text` makes it, or the failure; answers the exit code.
pub(super) fn finish<A: Serialize>(
    context: &Context,
    outcome: Result<A, Failure>,
    text: impl FnOnce(&A, Lang) -> String,
) -> u8 {
    match outcome {
        Ok(answer) if context.json => {
            let json = serde_json::to_string(&answer).expect("answers are plain data");
            print(&format!("{json}\n"));
            EXIT_DONE
        }
        Ok(answer) => {
            print(&text(&answer, context.lang));
            EXIT_DONE
        }
        Err(failure) => {
            complain(&failed(&failure, context));
            EXIT_FAILED
        }
    }
}

/// The failure as text or JSON.
pub(super) fn failed(failure: &Failure, context: &Context) -> String {
    match failure {
        Failure::Problems(problems) if context.json => {
            format!("{}\n", json!({ "error": { "problems": problems.to_json(context.lang) } }))
        }
        Failure::Problems(problems) => problems.render(context.lang),
        Failure::Findings(findings) if context.json => {
            format!("{}\n", json!({ "error": findings.json(context.lang) }))
        }
        Failure::Findings(findings) => findings.text(context.lang),
        Failure::Error(error) if context.json => {
            format!(
                "{}\n",
                json!({ "error": { "code": error.kind().name(), "message": error.message() } })
            )
        }
        Failure::Error(error) => error_text(error, context.lang),
    }
}

fn error_text(error: &Error, lang: Lang) -> String {
    match lang {
        Lang::En => format!("error: {error}\n"),
        Lang::Zh => format!("错误: {}: {error}\n", error.kind().entry().zh),
    }
}

/// Rows under headings, columns as wide as their widest cell.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = headings.iter().map(|&heading| heading.to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&heading).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| columns(&line[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let render = |line: &&Vec<String>| {
        let cells = line.iter().zip(&widths);
        let padded =
            cells.map(|(cell, width)| format!("{cell}{}", " ".repeat(width - columns(cell))));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines.iter().map(render).collect()
}

/// One fact a line, each behind its name.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| columns(name)).max().unwrap_or(0);
    let line = |(name, fact): &(&str, String)| {
        format!("{name}{}  {fact}\n", " ".repeat(width - columns(name)))
    };
    facts.iter().map(line).collect()
}

/// Columns of a terminal; what is not ASCII in our tables is Chinese and takes two.
fn columns(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_their_headings() {
        let rows = [vec!["demo".into(), "-".into()], vec!["商店".into(), "wx1".into()]];
        assert_eq!(table(&["id", "appid"], &rows), "id    appid\ndemo  -\n商店  wx1\n");
    }

    #[test]
    fn facts_stand_in_a_column() {
        let some = [("索引", "by_age".to_owned()), ("unique", "no".to_owned())];
        assert_eq!(facts(&some), "索引    by_age\nunique  no\n");
    }
}
