//! Which collection is meant, how its routes are called, and what to do when there is no such thing.

use std::fmt::Write;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use yunzhan_base::{EnvId, Error, Kind};

use crate::cli::context::{Context, Failure};

/// A collection in its environment.
#[derive(Args)]
pub(in crate::cli) struct Place {
    /// Environment id
    pub(super) env: EnvId,
    /// The collection's name
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) collection: String,
}

impl Place {
    /// Calls a route of this collection; `below` is what its path has after the collection's name.
    pub(super) fn call<A: DeserializeOwned>(
        &self,
        context: &Context,
        method: Method,
        below: &str,
        body: &Value,
    ) -> Result<A, Failure> {
        let answer = context.control_call(method, &self.path(below), body);
        answer.map_err(|failure| advise(failure, &self.env))
    }

    /// As [`Place::call`], but only where a process serves; none when no process does.
    pub(super) fn serving_call(
        &self,
        context: &Context,
        method: Method,
        below: &str,
        body: &Value,
    ) -> Result<Option<Value>, Failure> {
        let answer = context.serving_call(method, &self.path(below), body);
        answer.map_err(|failure| advise(failure, &self.env))
    }

    /// Drops an index by its name.
    pub(super) fn drop_index(&self, context: &Context, index: &str) -> Result<Value, Failure> {
        let below = format!("/indexes/{}", segment(index));
        let answer = self.call(context, Method::DELETE, &below, &Value::Null);
        let list = format!("yunzhan db indexes {} {}", self.env, self.collection);
        answer.map_err(|failure| with_advice(failure, Kind::NotFound, &list))
    }

    /// The path of a route of this collection.
    pub(super) fn path(&self, below: &str) -> String {
        let collection = segment(&self.collection);
        format!("/control/v1/envs/{}/collections/{collection}{below}", self.env)
    }
}

/// A failure that names an environment or a collection which is not there says where to look for those that are.
pub(super) fn advise(failure: Failure, env: &EnvId) -> Failure {
    let list = format!("yunzhan db collections {env}");
    let failure = with_advice(failure, Kind::CollectionNotFound, &list);
    with_advice(failure, Kind::EnvNotFound, "yunzhan env list")
}

fn with_advice(failure: Failure, kind: Kind, list: &str) -> Failure {
    match failure {
        Failure::Error(error) if error.kind() == kind => {
            let message = format!("{}; `{list}` shows what is there", error.message());
            Error::new(kind, message).into()
        }
        other => other,
    }
}

/// A name as one segment of a path: whether it is a good name is for the other side to say, so it has to arrive whole.
pub(in crate::cli) fn segment(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(segment("todo_items-2.a"), "todo_items-2.a");
        assert_eq!(segment("../云?#"), "..%2F%E4%BA%91%3F%23");
    }

    #[test]
    fn what_is_not_there_comes_with_advice() {
        let check = |kind| match advise(
            Error::new(kind, "there is no collection a").into(),
            &"demo".parse().unwrap(),
        ) {
            Failure::Error(error) => error.message().to_owned(),
            _ => unreachable!("an error stays one"),
        };
        let advised = "there is no collection a; `yunzhan db collections demo` shows what is there";
        assert_eq!(check(Kind::CollectionNotFound), advised);
        assert_eq!(check(Kind::Timeout), "there is no collection a");
    }
}
