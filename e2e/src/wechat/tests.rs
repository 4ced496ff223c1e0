//! The stand-in as a client meets it: over TCP.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use yunzhan_base::Clock;

use super::WeChat;

const NOW_MS: i64 = 1_750_000_000_000;

async fn call(wechat: &WeChat, method: &str, target: &str, body: &str) -> (String, Value) {
    let mut stream = TcpStream::connect(wechat.address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

fn login_target(code: &str) -> String {
    format!(
        "/sns/jscode2session?appid=wx-shop&secret=s%26s&js_code={code}&grant_type=authorization_code"
    )
}

#[tokio::test]
async fn a_phone_logs_in_by_the_platforms_clock() {
    let clock = Clock::manual(NOW_MS);
    let wechat = WeChat::start_at(clock.clone()).await.unwrap();
    wechat.register_app("wx-shop", "s&s");

    let (_, given) =
        call(&wechat, "GET", "/stand-in/login-code?appid=wx-shop&user=%E5%BC%A0%E4%B8%89", "")
            .await;
    let target = login_target(given["code"].as_str().unwrap());
    let (status, session) = call(&wechat, "GET", &target, "").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(session["openid"], wechat.openid("wx-shop", "张三"));
    let (status, refused) = call(&wechat, "GET", &target, "").await;
    assert_eq!(status, "HTTP/1.1 200 OK", "WeChat refuses inside 200");
    assert_eq!(refused, json!({ "errcode": 40163, "errmsg": "code been used" }));

    let late = wechat.login_code("wx-shop", "张三");
    clock.advance(Duration::from_secs(300));
    let (_, refused) = call(&wechat, "GET", &login_target(&late), "").await;
    assert_eq!(refused["errcode"], 40029);
}

#[tokio::test]
async fn what_was_received_is_remembered() {
    let wechat = WeChat::start().await.unwrap();
    let (status, _) = call(&wechat, "GET", "/stand-in/login-code?appid=wx-nobody&user=a", "").await;
    assert_eq!(status, "HTTP/1.1 404 Not Found");
    call(&wechat, "POST", "/cgi-bin/stable_token", r#"{"appid":"x"}"#).await;
    let (status, _) = call(&wechat, "GET", "/cgi-bin/token?appid=a%20b", "").await;
    assert_eq!(status, "HTTP/1.1 404 Not Found", "a call that the stand-in lacks is noticed");

    let requests = wechat.requests();
    let seen: Vec<_> =
        requests.iter().map(|request| (request.method.as_str(), request.path.as_str())).collect();
    assert_eq!(seen, [("POST", "/cgi-bin/stable_token"), ("GET", "/cgi-bin/token")]);
    assert_eq!(requests[0].body, r#"{"appid":"x"}"#);
    assert_eq!(requests[1].query["appid"], "a b");
}
