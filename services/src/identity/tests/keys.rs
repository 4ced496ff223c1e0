//! Signing keys over time, roles, and what an operator may do.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::house::{Ask, House, add_mini_program, text};
use crate::identity::keys::KEY_LEAD;
use crate::identity::memory::{EVER, Ending};
use crate::identity::sessions::Person;

const DAY: Duration = Duration::from_secs(24 * 3600);

impl House {
    async fn key_ids(&self) -> Vec<String> {
        let (_, set) = self.get("/.well-known/jwks.json", "").await;
        let keys = set["keys"].as_array().unwrap();
        keys.iter().map(|key| text(key, "kid").to_owned()).collect()
    }

    async fn operate(&self, method: Method, target: &str, body: Value) -> (u16, Value) {
        self.ask(Ask { method, target, authorization: None, body: &body.to_string() }).await
    }
}

fn key_of(credentials: &Value) -> Value {
    use base64::Engine;
    let header = text(credentials, "access_token").split('.').next().unwrap();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].clone()
}

#[tokio::test]
async fn a_restart_keeps_the_key_and_its_tokens() {
    let mut house = House::new().await;
    let session = house.log_in("shop", "alice").await;
    let ids = house.key_ids().await;
    house.restart().await;
    assert_eq!(house.key_ids().await, ids);
    assert_eq!(house.me(text(&session, "access_token")).await, 200);
    assert_eq!(house.renew("shop", text(&session, "refresh_token")).await.0, 200);
}

#[tokio::test]
async fn a_new_key_is_announced_before_it_signs_and_the_old_one_goes_when_nothing_needs_it() {
    let house = House::new().await;
    let first = house.key_ids().await;
    house.later(29 * DAY);
    house.identity.tidy().await.unwrap();
    assert_eq!(house.key_ids().await, first);
    house.later(2 * DAY);
    house.identity.tidy().await.unwrap();
    let both = house.key_ids().await;
    assert_eq!((both.len(), &both[..1]), (2, &first[..]));
    let before = house.log_in("shop", "alice").await;
    assert_eq!(key_of(&before), json!(both[0]));
    house.later(KEY_LEAD);
    let after = house.log_in("shop", "alice").await;
    assert_eq!(key_of(&after), json!(both[1]));
    assert_eq!(house.me(text(&before, "access_token")).await, 200);
    house.later(3 * DAY);
    house.identity.tidy().await.unwrap();
    assert_eq!(house.key_ids().await, &both[1..]);
}

#[tokio::test]
async fn a_key_that_leaked_is_worth_nothing_from_now_on() {
    let mut house = House::new().await;
    let session = house.log_in("shop", "alice").await;
    assert_eq!(house.me(text(&session, "access_token")).await, 200);
    let replica = house.replica().await;
    assert_eq!(house.operate(Method::POST, "/control/v1/keys/rotate", json!({})).await.0, 200);
    assert_eq!(house.me(text(&session, "access_token")).await, 200);
    let rotate =
        house.operate(Method::POST, "/control/v1/keys/rotate", json!({ "drop_old": true })).await;
    assert_eq!((rotate.0, rotate.1["keys"].as_array().unwrap().len()), (200, 1));
    assert_eq!(house.me(text(&session, "access_token")).await, 401);
    let (status, renewed) = house.renew("shop", text(&session, "refresh_token")).await;
    assert_eq!((status, house.me(text(&renewed, "access_token")).await), (200, 200));
    assert!(replica.verify_access(text(&session, "access_token")).is_ok());
    replica.refresh().await.unwrap();
    assert!(replica.verify_access(text(&session, "access_token")).is_err());
    house.identity = replica;
    assert_eq!(house.ledger.lines(), ["operator keys.rotate", "operator keys.rotate"]);
}

#[tokio::test]
async fn a_role_counts_from_the_next_token_and_is_gone_at_once() {
    let house = House::new().await;
    let session = house.log_in("shop", "alice").await;
    let target = format!("/control/v1/envs/shop/users/{}/roles", text(&session, "sub"));
    let granted = house.operate(Method::PUT, &target, json!({ "roles": ["editor"] })).await;
    assert_eq!(granted.0, 200, "{}", granted.1);
    let (status, refusal) = house.get("/auth/v1/user/me", text(&session, "access_token")).await;
    assert_eq!(
        (status, text(&refusal, "error_description")),
        (401, "the access token is outdated; renew it with the refresh token")
    );
    house.later(Duration::from_secs(1));
    let (_, renewed) = house.renew("shop", text(&session, "refresh_token")).await;
    assert_eq!(renewed["groups"], json!(["editor"]));
    let (_, me) = house.get("/auth/v1/user/me", text(&renewed, "access_token")).await;
    assert_eq!(me["groups"], json!(["editor"]));
    assert_eq!(house.log_in("shop", "alice").await["groups"], json!(["editor"]));
    for bad in [json!({ "roles": ["Editor"] }), json!({ "roles": vec!["a"; 17] }), json!({})] {
        assert_eq!(house.operate(Method::PUT, &target, bad).await.0, 400);
    }
    let nobody = "/control/v1/envs/shop/users/nobody/roles";
    assert_eq!(house.operate(Method::PUT, nobody, json!({ "roles": [] })).await.0, 404);
}

#[tokio::test]
async fn people_are_listed_page_by_page() {
    let house = House::new().await;
    for name in ["a", "b", "c"] {
        house.log_in("shop", name).await;
    }
    let (_, first) =
        house.operate(Method::GET, "/control/v1/envs/shop/users?limit=2", json!({})).await;
    assert_eq!(first["users"].as_array().unwrap().len(), 2);
    let target = format!("/control/v1/envs/shop/users?limit=2&after={}", text(&first, "next"));
    let (_, second) = house.operate(Method::GET, &target, json!({})).await;
    assert_eq!((second["users"].as_array().unwrap().len(), &second["next"]), (1, &Value::Null));
    let (_, other) = house.operate(Method::GET, "/control/v1/envs/other/users", json!({})).await;
    assert_eq!(other["users"], json!([]));
    for bad in ["0", "1001", "x"] {
        let target = format!("/control/v1/envs/shop/users?limit={bad}");
        assert_eq!(house.operate(Method::GET, &target, json!({})).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn an_operator_may_end_everything_of_a_person() {
    let house = House::new().await;
    let (one, two) = (house.log_in("shop", "alice").await, house.log_in("shop", "alice").await);
    let target = format!("/control/v1/envs/shop/users/{}/sessions", text(&one, "sub"));
    assert_eq!(
        house.operate(Method::DELETE, &target, json!({})).await,
        (200, json!({ "ended": 2 }))
    );
    for session in [&one, &two] {
        assert_eq!(house.me(text(session, "access_token")).await, 401);
    }
}

#[tokio::test]
async fn more_sessions_than_one_read_holds_are_all_met() {
    let house = House::new().await;
    let (shop, identity) = ("shop".parse().unwrap(), &house.identity);
    for _ in 0..101 {
        identity.begin(&shop, Person { uid: "u".into(), openid: None }, None).await.unwrap();
    }
    identity.outdate(&shop, "u").await.unwrap();
    assert_eq!(house.endings().await.len(), 101);
    assert_eq!(identity.end_all(&shop, "u").await.unwrap(), 101);
    assert_eq!(identity.end_all(&shop, "u").await.unwrap(), 0);
}

#[tokio::test]
async fn a_token_for_development_is_on_record_and_elsewhere_needs_insistence() {
    let house = House::new().await;
    add_mini_program(&house).await;
    let issue = async |env: &str, body: Value| {
        house.operate(Method::POST, &format!("/control/v1/envs/{env}/tokens"), body).await
    };
    let (status, token) = issue("shop", json!({ "name": "alice" })).await;
    assert_eq!((status, &token["sub"]), (200, &house.log_in("shop", "alice").await["sub"]));
    assert_eq!(issue("real", json!({ "openid": "oABC" })).await.0, 403);
    let (status, token) = issue("real", json!({ "openid": "oABC", "insist": true })).await;
    assert_eq!((status, house.me(text(&token, "access_token")).await), (200, 200));
    for bad in [
        json!({}),
        json!({ "name": "a", "openid": "o" }),
        json!({ "name": " a" }),
        json!({ "openid": "" }),
    ] {
        assert_eq!(issue("shop", bad).await.0, 400);
    }
    assert_eq!(issue("nowhere", json!({ "name": "a" })).await.0, 404);
    assert_eq!(house.ledger.lines(), ["operator token.issue", "operator token.issue"]);
}

#[tokio::test]
async fn what_has_run_out_is_removed() {
    let house = House::new().await;
    let session = house.log_in("shop", "alice").await;
    house
        .post(
            "/auth/v1/provider/token?client_id=shop",
            r#"{"provider_id":"development","provider_code":"a"}"#,
        )
        .await;
    house
        .identity
        .end(
            &"shop".parse().unwrap(),
            &house.identity.verify_access(text(&session, "access_token")).unwrap().session,
        )
        .await
        .unwrap();
    assert_eq!(house.endings().await.len(), 1);
    house.identity.tidy().await.unwrap();
    assert_eq!(house.endings().await.len(), 1);
    house.later(31 * DAY);
    house.identity.tidy().await.unwrap();
    assert_eq!(house.endings().await, []);
    let uid = text(&session, "sub");
    let slot = crate::identity::logic::slot(uid);
    assert!(
        house.identity.store.user(&"shop".parse().unwrap(), slot, uid).await.unwrap().is_some()
    );
}

#[tokio::test]
async fn tidying_goes_on_until_nothing_is_left_however_much_came_in() {
    let house = House::new().await;
    let ending = |n: i32| Ending {
        env: Some("shop".parse().unwrap()),
        session: format!("s{n}"),
        issued_s_max: EVER,
        until_s: 9_000_000_000,
    };
    // More than a hundred rounds of five hundred, and more than one reading holds.
    let endings: Vec<_> = (0..50_600).map(ending).collect();
    house.identity.store.add_endings(&endings, 1).await.unwrap();
    assert_eq!(house.endings().await.len(), endings.len());
    house.identity.tidy().await.unwrap();
    assert_eq!(house.endings().await, []);
}
