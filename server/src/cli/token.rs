//! `yunzhan token`: an access token for trying things out with curl.

use clap::Args;
use http::Method;
use serde_json::{Value, json};
use yunzhan_base::EnvId;

use super::context::Context;
use super::output::finish;

/// Whose token.
#[derive(Args)]
pub(super) struct TokenArguments {
    /// Environment id
    #[arg(long, value_name = "ENV", default_value = "demo")]
    env: EnvId,
    /// The name to log in under
    #[arg(long, value_name = "NAME", default_value = "developer")]
    user: String,
}

/// Prints the bare token, so that `$(yunzhan token)` can stand in a header.
pub(super) fn run(context: &Context, arguments: &TokenArguments) -> u8 {
    let path = format!("/control/v1/envs/{}/tokens", arguments.env);
    let answer = context.control_call(Method::POST, &path, &json!({ "name": arguments.user }));
    finish(context, answer, |answer: &Value, _| {
        format!("{}\n", answer["access_token"].as_str().unwrap_or_default())
    })
}
