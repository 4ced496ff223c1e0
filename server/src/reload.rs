//! Taking a new configuration over while serving: all of it is read and checked first, and a bad one changes nothing.

use std::sync::{Arc, Mutex, PoisonError};

use yunzhan_base::config::{Document, Lang, Settings};
use yunzhan_base::env::Envs;
use yunzhan_base::event::{Events, Level};
use yunzhan_base::{Clock, Error, Kind, Live, Result};
use yunzhan_gateway::Gateway;

use crate::config::{Config, Source};
use crate::listeners::Certificates;
use crate::waf::RuleSetManager;

/// What follows the configuration, and what it was when the server started.
pub(crate) struct Parts {
    pub(crate) source: Source,
    pub(crate) lang: Lang,
    /// What was set when the server started.
    pub(crate) settings: Settings,
    pub(crate) events: Events,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) rule_sets: Arc<RuleSetManager>,
    pub(crate) certificates: Arc<Certificates>,
    /// Whose hosts the certificates should be for.
    pub(crate) envs: Live<Envs>,
    pub(crate) clock: Clock,
}

/// Takes configurations over, one at a time.
pub(crate) struct Reloader {
    parts: Parts,
    /// What was taken over last. Held for a whole reload, so that two never mix.
    last: Mutex<Settings>,
}

/// What a reload did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reloaded {
    /// Keys that took effect.
    pub(crate) live: Vec<String>,
    /// Keys that changed and take effect at the next start.
    pub(crate) restart: Vec<String>,
}

impl Reloader {
    /// Follows the configuration with these parts.
    pub(crate) fn new(parts: Parts) -> Self {
        let last = Mutex::new(parts.settings.clone());
        Self { parts, last }
    }

    /// Reads the configuration again and takes it over, or says why not. Tells the operator either way.
    pub(crate) fn reload(&self) -> Result<Reloaded> {
        let outcome = self.take_over();
        match &outcome {
            Ok(reloaded) => {
                self.tell(reloaded);
                self.warn_of_certificates();
            }
            Err(error) => self.parts.events.notice(
                Level::Error,
                "config_refused",
                &format!("the configuration was not taken over, nothing changed:\n{error}"),
            ),
        }
        outcome
    }

    fn take_over(&self) -> Result<Reloaded> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = self.parts.source.load().map_err(|problems| {
            Error::new(Kind::InvalidParameter, problems.render(self.parts.lang))
        })?;
        self.apply(&loaded.config)?;
        // What waits for a restart waits since the start, however often the file is read meanwhile.
        let reloaded = Reloaded {
            live: changed(&last, &loaded.settings, true),
            restart: changed(&self.parts.settings, &loaded.settings, false),
        };
        *last = loaded.settings;
        Ok(reloaded)
    }

    fn apply(&self, config: &Config) -> Result<()> {
        // What can be refused is tried first, so that a refusal leaves everything as it was.
        let certificates = self.parts.certificates.prepare(config)?;
        let rules = self.parts.rule_sets.prepare(&config.waf)?;
        self.parts.gateway.reconfigure(&config.gateway)?;
        rules.commit();
        certificates.commit();
        Ok(())
    }

    /// Tells the operator what clients will not like about the certificates.
    pub(crate) fn warn_of_certificates(&self) {
        let Parts { certificates, envs, clock, events, .. } = &self.parts;
        let envs = envs.peek();
        let hosts = envs.iter().flat_map(|env| env.hosts.iter().map(String::as_str));
        let now_s = u64::try_from(clock.now_ms() / 1000).unwrap_or(0);
        for warning in certificates.warnings(hosts, now_s) {
            events.notice(Level::Warn, "certificate", &warning);
        }
    }

    fn tell(&self, reloaded: &Reloaded) {
        let live =
            if reloaded.live.is_empty() { "nothing".into() } else { reloaded.live.join(", ") };
        self.parts.events.notice(
            Level::Info,
            "config_reloaded",
            &format!("configuration read again; changed: {live}"),
        );
        if !reloaded.restart.is_empty() {
            let text = format!(
                "these keys changed and wait for a restart: {}",
                reloaded.restart.join(", ")
            );
            self.parts.events.notice(Level::Warn, "config_needs_restart", &text);
        }
    }
}

fn changed(before: &Settings, after: &Settings, live: bool) -> Vec<String> {
    let changes = Document::changes(before, after).into_iter();
    changes.filter(|change| change.live == live).map(|change| change.key).collect()
}
