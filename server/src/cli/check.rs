//! `yunzhan check`: every mistake of configuration and data folder at once, and nothing is changed.

use serde_json::Value;
use yunzhan_base::config::Lang;

use super::context::{Context, Failure, runtime};
use super::output::{complain, failed, print};
use super::{EXIT_DONE, EXIT_FAILED};
use crate::preflight::{self, Findings};

/// Checks; 0 without a mistake, 1 with one.
pub(super) fn run(context: &Context) -> u8 {
    let findings = match collect(context) {
        Ok(findings) => findings,
        Err(failure) => {
            complain(&failed(&failure, context));
            return EXIT_FAILED;
        }
    };
    print(&if context.json {
        format!("{}\n", json(&findings, context.lang))
    } else {
        findings.text(context.lang) + &sum(&findings, context.lang)
    });
    if findings.count() == 0 { EXIT_DONE } else { EXIT_FAILED }
}

/// What would refuse a start: the very questions with which `serve` begins.
fn collect(context: &Context) -> Result<Findings, Failure> {
    let (loaded, problems) = context.source.read();
    let asking = preflight::ask(&context.dir, &loaded, problems, true);
    Ok(runtime()?.block_on(asking).findings)
}

fn json(findings: &Findings, lang: Lang) -> Value {
    let mut json = findings.json(lang);
    json["ok"] = (findings.count() == 0).into();
    json
}

fn sum(findings: &Findings, lang: Lang) -> String {
    match (findings.count(), lang) {
        (0, Lang::En) => "no mistake found\n".to_owned(),
        (0, Lang::Zh) => "没有发现错误\n".to_owned(),
        (1, Lang::En) => "1 mistake\n".to_owned(),
        (count, Lang::En) => format!("{count} mistakes\n"),
        (count, Lang::Zh) => format!("{count} 处错误\n"),
    }
}
