//! Printing: text for people, JSON for programs.

use std::io::Write;

use serde::Serialize;
use serde_json::json;
use yunzhan_base::Error;
use yunzhan_base::config::Lang;
pub(super) use yunzhan_services::verbs::{age, facts, table};

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
                json!({ "error": { "code": error.kind().name(), "message": error.operator_text() } })
            )
        }
        Failure::Error(error) => error_text(error, context.lang),
    }
}

/// One error as a line, as an operator reads it.
pub(crate) fn error_text(error: &Error, lang: Lang) -> String {
    match lang {
        Lang::En => format!("error: {}\n", error.operator_text()),
        Lang::Zh => format!("错误: {}: {}\n", error.kind().entry().zh, error.operator_text()),
    }
}
