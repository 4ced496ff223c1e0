//! Logins against WeChat's rules: what the platform answers, and what the phone hears.

use serde_json::json;
use yunzhan_e2e::{Answer, Options, Server, WeChat};

const ENV: &str = "shop";
const APPID: &str = "wx0123456789abcdef";
const SECRET: &str = "an app's secret";

async fn scene() -> (WeChat, Server) {
    let wechat = WeChat::start().await.unwrap();
    wechat.register_app(APPID, SECRET);
    let server = Server::start(Options::default().with_wechat(&wechat)).await;
    server.add_mini_program(ENV, APPID, SECRET).await;
    (wechat, server)
}

fn is_refused(answer: &Answer, status: u16, word: &str) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, word), "{answer:?}");
}

#[tokio::test]
async fn the_openid_is_wechats_and_the_session_key_stays_there() {
    let (wechat, server) = scene().await;
    let http = server.http();
    let alice = http.login_wechat(ENV, APPID, &wechat.login_code(APPID, "alice")).await;
    let me = alice.me().await.value();
    let provider = json!([{ "id": APPID, "provider_user_id": wechat.openid(APPID, "alice") }]);
    assert_eq!(me["providers"], provider);
    assert!(!me.to_string().contains("session_key"), "{me}");
    let asked = wechat.requests();
    assert_eq!(asked.len(), 1, "one login is one call");
    assert_eq!(asked[0].query["secret"], SECRET);
}

#[tokio::test]
async fn what_wechat_refuses_is_refused_with_a_word() {
    let (wechat, server) = scene().await;
    let http = server.http();
    let ask = async |code: &str| http.ask_provider_token(ENV, APPID, code).await;

    is_refused(&ask("made-up").await, 400, "invalid_grant");
    let used = wechat.login_code(APPID, "alice");
    assert_eq!(ask(&used).await.status, 200);
    is_refused(&ask(&used).await, 400, "invalid_grant");

    wechat.mark_risky("mallory");
    is_refused(&ask(&wechat.login_code(APPID, "mallory")).await, 403, "permission_denied");

    wechat.be_busy(1);
    let code = wechat.login_code(APPID, "alice");
    is_refused(&ask(&code).await, 503, "unavailable");
    assert_eq!(ask(&code).await.status, 200, "the code survived");

    // WeChat allows a hundred logins a minute.
    for _ in 0..100 {
        assert_eq!(ask(&wechat.login_code(APPID, "carol")).await.status, 200);
    }
    is_refused(&ask(&wechat.login_code(APPID, "carol")).await, 429, "resource_exhausted");
    assert_eq!(ask(&wechat.login_code(APPID, "bob")).await.status, 200, "others go on");

    wechat.register_app(APPID, "another secret");
    is_refused(&ask(&wechat.login_code(APPID, "bob")).await, 503, "unavailable");
    drop(wechat);
    is_refused(&ask("any").await, 503, "unavailable");
}

#[tokio::test]
async fn a_mini_program_takes_no_other_login() {
    let (wechat, server) = scene().await;
    let http = server.http();
    is_refused(
        &http.ask_provider_token(ENV, "development", "alice").await,
        400,
        "invalid_argument",
    );
    wechat.register_app("wx-another", SECRET);
    let foreign = wechat.login_code("wx-another", "alice");
    is_refused(
        &http.ask_provider_token(ENV, "wx-another", &foreign).await,
        400,
        "invalid_argument",
    );
    is_refused(&http.ask_provider_token(ENV, APPID, &foreign).await, 400, "invalid_grant");

    let first = http.ask_provider_token(ENV, APPID, &wechat.login_code(APPID, "alice")).await;
    let body = json!({ "provider_token": first.value()["provider_token"] });
    let sign_in = async || {
        http.post(format!("/auth/v1/signin/with/provider?client_id={ENV}"), &body).send().await
    };
    assert_eq!(sign_in().await.status, 200);
    is_refused(&sign_in().await, 400, "invalid_grant");
}
