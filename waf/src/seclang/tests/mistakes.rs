//! A mistake of every kind, and what is said about it.

use expect_test::{Expect, expect};

use super::{problem, show};
use crate::seclang::{
    ACTIONS_MAX, ARGUMENTS_MAX, CHAIN_LINKS_MAX, DIRECTIVES_MAX, FILE_BYTES_MAX, IDS_MAX,
    LINE_BYTES_MAX, PROBLEMS_MAX, TARGETS_MAX, parse,
};

fn check(text: &str, expected: &Expect) {
    expected.assert_eq(&show(parse("a.conf", text.as_bytes())));
}

#[test]
fn a_line() {
    check(
        r##"SecRule ARGS "a
SecRule ARGS "a"x "id:1"
<IfModule mod_security2.c>"##,
        &expect![[r#"
            a.conf:1: a quote is not closed
            a.conf:2: text stands directly behind a closing quote
            a.conf:3: `<IfModule`: sections of Apache's configuration are not SecLang
        "#]],
    );
}

#[test]
fn a_name_that_nobody_knows() {
    check(
        r##"SecRul ARGS "a" "id:1"
SecRuleEngin On
Frobnicate
SecRule ARG|RESPONSE_STATU|WIDGET "a" "id:1"
SecRule ARGS "%{tx_.a} %{reqest_line}" "id:2,dney,foo:1,t:lowercased,t:rot13"
SecAction "id:3,ctl:ruleEngin=On,ctl:requestBodyProcessor=JSN,setvar:args.a=1,severity:CRITICA""##,
        &expect![[r#"
            a.conf:1: unknown directive `SecRul`; did you mean `SecRule`?
            a.conf:2: unknown directive `SecRuleEngin`; did you mean `SecRuleEngine`?
            a.conf:3: unknown directive `Frobnicate`
            a.conf:4 rule 1: unknown variable `ARG`; did you mean `ARGS`?
            a.conf:4 rule 1: unknown variable `RESPONSE_STATU`; did you mean `RESPONSE_STATUS`?
            a.conf:4 rule 1: unknown variable `WIDGET`
            a.conf:5 rule 2: unknown variable `tx_`; did you mean `TX`?
            a.conf:5 rule 2: unknown action `dney`; did you mean `deny`?
            a.conf:5 rule 2: unknown action `foo`
            a.conf:5 rule 2: t: unknown transformation `lowercased`; did you mean `lowercase`?
            a.conf:5 rule 2: t: unknown transformation `rot13`
            a.conf:6 rule 3: ctl: unknown control `ruleEngin`; did you mean `ruleEngine`?
            a.conf:6 rule 3: ctl: requestBodyProcessor: unknown body processor `JSN`; did you mean `JSON`?
            a.conf:6 rule 3: setvar: unknown collection that rules write `args`
            a.conf:6 rule 3: severity: unknown severity `CRITICA`; did you mean `critical`?
        "#]],
    );
}

#[test]
fn what_is_not_offered() {
    check(
        r##"SecRuleScript a.lua "id:1"
SecRemoteRules key https://example.org/rules
SecHttpBlKey abc
secgeolookupdb /a/b
SecCookieFormat 1
SecConnEngine On
SecHashEngine On
SecXmlExternalEntity On
SecUnicodeMapFile unicode.mapping 1252
SecRule WEBSERVER_ERROR_LOG|PERF_ALL "a" "id:1,exec:/bin/a,pause:1,proxy:http://a,append:'a',prepend:'a',deprecatevar:ip.a=1/2,ctl:hashEngine=On""##,
        &expect![[r#"
            a.conf:1: SecRuleScript is not offered: rules run no Lua
            a.conf:2: SecRemoteRules is not offered: rules are read from files that an operator checked, not from a URL
            a.conf:3: SecHttpBlKey is not offered: no list of addresses is asked while a request waits
            a.conf:4: SecGeoLookupDb is not offered: no database of places is read; geoLookup cannot answer
            a.conf:5: SecCookieFormat: not offered with another argument than `0`: cookies are read as browsers write them; version 1 was never in use
            a.conf:6: SecConnEngine: not offered with another argument than `off`: connections are bounded by the listener's options
            a.conf:7: SecHashEngine: not offered with another argument than `off`: answers are not rewritten by rules
            a.conf:8: SecXmlExternalEntity: not offered with another argument than `off`: external entities are never loaded
            a.conf:9: SecUnicodeMapFile: code page 1252 is not carried; 20127 is
            a.conf:10 rule 1: WEBSERVER_ERROR_LOG is not offered: there is no error log of a web server around the rules
            a.conf:10 rule 1: PERF_ALL is not offered: the time that rules take is told by the product's metrics
            a.conf:10 rule 1: exec is not offered: rules run no programs
            a.conf:10 rule 1: pause is not offered: a held request costs us more than the attacker; deny or drop it, or limit the route
            a.conf:10 rule 1: proxy is not offered: rules do not choose an upstream; routes do
            a.conf:10 rule 1: append is not offered: answers are not rewritten by rules
            a.conf:10 rule 1: prepend is not offered: answers are not rewritten by rules
            a.conf:10 rule 1: deprecatevar is not offered: ModSecurity 3 does not have it either; expirevar forgets a variable
            a.conf:10 rule 1: ctl: hashEngine is not offered: answers are not rewritten by rules
        "#]],
    );
}

#[test]
fn a_target() {
    check(
        r##"SecRule "" "a" "id:1"
SecRule ARGS||FILES "a" "id:2"
SecRule !ARGS "a" "id:3"
SecRule !&ARGS "a" "id:4"
SecRule REQUEST_URI:x "a" "id:5"
SecRule ARGS: "a" "id:6"
SecRule ARGS:/a|b/ "a" "id:7"
SecRule ARGS:'a "a" "id:8"
SecRule ARGS:'a'b|FILES+ "a" "id:9"
SecRule XML: "a" "id:10""##,
        &expect![[r#"
            a.conf:1 rule 1: a variable is missing at the end
            a.conf:2 rule 2: a variable is missing before `|FILES`
            a.conf:3 rule 3: all targets are left out, so the rule looks at nothing
            a.conf:4 rule 4: a target is either left out (`!`) or counted (`&`)
            a.conf:5 rule 5: REQUEST_URI has no members
            a.conf:6 rule 6: a member of ARGS has no name
            a.conf:7 rule 7: `/a` begins a pattern and does not end it; quote it: ARGS:'/…/'
            a.conf:7 rule 7: unknown variable `b`
            a.conf:8 rule 8: a quote is not closed
            a.conf:9 rule 9: text behind ARGS: `b|FILES+`
            a.conf:9 rule 9: text behind FILES: `+`
            a.conf:10 rule 10: a member of XML has no name
        "#]],
    );
}

#[test]
fn an_operator() {
    check(
        r##"SecRule ARGS "@ x" "id:1"
SecRule ARGS "%{remote_addr.x}" "id:2"
SecRule ARGS
SecRule ARGS a id:3 more"##,
        &expect![[r#"
            a.conf:1 rule 1: an operator's name is missing behind `@`
            a.conf:2 rule 2: macro of a member of REMOTE_ADDR, which has none
            a.conf:3: SecRule: takes targets, an operator and actions, not 1 arguments
            a.conf:4: SecRule: takes targets, an operator and actions, not 4 arguments
        "#]],
    );
}

#[test]
fn an_action() {
    check(
        r##"SecAction "id:0"
SecAction "id:x"
SecAction "id:99999999999999999999"
SecAction "id:1,phase:6,status:99,status:600,severity:8,accuracy:10,allow:all,skip:x,t:"
SecAction "id:2,msg,deny:1,id"
SecAction "id:3,msg:'a"
SecAction "id:4,msg:'a'b,deny"
SecAction "id:5,'x'"
SecAction "id:6,setvar:tx,setvar:tx.,setvar:!tx,setenv:a,expirevar:ip.a,initcol:tx=a,xmlns:a"
SecAction "id:7,ctl:ruleEngine,ctl:ruleEngine=Maybe,ctl:ruleRemoveById=,ctl:ruleRemoveById=9-1,ctl:ruleRemoveByTag=,ctl:ruleRemoveTargetById=1,ctl:ruleRemoveTargetById=1;!ARGS,ctl:ruleRemoveTargetById=1;ARGS|FILES,ctl:ruleRemoveById=%{tx.a},ctl:requestBodyAccess=1""##,
        &expect![[r#"
            a.conf:1: id: no rule has the id 0
            a.conf:2: id: `x` is not a whole number
            a.conf:3: id: 99999999999999999999 is more than 9007199254740991
            a.conf:4 rule 1: phase: `6` is neither 1 to 5 nor request, response or logging
            a.conf:4 rule 1: status: 99 is not between 100 and 599
            a.conf:4 rule 1: status: 600 is more than 599
            a.conf:4 rule 1: severity: 8 is more than 7
            a.conf:4 rule 1: accuracy: 10 is more than 9
            a.conf:4 rule 1: allow: `all` is neither `phase` nor `request`
            a.conf:4 rule 1: skip: `x` is not a whole number
            a.conf:4 rule 1: t: unknown transformation ``
            a.conf:5 rule 2: msg needs a value
            a.conf:5 rule 2: deny takes no value
            a.conf:5 rule 2: id needs a value
            a.conf:6 rule 3: msg: a quote is not closed
            a.conf:7 rule 4: msg: text behind the closing quote: `b,deny`
            a.conf:8 rule 5: an action is missing before `'x'`
            a.conf:9 rule 6: setvar: the variable has no name
            a.conf:9 rule 6: setvar: the variable has no name
            a.conf:9 rule 6: setvar: the variable has no name
            a.conf:9 rule 6: setenv: `a` lacks `=` and a value
            a.conf:9 rule 6: expirevar: `ip.a` lacks `=` and a value
            a.conf:9 rule 6: initcol: tx is there without it
            a.conf:9 rule 6: xmlns: `a` lacks `=` and a value
            a.conf:10 rule 7: ctl: `ruleEngine` lacks `=` and a value
            a.conf:10 rule 7: ctl: ruleEngine: `Maybe` is not On, Off or DetectionOnly
            a.conf:10 rule 7: ctl: ruleRemoveById: an id is missing
            a.conf:10 rule 7: ctl: ruleRemoveById: the range `9-1` ends before it begins
            a.conf:10 rule 7: ctl: ruleRemoveByTag: a text is missing
            a.conf:10 rule 7: ctl: ruleRemoveTargetById: `;` and a target are missing
            a.conf:10 rule 7: ctl: ruleRemoveTargetById: the target is written without `!` and `&`
            a.conf:10 rule 7: ctl: ruleRemoveTargetById: text behind a target: `|FILES`
            a.conf:10 rule 7: ctl: ruleRemoveById expands no macros
            a.conf:10 rule 7: ctl: requestBodyAccess: `1` is neither On nor Off
        "#]],
    );
}

#[test]
fn a_setting() {
    check(
        r##"SecRuleEngine Maybe
SecRequestBodyAccess
SecRequestBodyAccess 1
SecRequestBodyLimit 1g
SecRequestBodyLimit 9999999999
SecRequestBodyLimitAction Drop
SecArgumentSeparator "&&"
SecResponseBodyMimeType
SecResponseBodyMimeTypesClear x
SecTmpDir
SecUnicodeMapFile unicode.mapping
SecWebAppId """##,
        &expect![[r#"
            a.conf:1: SecRuleEngine: `Maybe` is not On, Off or DetectionOnly
            a.conf:2: SecRequestBodyAccess: takes one argument, not 0
            a.conf:3: SecRequestBodyAccess: `1` is neither On nor Off
            a.conf:4: SecRequestBodyLimit: `1g` is not a whole number
            a.conf:5: SecRequestBodyLimit: 9999999999 is more than 1073741824
            a.conf:6: SecRequestBodyLimitAction: `Drop` is neither Reject nor ProcessPartial
            a.conf:7: SecArgumentSeparator: `&&` is not one byte
            a.conf:8: SecResponseBodyMimeType: a type is missing
            a.conf:9: SecResponseBodyMimeTypesClear: takes no argument
            a.conf:10: SecTmpDir: an argument is missing
            a.conf:11: SecUnicodeMapFile: takes a file and a code page, not 1 arguments
            a.conf:12: SecWebAppId: its argument is empty
        "#]],
    );
}

#[test]
fn an_exclusion() {
    check(
        r##"SecRuleRemoveById
SecRuleRemoveById x
SecRuleRemoveById 5-1
SecRuleRemoveByTag
SecRuleRemoveByTag ""
SecRuleUpdateTargetById 1
SecRuleUpdateTargetById x "!ARGS:a"
SecRuleUpdateTargetById 1 "!ARG:a"
SecRuleUpdateActionById 1:99 "pass"
SecRuleUpdateActionById 1 "id:2,phase:1,chain,pass,deny"
SecMarker
Include other.conf"##,
        &expect![[r#"
            a.conf:1: SecRuleRemoveById: an id is missing
            a.conf:2: SecRuleRemoveById: `x` is not a whole number
            a.conf:3: SecRuleRemoveById: the range `5-1` ends before it begins
            a.conf:4: SecRuleRemoveByTag: takes one argument, not 0
            a.conf:5: SecRuleRemoveByTag: its argument is empty
            a.conf:6: SecRuleUpdateTargetById: takes rules and targets, not 1 arguments
            a.conf:7: SecRuleUpdateTargetById: `x` is not a whole number
            a.conf:8: unknown variable `ARG`; did you mean `ARGS`?
            a.conf:9: SecRuleUpdateActionById: 99 is more than 31
            a.conf:10 rule 1: id cannot be changed afterwards
            a.conf:10 rule 1: phase cannot be changed afterwards
            a.conf:10 rule 1: chain cannot be changed afterwards
            a.conf:10 rule 1: a decision (pass, deny, drop, block, allow, redirect) is there twice
            a.conf:11: SecMarker: takes one argument, not 0
            a.conf:12: files are included only where a folder of rules is loaded
        "#]],
    );
}

#[test]
fn ids() {
    check(
        r##"SecRule ARGS "a" "pass"
SecRule ARGS "a"
SecAction "pass"
SecAction "id:1"
SecRule ARGS "a" "id:1"
SecRule ARGS "a" "id:2,id:3""##,
        &expect![[r#"
            a.conf:1: the rule has no id
            a.conf:2: the rule has no id
            a.conf:3: the rule has no id
            a.conf:5 rule 1: the rule at a.conf:4 has the id 1 too
            a.conf:6 rule 2: id is there twice
        "#]],
    );
}

#[test]
fn a_chain() {
    check(
        r##"SecRule ARGS "a" "id:1,deny,chain"
  SecRule ARGS "b" "id:2,phase:1,pass,skip:1,skipAfter:A"
SecRule ARGS "a" "id:3,chain"
SecMarker A
SecAction "id:4,chain"
SecRule ARGS "a" "id:5,chain"
  SecRule ARGS "b" "chain""##,
        &expect![[r#"
            a.conf:2 rule 1: an id belongs to the first rule of the chain
            a.conf:2 rule 1: a phase belongs to the first rule of the chain
            a.conf:2 rule 1: a decision (pass, deny, drop, block, allow, redirect) belongs to the first rule of the chain
            a.conf:2 rule 1: skip belongs to the first rule of the chain
            a.conf:2 rule 1: skipAfter belongs to the first rule of the chain
            a.conf:3 rule 3: the chain lacks its next rule
            a.conf:5 rule 4: a chain begins with SecRule, not with SecAction
            a.conf:6 rule 5: the chain lacks its next rule
        "#]],
    );
}

#[test]
fn an_unreadable_link_has_no_further_consequence() {
    check(
        r##"SecRule ARGS "a" "id:1,chain"
  SecRul ARGS "b" "chain"
  SecRule ARGS "c" "t:none"
SecRule ARGS "c" "t:none""##,
        &expect![[r#"
            a.conf:2: unknown directive `SecRul`; did you mean `SecRule`?
            a.conf:4: the rule has no id
        "#]],
    );
}

#[test]
fn twice() {
    check(
        r##"SecAction "id:1,phase:1,phase:2,pass,deny,status:400,status:401,severity:1,severity:2,skip:1,skipAfter:A"
SecMarker A
SecMarker A"##,
        &expect![[r#"
            a.conf:1 rule 1: phase is there twice
            a.conf:1 rule 1: a decision (pass, deny, drop, block, allow, redirect) is there twice
            a.conf:1 rule 1: status is there twice
            a.conf:1 rule 1: severity is there twice
            a.conf:1 rule 1: skip or skipAfter is there twice
            a.conf:3: the marker `A` is at a.conf:2 too
        "#]],
    );
}

#[test]
fn a_default_action() {
    check(
        r##"SecDefaultAction "phase:1,log"
SecDefaultAction "phase:1,block"
SecDefaultAction "deny"
SecDefaultAction "phase:2,deny,id:1,chain,rev:1,ver:1,accuracy:1,maturity:1,t:none,skip:1"
SecDefaultAction "phase:3,deny"
SecDefaultAction "phase:3,pass""##,
        &expect![[r#"
            a.conf:1: a default action says what block does: pass, deny, drop, allow or redirect
            a.conf:2: a default action says what block does: pass, deny, drop, allow or redirect
            a.conf:2: phase 1 has a default action at a.conf:1 too
            a.conf:3: a default action is of a phase, which is missing
            a.conf:4: id belongs to a rule, not to a default action
            a.conf:4: chain belongs to a rule, not to a default action
            a.conf:4: rev belongs to a rule, not to a default action
            a.conf:4: ver belongs to a rule, not to a default action
            a.conf:4: accuracy belongs to a rule, not to a default action
            a.conf:4: maturity belongs to a rule, not to a default action
            a.conf:4: t:none belongs to a rule, not to a default action
            a.conf:4: skip belongs to a rule, not to a default action
            a.conf:6: phase 3 has a default action at a.conf:5 too
        "#]],
    );
}

#[test]
fn names_are_utf8() {
    let read = |text: &[u8]| show(parse("a.conf", text));
    expect![[r#"
        a.conf:1: `Sec�` is no directive
        a.conf:2: SecMarker: `�` is not UTF-8
        a.conf:3 rule 1: `�` is not UTF-8
        a.conf:3 rule 1: ver: `�` is not UTF-8
        a.conf:3 rule 1: `�` is not UTF-8
        a.conf:4 rule 2: msg: `�` is not UTF-8
    "#]].assert_eq(&read(
        b"Sec\xFF\nSecMarker \xFF\nSecRule ARGS:\xFF a \"id:1,ver:'\xFF',\xFF\"\nSecRule ARGS a \"id:2,msg:'%{tx.\xFF}'\"",
    ));
}

#[test]
fn everything_has_a_bound() {
    let said = |text: String| {
        let problems = parse("a.conf", text.as_bytes()).unwrap_err();
        problems.iter().take(2).map(problem).collect::<String>()
    };
    let many = |part: &str, count: usize| part.repeat(count + 1);
    let bounds = [
        "x".repeat(FILE_BYTES_MAX + 1),
        format!("SecMarker {}", "x".repeat(LINE_BYTES_MAX)),
        format!("SecRuleRemoveById {}", many("1 ", ARGUMENTS_MAX)),
        format!("SecRuleRemoveById '{}'", many("1 ", IDS_MAX)),
        format!("SecRule {}ARGS a id:1", many("ARGS|", TARGETS_MAX)),
        format!("SecAction {}id:1", many("t:none,", ACTIONS_MAX)),
        format!(
            "SecRule ARGS a id:1,chain\n{}SecRule ARGS a",
            many("SecRule ARGS a chain\n", CHAIN_LINKS_MAX - 2)
        ),
        many("SecTmpDir a\n", DIRECTIVES_MAX),
    ];
    let all: String = bounds.into_iter().map(said).collect();
    expect![[r#"
        a.conf:1: the file has 4194305 bytes, more than 4194304
        a.conf:1: the line has 262154 bytes, more than 262144
        a.conf:1: more than 256 arguments
        a.conf:1: SecRuleRemoveById: more than 1000 ids
        a.conf:1 rule 1: more than 256 targets
        a.conf:1: more than 256 actions
        a.conf:33 rule 1: the chain has more than 32 links
        a.conf:50001: more than 50000 directives
    "#]]
    .assert_eq(&all);
    let problems = parse("a.conf", many("x\n", 3 * PROBLEMS_MAX).as_bytes()).unwrap_err();
    assert_eq!(problems.len(), PROBLEMS_MAX + 1);
    expect![[r#"
        a.conf:201: more than 200 problems; the rest is not told
    "#]]
    .assert_eq(&problems.last().map(problem).unwrap());
}
