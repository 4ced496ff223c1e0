//! What the command line takes, beside the verbs that services bring. The texts here are English; `help` holds their Chinese.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::db::DbVerb;
use super::db::rules::RulesVerb;
use super::fault::FaultVerb;
use super::node::NodeVerb;
use super::task::TaskVerb;
use super::token::TokenArguments;
use super::waf::WafVerb;

/// The whole server side of a WeChat mini-program
#[derive(Parser)]
#[command(name = "yunzhan", version, disable_help_subcommand = true, max_term_width = 100)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) verb: Option<Verb>,
}

/// What every verb takes.
#[derive(Args, Clone)]
pub(super) struct Common {
    /// The data folder; made at the first start
    #[arg(
        long,
        global = true,
        display_order = 100,
        value_name = "DIR",
        env = "YUNZHAN_DATA",
        hide_env_values = true,
        default_value = "./yunzhan-data"
    )]
    pub(super) data: PathBuf,
    /// The configuration [default: yunzhan.toml in the data folder, if there is one]
    #[arg(
        long,
        global = true,
        display_order = 100,
        value_name = "FILE",
        env = "YUNZHAN_CONFIG",
        hide_env_values = true
    )]
    pub(super) config: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true, display_order = 100)]
    pub(super) json: bool,
    /// Language for people [default: from LC_ALL, LC_MESSAGES or LANG]
    #[arg(
        long,
        global = true,
        display_order = 100,
        value_name = "zh|en",
        hide_possible_values = true
    )]
    pub(super) lang: Option<LangName>,
}

/// A language by its short name.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum LangName {
    // No documentation comments here: they would turn `--help` into its long form.
    Zh,
    En,
}

/// What to do.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Serve (the default)
    Serve,
    /// Check the configuration and the data folder, and name every mistake
    Check,
    /// Make the serving process read its configuration again
    Reload,
    /// Documents: collections, their indexes, and what is in them
    Db {
        /// What to do with them.
        #[command(subcommand)]
        verb: DbVerb,
    },
    /// Security rules: what they answer, before anybody asks
    Rules {
        /// What to do with them.
        #[command(subcommand)]
        verb: RulesVerb,
    },
    /// Rules against attacks: which guard, what they do with a request, and who attacks
    Waf {
        /// What to do with them.
        #[command(subcommand)]
        verb: WafVerb,
    },
    /// Faults on purpose, for drills: a slow or failing database or upstream, which ends by itself
    Fault {
        /// What to do with them.
        #[command(subcommand)]
        verb: FaultVerb,
    },
    /// Nodes: the servers on this database, and what each does alone
    Node {
        /// What to do with them.
        #[command(subcommand)]
        verb: NodeVerb,
    },
    /// Background tasks: when each ran, how that ended, and when it runs next
    Task {
        /// What to do with them.
        #[command(subcommand)]
        verb: TaskVerb,
    },
    /// Print an access token for trying things out; development environments only
    Token(TokenArguments),
    /// Print the version
    Version,
}
