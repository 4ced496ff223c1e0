//! The rules against attacks: which they are, where they lie, and what they may do.
//!
//! `rule_sets.rs` says which are active and changes them, `release.rs` is a folder of rules, `explain.rs` says what rules do with
//! one request, `control.rs` is what operators call.

mod control;
mod explain;
mod release;
mod rule_sets;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use yunzhan_base::WafMode;
use yunzhan_base::config::{ByteSize, FromConfig, Given, Reader, Reason, Words};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_gateway::config::WafModeText;
use yunzhan_waf::RuleSet;
use yunzhan_waf::seclang::Sources;
use yunzhan_waf::seclang::ast::Problem;
use yunzhan_waf::starter::{BuiltIn, ROOT, WithBuiltIn};
use yunzhan_waf::transaction::Limits;

pub(crate) use control::{choose, explain, import, show};
pub(crate) use rule_sets::RuleSetManager;

/// A server that nobody configured is guarded: the rules that are built in are tested against traffic like its own.
const MODE_DEFAULT: WafModeText = WafModeText(WafMode::Block);

/// Mistakes that an error tells of; whoever has more fixes these first.
const PROBLEMS_TOLD_MAX: usize = 20;

/// What one transaction may read through rules; see `Limits`. Less than a body of the largest size, or more than a minute of
/// a processor, is a mistake.
const WORK_BYTES: RangeInclusive<ByteSize> = ByteSize::mib(1)..=ByteSize::gib(16);

/// What can be configured.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// What rules may do.
    pub(crate) mode: WafMode,
    /// A file of rules in ModSecurity's language instead of the imported or built-in ones.
    pub(crate) rules: Option<PathBuf>,
    /// Whether the log quotes requests as they are.
    pub(crate) log_is_plain: bool,
    /// What one request may cost, and what becomes of it beyond.
    pub(crate) limits: Limits,
    /// Settings of the Core Rule Set.
    pub(crate) core_rule_set: CoreRuleSet,
    /// Rules that do not run at some paths.
    pub(crate) exclusions: Vec<Excluded>,
}

/// Settings of an imported Core Rule Set; what is not set stays as its own file of settings says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CoreRuleSet {
    paranoia: Option<u32>,
    anomaly_threshold: Option<u32>,
}

/// Rules that do not run at a path.
#[derive(Clone, Debug)]
pub(crate) struct Excluded {
    /// As [`yunzhan_gateway::Exclusion::path`].
    pub(crate) path: String,
    /// Ranges of ids.
    pub(crate) ids: Vec<(u64, u64)>,
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
            "a file of rules in ModSecurity's language instead of imported or built-in ones; it may include others, also `/builtin/starter.conf`; read again at every reload",
        );
        let log_values = reader.live(
            "log_values",
            LogValues(false),
            "how the log quotes what rules saw: `masked`, or `plain`, which keeps what people wrote and is for tests",
        );
        Self {
            mode: mode.0,
            log_is_plain: log_values.0,
            rules: rules.map(|path: PathBuf| folder.join(path)),
            limits: read_limits(reader),
            core_rule_set: CoreRuleSet::read(reader),
            exclusions: reader.list("exclude").iter_mut().filter_map(Excluded::read).collect(),
        }
    }

    #[cfg(test)]
    fn for_tests() -> Self {
        use yunzhan_base::config::{Document, Variables};
        let document = Document::parse("yunzhan.toml", "", Variables::default());
        Self::read(&mut document.root().table("waf"), Path::new(""))
    }
}

fn read_limits(reader: &mut Reader<'_>) -> Limits {
    let default = Limits::default();
    let work = reader.live(
        "work_bytes_max",
        ByteSize::bytes(default.work_bytes_max),
        "bytes that rules may read of one request, each of them counted as often as it is read; 128MiB are about half a second",
    );
    if !WORK_BYTES.contains(&work) {
        reader.problem(
            "work_bytes_max",
            ("expected between 1MiB and 16GiB", "应在 1MiB 与 16GiB 之间"),
        );
    }
    let beyond = reader.live(
        "beyond_bounds",
        Beyond { refuses: default.refuses_beyond },
        "what becomes of a request at that bound: `refuse`, or `pass`, which lets it through with what was judged so far",
    );
    Limits { work_bytes_max: work.as_usize() as u64, refuses_beyond: beyond.refuses, ..default }
}

impl CoreRuleSet {
    fn read(reader: &mut Reader<'_>) -> Self {
        let paranoia: Option<u32> = reader.live_optional(
            "paranoia",
            "the paranoia level of an imported Core Rule Set, from 1 to 4; its own file says 1",
        );
        if paranoia.is_some_and(|level| !(1..=4).contains(&level)) {
            reader.problem("paranoia", ("expected between 1 and 4", "应在 1 与 4 之间"));
        }
        let anomaly_threshold: Option<u32> = reader.live_optional(
            "anomaly_threshold",
            "the score at which an imported Core Rule Set refuses a request; its own file says 5, which is one rule of the gravest kind",
        );
        if anomaly_threshold == Some(0) {
            reader.problem("anomaly_threshold", ("expected at least 1", "至少为 1"));
        }
        Self { paranoia, anomaly_threshold }
    }

    /// A rule that sets what is set. The older name of the level is that of the third generation.
    fn action(self) -> String {
        let level = self.paranoia.map(|level| {
            format!(
                ",setvar:tx.blocking_paranoia_level={level},setvar:tx.detection_paranoia_level={level},setvar:tx.paranoia_level={level}"
            )
        });
        let threshold = self
            .anomaly_threshold
            .map(|score| format!(",setvar:tx.inbound_anomaly_score_threshold={score}"));
        let set = level.unwrap_or_default() + &threshold.unwrap_or_default();
        format!("SecAction \"id:19004,phase:1,pass,nolog{set}\"\n")
    }
}

impl Excluded {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let path: Option<String> = reader.live_required(
            "path",
            "the path at which rules do not run, as requests spell it; `*` at its end stands for everything that begins so",
        );
        let ids: Option<Vec<IdRange>> = reader.live_optional(
            "rules",
            "the ids of these rules, such as `[\"942100\", \"942200-942299\"]`; all of them when they are not given",
        );
        let ids = ids.map(|ids| ids.into_iter().map(|IdRange(from, to)| (from, to)).collect());
        Some(Self { path: path?, ids: ids.unwrap_or_else(|| vec![(0, u64::MAX)]) })
    }
}

/// One id or a range of them, as the file spells it.
struct IdRange(u64, u64);

impl FromConfig for IdRange {
    fn expected() -> Words {
        Words::new(
            r#"an id or a range such as "942100-942199""#,
            r#"规则号或区间, 例如 "942100-942199""#,
        )
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        let text = given.text().ok_or(Reason::none())?;
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (from.trim().parse(), to.trim().parse()) {
            (Ok(from), Ok(to)) if from <= to => Ok(Self(from, to)),
            _ => Err(Reason::none()),
        }
    }

    fn show(&self) -> String {
        format!("\"{}-{}\"", self.0, self.1)
    }
}

/// What becomes of a request at the bound, as the file spells it.
struct Beyond {
    refuses: bool,
}

impl FromConfig for Beyond {
    fn expected() -> Words {
        Words::new(r#""refuse" or "pass""#, r#""refuse" 或 "pass""#)
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        match given.text() {
            Some("refuse") => Ok(Self { refuses: true }),
            Some("pass") => Ok(Self { refuses: false }),
            _ => Err(Reason::none()),
        }
    }

    fn show(&self) -> String {
        if self.refuses { "\"refuse\"".into() } else { "\"pass\"".into() }
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

/// The rules that are built in.
///
/// # Errors
/// Every mistake in them, up to a bound, each with file and line.
fn starter() -> Result<RuleSet> {
    load(ROOT, &BuiltIn)
}

fn load(root: &str, sources: &dyn Sources) -> Result<RuleSet> {
    RuleSet::load(root, &WithBuiltIn(sources)).map_err(|problems| refuse(&problems))
}

fn refuse(problems: &[Problem]) -> Error {
    let mut text = match problems.len() {
        1 => "the rules against attacks have a mistake".to_owned(),
        count => format!("the rules against attacks have {count} mistakes"),
    };
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
