//! `yunzhan check`: every mistake of configuration and data folder at once, and nothing is changed.

use serde_json::{Value, json};
use yunzhan_base::config::{Lang, Problems};
use yunzhan_base::{Clock, Error};
use yunzhan_gateway::{Files, check_routes};

use super::context::Context;
use super::output::print;
use super::{EXIT_DONE, EXIT_FAILED};
use crate::config::Config;
use crate::data;
use crate::listeners::check_certificates;
use crate::rooms;
use crate::waf::RuleSetManager;

/// What was found.
struct Findings {
    /// Mistakes in the file and the variables.
    config: Option<Problems>,
    /// What the configuration names and cannot be used, and what is wrong with the data folder.
    files: Vec<Error>,
    /// What is no mistake, but will be one for somebody.
    warnings: Vec<String>,
}

/// Checks; 0 without a mistake, 1 with one.
pub(super) fn run(context: &Context) -> u8 {
    let findings = Findings::collect(context);
    let is_good = findings.count() == 0;
    print(&if context.json {
        format!("{}\n", findings.json(is_good, context.lang))
    } else {
        findings.text(context.lang)
    });
    if is_good { EXIT_DONE } else { EXIT_FAILED }
}

impl Findings {
    fn collect(context: &Context) -> Self {
        let now_s = u64::try_from(Clock::System.now_ms() / 1000).unwrap_or(0);
        let (config, mut files, warnings) = match context.source.load() {
            Ok(loaded) => {
                let (mut errors, warnings) = check_certificates(&loaded.config, now_s);
                errors.extend(named_files(&loaded.config, context));
                (None, errors, warnings)
            }
            Err(problems) => (Some(problems), Vec::new(), Vec::new()),
        };
        files.extend(data::inspect(&context.dir).err());
        Self { config, files, warnings }
    }

    fn count(&self) -> usize {
        self.config.as_ref().map_or(0, |problems| problems.list.len()) + self.files.len()
    }

    fn json(&self, is_good: bool, lang: Lang) -> Value {
        let problems = self.config.as_ref().map_or(json!([]), |problems| problems.to_json(lang));
        let files: Vec<_> = self.files.iter().map(Error::message).collect();
        json!({ "ok": is_good, "configuration": problems, "files": files, "warnings": self.warnings })
    }

    fn text(&self, lang: Lang) -> String {
        let mut text = String::new();
        if let Some(problems) = &self.config {
            text += &problems.render(lang);
            text.push('\n');
        }
        for error in &self.files {
            text += &format!("{}: {error}\n\n", lang.pick("error", "错误"));
        }
        for warning in &self.warnings {
            text += &format!("{}: {warning}\n\n", lang.pick("warning", "警告"));
        }
        text + &match (self.count(), lang) {
            (0, Lang::En) => "no mistake found\n".to_owned(),
            (0, Lang::Zh) => "没有发现错误\n".to_owned(),
            (1, Lang::En) => "1 mistake\n".to_owned(),
            (count, Lang::En) => format!("{count} mistakes\n"),
            (count, Lang::Zh) => format!("{count} 处错误\n"),
        }
    }
}

/// Opens what the configuration names, for a file that is well-formed may still name one that is not there, or a path that
/// a service answers already.
fn named_files(config: &Config, context: &Context) -> Vec<Error> {
    let site = config.site.as_deref().map(|folder| Files::folder(folder).map(drop));
    let routes = check_routes(rooms::public_specs(), &config.gateway.routes);
    let policy = RuleSetManager::open(context.dir.clone(), &config.waf).map(drop);
    [site, Some(routes), Some(policy)].into_iter().flatten().filter_map(Result::err).collect()
}
