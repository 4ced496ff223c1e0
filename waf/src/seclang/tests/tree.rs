//! Text to the printed tree.

use expect_test::{Expect, expect};

use super::show;
use crate::seclang::parse;

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&show(parse("a.conf", text.as_bytes())));
}

#[test]
fn a_rule_is_targets_an_operator_and_actions() {
    check(
        r#"SecRule ARGS "@rx ^a\"b" "id:1,phase:2,deny,status:403,t:none,t:lowercase,msg:'no, really',severity:CRITICAL""#,
        expect![[r#"
            1: Args rx "^a"b" -> Id(1), Phase(2), Disruptive(Deny), Status(403), TransformationsNone, Transformation(Lowercase), msg "no, really", Severity(2)
        "#]],
    );
}
