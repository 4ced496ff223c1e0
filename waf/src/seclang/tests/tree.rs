//! Text to the printed tree.

use expect_test::{Expect, expect};

use super::show;
use crate::seclang::parse;

fn check(text: &str, expected: &Expect) {
    expected.assert_eq(&show(parse("a.conf", text.as_bytes())));
}

#[test]
fn a_rule_is_targets_an_operator_and_actions() {
    check(
        r##"SecRule ARGS "@rx ^a\"b" "id:1,phase:2,deny,status:403,t:none,t:lowercase,msg:'no, really',severity:CRITICAL""##,
        &expect![[r#"
            1: Args rx "^a"b" -> Id(1), Phase(2), Disruptive(Deny), Status(403), TransformationsNone, Transformation(Lowercase), msg "no, really", Severity(2)
        "#]],
    );
}

#[test]
fn lines_go_on_and_comments_are_no_text() {
    check(
        r##"# A comment that goes on \
SecRule in the comment
	SecRule ARGS|REQUEST_BODY \
    "@pm one \
 two" \
    "id:1,\
    phase:2,\
    pass,\
    msg:'of two\
 lines'"

SecMarker AFTER"##,
        &expect![[r#"
            3: Args | RequestBody pm "one  two" -> Id(1), Phase(2), Disruptive(Pass), msg "of two lines"
            12: marker AFTER
        "#]],
    );
}

#[test]
fn names_have_no_case() {
    check(
        r##"secrule args|Request_Headers:user-AGENT "@PM a" "ID:1,PHASE:request,T:LOWERCASE,DENY,MultiMatch"
SECRULEENGINE detectiononly"##,
        &expect![[r#"
            1: Args | RequestHeaders:user-AGENT PM "a" -> Id(1), Phase(2), Transformation(Lowercase), Disruptive(Deny), MultiMatch
            2: RuleEngine(DetectionOnly)
        "#]],
    );
}

#[test]
fn targets_are_left_out_counted_and_named() {
    check(
        r##"SecRule ARGS|!ARGS:a|&ARGS:b|ARGS:/^x/|ARGS:'/a|b/'|ARGS_GET.c|XML:/*|XML://@*|TX:/^MSC_/|REQUEST_COOKIES:'/a\'b/'|ARGS:'/' "x" "id:1"
SecRule "ARGS | REQUEST_HEADERS:Host , FILES" x id:2
SecRule MULTIPART_SEMICOLON_MISSING|XML|SESSIONID "x" "id:3""##,
        &expect![[r#"
            1: Args | !Args:a | &Args:b | Args~^x | Args~a|b | ArgsGet:c | Xml at /* | Xml at //@* | Tx~^MSC_ | RequestCookies~a'b | Args:/ rx "x" -> Id(1)
            2: Args | RequestHeaders:Host | Files rx "x" -> Id(2)
            3: MultipartMissingSemicolon | Xml | SessionId rx "x" -> Id(3)
        "#]],
    );
}

#[test]
fn an_operator_is_a_pattern_unless_it_has_a_name() {
    check(
        r##"SecRule ARGS "^a b$" "id:1"
SecRule ARGS "!^a" "id:2"
SecRule ARGS "!@eq 0" "id:3"
SecRule ARGS " ! @within  GET " "id:4"
SecRule ARGS @detectSQLi id:5
SecRule ARGS '@contains "\'' 'id:6'
SecRule ARGS "@rx a\\\"b\\" "id:7""##,
        &expect![[r#"
            1: Args rx "^a b$" -> Id(1)
            2: Args not rx "^a" -> Id(2)
            3: Args not eq "0" -> Id(3)
            4: Args not within " GET " -> Id(4)
            5: Args detectSQLi -> Id(5)
            6: Args contains ""\'" -> Id(6)
            7: Args rx "a\\\\"b\\\\" -> Id(7)
        "#]],
    );
}

#[test]
fn macros_are_pieces_and_what_is_none_is_text() {
    check(
        r##"SecRule ARGS "@within %{tx.a}x%{REQUEST_HEADERS:User-Agent}%{remote_addr}" "id:1"
SecRule ARGS "@rx %{1,2}%{|%{}|\%{tx.a}|%%{tx.b}|%{tx.}|%{tx.a" "id:2"
SecRule ARGS "@rx a" "id:3,msg:'%{rule.msg} at %{MATCHED_VAR_NAME}: 100%'""##,
        &expect![[r#"
            1: Args within <Tx.a>"x"<RequestHeaders.User-Agent><RemoteAddr> -> Id(1)
            2: Args rx "%{1,2}%{|%{}|\\%{tx.a}|%"<Tx.b>"|%{tx.}|%{tx.a" -> Id(2)
            3: Args rx "a" -> Id(3), msg <Rule.msg>" at "<MatchedVarName>": 100%"
        "#]],
    );
}

#[test]
fn variables_are_set_added_to_and_removed() {
    check(
        r##"SecAction "id:1,setvar:tx.a=1,setvar:'tx.b=+%{tx.c}',setvar:tx.d=-2,setvar:!ip.e,setvar:GLOBAL:f,setvar:'tx.%{rule.id}-%{tx.0}=a=b, c'"
SecAction "id:2,expirevar:'ip.a=%{tx.s}',initcol:ip=%{REMOTE_ADDR},initcol:global=global,setuid:%{ARGS.user},setsid:x,setrsc:y,setenv:'a=%{tx.0}'""##,
        &expect![[r#"
            1: action Id(1), Tx."a" = "1", Tx."b" += <Tx.c>, Tx."d" -= "2", remove Ip."e", Global."f" = "1", Tx.<Rule.id>"-"<Tx.0> = "a=b, c"
            2: action Id(2), expire Ip."a" in <Tx.s>, Ip of <RemoteAddr>, Global of "global", key of User <Args.user>, key of Session "x", key of Resource "y", env "a" = <Tx.0>
        "#]],
    );
}

#[test]
fn controls() {
    check(
        r##"SecAction "id:1,ctl:ruleEngine=Off,ctl:requestBodyProcessor=xml,ctl:forceRequestBodyVariable=On,ctl:auditLogParts=+E,ctl:requestBodyLimit=10,ctl:responseBodyAccess=off"
SecAction "id:2,ctl:ruleRemoveById=5-7,ctl:ruleRemoveByTag=a/b,ctl:ruleRemoveByMsg=m"
SecAction "id:3,ctl:ruleRemoveTargetById=5-7;ARGS:a,ctl:ruleRemoveTargetByTag=t;REQUEST_COOKIES:/^x/,ctl:'ruleRemoveTargetByMsg=m;ARGS:a'"
SecAction "id:4,ctl:ruleRemoveTargetById=5;ARGS,ctl:ruleRemoveTargetByTag=t;XML:/*""##,
        &expect![[r#"
            1: action Id(1), Control(RuleEngine(Off)), Control(RequestBodyProcessor(Xml)), Control(ForceRequestBodyVariable(true)), Control(Elsewhere("auditLogParts")), Control(RequestBodyLimit(10)), Control(ResponseBodyAccess(false))
            2: action Id(2), Control(Remove(Ids([(5, 7)]))), Control(Remove(Tag("a/b"))), Control(Remove(Message("m")))
            3: action Id(3), Control(RemoveTarget(Ids([(5, 7)]), Target { is_excluded: false, is_count: false, variable: Args, member: Some(Named("a")) })), Control(RemoveTarget(Tag("t"), Target { is_excluded: false, is_count: false, variable: RequestCookies, member: Some(Matching("^x")) })), Control(RemoveTarget(Message("m"), Target { is_excluded: false, is_count: false, variable: Args, member: Some(Named("a")) }))
            4: action Id(4), Control(RemoveTarget(Ids([(5, 5)]), Target { is_excluded: false, is_count: false, variable: Args, member: None })), Control(RemoveTarget(Tag("t"), Target { is_excluded: false, is_count: false, variable: Xml, member: Some(XPath("/*")) }))
        "#]],
    );
}

#[test]
fn every_action() {
    check(
        r##"SecAction "id:'1',phase:'logging',allow:phase,accuracy:9,maturity:'8',rev:'2',ver:'a/1',tag:'x/y',tag:z,logdata:'%{tx.0}',capture"
SecAction "id:2,phase:response,drop,log,noauditlog,skip:2,xmlns:s=http://a/b,severity:'7',status:500"
SecAction "id:3,redirect:'http://a/?%{tx.0}',nolog,auditlog,skipAfter:END"
SecAction "id:4,block,sanitiseArg:password,sanitiseMatched,sanitiseMatchedBytes:1/4,sanitiseRequestHeader:Authorization,sanitiseResponseHeader:Set-Cookie"
SecAction "id:5,allow , log""##,
        &expect![[r#"
            1: action Id(1), Phase(5), Disruptive(Allow(Phase)), Accuracy(9), Maturity(8), Revision("2"), Version("a/1"), tag "x/y", tag "z", logdata <Tx.0>, Capture
            2: action Id(2), Phase(4), Disruptive(Drop), Log(true), AuditLog(false), Skip(2), XmlNamespace("s", "http://a/b"), Severity(7), Status(500)
            3: action Id(3), Disruptive(Redirect(Text([Literal([104, 116, 116, 112, 58, 47, 47, 97, 47, 63]), Macro(Tx, Some("0"))]))), Log(false), AuditLog(true), SkipAfter("END")
            4: action Id(4), Disruptive(Block), Sanitise(Argument("password")), Sanitise(Matched), Sanitise(Matched), Sanitise(RequestHeader("Authorization")), Sanitise(ResponseHeader("Set-Cookie"))
            5: action Id(5), Disruptive(Allow(All)), Log(true)
        "#]],
    );
}

#[test]
fn transformations_have_two_spellings() {
    check(
        r##"SecAction "id:1,t:normalizePath,t:normalisePathWin,t:utf8toUnicode,t:sha1,t:hexEncode,t:urlDecodeUni,t:none""##,
        &expect![[r#"
            1: action Id(1), Transformation(NormalisePath), Transformation(NormalisePathWin), Transformation(Utf8ToUnicode), Transformation(Sha1), Transformation(HexEncode), Transformation(UrlDecodeUni), TransformationsNone
        "#]],
    );
}

#[test]
fn chains_markers_and_defaults() {
    check(
        r##"SecDefaultAction "phase:2,log,auditlog,deny,status:403,t:lowercase"
SecRule ARGS "a" "id:1,phase:1,deny,chain"
  SecRule ARGS "b" "t:none,setvar:tx.a=1,chain"
    SecRule ARGS "c"
SecMarker "END"
SecComponentSignature "mine/1.0""##,
        &expect![[r#"
            1: default Phase(2), Log(true), AuditLog(true), Disruptive(Deny), Status(403), Transformation(Lowercase)
            2: Args rx "a" -> Id(1), Phase(1), Disruptive(Deny), Chain
            3: Args rx "b" -> TransformationsNone, Tx."a" = "1", Chain
            4: Args rx "c"
            5: marker END
            6: signature mine/1.0
        "#]],
    );
}

#[test]
fn rules_are_removed_and_changed() {
    check(
        r##"SecRuleRemoveById 1-5 7 "8-9" 11,12
SecRuleRemoveByTag "a tag"
SecRuleRemoveByMsg "a message"
SecRuleUpdateTargetById 1234 "!ARGS:foo,!REQUEST_COOKIES:/x/|ARGS:bar"
SecRuleUpdateTargetById 1-3 !ARGS:a
SecRuleUpdateTargetByTag "t" "!ARGS:foo"
SecRuleUpdateTargetByMsg "m m" "!ARGS:'/a b/'"
SecRuleUpdateActionById 12:1 "pass,nolog"
SecRuleUpdateActionById 12 "t:none,msg:'x'""##,
        &expect![[r#"
            1: remove Ids([(1, 5), (7, 7), (8, 9), (11, 11), (12, 12)])
            2: remove Tag("a tag")
            3: remove Message("a message")
            4: update Ids([(1234, 1234)]) !Args:foo | !RequestCookies~x | Args:bar
            5: update Ids([(1, 3)]) !Args:a
            6: update Tag("t") !Args:foo
            7: update Message("m m") !Args~a b
            8: update 12 Some(1) Disruptive(Pass), Log(false)
            9: update 12 None TransformationsNone, msg "x"
        "#]],
    );
}

#[test]
fn settings() {
    check(
        r##"SecRuleEngine On
SecRequestBodyAccess on
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 131072
SecRequestBodyLimitAction ProcessPartial
SecRequestBodyJsonDepthLimit 512
SecArgumentsLimit 1000
SecArgumentSeparator "&"
SecResponseBodyAccess Off
SecResponseBodyMimeTypesClear
SecResponseBodyMimeType text/plain "text/html"
SecResponseBodyLimit 524288
SecResponseBodyLimitAction Reject
SecCollectionTimeout 600
SecUploadFileLimit 10
SecUnicodeMapFile unicode.mapping 20127
SecWebAppId "shop"
SecAuditLogRelevantStatus "^(?:5|4(?!04))"
SecCookieFormat 0
SecConnEngine Off"##,
        &expect![[r#"
            1: RuleEngine(On)
            2: RequestBodyAccess(true)
            3: RequestBodyLimit(13107200)
            4: RequestBodyNoFilesLimit(131072)
            5: RequestBodyLimitRejects(false)
            6: JsonDepthLimit(512)
            7: ArgumentsLimit(1000)
            8: ArgumentSeparator(38)
            9: ResponseBodyAccess(false)
            10: ResponseBodyMimeTypesClear
            11: ResponseBodyMimeTypes(["text/plain", "text/html"])
            12: ResponseBodyLimit(524288)
            13: ResponseBodyLimitRejects(true)
            14: CollectionTimeout(600)
            15: UploadFileLimit(10)
            16: UnicodeCodePage(20127)
            17: WebAppId("shop")
            18: Elsewhere("SecAuditLogRelevantStatus")
            19: Elsewhere("SecCookieFormat")
            20: Elsewhere("SecConnEngine")
        "#]],
    );
}

#[test]
fn bytes_need_not_be_letters_in_what_is_compared() {
    let read = |text: &[u8]| show(parse("a.conf", text));
    expect![[r#"
        1: Args contains "\xff\x00" -> Id(1)
        2: Args rx "a" -> Id(2)
    "#]]
    .assert_eq(&read(
        b"\xEF\xBB\xBFSecRule ARGS \"@contains \xFF\0\" \"id:1\"\r\nSecRule ARGS \\\r\n a id:2\r\n",
    ));
}
