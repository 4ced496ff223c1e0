//! Which rules guard now, and the sets that were imported: kept in the data folder, checked before they are used, and
//! changed without a request noticing more than that.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use yunzhan_base::WafMode;
use yunzhan_base::config::{Follow, Prepared};
use yunzhan_base::{DataDir, Error, Kind, Result};
use yunzhan_gateway::{Exclusion, Waf, WafPolicy};
use yunzhan_waf::transaction::{Limits, NoCollections};
use yunzhan_waf::{HostContext, RuleSet, Transaction};

use super::release::Release;
use super::{Config, Disk, load, starter};
use crate::data;

/// Imported sets that are kept; the oldest goes first, but not the one in use.
const SETS_MAX: usize = 5;

/// Digits of a hash that name a set where it is typed by hand, at least.
const PREFIX_DIGITS_MIN: usize = 4;

/// What stands in the pointer file when no imported set is used.
const STARTER: &str = "starter";

/// Keeps the rules.
pub(crate) struct RuleSetManager {
    dir: DataDir,
    waf: Waf,
    state: Mutex<State>,
}

struct State {
    config: Config,
    origin: Origin,
}

/// Where the rules come from. The first that is there counts: `waf.rules` of the configuration, an imported set that was
/// chosen, what is built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The file that `waf.rules` names.
    Configured(PathBuf),
    /// An imported set, by its hash.
    Imported(String),
    /// Built in.
    Starter,
}

// === impl RuleSetManager ===

impl RuleSetManager {
    /// Loads the rules that the configuration and the data folder name.
    ///
    /// # Errors
    /// Every mistake in them, up to a bound, each with file and line.
    pub(crate) fn open(dir: DataDir, config: &Config) -> Result<Self> {
        let origin = origin(&dir, config)?;
        let policy = policy(&dir, config, &origin)?;
        let state = Mutex::new(State { config: config.clone(), origin });
        Ok(Self { dir, waf: Waf::new(policy), state })
    }

    /// What the gateway asks.
    pub(crate) fn waf(&self) -> &Waf {
        &self.waf
    }

    /// Takes a release: checks it, keeps a copy, and uses it unless `waf.rules` names others.
    ///
    /// # Errors
    /// Every mistake in it, each with file and line; nothing has changed then.
    pub(super) fn import(&self, folder: &Path) -> Result<Value> {
        let release = Release::read(folder)?;
        let mut state = self.lock();
        // Compiled even where no rules are used, for what is kept is good.
        let rules = release.compile(folder, &state.config, &self.dir.waf_settings())?;
        let hash = release.hash();
        self.keep(&release, &hash)?;
        if state.config.rules.is_some() {
            self.point_to(&hash)?;
        } else {
            let policy = policy_with(&state.config, rules);
            self.take_over(&mut state, Origin::Imported(hash.clone()), &hash, policy)?;
        }
        self.forget_old(&hash)?;
        self.shown(&state)
    }

    /// Uses a set that was imported, by the beginning of its hash, or what is built in.
    ///
    /// # Errors
    /// No such set, or its mistakes.
    pub(super) fn use_set(&self, name: &str) -> Result<Value> {
        let mut state = self.lock();
        let name = if name == STARTER { STARTER.to_owned() } else { self.find(name)? };
        let origin = match (&state.config.rules, name.as_str()) {
            (Some(path), _) => Origin::Configured(path.clone()),
            (None, STARTER) => Origin::Starter,
            (None, hash) => Origin::Imported(hash.to_owned()),
        };
        let policy = policy(&self.dir, &state.config, &origin)?;
        self.take_over(&mut state, origin, &name, policy)?;
        self.shown(&state)
    }

    /// What guards now.
    pub(super) fn show(&self) -> Result<Value> {
        self.shown(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pointer changes once everything that it leads to is there; then the rules do.
    fn take_over(
        &self,
        state: &mut State,
        origin: Origin,
        name: &str,
        policy: WafPolicy,
    ) -> Result<()> {
        self.point_to(name)?;
        self.waf.replace(policy);
        state.origin = origin;
        Ok(())
    }

    fn point_to(&self, name: &str) -> Result<()> {
        data::make_folder(&self.dir.waf())?;
        data::whole_file::write(&self.dir.waf_active(), format!("{name}\n").as_bytes())
    }

    fn keep(&self, release: &Release, hash: &str) -> Result<()> {
        let (folder, draft) = (self.dir.waf_set(hash), self.dir.waf_set(&format!("{hash}.new")));
        // The one in use is never taken away to be written anew.
        if Release::read(&folder).is_ok_and(|kept| kept.hash() == hash) {
            return Ok(());
        }
        for old in [&folder, &draft] {
            match fs::remove_dir_all(old) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(data::failed("remove", old, error));
                }
                _ => {}
            }
        }
        data::make_folder(&draft)?;
        release.write(&draft)?;
        fs::rename(&draft, &folder).map_err(|error| data::failed("rename", &draft, error))
    }

    /// The sets that were imported, the latest first.
    fn sets(&self) -> Result<Vec<String>> {
        let folder = self.dir.waf();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(data::failed("read", &folder, error)),
        };
        let mut sets = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| data::failed("read", &folder, error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if is_hash(&name) {
                let changed = entry.metadata().and_then(|kind| kind.modified());
                sets.push((changed.map_err(|error| data::failed("read", &folder, error))?, name));
            }
        }
        sets.sort();
        Ok(sets.into_iter().rev().map(|(_, name)| name).collect())
    }

    fn forget_old(&self, used: &str) -> Result<()> {
        let sets = self.sets()?;
        for old in sets.iter().filter(|name| *name != used).skip(SETS_MAX - 1) {
            let folder = self.dir.waf_set(old);
            fs::remove_dir_all(&folder).map_err(|error| data::failed("remove", &folder, error))?;
        }
        Ok(())
    }

    fn find(&self, prefix: &str) -> Result<String> {
        let sets = self.sets()?;
        let mut fitting = sets.iter().filter(|name| name.starts_with(prefix));
        match (fitting.next(), fitting.next()) {
            (Some(found), None) if prefix.len() >= PREFIX_DIGITS_MIN => Ok(found.clone()),
            (Some(_), _) => Err(Error::new(
                Kind::InvalidParameter,
                format!("more than one set may be meant by {prefix}; give more digits of its hash"),
            )),
            (None, _) => Err(Error::new(
                Kind::NotFound,
                format!("no set that was imported has a hash that begins with {prefix}"),
            )),
        }
    }

    fn shown(&self, state: &State) -> Result<Value> {
        let policy = self.waf.policy();
        let (set, hash) = match &state.origin {
            Origin::Configured(_) => ("configured", None),
            Origin::Imported(hash) => ("imported", Some(hash.as_str())),
            Origin::Starter => ("starter", None),
        };
        let file = state.config.rules.as_ref().map(|path| path.display().to_string());
        let sets: Vec<Value> = self.sets()?.iter().map(|set| self.shown_set(set, hash)).collect();
        let mut shown = json!({
            "mode": mode_name(state.config.mode), "set": set, "hash": hash, "file": file, "sets": sets,
        });
        if let Some(rules) = &policy.rules {
            shown["version"] = json!(rules.signatures());
            shown["rules"] = json!(rules.len());
            let (paranoia, threshold) = levels(rules);
            shown["paranoia"] = json!(paranoia);
            shown["anomaly_threshold"] = json!(threshold);
        }
        Ok(shown)
    }

    fn shown_set(&self, set: &str, used: Option<&str>) -> Value {
        let release = Release::read(&self.dir.waf_set(set));
        let version = release.map(|release| release.signatures()).unwrap_or_default();
        json!({ "hash": set, "version": version, "used": used == Some(set) })
    }
}

/// What [`RuleSetManager`] takes over while it guards.
const FOLLOWED_KEYS: &[&str] = &[
    "waf.mode",
    "waf.rules",
    "waf.log_values",
    "waf.work_bytes_max",
    "waf.beyond_bounds",
    "waf.paranoia",
    "waf.anomaly_threshold",
    "waf.exclude[].path",
    "waf.exclude[].rules",
];

impl Follow<Config> for RuleSetManager {
    fn keys(&self) -> &'static [&'static str] {
        FOLLOWED_KEYS
    }

    /// Compiles the rules of this configuration. Until it is decided nobody else changes which rules there are.
    fn prepare<'f>(&'f self, config: &Config) -> Result<Prepared<'f>> {
        let mut state = self.lock();
        let origin = origin(&self.dir, config)?;
        let policy = policy(&self.dir, config, &origin)?;
        let next = State { config: config.clone(), origin };
        Ok(Prepared::new(move || {
            self.waf.replace(policy);
            *state = next;
        }))
    }
}

pub(super) const fn mode_name(mode: WafMode) -> &'static str {
    match mode {
        WafMode::Block => "block",
        WafMode::Observe => "observe",
        WafMode::Off => "off",
    }
}

fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn origin(dir: &DataDir, config: &Config) -> Result<Origin> {
    if let Some(path) = &config.rules {
        return Ok(Origin::Configured(path.clone()));
    }
    let path = dir.waf_active();
    match fs::read_to_string(&path) {
        Ok(text) if text.trim() == STARTER => Ok(Origin::Starter),
        Ok(text) if is_hash(text.trim()) => Ok(Origin::Imported(text.trim().to_owned())),
        Ok(_) => Err(Error::new(
            Kind::InvalidParameter,
            format!("{} names no set of rules; remove it to use what is built in", path.display()),
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Origin::Starter),
        Err(error) => Err(data::failed("read", &path, error)),
    }
}

fn policy(dir: &DataDir, config: &Config, origin: &Origin) -> Result<WafPolicy> {
    // Also where the mode is `off`: a route may say otherwise.
    Ok(policy_with(config, rules(dir, config, origin)?))
}

fn policy_with(config: &Config, rules: RuleSet) -> WafPolicy {
    let exclusions = config.exclusions.iter().map(|excluded| Exclusion {
        path: excluded.path.clone(),
        places: rules.places(&excluded.ids),
    });
    let exclusions = exclusions.collect();
    WafPolicy {
        clock: yunzhan_base::Clock::System,
        rules: Some(Arc::new(rules)),
        mode: config.mode,
        limits: config.limits,
        log_is_plain: config.log_is_plain,
        exclusions,
    }
}

fn rules(dir: &DataDir, config: &Config, origin: &Origin) -> Result<RuleSet> {
    match origin {
        Origin::Configured(path) => load(&path.to_string_lossy(), &Disk),
        Origin::Imported(hash) => imported(dir, config, hash).map_err(|error| {
            let advice = format!(
                "the imported set {hash} cannot be used; import it again, or remove {} to use what is built in: {}",
                dir.waf_active().display(),
                error.message()
            );
            Error::new(error.kind(), advice)
        }),
        Origin::Starter => starter(),
    }
}

fn imported(dir: &DataDir, config: &Config, hash: &str) -> Result<RuleSet> {
    let folder = dir.waf_set(hash);
    let release = Release::read(&folder)?;
    if release.hash() != hash {
        let text = format!("the files in {} are not those that were imported", folder.display());
        return Err(Error::new(Kind::InvalidParameter, text));
    }
    release.compile(&folder, config, &dir.waf_settings())
}

/// The paranoia level and the threshold of scores, as the rules themselves set them for an empty request.
fn levels(rules: &Arc<RuleSet>) -> (Option<i64>, Option<i64>) {
    let context = HostContext {
        now_ms: 0,
        offset_s: 0,
        unique_id: "",
        mode: Some(yunzhan_waf::seclang::ast::EngineMode::DetectionOnly),
        collections: Arc::new(NoCollections),
        limits: Limits::default(),
    };
    let mut transaction = Transaction::begin(Arc::clone(rules), context);
    transaction.request_headers_end();
    let number = |name: &str| std::str::from_utf8(transaction.tx(name)?).ok()?.parse().ok();
    let paranoia = number("blocking_paranoia_level").or_else(|| number("paranoia_level"));
    (paranoia, number("inbound_anomaly_score_threshold"))
}
