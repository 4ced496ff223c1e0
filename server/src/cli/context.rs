//! What every verb knows: where the data folder and the configuration are, and how to speak.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use yunzhan_base::config::{Lang, Problems, Variables};
use yunzhan_base::{DataDir, Error, Kind, Result};

use super::arguments::Common;
use crate::app::{App, Start};
use crate::config::Source;
use crate::control_client;
use crate::data::Lock;
use crate::preflight::{self, Answers, Findings};

/// Variables of the command line itself, which are no keys of the configuration.
const OWN_VARIABLES: [&str; 2] = ["YUNZHAN_DATA", "YUNZHAN_CONFIG"];

/// What the operating system says about people's language, strongest first.
const LOCALE_VARIABLES: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

/// What every verb knows.
#[derive(Clone)]
pub(super) struct Context {
    /// The data folder.
    pub(super) dir: DataDir,
    /// Where the configuration comes from.
    pub(super) source: Source,
    /// The language of people here.
    pub(super) lang: Lang,
    /// Whether programs read what is printed.
    pub(super) json: bool,
    /// When the process began.
    pub(super) started: Instant,
}

/// Why a verb did not get its answer.
pub(super) enum Failure {
    /// The configuration has mistakes.
    Problems(Problems),
    /// What refuses a start, found before anything changed.
    Findings(Findings),
    /// Anything else.
    Error(Error),
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Failure {
    /// One that is told as simply as it can be.
    fn of(findings: Findings) -> Self {
        match findings {
            Findings { located: Some(problems), others, .. } if others.is_empty() => {
                Self::Problems(problems)
            }
            Findings { located: None, mut others, .. } if others.len() == 1 => {
                Self::Error(others.remove(0))
            }
            findings => Self::Findings(findings),
        }
    }
}

impl Context {
    /// From what the command line and the environment say.
    pub(super) fn new(common: Common, variables: Variables, lang: Lang, started: Instant) -> Self {
        let dir = DataDir::new(std::path::absolute(&common.data).unwrap_or(common.data));
        let must_exist = common.config.is_some();
        let file = common.config.unwrap_or_else(|| dir.config());
        let is_own = |name: &String| OWN_VARIABLES.contains(&name.as_str());
        let variables = variables.into_iter().filter(|(name, _)| !is_own(name)).collect();
        let source = Source { file, must_exist, variables };
        Self { dir, source, lang, json: common.json, started }
    }

    /// Looks at everything that can refuse a start, and makes what starts an app. One that `serves` listens, and may make
    /// the demo.
    pub(super) async fn start(&self, serves: bool) -> Result<Start, Failure> {
        let (loaded, problems) = self.source.read();
        let asking = preflight::ask(&self.dir, &loaded, problems, serves);
        let Answers { findings, rule_sets } = asking.await;
        let Some(rule_sets) = rule_sets.filter(|_| findings.count() == 0) else {
            return Err(Failure::of(findings));
        };
        Ok(Start {
            dir: self.dir.clone(),
            source: self.source.clone(),
            loaded,
            rule_sets,
            lang: self.lang,
            json: self.json,
            started: self.started,
            demo: serves,
        })
    }

    /// Calls a control route of the process that serves the folder; where none does, the same route of an app that is
    /// opened for this one call.
    pub(super) fn control_call<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<A, Failure> {
        self.with_control(async |connection, _| connection.call(method, path, body).await)
    }

    /// Does work over a connection to the process that serves the folder; where none does, to an app that is opened for it.
    pub(super) fn with_control<A>(
        &self,
        work: impl AsyncFnOnce(control_client::Connection, &DataDir) -> Result<A>,
    ) -> Result<A, Failure> {
        runtime()?.block_on(async {
            if let Some(connection) = self.serving().await? {
                return Ok(work(connection, &self.dir).await?);
            }
            let app = App::open(self.start(false).await?).await?;
            Ok(app.with_control(async |connection| work(connection, &self.dir).await).await?)
        })
    }

    /// A connection to the process that serves the folder; none when no process does.
    async fn serving(&self) -> Result<Option<control_client::Connection>> {
        if let Some(connection) = control_client::connect(&self.dir).await {
            return Ok(Some(connection));
        }
        if Lock::is_held(&self.dir) {
            let message =
                "a process holds the data folder and does not answer yet; try again in a moment";
            return Err(Error::new(Kind::Unavailable, message));
        }
        Ok(None)
    }

    /// Calls a control route of the process that serves the folder; none when no process does.
    pub(super) fn serving_call<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Option<A>, Failure> {
        runtime()?.block_on(async {
            match self.serving().await? {
                Some(connection) => Ok(Some(connection.call(method, path, body).await?)),
                None => Ok(None),
            }
        })
    }

    /// Lets time pass between two calls.
    pub(super) fn pause(&self, pause: Duration) -> Result<()> {
        // The timer is made inside, for it belongs to a runtime.
        runtime()?.block_on(async { tokio::time::sleep(pause).await });
        Ok(())
    }
}

pub(super) fn runtime() -> Result<Runtime> {
    let built = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    built.map_err(|error| Error::internal("starting the runtime").because(error))
}

/// The process's variables as text.
pub(super) fn read_variables(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Variables {
    let text = |raw: OsString| raw.to_string_lossy().into_owned();
    variables.into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// The language, also of help pages and of complaints about the command line: so it is looked for before that is parsed.
pub(super) fn language(arguments: &[OsString], variables: &Variables) -> Lang {
    let mut arguments = arguments.iter().filter_map(|argument| argument.to_str());
    while let Some(argument) = arguments.next() {
        let named = match argument.split_once('=') {
            Some(("--lang", named)) => Some(named),
            _ if argument == "--lang" => arguments.next(),
            _ => None,
        };
        if let Some(named) = named {
            return Lang::of_locale(named);
        }
    }
    let locales = LOCALE_VARIABLES.iter().filter_map(|name| variables.get(*name));
    locales
        .into_iter()
        .find(|locale| !locale.is_empty())
        .map_or(Lang::En, |locale| Lang::of_locale(locale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends() {
        let common = Common { data: "a".into(), config: None, json: false, lang: None };
        let context = Context::new(common, Variables::new(), Lang::En, Instant::now());
        context.pause(Duration::from_millis(1)).unwrap();
    }

    #[test]
    fn the_language_comes_from_the_command_line_or_the_locale() {
        let check = |arguments: &[&str], pairs: &[(&str, &str)]| {
            let arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
            let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            language(&arguments, &read_variables(pairs))
        };
        assert_eq!(check(&[], &[]), Lang::En);
        assert_eq!(check(&[], &[("LANG", "zh_CN.UTF-8")]), Lang::Zh);
        assert_eq!(check(&[], &[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C")]), Lang::En);
        assert_eq!(check(&["yunzhan", "--lang", "zh"], &[]), Lang::Zh);
        assert_eq!(check(&["yunzhan", "--lang=en"], &[("LANG", "zh_CN")]), Lang::En);
    }
}
