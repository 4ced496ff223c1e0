//! `yunzhan user`: the people of an environment and their roles.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};
use yunzhan_base::EnvId;
use yunzhan_base::config::Lang;

use super::context::Context;
use super::db::segment;
use super::output::{facts, finish, table};

/// What to do with people.
#[derive(Subcommand)]
pub(super) enum UserVerb {
    /// List the people of an environment, a hundred at a time
    List {
        /// Environment id
        env: EnvId,
        /// List those behind this uid
        #[arg(long, value_name = "UID")]
        after: Option<String>,
    },
    /// Set the roles of a person, in the place of those that they have; none takes all away
    Roles {
        /// Environment id
        env: EnvId,
        /// The person's uid, as `user list` shows it
        #[arg(id = "person", value_name = "UID")]
        uid: String,
        /// Roles, of which security rules know as `auth.roles`
        #[arg(id = "given_roles", value_name = "ROLE")]
        roles: Vec<String>,
    },
}

/// Does it through the control API.
pub(super) fn run(context: &Context, verb: &UserVerb) -> u8 {
    match verb {
        UserVerb::List { env, after } => {
            let after = after.as_ref().map(|uid| format!("?after={}", segment(uid)));
            let path = format!("/control/v1/envs/{env}/users{}", after.unwrap_or_default());
            let answer = context.control_call(Method::GET, &path, &Value::Null);
            finish(context, answer, list_text)
        }
        UserVerb::Roles { env, uid, roles } => {
            let path = format!("/control/v1/envs/{env}/users/{}/roles", segment(uid));
            let answer = context.control_call(Method::PUT, &path, &json!({ "roles": roles }));
            finish(context, answer, |answer, lang| {
                facts(&[
                    ("uid", word(answer, "uid")),
                    (lang.pick("roles", "角色"), roles_of(answer)),
                ])
            })
        }
    }
}

fn list_text(answer: &Value, lang: Lang) -> String {
    let users = answer["users"].as_array().map_or(&[][..], Vec::as_slice);
    let row = |user: &Value| vec![word(user, "uid"), word(user, "openid"), roles_of(user)];
    let rows: Vec<_> = users.iter().map(row).collect();
    let mut text = table(&["uid", "openid", lang.pick("roles", "角色")], &rows);
    if let Some(next) = answer["next"].as_str() {
        text += &match lang {
            Lang::En => format!("there may be more; go on with --after {next}\n"),
            Lang::Zh => format!("可能还有; 用 --after {next} 继续\n"),
        };
    }
    text
}

fn roles_of(user: &Value) -> String {
    let roles = user["roles"].as_array().map_or(&[][..], Vec::as_slice);
    let roles: Vec<&str> = roles.iter().filter_map(Value::as_str).collect();
    if roles.is_empty() { "-".to_owned() } else { roles.join(" ") }
}

fn word(object: &Value, name: &str) -> String {
    object[name].as_str().filter(|word| !word.is_empty()).unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn people_stand_one_a_line() {
        let answer = json!({ "users": [
            { "uid": "u1", "openid": "dev-alice", "roles": ["admin", "packer"] },
            { "uid": "u2", "openid": "", "roles": [] },
        ], "next": "u2" });
        expect![[r#"
            uid  openid     roles
            u1   dev-alice  admin packer
            u2   -          -
            there may be more; go on with --after u2
        "#]]
        .assert_eq(&list_text(&answer, Lang::En));
        expect![[r#"
            uid  openid  角色
        "#]]
        .assert_eq(&list_text(&json!({ "users": [] }), Lang::Zh));
    }
}
