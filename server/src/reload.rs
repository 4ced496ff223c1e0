//! Taking a new configuration over while serving: all of it is read and checked first, and a bad one changes nothing.
//!
//! Who follows which keys is the followers' word ([`Follow::keys`]); the list of them is [`Reloader::new`]'s argument.

use std::sync::{Mutex, PoisonError};

use yunzhan_base::config::{Follow, Lang, Prepared, Settings, means};
use yunzhan_base::event::{Events, Level};
use yunzhan_base::{Error, Kind, Result};

use crate::config::{Config, Source};

/// What a reloader is made of.
pub(crate) struct Parts {
    pub(crate) source: Source,
    pub(crate) lang: Lang,
    /// What was set when the server started.
    pub(crate) settings: Settings,
    pub(crate) events: Events,
    /// Who takes which keys over.
    pub(crate) followers: Vec<Box<dyn Follow<Config>>>,
    /// What is no mistake, but will be one for somebody: asked at the start and after each reload.
    pub(crate) warnings: Box<dyn Fn() -> Vec<String> + Send + Sync>,
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
    /// Keys that a follower took over.
    pub(crate) live: Vec<String>,
    /// Keys that changed and that nobody follows: they take effect at the next start.
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
                self.warn();
            }
            Err(error) => self.parts.events.notice(
                Level::Error,
                "config_refused",
                &format!("the configuration was not taken over, nothing changed:\n{error}"),
            ),
        }
        outcome
    }

    /// The keys that somebody follows, as the reference spells them.
    pub(crate) fn followed(&self) -> impl Iterator<Item = &'static str> {
        self.parts.followers.iter().flat_map(|follower| follower.keys().iter().copied())
    }

    fn take_over(&self) -> Result<Reloaded> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = self.parts.source.load().map_err(|problems| {
            Error::new(Kind::InvalidParameter, problems.render(self.parts.lang))
        })?;
        let prepared = self.prepare(&loaded.config)?;
        let new_content: Vec<_> = prepared.into_iter().flat_map(Prepared::commit).collect();
        let mut live = Settings::changed(&last, &loaded.settings);
        live.retain(|key| self.is_followed(key));
        for key in new_content.into_iter().map(str::to_owned) {
            if loaded.settings.is_set(&key) && !live.contains(&key) {
                live.push(key);
            }
        }
        // What waits for a restart waits since the start, however often the file is read meanwhile.
        let mut restart = Settings::changed(&self.parts.settings, &loaded.settings);
        restart.retain(|key| !self.is_followed(key));
        *last = loaded.settings;
        Ok(Reloaded { live, restart })
    }

    /// Asks every follower, so that an operator reads all that is wrong at once.
    fn prepare(&self, config: &Config) -> Result<Vec<Prepared<'_>>> {
        let asked = self.parts.followers.iter().map(|follower| follower.prepare(config));
        let (prepared, refused): (Vec<_>, Vec<_>) = asked.partition(Result::is_ok);
        let mut refused = refused.into_iter().filter_map(Result::err);
        let Some(first) = refused.next() else {
            return Ok(prepared.into_iter().filter_map(Result::ok).collect());
        };
        let text = refused.fold(first.message().to_owned(), |text, error| {
            format!("{text}\n{}", error.message())
        });
        Err(Error::new(first.kind(), text).because(first))
    }

    fn is_followed(&self, key: &str) -> bool {
        self.followed().any(|pattern| means(pattern, key))
    }

    /// Tells the operator what clients will not like about the certificates that are served.
    pub(crate) fn warn(&self) {
        for warning in (self.parts.warnings)() {
            self.parts.events.notice(Level::Warn, "certificate", &warning);
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use yunzhan_base::config::{Document, Reader, Variables};

    use super::*;
    use crate::app::App;
    use crate::cli::start_for_tests;

    #[tokio::test]
    async fn every_key_that_says_reload_has_a_follower_and_no_follower_claims_another() {
        let folder = tempfile::tempdir().unwrap();
        let app = App::open(start_for_tests(folder.path()).await).await.unwrap();
        let read = |reader: &mut Reader<'_>| drop(Config::read(reader, Path::new(""), true));
        let references = Document::reference(read).into_iter().filter(|key| key.live);
        let declared: BTreeSet<String> = references.map(|key| key.path).collect();
        let followed: BTreeSet<String> = app.reloader.followed().map(str::to_owned).collect();
        assert_eq!(declared, followed);
    }

    /// Counts what it is asked, and refuses when it is told to.
    struct Counting {
        refuses: bool,
        commits: Arc<AtomicU32>,
    }

    impl Follow<Config> for Counting {
        fn keys(&self) -> &'static [&'static str] {
            &["waf.mode"]
        }

        fn prepare<'f>(&'f self, _: &Config) -> Result<Prepared<'f>> {
            if self.refuses {
                return Err(Error::new(Kind::InvalidParameter, "not with me"));
            }
            Ok(Prepared::new(|| {
                let _ = self.commits.fetch_add(1, Ordering::Relaxed);
            }))
        }
    }

    /// A reloader with followers of which the last refuses or not, before a change of `waf.mode` and `server.site`.
    fn reloader(folder: &Path, refuses: bool) -> (Reloader, Arc<AtomicU32>) {
        let file = folder.join("c.toml");
        std::fs::write(&file, "").unwrap();
        let source = Source { file: file.clone(), must_exist: true, variables: Variables::new() };
        let settings = source.load().map_err(|problems| problems.to_string()).unwrap().settings;
        let commits = Arc::new(AtomicU32::new(0));
        let follower = |refuses| -> Box<dyn Follow<Config>> {
            Box::new(Counting { refuses, commits: Arc::clone(&commits) })
        };
        let followers = vec![follower(false), follower(refuses), follower(refuses)];
        let (events, lang) = (Events::default(), Lang::En);
        let reloader = Reloader::new(Parts {
            source,
            lang,
            settings,
            events,
            followers,
            warnings: Box::new(Vec::new),
        });
        std::fs::write(&file, "waf.mode = 'off'\nserver.site = 'x'").unwrap();
        (reloader, commits)
    }

    #[test]
    fn all_prepare_before_any_commits() {
        let folder = tempfile::tempdir().unwrap();
        let (reloader, commits) = reloader(folder.path(), true);
        assert_eq!(reloader.reload().unwrap_err().message(), "not with me\nnot with me");
        assert_eq!(commits.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_key_is_reported_by_whoever_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let (reloader, commits) = reloader(folder.path(), false);
        let reloaded = reloader.reload().unwrap();
        assert_eq!(commits.load(Ordering::Relaxed), 3);
        let expected =
            Reloaded { live: vec!["waf.mode".into()], restart: vec!["server.site".into()] };
        assert_eq!(reloaded, expected);
        let again = Reloaded { live: vec![], ..expected };
        assert_eq!(reloader.reload().unwrap(), again);
    }
}
