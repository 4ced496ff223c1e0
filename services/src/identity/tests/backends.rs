//! One walk that meets every statement of the store, on every database that is there.

use std::time::Duration;

use serde_json::json;
use yunzhan_base::EnvId;
use yunzhan_engine::sql::testing::Fresh;

use super::house::{House, text};
use crate::identity::memory::{EVER, Ending};
use crate::identity::{Config, logic};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn the_same_on_every_database() {
    walk(House::on(Fresh::sqlite(), Config::default()).await).await;
    if let Some(fresh) = Fresh::mysql().await {
        walk(House::on(fresh, Config::default()).await).await;
    }
}

async fn walk(mut house: House) {
    sessions(&house).await;
    people(&house).await;
    no_more_sessions_than_fit(&house).await;
    endings_stay(&house).await;
    house.restart().await;
    house.identity.rotate(false).await.unwrap();
    assert_eq!(house.identity.keys.peek().keys().len(), 2);
    house.later(100 * DAY);
    house.identity.tidy().await.unwrap();
    house.identity.tidy().await.unwrap();
    assert_eq!(house.endings().await, []);
    house.log_in("shop", "alice").await;
}

async fn sessions(house: &House) {
    let first = house.log_in("shop", "alice").await;
    let again = house.log_in("shop", "alice").await;
    assert_eq!(first["sub"], again["sub"]);
    let (_, second) = house.renew("shop", text(&first, "refresh_token")).await;
    let (_, repeated) = house.renew("shop", text(&first, "refresh_token")).await;
    assert_eq!(second["refresh_token"], repeated["refresh_token"]);
    let renew = || house.renew("shop", text(&second, "refresh_token"));
    let (left, right) = tokio::join!(renew(), renew());
    assert_eq!((left.0, left.1["refresh_token"].clone()), (200, right.1["refresh_token"].clone()));
    assert_eq!(house.renew("shop", text(&first, "refresh_token")).await.0, 400);
    assert_eq!(house.me(text(&first, "access_token")).await, 401);
    assert_eq!(house.me(text(&again, "access_token")).await, 200);
    let anonymous = house.post("/auth/v1/signin/anonymously?client_id=shop", "{}").await;
    assert_eq!(anonymous.0, 200);
}

async fn people(house: &House) {
    let shop: EnvId = "shop".parse().unwrap();
    let session = house.log_in("shop", "bob").await;
    let uid = text(&session, "sub");
    let roles = vec!["editor".to_owned()];
    // Setting the same roles twice is setting them once, also where a database counts changed rows only.
    for _ in 0..2 {
        house.identity.store.set_roles(&shop, logic::slot(uid), uid, &roles).await.unwrap();
    }
    let users = house.identity.store.users(&shop, "", 10).await.unwrap();
    assert_eq!(users.len(), 2);
    let bob = users.iter().find(|user| user.uid == uid).unwrap();
    assert_eq!((bob.openid.as_str(), &bob.roles), ("dev-bob", &roles));
    assert_eq!(house.log_in("shop", "bob").await["groups"], json!(["editor"]));
    house.identity.outdate(&shop, uid).await.unwrap();
    assert_eq!(house.me(text(&session, "access_token")).await, 401);
}

/// The session that was renewed longest ago makes room, and nobody else's.
async fn no_more_sessions_than_fit(house: &House) {
    let shop: EnvId = "shop".parse().unwrap();
    let other = house.log_in("shop", "dave").await;
    let mut sessions = Vec::new();
    for _ in 0..logic::SESSIONS_MAX {
        house.later(Duration::from_secs(1));
        sessions.push(house.log_in("shop", "carol").await);
    }
    let (_, renewed) = house.renew("shop", text(&sessions[0], "refresh_token")).await;
    house.later(Duration::from_secs(1));
    let last = house.log_in("shop", "carol").await;
    assert_eq!(house.me(text(&sessions[1], "access_token")).await, 401);
    assert_eq!(house.renew("shop", text(&sessions[1], "refresh_token")).await.0, 400);
    for session in [&other, &renewed, &sessions[2], &last] {
        assert_eq!(house.me(text(session, "access_token")).await, 200);
    }
    let uid = text(&last, "sub");
    assert_eq!(house.identity.end_all(&shop, uid).await.unwrap(), logic::SESSIONS_MAX);
    assert_eq!(house.identity.end_all(&shop, uid).await.unwrap(), 0);
    assert_eq!(house.me(text(&last, "access_token")).await, 401);
    assert_eq!(house.me(text(&other, "access_token")).await, 200);
}

/// In whatever order the news of one session arrive.
async fn endings_stay(house: &House) {
    let store = &house.identity.store;
    let ending = |issued_s_max, env: Option<&str>| {
        [Ending {
            env: env.map(|env| env.parse().unwrap()),
            session: "s".into(),
            issued_s_max,
            until_s: 9_000_000_000,
        }]
    };
    for issued_s_max in [5, EVER, 7] {
        store.add_endings(&ending(issued_s_max, Some("shop")), house.clock.now_ms()).await.unwrap();
    }
    let endings = house.endings().await;
    assert!(endings.contains(&ending(EVER, Some("shop"))[0]), "{endings:?}");
}
