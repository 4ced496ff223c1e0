//! Waiting for an index that is being built. The serving process builds it, so nothing is lost when somebody stops waiting.

use std::io::IsTerminal;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use yunzhan_base::config::Lang;
use yunzhan_base::{Error, Kind};

use super::place::Place;
use super::text;
use crate::cli::context::{Context, Failure};
use crate::cli::output::complain;

/// The first pause between two looks: a small collection is ready by then.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause: a look costs the server a read of one small table.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// How many lines tell the progress to something that is no terminal, such as a log.
const LINES_MAX: u64 = 10;

/// Looks at an index until it is ready. Without an end of its own: how long is right depends on the collection, and
/// whoever waits can stop at any time.
///
/// # Errors
/// `AlreadyExists` or `InvalidParameter` when the documents do not allow the index, `NotFound` when somebody dropped it,
/// `Unavailable` when nobody serves.
pub(super) fn until_ready(
    context: &Context,
    place: &Place,
    added: Value,
) -> Result<Value, Failure> {
    let mut teller = Teller::new(context);
    let outcome = watch(context, place, added, &mut teller);
    teller.end();
    let index = outcome?;
    refuse_unready(&index, place)?;
    Ok(index)
}

/// Looks until it is no longer being built.
fn watch(
    context: &Context,
    place: &Place,
    added: Value,
    teller: &mut Teller,
) -> Result<Value, Failure> {
    let mut index = added;
    let mut pause = PAUSE_MIN;
    while index["state"] == "building" {
        teller.tell(&index);
        context.pause(pause)?;
        pause = (pause * 2).min(PAUSE_MAX);
        index = look(context, place, index["name"].as_str().unwrap_or_default())?;
    }
    Ok(index)
}

fn look(context: &Context, place: &Place, name: &str) -> Result<Value, Failure> {
    // Another process that was opened for one look would build nothing: then there is nothing to wait for.
    let answer = place.serving_call(context, Method::GET, "/indexes", &Value::Null)?;
    let answer = answer.ok_or_else(|| {
        let message = format!(
            "index {name} is not built yet, and no process serves this data folder; `yunzhan serve` goes on building it"
        );
        Error::new(Kind::Unavailable, message)
    })?;
    let mut indexes = answer["indexes"].as_array().into_iter().flatten();
    let index = indexes.find(|index| index["name"] == name);
    Ok(index.cloned().ok_or_else(|| dropped(name))?)
}

fn refuse_unready(index: &Value, place: &Place) -> Result<(), Error> {
    let name = index["name"].as_str().unwrap_or_default();
    match index["state"].as_str() {
        Some("ready") => Ok(()),
        Some("failed") => {
            let unique = index["unique"].as_bool().unwrap_or(false);
            let kind = if unique { Kind::AlreadyExists } else { Kind::InvalidParameter };
            let failure = index["failure"].as_str().unwrap_or("no reason given");
            let message = format!(
                "index {name} cannot be built: {failure}; change those documents, then drop it with `yunzhan db drop-index {} {} {name}` and add it again",
                place.env, place.collection
            );
            Err(Error::new(kind, message))
        }
        _ => Err(dropped(name)),
    }
}

fn dropped(name: &str) -> Error {
    let message = format!(
        "index {name} was dropped while it was being built; add it again if it is still wanted"
    );
    Error::new(Kind::NotFound, message)
}

/// Tells people how far it is: on one line of a terminal that is written over, or in a few lines for a log. Programs
/// hear nothing before the end.
struct Teller {
    lang: Lang,
    manner: Manner,
    /// Tenths that were told already; none before the first.
    told: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Silent,
    OneLine,
    Lines,
}

impl Teller {
    fn new(context: &Context) -> Self {
        let manner = match context.json {
            true => Manner::Silent,
            false if std::io::stderr().is_terminal() => Manner::OneLine,
            false => Manner::Lines,
        };
        Self { lang: context.lang, manner, told: None }
    }

    fn tell(&mut self, index: &Value) {
        let text = self.next_text(index);
        if !text.is_empty() {
            complain(&text);
        }
    }

    /// What is to be written now; empty when nothing is.
    fn next_text(&mut self, index: &Value) -> String {
        let tenths = tenths(index);
        let is_first = self.told.is_none();
        let is_news = self.told.is_none_or(|told| tenths > told);
        self.told = Some(tenths);
        let promise = self.lang.pick(
            "Ctrl-C ends the waiting, not the building\n",
            "Ctrl-C 只结束等待, 不影响索引的建立\n",
        );
        let promise = if is_first { promise } else { "" };
        let state = text::state(index, self.lang);
        match self.manner {
            Manner::Silent => String::new(),
            // To the start of the line, and what stood there is wiped out.
            Manner::OneLine => format!("{promise}\r\x1b[K{state}"),
            Manner::Lines if is_news => format!("{promise}{state}\n"),
            Manner::Lines => String::new(),
        }
    }

    fn end(&self) {
        if self.manner == Manner::OneLine && self.told.is_some() {
            complain("\r\x1b[K");
        }
    }
}

/// How many of [`LINES_MAX`] parts are done.
fn tenths(index: &Value) -> u64 {
    let [done, total] = ["done", "total"].map(|name| index[name].as_u64().unwrap_or(0));
    done.min(total).saturating_mul(LINES_MAX) / total.max(1)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn building(done: u64) -> Value {
        json!({ "name": "by_age", "state": "building", "done": done, "total": 40, "failure": null })
    }

    fn told(manner: Manner, lang: Lang) -> String {
        let mut teller = Teller { lang, manner, told: None };
        [0, 1, 4, 5, 39, 39].map(|done| teller.next_text(&building(done))).concat()
    }

    #[test]
    fn a_log_hears_of_every_tenth() {
        expect![[r#"
            Ctrl-C ends the waiting, not the building
            building 0/40
            building 4/40
            building 39/40
        "#]]
        .assert_eq(&told(Manner::Lines, Lang::En));
        expect![[r#"
            Ctrl-C 只结束等待, 不影响索引的建立
            建立中 0/40
            建立中 4/40
            建立中 39/40
        "#]]
        .assert_eq(&told(Manner::Lines, Lang::Zh));
    }

    #[test]
    fn a_terminal_has_one_line_and_a_program_none() {
        expect![[r#"Ctrl-C ends the waiting, not the building\n\r\u{1b}[Kbuilding 0/40\r\u{1b}[Kbuilding 1/40\r\u{1b}[Kbuilding 4/40\r\u{1b}[Kbuilding 5/40\r\u{1b}[Kbuilding 39/40\r\u{1b}[Kbuilding 39/40"#]].assert_eq(&told(Manner::OneLine, Lang::En).escape_debug().to_string());
        assert_eq!(told(Manner::Silent, Lang::En), "");
    }

    #[test]
    fn progress_has_bounds() {
        let of = |done: u64, total: u64| tenths(&json!({ "done": done, "total": total }));
        assert_eq!((of(0, 0), of(5, 0), of(9, 3), of(u64::MAX, u64::MAX)), (0, 0, 10, 1));
        assert_eq!(tenths(&json!({})), 0);
    }

    #[test]
    fn what_did_not_become_ready_says_why() {
        let place = Place { env: "demo".parse().unwrap(), collection: "todos".into() };
        let check = |index: Value| {
            refuse_unready(&index, &place)
                .map_err(|error| format!("{error:?}"))
                .err()
                .unwrap_or_default()
        };
        assert_eq!(check(json!({ "name": "e", "state": "ready" })), "");
        let failed = json!({ "name": "e", "state": "failed", "unique": true, "failure": "two documents have the same e" });
        expect!["already_exists: index e cannot be built: two documents have the same e; change those documents, then drop it with `yunzhan db drop-index demo todos e` and add it again"].assert_eq(&check(failed));
        expect!["not_found: index e was dropped while it was being built; add it again if it is still wanted"].assert_eq(&check(json!({ "name": "e", "state": "dropping" })));
    }
}
