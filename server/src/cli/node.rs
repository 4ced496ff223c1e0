//! `yunzhan node`: the nodes of a cluster.

use clap::Subcommand;
use http::Method;
use serde_json::Value;
use yunzhan_base::config::Lang;

use super::context::Context;
use super::output::{age, finish, table};

/// What to do with nodes.
#[derive(Subcommand)]
pub(super) enum NodeVerb {
    /// List the nodes, dead ones for an hour, and the leases that each holds
    List,
}

/// Does it through the control API.
pub(super) fn run(context: &Context, verb: &NodeVerb) -> u8 {
    match verb {
        NodeVerb::List => {
            let answer = context.control_call(Method::GET, "/control/v1/nodes", &Value::Null);
            finish(context, answer, list_text)
        }
    }
}

fn list_text(answer: &Value, lang: Lang) -> String {
    let headings = [
        lang.pick("node", "节点"),
        lang.pick("state", "状态"),
        lang.pick("version", "版本"),
        lang.pick("address", "地址"),
        lang.pick("started", "启动于"),
        lang.pick("heartbeat", "心跳"),
        lang.pick("leases", "租约"),
    ];
    let nodes = answer["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    table(&headings, &nodes.iter().map(|node| row(node, answer, lang)).collect::<Vec<_>>())
}

fn row(node: &Value, answer: &Value, lang: Lang) -> Vec<String> {
    let text = |key: &str| {
        let text = node[key].as_str().filter(|text| !text.is_empty());
        text.unwrap_or("-").to_owned()
    };
    let ago = |key: &str| {
        let ago = age(node["now_ms"].as_i64().unwrap_or(0) - node[key].as_i64().unwrap_or(0));
        match lang {
            Lang::En => format!("{ago} ago"),
            Lang::Zh => format!("{ago} 前"),
        }
    };
    let is_this = !node["session"].is_null() && node["session"] == answer["this"];
    let name = match (is_this, lang) {
        (false, _) => text("name"),
        (true, Lang::En) => format!("{} (this)", text("name")),
        (true, Lang::Zh) => format!("{} (本节点)", text("name")),
    };
    let state = match node["is_alive"].as_bool() {
        Some(true) => lang.pick("alive", "存活"),
        _ => lang.pick("dead", "失效"),
    };
    let leases = answer["leases"].as_array().map_or(&[][..], Vec::as_slice);
    let held = leases.iter().filter(|lease| lease["session"] == node["session"]);
    let held: Vec<&str> = held.filter_map(|lease| lease["lease"].as_str()).collect();
    let held = if held.is_empty() { "-".to_owned() } else { held.join(" ") };
    let (version, address) = (text("version"), text("address"));
    vec![name, state.to_owned(), version, address, ago("started_ms"), ago("heartbeat_ms"), held]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_stand_one_a_line_with_their_leases() {
        let node = |name, session, is_alive| {
            json!({ "name": name, "session": session, "address": "", "version": "0.1.0",
                "started_ms": 0, "heartbeat_ms": 7_198_000, "is_alive": is_alive, "now_ms": 7_200_000 })
        };
        let answer = json!({ "this": "s1", "nodes": [node("a", "s1", true), node("b", "s2", false)],
            "leases": [{ "lease": "task/nodes.tidy", "session": "s1", "token": 3 },
                { "lease": "task/identity.tidy", "session": "s1", "token": 1 }] });
        expect![[r#"
            node      state  version  address  started  heartbeat  leases
            a (this)  alive  0.1.0    -        2h ago   2s ago     task/nodes.tidy task/identity.tidy
            b         dead   0.1.0    -        2h ago   2s ago     -
        "#]]
        .assert_eq(&list_text(&answer, Lang::En));
        expect![[r#"
            节点        状态  版本   地址  启动于  心跳   租约
            a (本节点)  存活  0.1.0  -     2h 前   2s 前  task/nodes.tidy task/identity.tidy
            b           失效  0.1.0  -     2h 前   2s 前  -
        "#]]
        .assert_eq(&list_text(&answer, Lang::Zh));
    }
}
