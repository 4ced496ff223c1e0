//! `yunzhan reload`: the serving process reads its configuration again.

use http::Method;
use serde_json::Value;
use yunzhan_base::config::Lang;
use yunzhan_base::{Error, Kind};

use super::context::{Context, Failure};
use super::output::finish;

/// Asks the serving process; without one there is nothing to reload.
pub(super) fn run(context: &Context) -> u8 {
    let answer = context.serving_call(Method::POST, "/control/v1/reload", &Value::Null);
    let answer = answer.and_then(|answer| {
        let message = "no process serves this data folder; nothing to reload";
        answer.ok_or_else(|| Failure::from(Error::new(Kind::Unavailable, message)))
    });
    finish(context, answer, text)
}

fn text(answer: &Value, lang: Lang) -> String {
    let keys = |name: &str| {
        let keys = answer[name].as_array().map_or(&[][..], Vec::as_slice);
        keys.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    let (changed, waiting) = (keys("changed"), keys("needs_restart"));
    let mut text = match (changed.as_str(), lang) {
        ("", Lang::En) => "nothing changed\n".to_owned(),
        ("", Lang::Zh) => "没有变化\n".to_owned(),
        (_, Lang::En) => format!("changed: {changed}\n"),
        (_, Lang::Zh) => format!("已生效: {changed}\n"),
    };
    if !waiting.is_empty() {
        text += &format!("{}: {waiting}\n", lang.pick("waiting for a restart", "重启后生效"));
    }
    text
}
