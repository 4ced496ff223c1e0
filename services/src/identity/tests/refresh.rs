//! Sessions over time: rotation, loss of an answer, theft, sign-out, age.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::house::{Ask, House, text};
use crate::identity::Config;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn refresh_token(credentials: &Value) -> &str {
    text(credentials, "refresh_token")
}

fn access_token(credentials: &Value) -> &str {
    text(credentials, "access_token")
}

#[tokio::test]
async fn each_use_gives_new_tokens_for_the_same_person() {
    let house = House::new().await;
    let first = house.log_in("shop", "alice").await;
    let (status, second) = house.renew("shop", refresh_token(&first)).await;
    assert_eq!((status, &second["sub"]), (200, &first["sub"]));
    assert_ne!(refresh_token(&second), refresh_token(&first));
    assert_ne!(access_token(&second), access_token(&first));
    assert_eq!(house.renew("shop", refresh_token(&second)).await.0, 200);
    // The access token from before lives out its time.
    assert_eq!(house.me(access_token(&first)).await, 200);
    house.later(Duration::from_secs(7200));
    assert_eq!(house.me(access_token(&first)).await, 401);
}

#[tokio::test]
async fn a_lost_answer_is_given_again() {
    let house = House::new().await;
    let first = house.log_in("shop", "alice").await;
    let (_, lost) = house.renew("shop", refresh_token(&first)).await;
    house.later(MINUTE - Duration::from_millis(1));
    let (status, again) = house.renew("shop", refresh_token(&first)).await;
    assert_eq!((status, &again["refresh_token"]), (200, &lost["refresh_token"]));
    assert_eq!(house.renew("shop", refresh_token(&again)).await.0, 200);
    assert!(house.ledger.lines().is_empty());
}

#[tokio::test]
async fn refreshes_at_once_agree() {
    let house = House::new().await;
    let first = house.log_in("shop", "alice").await;
    let renew = || house.renew("shop", refresh_token(&first));
    let (one, two, three) = tokio::join!(renew(), renew(), renew());
    for (status, credentials) in [&two, &three] {
        assert_eq!((*status, refresh_token(credentials)), (200, refresh_token(&one.1)));
    }
    assert_eq!(house.renew("shop", refresh_token(&one.1)).await.0, 200);
}

#[tokio::test]
async fn reuse_after_the_successor_was_used_ends_the_session_for_all() {
    let house = House::new().await;
    let first = house.log_in("shop", "alice").await;
    let elsewhere = house.log_in("shop", "alice").await;
    let (_, second) = house.renew("shop", refresh_token(&first)).await;
    let (_, third) = house.renew("shop", refresh_token(&second)).await;
    let (status, refusal) = house.renew("shop", refresh_token(&first)).await;
    assert_eq!((status, &refusal["error"]), (400, &json!("invalid_grant")));
    for token in [&second, &third] {
        assert_eq!(house.renew("shop", refresh_token(token)).await.1["error"], "invalid_grant");
    }
    for token in [&first, &second, &third] {
        assert_eq!(house.me(access_token(token)).await, 401);
    }
    assert_eq!(house.ledger.lines(), ["user token.reuse_detected"]);
    // Another session of the same person is not concerned.
    assert_eq!(house.renew("shop", refresh_token(&elsewhere)).await.0, 200);
    assert_eq!(house.me(access_token(&elsewhere)).await, 200);
}

#[tokio::test]
async fn reuse_after_the_grace_ends_the_session() {
    let house = House::new().await;
    let first = house.log_in("shop", "alice").await;
    let (_, second) = house.renew("shop", refresh_token(&first)).await;
    house.later(MINUTE);
    assert_eq!(house.renew("shop", refresh_token(&first)).await.1["error"], "invalid_grant");
    assert_eq!(house.renew("shop", refresh_token(&second)).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn without_a_grace_the_first_reuse_ends_the_session() {
    let house = House::with(Config { refresh_grace: Duration::ZERO, ..Config::default() }).await;
    let first = house.log_in("shop", "alice").await;
    let (_, second) = house.renew("shop", refresh_token(&first)).await;
    assert_eq!(house.renew("shop", refresh_token(&first)).await.1["error"], "invalid_grant");
    assert_eq!(house.renew("shop", refresh_token(&second)).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn garbage_ends_nothing() {
    let house = House::new().await;
    let first = house.log_in("shop", "alice").await;
    let good = refresh_token(&first);
    for bad in ["", "x", "yzr1_", &good[..good.len() - 2], access_token(&first)] {
        assert_eq!(house.renew("shop", bad).await.1["error"], "invalid_grant", "{bad}");
    }
    assert_eq!(house.renew("other", good).await.1["error"], "invalid_grant");
    let (status, _) = house
        .post("/auth/v1/token?client_id=shop", r#"{"grant_type":"password","refresh_token":"x"}"#)
        .await;
    assert_eq!(status, 501);
    assert_eq!(house.renew("shop", good).await.0, 200);
}

#[tokio::test]
async fn a_session_ends_unused_after_30_days_and_used_after_90() {
    let house = House::new().await;
    let unused = house.log_in("shop", "alice").await;
    let mut used = house.log_in("shop", "bob").await;
    for _ in 0..4 {
        house.later(22 * DAY);
        let (status, next) = house.renew("shop", refresh_token(&used)).await;
        assert_eq!(status, 200, "{next}");
        used = next;
    }
    assert_eq!(house.renew("shop", refresh_token(&unused)).await.1["error"], "invalid_grant");
    house.later(2 * DAY);
    assert_eq!(house.renew("shop", refresh_token(&used)).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn signing_out_takes_effect_at_once_also_after_a_restart() {
    let mut house = House::new().await;
    let session = house.log_in("shop", "alice").await;
    let other = house.log_in("shop", "alice").await;
    let token = access_token(&session);
    assert_eq!(house.me(token).await, 200);
    let authorization = format!("Bearer {token}");
    let sign_out = Ask {
        method: Method::POST,
        target: "/auth/v1/user/signout",
        authorization: Some(&authorization),
        body: "{}",
    };
    assert_eq!(house.ask(sign_out).await.0, 200);
    for _ in 0..2 {
        assert_eq!(house.me(token).await, 401);
        assert_eq!(house.renew("shop", refresh_token(&session)).await.1["error"], "invalid_grant");
        assert_eq!(house.me(access_token(&other)).await, 200);
        house.restart().await;
    }
}

#[tokio::test]
async fn revoking_takes_either_token_and_minds_no_other() {
    let house = House::new().await;
    let revoke = async |env: &str, token: &str| {
        let body = json!({ "token": token }).to_string();
        house.post(&format!("/auth/v1/revoke?client_id={env}"), &body).await
    };
    let (by_access, by_refresh) =
        (house.log_in("shop", "alice").await, house.log_in("shop", "alice").await);
    for garbage in ["", "x", "a.b.c"] {
        assert_eq!(revoke("shop", garbage).await, (200, json!({})), "{garbage}");
    }
    assert_eq!(revoke("other", access_token(&by_access)).await.0, 200);
    assert_eq!(house.me(access_token(&by_access)).await, 200);
    for (session, token) in
        [(&by_access, access_token(&by_access)), (&by_refresh, refresh_token(&by_refresh))]
    {
        assert_eq!(revoke("shop", token).await.0, 200);
        assert_eq!(house.me(access_token(session)).await, 401);
        assert_eq!(house.renew("shop", refresh_token(session)).await.1["error"], "invalid_grant");
    }
    // An access token that has run out still ends its session: whoever holds it was let in by it.
    let late = house.log_in("shop", "alice").await;
    house.later(3 * DAY);
    assert_eq!(revoke("shop", access_token(&late)).await.0, 200);
    assert_eq!(house.renew("shop", refresh_token(&late)).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn another_replica_learns_of_endings_at_its_next_refresh() {
    let mut house = House::new().await;
    let session = house.log_in("shop", "alice").await;
    let first = house.identity.clone();
    house.restart().await;
    assert_eq!(house.me(access_token(&session)).await, 200);
    first.end(&"shop".parse().unwrap(), &session_of(&first, &session)).await.unwrap();
    house.identity.refresh().await.unwrap();
    assert_eq!(house.me(access_token(&session)).await, 401);
}

/// Another replica's clock may be ahead, so that its tokens run out later than those of this moment.
#[tokio::test]
async fn an_ended_session_stays_ended_until_a_token_dated_ahead_has_run_out() {
    let mut house = House::new().await;
    let session = house.log_in("shop", "alice").await;
    let keys = house.identity.keys.load();
    let mut claims = keys.read_signed(access_token(&session)).unwrap();
    (claims.iat, claims.exp) = (claims.iat + 60, claims.exp + 60);
    let ahead = keys.sign(&claims, house.clock.now_ms()).unwrap();
    assert_eq!(house.me(&ahead).await, 200);
    house.identity.end(&"shop".parse().unwrap(), &claims.sid).await.unwrap();
    house.later(Duration::from_secs(7200 + 59));
    house.restart().await;
    assert_eq!(house.me(&ahead).await, 401);
}

fn session_of(identity: &crate::identity::Identity, credentials: &Value) -> String {
    identity.verify_access(access_token(credentials)).unwrap().session.clone()
}
