//! What happens when two things happen at once, or when one is broken off half-way.

use std::sync::Arc;
use std::time::Duration;

use yunzhan_base::EnvId;

use super::house::{House, text};
use crate::identity::logic;

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
