//! The verbs that services bring as data: commands made of them, and the control routes that they call.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use http::Method;
use serde_json::{Map, Value};
use yunzhan_base::{Error, Kind, RouteSpec};
use yunzhan_services::verbs::{Family, Form, Parameter, Verb};

use super::context::{Context, Failure};
use super::db::segment;
use super::output::finish;
use crate::rooms;

/// One verb with what it was given.
pub(super) struct Given {
    verb: &'static Verb,
    matches: ArgMatches,
}

/// What is sent to the control route.
struct Request {
    method: Method,
    path: String,
    body: Value,
}

/// Every family, in the order of the services.
pub(super) fn families() -> impl Iterator<Item = &'static Family> {
    rooms::SERVICES.iter().flat_map(|service| service.verbs())
}

/// The commands of the families, in English.
pub(super) fn commands() -> impl Iterator<Item = Command> {
    families().map(|family| {
        let command = Command::new(family.name).about(family.about.0);
        let command = command.subcommand_required(true).arg_required_else_help(true);
        command.subcommands(family.verbs.iter().map(|verb| {
            let arguments = verb.parameters.iter().map(argument);
            Command::new(verb.name).about(verb.about.0).args(arguments)
        }))
    })
}

fn argument(parameter: &'static Parameter) -> Arg {
    let check = parameter.check;
    let text = move |text: &str| check(text).map(|()| text.to_owned());
    let argument = Arg::new(parameter.name).help(parameter.about.0).value_name(parameter.value);
    let argument = match parameter.form {
        Form::Argument => argument.required(true).value_parser(text),
        Form::Arguments => argument.num_args(0..).action(ArgAction::Append).value_parser(text),
        Form::Option(long) => argument.long(long).value_parser(text),
        Form::Options(long) => argument.long(long).action(ArgAction::Append).value_parser(text),
        Form::SecretFile(long) => argument.long(long).value_parser(value_parser!(PathBuf)),
        Form::Flag(long) => {
            Arg::new(parameter.name).help(parameter.about.0).long(long).action(ArgAction::SetTrue)
        }
    };
    match parameter.needs {
        Some(other) => argument.requires(other),
        None => argument,
    }
}

/// The Chinese of a family or of one of its verbs, by its path such as `env add`.
pub(super) fn about_in_chinese(path: &str) -> Option<&'static str> {
    match path.split_once(' ') {
        None => families().find(|family| family.name == path).map(|family| family.about.1),
        Some(_) => verb_at(path).map(|verb| verb.about.1),
    }
}

/// The Chinese of a parameter of the verb at a path.
pub(super) fn parameter_in_chinese(path: &str, name: &str) -> Option<&'static str> {
    let mut parameters = verb_at(path)?.parameters.iter();
    parameters.find(|parameter| parameter.name == name).map(|parameter| parameter.about.1)
}

fn verb_at(path: &str) -> Option<&'static Verb> {
    let (family, name) = path.split_once(' ')?;
    let family = families().find(|known| known.name == family)?;
    family.verbs.iter().find(|verb| verb.name == name)
}

/// The verb of a service that the command line names, if it names one.
pub(super) fn given(matches: &ArgMatches) -> Option<Given> {
    let (family, below) = matches.subcommand()?;
    let (name, matches) = below.subcommand()?;
    Some(Given { verb: verb_at(&format!("{family} {name}"))?, matches: matches.clone() })
}

/// Does it through the control API.
pub(super) fn run(context: &Context, given: &Given) -> u8 {
    let answer = request(given)
        .and_then(|asked| context.control_call(asked.method, &asked.path, &asked.body));
    finish(context, answer, given.verb.print)
}

fn request(Given { verb, matches }: &Given) -> Result<Request, Failure> {
    let route = route(verb)?;
    let (mut path, mut query, mut body) = (route.path.to_owned(), Vec::new(), Map::new());
    for parameter in verb.parameters {
        let Some(value) = value(parameter, matches)? else { continue };
        let in_path = format!("{{{}}}", parameter.name);
        if path.contains(&in_path) {
            path = path.replace(&in_path, &segment(&plain(&value)));
        } else if has_body(route) {
            body.insert(parameter.name.into(), value);
        } else {
            query.push(format!("{}={}", parameter.name, segment(&plain(&value))));
        }
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    (verb.complete)(&mut body);
    let body = if body.is_empty() { Value::Null } else { body.into() };
    Ok(Request { method: route.method.clone(), path, body })
}

fn route(verb: &Verb) -> Result<&'static RouteSpec, Error> {
    let missing = || Error::internal(format!("no control route is named {}", verb.route));
    rooms::control_specs().find(|spec| spec.name == verb.route).ok_or_else(missing)
}

fn has_body(route: &RouteSpec) -> bool {
    route.method != Method::GET && route.method != Method::DELETE
}

/// What was given, as the body has it; nothing for an option that was not.
fn value(parameter: &Parameter, matches: &ArgMatches) -> Result<Option<Value>, Error> {
    let name = parameter.name;
    let one = || matches.get_one::<String>(name).map(|text| Value::from(text.as_str()));
    let all = || {
        let texts = matches.get_many::<String>(name).into_iter().flatten();
        Value::from(texts.map(String::as_str).collect::<Vec<_>>())
    };
    Ok(match parameter.form {
        Form::Argument | Form::Option(_) => one(),
        Form::Arguments | Form::Options(_) => Some(all()),
        Form::SecretFile(_) => read_secret(matches.get_one(name))?.map(Value::from),
        Form::Flag(_) => matches.get_flag(name).then_some(Value::Bool(true)),
    })
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn read_secret(file: Option<&PathBuf>) -> Result<Option<String>, Error> {
    let Some(file) = file else { return Ok(None) };
    let text = std::fs::read_to_string(file).map_err(|error| {
        let message = format!("cannot read the secret in {}: {error}", file.display());
        Error::new(Kind::InvalidParameter, message)
    })?;
    Ok(Some(text.trim_end().to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use expect_test::expect;
    use yunzhan_base::config::Lang;

    use super::*;
    use crate::cli::help;

    fn check(line: &str) -> String {
        let matches = help::command(Lang::En).try_get_matches_from(line.split(' ')).unwrap();
        match given(&matches).map(|given| request(&given)).unwrap() {
            Ok(Request { method, path, body }) => format!("{method} {path} {body}"),
            Err(Failure::Error(error)) => error.to_string(),
            Err(_) => panic!("{line}"),
        }
    }

    #[test]
    fn parameters_go_where_the_route_has_them() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&secret, "s3cret\n").unwrap();
        let file = secret.path().display();
        for (line, expected) in [
            ("yunzhan env list", expect!["GET /control/v1/envs null"]),
            ("yunzhan env show shop --json", expect!["GET /control/v1/envs/shop null"]),
            ("yunzhan env add-key shop", expect!["POST /control/v1/envs/shop/keys null"]),
            (
                "yunzhan env origins shop https://a https://b",
                expect![[
                    r#"PUT /control/v1/envs/shop/origins {"origins":["https://a","https://b"]}"#
                ]],
            ),
            (
                "yunzhan env origins shop",
                expect![[r#"PUT /control/v1/envs/shop/origins {"origins":[]}"#]],
            ),
            (
                "yunzhan env add shop --host a --host b",
                expect![[
                    r#"POST /control/v1/envs {"development_login":true,"env":"shop","hosts":["a","b"],"origins":[]}"#
                ]],
            ),
            (
                &format!("yunzhan env add shop --appid wx1 --app-secret-file {file}"),
                expect![[
                    r#"POST /control/v1/envs {"app_secret":"s3cret","appid":"wx1","development_login":false,"env":"shop","hosts":[],"origins":[]}"#
                ]],
            ),
            (
                "yunzhan env add shop --appid wx1 --app-secret-file absent",
                expect!["cannot read the secret in absent: No such file or directory (os error 2)"],
            ),
            (
                "yunzhan user list shop --after u/1",
                expect!["GET /control/v1/envs/shop/users?after=u%2F1 null"],
            ),
            (
                "yunzhan user roles shop u/1 admin",
                expect![[r#"PUT /control/v1/envs/shop/users/u%2F1/roles {"roles":["admin"]}"#]],
            ),
        ] {
            expected.assert_eq(&check(line));
        }
    }

    #[test]
    fn every_verb_calls_a_route_and_gives_it_what_its_path_has() {
        for (family, verb) in
            families().flat_map(|family| family.verbs.iter().map(|verb| (family.name, verb)))
        {
            let path = route(verb).unwrap().path;
            for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                let is_given = verb
                    .parameters
                    .iter()
                    .any(|parameter| parameter.name == name && parameter.form == Form::Argument);
                assert!(is_given, "{family} {}: nothing for {name}", verb.name);
            }
        }
    }
}
