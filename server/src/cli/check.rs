//! `yunzhan check`: every mistake of configuration and data folder at once, and nothing is changed.

use serde_json::{Value, json};
use yunzhan_base::config::{Lang, Problems};
use yunzhan_base::{Error, Result};

use super::context::Context;
use super::output::print;
use super::{EXIT_DONE, EXIT_FAILED};
use crate::data;

/// What was found.
struct Findings {
    config: Result<(), Problems>,
    data: Result<()>,
}

/// Checks; 0 without a mistake, 1 with one.
pub(super) fn run(context: &Context) -> u8 {
    let findings =
        Findings { config: context.source.load().map(drop), data: data::inspect(&context.dir) };
    let is_good = findings.config.is_ok() && findings.data.is_ok();
    print(&if context.json {
        format!("{}\n", findings.json(is_good, context.lang))
    } else {
        findings.text(is_good, context)
    });
    if is_good { EXIT_DONE } else { EXIT_FAILED }
}

impl Findings {
    fn json(&self, is_good: bool, lang: Lang) -> Value {
        let problems =
            self.config.as_ref().err().map_or(json!([]), |problems| problems.to_json(lang));
        let data = self.data.as_ref().err().map(Error::message);
        json!({ "ok": is_good, "configuration": problems, "data": data })
    }

    fn text(&self, is_good: bool, context: &Context) -> String {
        let lang = context.lang;
        let mut text = String::new();
        if let Err(problems) = &self.config {
            text += &problems.render(lang);
            text.push('\n');
        }
        if let Err(error) = &self.data {
            text += &format!("{}: {error}\n\n", lang.pick("error", "错误"));
        }
        let mistakes = self.config.as_ref().err().map_or(0, |problems| problems.list.len())
            + usize::from(self.data.is_err());
        text + &match (is_good, lang) {
            (true, Lang::En) => "no mistake found\n".to_owned(),
            (true, Lang::Zh) => "没有发现错误\n".to_owned(),
            (false, Lang::En) if mistakes == 1 => "1 mistake\n".to_owned(),
            (false, Lang::En) => format!("{mistakes} mistakes\n"),
            (false, Lang::Zh) => format!("{mistakes} 处错误\n"),
        }
    }
}
