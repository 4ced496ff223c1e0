//! The command line: one file for each verb of the server itself, and [`service_verbs`] for those that services bring. It is a client of the control API and changes nothing by itself.

mod arguments;
mod check;
mod context;
mod db;
mod fault;
mod help;
mod node;
pub(crate) mod output;
mod reload;
mod serve;
mod service_verbs;
mod task;
mod token;
mod version;
mod waf;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use clap::{ArgMatches, FromArgMatches};

use arguments::{Arguments, Common, Verb};
use context::Context;

/// Done.
const EXIT_DONE: u8 = 0;
/// Mistakes were found, or something failed.
const EXIT_FAILED: u8 = 1;
/// The command line itself is wrong.
const EXIT_USAGE: u8 = 2;

/// Reads the command line and does what it says. Answers the exit code: 0 done, 1 failed, 2 misused.
pub fn main(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let started = Instant::now();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let variables = context::read_variables(variables);
    let lang = context::language(&arguments, &variables);
    let parsed = help::command(lang)
        .try_get_matches_from(&arguments)
        .and_then(|matches| Asked::read(&matches));
    let code = match parsed {
        Ok((common, asked)) => run(&Context::new(common, variables, lang, started), asked),
        Err(error) => {
            // Nobody is left to tell when the output is gone.
            let _ = error.print();
            if error.use_stderr() { EXIT_USAGE } else { EXIT_DONE }
        }
    };
    ExitCode::from(code)
}

/// What the command line asks for.
enum Asked {
    /// A verb of the server itself.
    Own(Verb),
    /// A verb that a service brings.
    OfService(service_verbs::Given),
}

impl Asked {
    fn read(matches: &ArgMatches) -> Result<(Common, Self), clap::Error> {
        if let Some(given) = service_verbs::given(matches) {
            return Ok((Common::from_arg_matches(matches)?, Self::OfService(given)));
        }
        let Arguments { common, verb } = Arguments::from_arg_matches(matches)?;
        Ok((common, Self::Own(verb.unwrap_or(Verb::Serve))))
    }
}

fn run(context: &Context, asked: Asked) -> u8 {
    let verb = match asked {
        Asked::Own(verb) => verb,
        Asked::OfService(given) => return service_verbs::run(context, &given),
    };
    match verb {
        Verb::Serve => serve::run(context),
        Verb::Check => check::run(context),
        Verb::Reload => reload::run(context),
        Verb::Db { verb } => db::run(context, &verb),
        Verb::Rules { verb } => db::rules::run(context, &verb),
        Verb::Node { verb } => node::run(context, &verb),
        Verb::Task { verb } => task::run(context, &verb),
        Verb::Token(arguments) => token::run(context, &arguments),
        Verb::Waf { verb } => waf::run(context, &verb),
        Verb::Fault { verb } => fault::run(context, &verb),
        Verb::Version => version::run(context),
    }
}

/// What starts an app in this folder with nothing configured.
#[cfg(test)]
pub(crate) async fn start_for_tests(folder: &std::path::Path) -> crate::app::Start {
    use yunzhan_base::config::Lang;
    let common =
        arguments::Common { data: folder.join("data"), config: None, json: false, lang: None };
    let listeners = ["HTTP", "HTTPS", "CONTROL"];
    let variables = listeners.map(|name| (format!("YUNZHAN_LISTEN__{name}"), "127.0.0.1:0".into()));
    let context = Context::new(common, variables.into(), Lang::En, Instant::now());
    context
        .start(false)
        .await
        .unwrap_or_else(|failure| panic!("{}", output::failed(&failure, &context)))
}
