//! What happens when two things happen at once, or when one is broken off half-way.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use yunzhan_base::EnvId;

use super::house::{Ask, House, text};
use crate::identity::logic;

const ADD_ENDING: &str = "INSERT INTO {ended_sessions}";
const REVOKE: &str = "UPDATE {sessions} SET revoked_ms";

fn shop() -> EnvId {
    "shop".parse().unwrap()
}

#[tokio::test]
async fn keys_that_are_being_read_do_not_bring_a_dropped_one_back() {
    let house = House::new().await;
    let session = house.log_in("shop", "alice").await;
    let mut read = house.sql.stop_at("SELECT kid");
    let identity = Arc::clone(&house.identity);
    let refresh = tokio::spawn(async move { identity.refresh().await });
    read.reached().await;
    // A rotation now would be undone by what was read: it has to wait.
    assert!(house.identity.rotating.try_lock().is_err());
    read.go_on();
    refresh.await.unwrap().unwrap();
    house.identity.rotate(true).await.unwrap();
    assert_eq!(house.me(text(&session, "access_token")).await, 401);
}

#[tokio::test]
async fn a_token_that_was_checked_by_a_key_dropped_meanwhile_is_not_remembered() {
    let house = House::new().await;
    let session = house.log_in("shop", "alice").await;
    let token = text(&session, "access_token");
    let ring = house.identity.keys.load();
    house.identity.rotate(true).await.unwrap();
    assert!(house.identity.verify_by(&ring, token).is_err());
    assert_eq!(house.me(token).await, 401);
}

#[tokio::test]
async fn a_token_made_while_a_role_is_taken_away_does_not_keep_it() {
    let house = House::new().await;
    let session = house.log_in("shop", "alice").await;
    let uid = text(&session, "sub");
    let slot = logic::slot(uid);
    house.identity.store.set_roles(&shop(), slot, uid, &["editor".to_owned()]).await.unwrap();
    let mut read = house.sql.stop_at("SELECT uid, openid, roles");
    let take_away = async {
        read.reached().await;
        house.identity.store.set_roles(&shop(), slot, uid, &[]).await.unwrap();
        house.identity.outdate(&shop(), uid).await.unwrap();
        house.later(Duration::from_secs(1));
        read.go_on();
    };
    let renew = house.renew("shop", text(&session, "refresh_token"));
    let ((status, renewed), ()) = tokio::join!(renew, take_away);
    assert_eq!((status, &renewed["groups"]), (200, &serde_json::json!(["editor"])));
    assert_eq!(house.me(text(&renewed, "access_token")).await, 401);
}

async fn sign_out(house: &House, session: &Value) -> u16 {
    let authorization = format!("Bearer {}", text(session, "access_token"));
    let (target, authorization) = ("/auth/v1/user/signout", Some(authorization.as_str()));
    house.ask(Ask { method: Method::POST, target, authorization, body: "{}" }).await.0
}

async fn assert_over(house: &mut House, session: &Value) {
    for _ in 0..2 {
        assert_eq!(house.me(text(session, "access_token")).await, 401);
        assert_eq!(house.renew("shop", text(session, "refresh_token")).await.0, 400);
        house.restart().await;
    }
}

#[tokio::test]
async fn signing_out_can_be_tried_again_whichever_write_failed() {
    let mut house = House::new().await;
    for write in [ADD_ENDING, REVOKE] {
        let session = house.log_in("shop", "alice").await;
        drop(house.sql.stop_at(write));
        assert_eq!(sign_out(&house, &session).await, 503, "{write}");
        assert_eq!(sign_out(&house, &session).await, 200, "{write}");
        assert_over(&mut house, &session).await;
    }
}

#[tokio::test]
async fn signing_out_goes_on_when_the_client_is_gone() {
    let mut house = House::new().await;
    let session = house.log_in("shop", "alice").await;
    let mut last = house.sql.stop_at(REVOKE);
    tokio::select! {
        status = sign_out(&house, &session) => panic!("answered {status} too early"),
        () = last.reached() => {}
    }
    last.go_on();
    let is_over = async {
        while house.me(text(&session, "access_token")).await != 401 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), is_over).await.unwrap();
    assert_over(&mut house, &session).await;
}

#[tokio::test]
async fn a_theft_that_was_half_dealt_with_is_noticed_again() {
    for write in [ADD_ENDING, REVOKE] {
        let mut house = House::new().await;
        let first = house.log_in("shop", "alice").await;
        let (_, second) = house.renew("shop", text(&first, "refresh_token")).await;
        house.later(Duration::from_secs(60));
        drop(house.sql.stop_at(write));
        assert_eq!(house.renew("shop", text(&first, "refresh_token")).await.0, 503, "{write}");
        assert_eq!(house.renew("shop", text(&first, "refresh_token")).await.0, 400, "{write}");
        let lines = ["user token.reuse_detected: unavailable", "user token.reuse_detected"];
        assert_eq!(house.ledger.lines(), lines, "{write}");
        assert_over(&mut house, &second).await;
    }
}
