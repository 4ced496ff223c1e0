//! Answers about documents as people read them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use yunzhan_base::config::Lang;

use super::place::Place;
use crate::cli::output::{facts, table};

/// Collections, one a line.
pub(super) fn collections(answer: &Value, lang: Lang) -> String {
    let row = |collection: &Value| vec![word(collection, "name"), word(collection, "permission")];
    let headings = [lang.pick("collection", "集合"), lang.pick("permission", "权限")];
    table(&headings, &items(answer, "collections").iter().map(row).collect::<Vec<_>>())
}

/// One collection.
pub(super) fn collection(answer: &Value, lang: Lang) -> String {
    facts(&[
        (lang.pick("collection", "集合"), word(answer, "name")),
        (lang.pick("permission", "权限"), word(answer, "permission")),
    ])
}

/// The rules of one collection, as they can be set again.
pub(super) fn rules(answer: &Value, lang: Lang) -> String {
    if let Some(rules) = answer.get("rules") {
        return format!("{rules:#}\n");
    }
    let permission = word(answer, "permission");
    match lang {
        Lang::En => format!("no rules; the permission is {permission}\n"),
        Lang::Zh => format!("没有规则; 权限为 {permission}\n"),
    }
}

/// What a rule answers: the verdict, then each clause.
pub(super) fn tested(answer: &Value, _lang: Lang) -> String {
    let lines = items(answer, "explanation").iter().filter_map(Value::as_str);
    lines.map(|line| format!("{line}\n")).collect()
}

/// Indexes, one a line.
pub(super) fn indexes(answer: &Value, lang: Lang) -> String {
    let row = |index: &Value| {
        vec![word(index, "name"), keys(index), yes_or_no(index, "unique", lang), state(index, lang)]
    };
    let headings = [
        lang.pick("index", "索引"),
        lang.pick("fields", "字段"),
        lang.pick("unique", "唯一"),
        lang.pick("state", "状态"),
    ];
    table(&headings, &items(answer, "indexes").iter().map(row).collect::<Vec<_>>())
}

/// An index that was added; says where to look when it is not ready yet.
pub(super) fn added(index: &Value, place: &Place, lang: Lang) -> String {
    let mut text = facts(&[
        (lang.pick("index", "索引"), word(index, "name")),
        (lang.pick("fields", "字段"), keys(index)),
        (lang.pick("unique", "唯一"), yes_or_no(index, "unique", lang)),
        (lang.pick("state", "状态"), state(index, lang)),
    ]);
    if index["state"] == "building" {
        let list = format!("yunzhan db indexes {} {}", place.env, place.collection);
        text += &match lang {
            Lang::En => format!("`{list}` shows how far it is\n"),
            Lang::Zh => format!("用 `{list}` 查看进度\n"),
        };
    }
    text
}

/// An index that was dropped.
pub(super) fn dropped(answer: &Value, lang: Lang) -> String {
    facts(&[(lang.pick("dropped", "已删除"), word(answer, "name"))])
}

/// The bare number, for `$(yunzhan db count ...)`.
pub(super) fn total(answer: &Value, _lang: Lang) -> String {
    format!("{}\n", number(answer, "total"))
}

/// Documents as they came: [`Value`] would sort their members.
#[derive(Deserialize, Serialize)]
pub(super) struct Documents {
    documents: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
}

/// Documents, one a line, and how many more there are.
pub(super) fn documents(answer: &Documents, skipped: u64, lang: Lang) -> String {
    let documents = &answer.documents;
    if documents.is_empty() {
        return format!("{}\n", lang.pick("no document matches", "没有匹配的文档"));
    }
    let mut text: String = documents.iter().map(|document| format!("{document}\n")).collect();
    let seen = skipped.saturating_add(documents.len() as u64);
    if let Some(total) = answer.total.filter(|total| *total > seen) {
        text += &match lang {
            Lang::En => format!("{seen} of {total}; go on with --skip {seen}\n"),
            Lang::Zh => format!("第 {seen} 个, 共 {total} 个; 用 --skip {seen} 继续\n"),
        };
    }
    text
}

/// The plan of a query and what it cost; says what would help when no index did.
pub(super) fn explained(answer: &Value, place: &Place, lang: Lang) -> String {
    let mut told = vec![
        (lang.pick("access", "访问方式"), access(answer, lang)),
        (lang.pick("ranges", "区间数"), number(answer, "ranges")),
        (lang.pick("in order", "已有序"), yes_or_no(answer, "ordered", lang)),
        (lang.pick("exact", "精确"), yes_or_no(answer, "exact", lang)),
        (lang.pick("documents examined", "检查的文档"), number(answer, "documents_examined")),
        (lang.pick("documents matched", "匹配的文档"), number(answer, "documents_matched")),
    ];
    if answer.get("entries_examined").is_some() {
        let entries = number(answer, "entries_examined");
        told.insert(4, (lang.pick("entries examined", "检查的索引项"), entries));
    }
    let mut text = facts(&told);
    let wanted: Vec<&str> =
        items(answer, "wanted_index").iter().filter_map(Value::as_str).collect();
    if !wanted.is_empty() {
        let (env, collection, wanted) = (&place.env, &place.collection, wanted.join(" "));
        let add = format!("yunzhan db add-index {env} {collection} {wanted}");
        text += &match lang {
            Lang::En => format!("no index serves this query; `{add}` makes one\n"),
            Lang::Zh => format!("没有索引可用于此查询; 用 `{add}` 添加\n"),
        };
    }
    text
}

/// How far an index is, such as `building 3/10`.
pub(super) fn state(index: &Value, lang: Lang) -> String {
    let state = index["state"].as_str().unwrap_or("-");
    let named = match state {
        "building" => lang.pick("building", "建立中"),
        "ready" => lang.pick("ready", "可用"),
        "failed" => lang.pick("failed", "失败"),
        "dropping" => lang.pick("dropping", "删除中"),
        other => other,
    };
    match (state, index["failure"].as_str()) {
        ("building", _) => format!("{named} {}/{}", number(index, "done"), number(index, "total")),
        ("failed", Some(failure)) => format!("{named}: {failure}"),
        _ => named.to_owned(),
    }
}

fn access(answer: &Value, lang: Lang) -> String {
    match (answer["access"].as_str(), answer["index"].as_str()) {
        (Some("ids"), _) => lang.pick("by id", "按 id").to_owned(),
        (Some("index"), Some(index)) => format!("{} {index}", lang.pick("index", "索引")),
        (Some("scan"), _) => lang.pick("every document", "全部文档").to_owned(),
        (other, _) => other.unwrap_or("-").to_owned(),
    }
}

/// Fields as they are written for `db add-index`.
fn keys(index: &Value) -> String {
    let key = |key: &Value| match key["direction"].as_str() {
        None | Some("1") => word(key, "field"),
        Some(direction) => format!("{}:{direction}", word(key, "field")),
    };
    items(index, "keys").iter().map(key).collect::<Vec<_>>().join(" ")
}

fn items<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().map_or(&[], Vec::as_slice)
}

fn word(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or("-").to_owned()
}

fn number(object: &Value, name: &str) -> String {
    object[name].as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn yes_or_no(object: &Value, name: &str, lang: Lang) -> String {
    let is_so = object[name].as_bool().unwrap_or(false);
    if is_so { lang.pick("yes", "是") } else { lang.pick("no", "否") }.to_owned()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn place() -> Place {
        Place { env: "demo".parse().unwrap(), collection: "todos".into() }
    }

    /// The text in both languages.
    fn both(text: impl Fn(Lang) -> String) -> String {
        format!("{}\n{}", text(Lang::En), text(Lang::Zh))
    }

    fn some_indexes() -> Value {
        let key = |field: &str, direction: &str| json!({ "field": field, "direction": direction });
        json!({ "indexes": [
            { "name": "by_age", "keys": [key("age", "-1"), key("name", "1")], "unique": false,
              "state": "building", "done": 30, "total": 400, "failure": null },
            { "name": "email", "keys": [key("email", "1")], "unique": true,
              "state": "failed", "done": 7, "total": 400, "failure": "two documents have the same email" },
            { "name": "done", "keys": [key("done", "1")], "unique": false,
              "state": "ready", "done": 400, "total": 400, "failure": null },
        ] })
    }

    #[test]
    fn collections_with_their_permissions() {
        let answer = json!({ "collections": [
            { "name": "todos", "permission": "PRIVATE", "created_ms": 1 },
            { "name": "news", "permission": "ADMINWRITE", "created_ms": 2 },
        ] });
        expect![[r#"
            collection  permission
            todos       PRIVATE
            news        ADMINWRITE

            集合   权限
            todos  PRIVATE
            news   ADMINWRITE
        "#]]
        .assert_eq(&both(|lang| collections(&answer, lang)));
    }

    #[test]
    fn indexes_say_how_far_they_are() {
        expect![[r#"
            index   fields       unique  state
            by_age  age:-1 name  no      building 30/400
            email   email        yes     failed: two documents have the same email
            done    done         no      ready

            索引    字段         唯一  状态
            by_age  age:-1 name  否    建立中 30/400
            email   email        是    失败: two documents have the same email
            done    done         否    可用
        "#]]
        .assert_eq(&both(|lang| indexes(&some_indexes(), lang)));
    }

    #[test]
    fn an_index_that_is_being_built_says_where_to_look() {
        let index = &some_indexes()["indexes"][0];
        expect![[r#"
            index   by_age
            fields  age:-1 name
            unique  no
            state   building 30/400
            `yunzhan db indexes demo todos` shows how far it is

            索引  by_age
            字段  age:-1 name
            唯一  否
            状态  建立中 30/400
            用 `yunzhan db indexes demo todos` 查看进度
        "#]]
        .assert_eq(&both(|lang| added(index, &place(), lang)));
        let ready = &some_indexes()["indexes"][2];
        assert!(!added(ready, &place(), Lang::En).contains('`'));
    }

    #[test]
    fn documents_stand_one_a_line_as_they_are_stored() {
        let read = |json: &str| serde_json::from_str::<Documents>(json).unwrap();
        let answer =
            read(r#"{"documents":[{"_id":"a","n":1,"b":{"z":1,"a":2}},{"_id":"b"}],"total":9}"#);
        expect![[r#"
            {"_id":"a","n":1,"b":{"z":1,"a":2}}
            {"_id":"b"}
            5 of 9; go on with --skip 5

            {"_id":"a","n":1,"b":{"z":1,"a":2}}
            {"_id":"b"}
            第 5 个, 共 9 个; 用 --skip 5 继续
        "#]]
        .assert_eq(&both(|lang| documents(&answer, 3, lang)));
        let last = read(r#"{"documents":[{"_id":"c"}],"total":9}"#);
        assert_eq!(documents(&last, 8, Lang::En), "{\"_id\":\"c\"}\n");
        let none = read(r#"{"documents":[]}"#);
        assert_eq!(documents(&none, 0, Lang::En), "no document matches\n");
    }

    #[test]
    fn a_plan_says_what_it_cost() {
        let indexed = json!({ "access": "index", "index": "by_age", "ranges": 2, "ordered": true,
            "exact": false, "documents_examined": 12, "documents_matched": 10 });
        expect![[r#"
            access              index by_age
            ranges              2
            in order            yes
            exact               no
            documents examined  12
            documents matched   10

            访问方式    索引 by_age
            区间数      2
            已有序      是
            精确        否
            检查的文档  12
            匹配的文档  10
        "#]]
        .assert_eq(&both(|lang| explained(&indexed, &place(), lang)));
        let scan = json!({ "access": "scan", "ranges": 1, "ordered": false, "exact": false,
            "documents_examined": 1200, "documents_matched": 1, "wanted_index": ["done", "age"] });
        expect![[r#"
            access              every document
            ranges              1
            in order            no
            exact               no
            documents examined  1200
            documents matched   1
            no index serves this query; `yunzhan db add-index demo todos done age` makes one

            访问方式    全部文档
            区间数      1
            已有序      否
            精确        否
            检查的文档  1200
            匹配的文档  1
            没有索引可用于此查询; 用 `yunzhan db add-index demo todos done age` 添加
        "#]]
        .assert_eq(&both(|lang| explained(&scan, &place(), lang)));
        let near = json!({ "access": "index", "index": "at_2dsphere", "ranges": 9, "ordered": true,
            "exact": false, "entries_examined": 40, "documents_examined": 20, "documents_matched": 20 });
        expect![[r#"
            access              index at_2dsphere
            ranges              9
            in order            yes
            exact               no
            entries examined    40
            documents examined  20
            documents matched   20
        "#]]
        .assert_eq(&explained(&near, &place(), Lang::En));
    }

    #[test]
    fn an_answer_of_another_shape_is_no_reason_to_stop() {
        for answer in
            [json!(null), json!([1]), json!({ "indexes": [3], "documents": 4, "total": "x" })]
        {
            let texts = [
                collections(&answer, Lang::En),
                indexes(&answer, Lang::En),
                total(&answer, Lang::En),
            ];
            assert!(texts.iter().all(|text| text.ends_with('\n')), "{texts:?}");
        }
    }
}
