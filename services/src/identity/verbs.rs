//! `yunzhan user`: the people of an environment and their roles.

use serde_json::Value;
use yunzhan_base::config::Lang;

use crate::verbs::{ENV, Family, Parameter, Verb, facts, table, word, words};

/// What operators do with people.
pub(super) const VERBS: &[Family] = &[Family {
    name: "user",
    about: ("People: who has logged in, and their roles", "用户: 登录过的人, 以及他们的角色"),
    verbs: &[
        Verb {
            parameters: &[
                ENV,
                Parameter::option(
                    "after",
                    "after",
                    "UID",
                    ("List those behind this uid", "从此 uid 之后列起"),
                ),
            ],
            ..Verb::new(
                "list",
                (
                    "List the people of an environment, a hundred at a time",
                    "列出环境中的用户, 每次一百个",
                ),
                "identity.control.users",
                list,
            )
        },
        Verb {
            parameters: &[
                ENV,
                Parameter::argument(
                    "uid",
                    "UID",
                    ("The person's uid, as `user list` shows it", "用户的 uid, 见 `user list`"),
                ),
                Parameter::arguments(
                    "roles",
                    "ROLE",
                    (
                        "Roles, of which security rules know as `auth.roles`",
                        "角色; 安全规则以 `auth.roles` 得知",
                    ),
                ),
            ],
            ..Verb::new(
                "roles",
                (
                    "Set the roles of a person, in the place of those that they have; none takes all away",
                    "设置一个用户的角色, 取代原有的角色; 一个不写即全部去掉",
                ),
                "identity.control.roles",
                roles,
            )
        },
    ],
}];

fn list(answer: &Value, lang: Lang) -> String {
    let users = answer["users"].as_array().map_or(&[][..], Vec::as_slice);
    let row = |user: &Value| vec![word(user, "uid"), word(user, "openid"), words(user, "roles")];
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

fn roles(answer: &Value, lang: Lang) -> String {
    facts(&[("uid", word(answer, "uid")), (lang.pick("roles", "角色"), words(answer, "roles"))])
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

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
        .assert_eq(&list(&answer, Lang::En));
        expect![[r#"
            uid  openid  角色
        "#]]
        .assert_eq(&list(&json!({ "users": [] }), Lang::Zh));
    }
}
