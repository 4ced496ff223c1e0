//! Whatever can refuse a start and can be asked before anything changes. `check` tells what [`ask`] finds, and `serve` begins
//! with it: so the two agree, and an operator reads everything at once.
//!
//! What the configuration alone shows is refused when it is read (`config.rs`). The questions here need the disk, the network
//! or the database; each is a function of [`QUESTIONS`] or a step of [`ask`].

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};
use yunzhan_base::config::{Lang, Problem, Problems, Settings, Words};
use yunzhan_base::{Clock, DataDir, Error, Kind, Result};
use yunzhan_engine::sql;
use yunzhan_gateway::Files;
use yunzhan_gateway::tls::{Certificate, CertificateFiles};

use crate::config::{Config, Listen, Loaded};
use crate::data::{self, Lock};
use crate::waf::RuleSetManager;
use crate::{listeners, rooms};

/// What the configuration names, looked at one by one.
const QUESTIONS: &[fn(&Asked<'_>) -> Vec<Problem>] = &[certificates, site, addresses];

/// What the questions are about.
struct Asked<'a> {
    dir: &'a DataDir,
    config: &'a Config,
    settings: &'a Settings,
    /// Mistakes that are known already: a key with one has its default, which nobody asked for.
    known: &'a [Problem],
    listens: bool,
}

/// What was found.
pub(crate) struct Findings {
    /// Mistakes with the place of their key, in the order of the file.
    pub(crate) located: Option<Problems>,
    /// What is wrong with the data folder or the database.
    pub(crate) others: Vec<Error>,
    /// What is no mistake, but will be one for somebody.
    pub(crate) warnings: Vec<String>,
}

/// What a start needs not do again.
pub(crate) struct Answers {
    /// What was found wrong.
    pub(crate) findings: Findings,
    /// The rules against attacks, where they are good.
    pub(crate) rule_sets: Option<RuleSetManager>,
}

/// Asks everything, with the mistakes that were found when the configuration was read. Whoever `listens` needs free
/// addresses; a single command does not.
pub(crate) async fn ask(
    dir: &DataDir,
    loaded: &Loaded,
    known: Option<Problems>,
    listens: bool,
) -> Answers {
    let mut located = known.map(|problems| problems.list).unwrap_or_default();
    let Loaded { config, settings } = loaded;
    let asked = Asked { dir, config, settings, known: &located, listens };
    let mut found: Vec<Problem> = QUESTIONS.iter().flat_map(|question| question(&asked)).collect();
    let mut others = data::inspect(dir, config.master_key.as_ref());
    let rule_sets = match RuleSetManager::open(dir.clone(), &config.waf) {
        Ok(rule_sets) => Some(rule_sets),
        Err(error) if config.waf.rules.is_some() => {
            found.push(asked.problem("waf.rules", &error));
            None
        }
        Err(error) => {
            others.push(error);
            None
        }
    };
    located.append(&mut found);
    if others.is_empty() {
        others.extend(database(dir, config).await.err());
    }
    let now_s = u64::try_from(Clock::System.now_s()).unwrap_or(0);
    let warnings = listeners::check_certificates(config, now_s);
    let located = (!located.is_empty()).then(|| settings.problems(located));
    Answers { findings: Findings { located, others, warnings }, rule_sets }
}

impl Asked<'_> {
    /// An error as a mistake of the key that led to it.
    fn problem(&self, key: &str, error: &Error) -> Problem {
        let kind = error.kind().entry().zh;
        let words = Words::new(error.message().to_owned(), format!("{kind}: {error}"));
        self.settings.problem(key, words)
    }

    fn is_known(&self, key: &str) -> bool {
        self.known.iter().any(|problem| problem.key == key)
    }
}

// === Questions ===

/// Chains and keys are there, can be read, and belong together.
fn certificates(asked: &Asked<'_>) -> Vec<Problem> {
    let own = asked.config.listeners.iter().filter_map(|listen| {
        let table = listen.key.strip_suffix("address").unwrap_or(&listen.key);
        Some((table.to_owned(), listen.certificate.as_ref()?))
    });
    let shared = asked.config.certificate.as_ref().map(|files| ("tls.".to_owned(), files));
    let refused = |(table, files): (String, &CertificateFiles)| {
        let error = Certificate::load(files).err()?;
        // Told at the file that is at fault, which the message names.
        let is_key = error.message().starts_with("the key");
        let key = if is_key { "key" } else { "certificate" };
        Some(asked.problem(&format!("{table}{key}"), &error))
    };
    shared.into_iter().chain(own).filter_map(refused).collect()
}

/// The folder of pages is there and can be read.
fn site(asked: &Asked<'_>) -> Vec<Problem> {
    let refused = asked.config.site.as_deref().and_then(|folder| open_site(folder).err());
    refused.map(|error| asked.problem("server.site", &error)).into_iter().collect()
}

/// Nobody else listens on our addresses. While a server of this folder runs it is that one who does, and a start is refused
/// for that reason.
fn addresses(asked: &Asked<'_>) -> Vec<Problem> {
    if !asked.listens || Lock::is_held(asked.dir) {
        return Vec::new();
    }
    let refused = |listen: &Listen| {
        if asked.is_known(&listen.key) {
            return None;
        }
        let error = TcpListener::bind(listen.address).err()?;
        let words = listeners::cannot_listen(&listen.address.to_string(), &listen.key, &error);
        Some(asked.settings.problem(&listen.key, words))
    };
    asked.config.listeners.iter().filter_map(refused).collect()
}

/// The database is one that this program can use.
async fn database(dir: &DataDir, config: &Config) -> Result<()> {
    let opening = rooms::opening(config, dir.root().to_owned(), Clock::System)?;
    sql::inspect(&opening).await
}

/// Serves a folder of pages, or says why it cannot be read.
pub(crate) fn open_site(folder: &Path) -> Result<Files> {
    let refuse = |why: String| {
        let message = format!("the folder of pages {} {why}", folder.display());
        Error::new(Kind::InvalidParameter, message)
    };
    match std::fs::read_dir(folder) {
        Ok(_) => Files::folder(folder),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(refuse("does not exist".into())),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(refuse("is not a folder".into()))
        }
        Err(error) => Err(refuse(format!("cannot be read: {error}"))),
    }
}

// === impl Findings ===

impl Findings {
    /// How many mistakes.
    pub(crate) fn count(&self) -> usize {
        self.located.as_ref().map_or(0, |problems| problems.list.len()) + self.others.len()
    }

    /// For programs.
    pub(crate) fn json(&self, lang: Lang) -> Value {
        let located = self.located.as_ref().map_or(json!([]), |problems| problems.to_json(lang));
        let others: Vec<_> = self.others.iter().map(Error::log_text).collect();
        json!({ "configuration": located, "files": others, "warnings": self.warnings })
    }

    /// For people, an empty line behind each.
    pub(crate) fn text(&self, lang: Lang) -> String {
        let mut text = String::new();
        if let Some(problems) = &self.located {
            text += &problems.render(lang);
            text.push('\n');
        }
        for error in &self.others {
            text += &match lang {
                Lang::En => format!("error: {error}\n\n"),
                Lang::Zh => format!("错误: {}: {error}\n\n", error.kind().entry().zh),
            };
        }
        for warning in &self.warnings {
            text += &format!("{}: {warning}\n\n", lang.pick("warning", "警告"));
        }
        text
    }
}
