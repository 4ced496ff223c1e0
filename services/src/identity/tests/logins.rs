//! Logins: by WeChat, for development, and without any.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use yunzhan_net::http::Target;

use super::house::{House, add_mini_program, text};
use crate::identity::Config;

#[tokio::test]
async fn a_development_login_is_the_same_person_every_time() {
    let house = House::new().await;
    let (first, second) =
        (house.log_in("shop", "alice").await, house.log_in("shop", "alice").await);
    assert_eq!(first["sub"], second["sub"]);
    assert_ne!(first["access_token"], second["access_token"]);
    assert_ne!(house.log_in("other", "alice").await["sub"], first["sub"]);
    assert_ne!(house.log_in("shop", "bob").await["sub"], first["sub"]);
    assert_eq!(first["token_type"], "Bearer");
    assert_eq!(
        (&first["expires_in"], &first["scope"], &first["groups"]),
        (&json!(7200), &json!(""), &json!([]))
    );
    let (status, me) = house.get("/auth/v1/user/me", text(&first, "access_token")).await;
    let expected = json!({
        "sub": first["sub"], "name": "alice", "groups": [],
        "providers": [{ "id": "development", "provider_user_id": "dev-alice" }],
    });
    assert_eq!((status, me), (200, expected));
}

#[tokio::test]
async fn an_anonymous_visitor_is_somebody_new() {
    let house = House::new().await;
    let target = "/auth/v1/signin/anonymously?client_id=shop";
    let ((status, first), (_, second)) =
        (house.post(target, "{}").await, house.post(target, "").await);
    assert_eq!((status, &first["scope"]), (200, &json!("anonymous")));
    assert_ne!(first["sub"], second["sub"]);
    let (_, me) = house.get("/auth/v1/user/me", text(&first, "access_token")).await;
    assert_eq!(
        me,
        json!({ "sub": first["sub"], "name": "anonymous", "providers": [], "groups": [] })
    );
    let (status, renewed) = house.renew("shop", text(&first, "refresh_token")).await;
    assert_eq!(
        (status, &renewed["scope"], &renewed["sub"]),
        (200, &json!("anonymous"), &first["sub"])
    );
}

#[tokio::test]
async fn anonymous_login_can_be_turned_off() {
    let house = House::with(Config { anonymous_login: false, ..Config::default() }).await;
    let (status, body) = house.post("/auth/v1/signin/anonymously?client_id=shop", "{}").await;
    assert_eq!((status, &body["error"]), (403, &json!("permission_denied")));
}

#[tokio::test]
async fn a_provider_token_is_good_once_for_minutes_and_in_its_environment() {
    let house = House::new().await;
    let begin = || {
        house.post(
            "/auth/v1/provider/token?client_id=shop",
            r#"{"provider_id":"development","provider_code":"a"}"#,
        )
    };
    let finish = async |env: &str, token: &Value| {
        let body = json!({ "provider_token": token }).to_string();
        house.post(&format!("/auth/v1/signin/with/provider?client_id={env}"), &body).await
    };
    let (_, first) = begin().await;
    assert_eq!(first["expires_in"], 300);
    assert_eq!(finish("other", &first["provider_token"]).await.0, 400);
    assert_eq!(finish("shop", &first["provider_token"]).await.0, 200);
    let (status, again) = finish("shop", &first["provider_token"]).await;
    assert_eq!((status, &again["error"]), (400, &json!("invalid_grant")));
    let (_, late) = begin().await;
    house.later(Duration::from_secs(300));
    assert_eq!(finish("shop", &late["provider_token"]).await.1["error"], "invalid_grant");
    assert_eq!(finish("shop", &json!("yzp1_x")).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn of_two_who_use_one_provider_token_one_wins() {
    let house = House::new().await;
    let body = r#"{"provider_id":"development","provider_code":"a"}"#;
    let (_, first) = house.post("/auth/v1/provider/token?client_id=shop", body).await;
    let body = json!({ "provider_token": first["provider_token"] }).to_string();
    let finish = || house.post("/auth/v1/signin/with/provider?client_id=shop", &body);
    let (left, right) = tokio::join!(finish(), finish());
    let mut statuses = [left.0, right.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
}

#[tokio::test]
async fn the_body_may_name_the_environment_and_not_another() {
    let house = House::new().await;
    assert_eq!(house.post("/auth/v1/signin/anonymously", r#"{"client_id":"shop"}"#).await.0, 200);
    for (target, body) in [
        ("/auth/v1/signin/anonymously", "{}"),
        ("/auth/v1/signin/anonymously", r#"{"client_id":"nowhere"}"#),
        ("/auth/v1/signin/anonymously?client_id=shop", r#"{"client_id":"other"}"#),
    ] {
        let (status, answer) = house.post(target, body).await;
        assert_eq!((status, &answer["error"]), (404, &json!("not_found")), "{target} {body}");
    }
}

#[tokio::test]
async fn what_is_no_login_is_refused_with_the_next_step() {
    let house = House::new().await;
    add_mini_program(&house).await;
    let check = async |env: &str, body: Value| {
        let (status, answer) = house
            .post(&format!("/auth/v1/provider/token?client_id={env}"), &body.to_string())
            .await;
        format!("{status} {}", text(&answer, "error_description"))
    };
    let mut table = Vec::new();
    for (env, body) in [
        ("shop", json!({ "provider_id": "wx1", "provider_code": "c" })),
        ("shop", json!({ "provider_id": "development", "provider_code": " a" })),
        ("shop", json!({ "provider_id": "development" })),
        ("shop", json!([])),
        ("real", json!({ "provider_id": "development", "provider_code": "alice" })),
        (
            "real",
            json!({ "provider_id": "wx1", "provider_code": "c", "provider_params": { "appid": "wx1" } }),
        ),
        (
            "real",
            json!({ "provider_id": "wx0123456789abcdef", "provider_code": "c", "provider_params": { "provider_code_type": "phone" } }),
        ),
    ] {
        table.push(check(env, body).await);
    }
    expect_test::expect![[r#"
        400 environment shop has no appid; log in with provider_id "development" and a name, or add it with its appid and secret
        400 the name of a development login has 1 to 24 characters, and no blanks around it
        400 the body is not what this address takes: missing field `provider_code` at line 1 column 29
        400 the body is a JSON object
        400 environment real belongs to another mini-program; send its appid as provider_id
        400 environment real belongs to another mini-program; send its appid as provider_id
        501 this server knows the provider_code_type open_id only; log in with signInWithOpenId"#]].assert_eq(&table.join("\n"));
    let (status, answer) = house.post("/auth/v1/signup?client_id=shop", "{}").await;
    assert_eq!((status, &answer["error"]), (501, &json!("unimplemented")));
}

/// A WeChat that answers each request with the next of these bodies, and tells what it was asked.
async fn wechat(answers: &'static [&'static str]) -> (Target, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (asked, receiver) = mpsc::channel(answers.len());
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            asked.send(head.lines().next().unwrap().to_owned()).await.unwrap();
            let length = answer.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (target, receiver)
}

const LOGIN: &str = r#"{"provider_id":"wx0123456789abcdef","provider_code":"code/1",
    "provider_params":{"provider_code_type":"open_id","appid":"wx0123456789abcdef"}}"#;

#[tokio::test]
async fn a_code_of_wechat_becomes_a_person() {
    let (wechat, mut asked) = wechat(&[r#"{"openid":"oABC","session_key":"secret=="}"#]).await;
    let house = House::with(Config { wechat, ..Config::default() }).await;
    add_mini_program(&house).await;
    let (status, first) = house.post("/auth/v1/provider/token?client_id=real", LOGIN).await;
    assert_eq!(status, 200, "{first}");
    let expected = "GET /sns/jscode2session?appid=wx0123456789abcdef&secret=app%26secret&js_code=code%2F1&grant_type=authorization_code HTTP/1.1";
    assert_eq!(asked.recv().await.unwrap(), expected);
    let body = json!({ "provider_token": first["provider_token"] }).to_string();
    let (_, credentials) = house.post("/auth/v1/signin/with/provider?client_id=real", &body).await;
    let (_, me) = house.get("/auth/v1/user/me", text(&credentials, "access_token")).await;
    let providers = json!([{ "id": "wx0123456789abcdef", "provider_user_id": "oABC" }]);
    assert_eq!((&me["providers"], &me["name"]), (&providers, &json!("")));
}

#[tokio::test]
async fn what_wechat_refuses_the_client_learns_in_its_own_words() {
    let (wechat, _asked) = wechat(&[
        r#"{"errcode":40029,"errmsg":"invalid code"}"#,
        r#"{"errcode":40163,"errmsg":"code been used"}"#,
        r#"{"errcode":45011,"errmsg":"api minute-quota reach limit"}"#,
        r#"{"errcode":40226,"errmsg":"code blocked"}"#,
        r#"{"errcode":-1,"errmsg":"system error"}"#,
        r#"{"errcode":40125,"errmsg":"invalid appsecret"}"#,
        r#"{"openid":""}"#,
        "<html>",
    ])
    .await;
    let house = House::with(Config { wechat, ..Config::default() }).await;
    add_mini_program(&house).await;
    let mut table = Vec::new();
    for _ in 0..8 {
        let (status, answer) = house.post("/auth/v1/provider/token?client_id=real", LOGIN).await;
        table.push(format!(
            "{status} {}: {}",
            text(&answer, "error"),
            text(&answer, "error_description")
        ));
    }
    expect_test::expect![[r#"
        400 invalid_grant: WeChat does not know this login code; call wx.login again
        400 invalid_grant: this login code was used before; call wx.login again
        429 resource_exhausted: WeChat allows no more logins this minute; wait and try again
        403 permission_denied: WeChat blocks this person as a risk; they cannot log in
        503 unavailable: WeChat is busy; try again
        503 unavailable: WeChat refuses the environment's appid or secret; the operator must correct them
        502 unavailable: WeChat's answer names nobody
        502 unavailable: WeChat's answer is not understood"#]].assert_eq(&table.join("\n"));
}

#[tokio::test]
async fn a_wechat_that_is_not_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wechat = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let house = House::with(Config { wechat, ..Config::default() }).await;
    add_mini_program(&house).await;
    let (status, answer) = house.post("/auth/v1/provider/token?client_id=real", LOGIN).await;
    assert_eq!((status, &answer["error"]), (503, &json!("unavailable")));
}
