//! What nobody may find where it lies: no secret is in a log, and none is in the data folder but sealed or hashed.

use std::path::{Path, PathBuf};

use serde_json::json;
use yunzhan_e2e::{Options, Server, WeChat};

const ENV: &str = "shop";
const APPID: &str = "wx0123456789abcdef";
const APP_SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
/// Files that are secrets, which the folder keeps for its owner alone.
const SECRET_FILES: [&str; 3] = ["master.key", "control.token", "development.key"];

#[tokio::test]
async fn no_secret_lies_about() {
    let wechat = WeChat::start().await.unwrap();
    wechat.register_app(APPID, APP_SECRET);
    let mut server = Server::start(Options::default().with_wechat(&wechat)).await;
    let shop = server.add_mini_program(ENV, APPID, APP_SECRET).await;
    let http = server.http();
    let code = wechat.login_code(APPID, "alice");
    let alice = http.login_wechat(ENV, APPID, &code).await;
    let renewed = http.renew(ENV, &alice.refresh_token).await.value();
    let counted = json!({ "collectionName": "nothing" });
    let _ = shop.key.admin(&http, ENV, "database.calculateDocument", &counted).await;
    // Refusals are written down, and must not repeat what was refused.
    let _ = http.get("/auth/v1/user/me").bearer("forged-token-of-somebody").send().await;
    let _ = http.renew(ENV, "forged-refresh-token").await;
    let _ = http.ask_provider_token(ENV, APPID, "made-up-login-code").await;
    let operator = server.control_token();
    assert_eq!(server.terminate().await.code(), Some(0));

    let secrets = [
        ("the app's secret", APP_SECRET),
        ("the key's secret", &shop.key.secret),
        ("the access key", &shop.access_key),
        ("the operator's token", &operator),
        ("an access token", &alice.access_token),
        ("a refresh token", &alice.refresh_token),
        ("the next access token", renewed["access_token"].as_str().unwrap()),
        ("the next refresh token", renewed["refresh_token"].as_str().unwrap()),
        ("a login code", &code),
        ("a forged token", "forged-token-of-somebody"),
        ("a forged refresh token", "forged-refresh-token"),
        ("a made-up code", "made-up-login-code"),
    ];
    let mut places = files_below(server.data().root());
    assert!(places.iter().any(|(path, _)| path.ends_with("access.log")), "a log was written");
    places.push((PathBuf::from("what it said"), server.log().into_bytes()));
    for (place, bytes) in places {
        for (what, secret) in secrets {
            let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_there, "{what} is in {}", place.display());
        }
    }
}

/// Every file with what is in it.
fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if path.is_file() && !SECRET_FILES.iter().any(|name| path.ends_with(name)) {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found
}
