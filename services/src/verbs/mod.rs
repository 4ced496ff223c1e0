//! Verbs of the command line that services bring: data, of which the server makes commands.
//!
//! A verb calls one control route and prints its answer. Its parameters go where the route's path, method and handler expect
//! them by name, so that nothing is said twice:
//!
//! ```text
//! Verb {
//!     parameters: &[ENV, Parameter::arguments("roles", "ROLE", ("Roles", "角色"))],
//!     ..Verb::new("roles", ("Set the roles of a person", "设置一个用户的角色"), "identity.control.roles", print_roles)
//! }
//! ```
//!
//! A verb that asks, waits, streams or judges the answer is no data: it is a file in the server's `cli`.

mod text;

use serde_json::{Map, Value};
use yunzhan_base::config::Lang;
use yunzhan_base::{EnvId, Result};

pub use text::{age, facts, table, word, words};

/// One sentence or phrase in English and in Chinese.
pub type InBoth = (&'static str, &'static str);

/// Verbs below one word, such as `yunzhan env …`.
pub struct Family {
    /// The word.
    pub name: &'static str,
    /// What it is about, for `--help`.
    pub about: InBoth,
    /// Its verbs, in the order of `--help`.
    pub verbs: &'static [Verb],
}

/// One verb: a control route, what it is given, and how people read the answer. Programs read the answer as it is.
pub struct Verb {
    /// The word.
    pub name: &'static str,
    /// What it does, for `--help`.
    pub about: InBoth,
    /// The name of the control route that it calls.
    pub route: &'static str,
    /// What it takes, in the order of `--help`.
    pub parameters: &'static [Parameter],
    /// Adds to the body what follows from what was said.
    pub complete: fn(&mut Map<String, Value>),
    /// The answer for people.
    pub print: fn(&Value, Lang) -> String,
}

/// What a verb takes. It goes into the segment of the route's path that has its name; else, by GET and DELETE, into the query,
/// and by other methods into the body.
pub struct Parameter {
    /// Its name in the path, the query or the body.
    pub name: &'static str,
    /// What stands for its value in `--help`.
    pub value: &'static str,
    /// What it is, for `--help`.
    pub about: InBoth,
    /// How it is given.
    pub form: Form,
    /// Without which other one it means nothing.
    pub needs: Option<&'static str>,
    /// Refuses what cannot be one, before anybody is asked.
    pub check: fn(&str) -> Result<()>,
}

/// How a parameter is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By its place; it must be there.
    Argument,
    /// By its place, the last one: any number of them, which are a list.
    Arguments,
    /// Behind `--name`, or not at all.
    Option(&'static str),
    /// Behind `--name`, any number of times, which are a list.
    Options(&'static str),
    /// Behind `--name`: a file that holds it, for a command line is seen by everyone on the machine.
    SecretFile(&'static str),
    /// `--name` itself.
    Flag(&'static str),
}

/// An environment.
pub const ENV: Parameter = env(("Environment id", "环境 id"));

/// An environment, about which there is more to say.
pub const fn env(about: InBoth) -> Parameter {
    let check = |text: &str| text.parse::<EnvId>().map(drop);
    Parameter { check, ..Parameter::argument("env", "ENV", about) }
}

// === impl Verb ===

impl Verb {
    /// A verb that takes nothing.
    pub const fn new(
        name: &'static str,
        about: InBoth,
        route: &'static str,
        print: fn(&Value, Lang) -> String,
    ) -> Self {
        Self { name, about, route, parameters: &[], complete: |_| {}, print }
    }
}

// === impl Parameter ===

impl Parameter {
    const fn new(name: &'static str, value: &'static str, about: InBoth, form: Form) -> Self {
        Self { name, value, about, form, needs: None, check: |_| Ok(()) }
    }

    /// One that must be there.
    pub const fn argument(name: &'static str, value: &'static str, about: InBoth) -> Self {
        Self::new(name, value, about, Form::Argument)
    }

    /// Any number of them, at the end.
    pub const fn arguments(name: &'static str, value: &'static str, about: InBoth) -> Self {
        Self::new(name, value, about, Form::Arguments)
    }

    /// One behind `--long`, or none.
    pub const fn option(
        name: &'static str,
        long: &'static str,
        value: &'static str,
        about: InBoth,
    ) -> Self {
        Self::new(name, value, about, Form::Option(long))
    }

    /// Any number of them, each behind `--long`.
    pub const fn options(
        name: &'static str,
        long: &'static str,
        value: &'static str,
        about: InBoth,
    ) -> Self {
        Self::new(name, value, about, Form::Options(long))
    }

    /// What stands in a file, whose name is given behind `--long`.
    pub const fn secret_file(name: &'static str, long: &'static str, about: InBoth) -> Self {
        Self::new(name, "FILE", about, Form::SecretFile(long))
    }

    /// True where `--long` is given.
    pub const fn flag(name: &'static str, long: &'static str, about: InBoth) -> Self {
        Self::new(name, "", about, Form::Flag(long))
    }

    /// The same, which means nothing without another one.
    #[must_use]
    pub const fn needs(self, other: &'static str) -> Self {
        Self { needs: Some(other), ..self }
    }
}
