//! The rules against attacks: which they are, where they lie, and what they may do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use yunzhan_base::config::{FromConfig, Given, Reader, Reason, Words};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_gateway::config::WafMode;
use yunzhan_gateway::{Guarding, Mode};
use yunzhan_waf::RuleSet;
use yunzhan_waf::seclang::Sources;
use yunzhan_waf::seclang::ast::Problem;
use yunzhan_waf::starter::{self, BuiltIn, WithBuiltIn};
use yunzhan_waf::transaction::{Limits, NoCollections};

/// A server that nobody configured is guarded: the rules that are built in are tested against traffic like its own.
const MODE_DEFAULT: WafMode = WafMode(Mode::Block);

/// Mistakes that an error tells of; whoever has more fixes these first.
const PROBLEMS_TOLD_MAX: usize = 20;

/// What can be configured.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// What rules may do.
    pub(crate) mode: Mode,
    /// A file of rules in ModSecurity's language instead of the ones that are built in.
    pub(crate) rules: Option<PathBuf>,
    /// Whether the log quotes requests as they are.
    pub(crate) log_is_plain: bool,
}

impl Config {
    /// Reads the table `waf`; a path starts from `folder`.
    pub(crate) fn read(reader: &mut Reader<'_>, folder: &Path) -> Self {
        let mode = reader.live(
            "mode",
            MODE_DEFAULT,
            "what rules against attacks may do: `block`, `observe` or `off`",
        );
        let rules = reader.live_optional(
            "rules",
            "a file of rules in ModSecurity's language instead of the ones that are built in; it may include others, also `/builtin/starter.conf`; read again at every reload",
        );
        let log_values = reader.live(
            "log_values",
            LogValues(false),
            "how the log quotes what rules saw: `masked`, or `plain`, which keeps what people wrote and is for tests",
        );
        let log_is_plain = log_values.0;
        Self { mode: mode.0, log_is_plain, rules: rules.map(|path: PathBuf| folder.join(path)) }
    }
}

/// How the log quotes requests, as the file spells it.
struct LogValues(bool);

impl FromConfig for LogValues {
    fn expected() -> Words {
        Words::new(r#""masked" or "plain""#, r#""masked" 或 "plain""#)
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        match given.text() {
            Some("masked") => Ok(Self(false)),
            Some("plain") => Ok(Self(true)),
            _ => Err(Reason::none()),
        }
    }

    fn show(&self) -> String {
        if self.0 { "\"plain\"".into() } else { "\"masked\"".into() }
    }
}

/// Loads the rules.
///
/// # Errors
/// Every mistake in them, up to a bound, each with file and line.
pub(crate) fn guarding(config: &Config) -> Result<Guarding> {
    let rules = match &config.rules {
        Some(path) => load(&path.to_string_lossy(), &Disk)?,
        None => load(starter::ROOT, &BuiltIn)?,
    };
    Ok(Guarding {
        rules: Some(Arc::new(rules)),
        mode: config.mode,
        limits: Limits::default(),
        log_is_plain: config.log_is_plain,
        collections: Arc::new(NoCollections),
    })
}

fn load(root: &str, sources: &dyn Sources) -> Result<RuleSet> {
    RuleSet::load(root, &WithBuiltIn(sources)).map_err(|problems| refuse(&problems))
}

fn refuse(problems: &[Problem]) -> Error {
    let mut text = format!("the rules against attacks have {} mistakes", problems.len());
    for problem in problems.iter().take(PROBLEMS_TOLD_MAX) {
        let rule = problem.rule.map(|id| format!(" (rule {id})")).unwrap_or_default();
        text.push_str(&format!("\n  {}{rule}: {}", problem.place, problem.message));
    }
    if problems.len() > PROBLEMS_TOLD_MAX {
        text.push_str(&format!("\n  and {} more", problems.len() - PROBLEMS_TOLD_MAX));
    }
    Error::new(Kind::InvalidParameter, text)
}

/// Rules in files.
struct Disk;

impl Sources for Disk {
    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        let folder = if folder.is_empty() { "." } else { folder };
        let entries =
            std::fs::read_dir(folder).map_err(|error| format!("cannot read {folder}: {error}"))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))
    }
}
