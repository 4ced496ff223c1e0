//! What an operator may ask and change of the rules against attacks.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use yunzhan_base::control::answer;
use yunzhan_base::{Call, Error, Kind, Reply, ResponseFuture, Result};

use super::RuleSetManager;
use super::explain::{self as explaining, Request};
use crate::control::Control;

/// Which rules guard.
pub(crate) fn show(control: Arc<Control>, _call: Call) -> ResponseFuture {
    blocking(control, RuleSetManager::show)
}

/// Takes a release from a folder of this machine, and uses it.
pub(crate) fn import(control: Arc<Control>, call: Call) -> ResponseFuture {
    blocking(control, move |rule_sets| {
        let folder = member(&call, "folder")?;
        let folder = Path::new(&folder);
        if !folder.is_absolute() {
            return Err(Error::new(Kind::InvalidParameter, "`folder` is an absolute path"));
        }
        rule_sets.import(folder)
    })
}

/// Uses another set.
pub(crate) fn choose(control: Arc<Control>, call: Call) -> ResponseFuture {
    blocking(control, move |rule_sets| rule_sets.use_set(&member(&call, "set")?))
}

/// Says what rules do with one request.
pub(crate) fn explain(control: Arc<Control>, call: Call) -> ResponseFuture {
    let gateway = Arc::clone(&control.gateway);
    blocking(control, move |rule_sets| {
        let request = Request::read(call.bytes())?;
        let (route, mode) = request.route(&gateway);
        explaining::explain(&rule_sets.waf().policy(), &request, route, mode)
    })
}

/// Rules are compiled and files are read on a thread that may wait.
fn blocking(
    control: Arc<Control>,
    work: impl FnOnce(&RuleSetManager) -> Result<Value> + Send + 'static,
) -> ResponseFuture {
    Box::pin(async move {
        let done = tokio::task::spawn_blocking(move || work(&control.rule_sets)).await;
        let shown = done.map_err(|error| Error::internal("rules").because(error))??;
        Ok::<Reply, Error>(answer(&shown))
    })
}

fn member(call: &Call, name: &str) -> Result<String> {
    let asked: Option<Value> = serde_json::from_slice(call.bytes()).ok();
    let found = asked.as_ref().and_then(|asked| asked.get(name)).and_then(Value::as_str);
    let text = format!("the body is a JSON object with the text `{name}`");
    found.map(str::to_owned).ok_or_else(|| Error::new(Kind::InvalidParameter, text))
}
