//! Environments over a real database.

use std::sync::Arc;

use expect_test::{Expect, expect};
use yunzhan_engine::sql::Migrations;
use yunzhan_engine::sql::testing::Fresh;

use super::*;

async fn store(fresh: &Fresh, master_key: u8) -> Result<Arc<EnvStore>> {
    let sql = fresh.open(Migrations::new(vec![("envs", MIGRATIONS)])?, Clock::System).await;
    let master_key = MasterKey::from_bytes([master_key; 32]);
    let (acts, lifecycle) = (Acts::unrecorded(), Lifecycle::default());
    EnvStore::open(Parts { sql, master_key, clock: Clock::System, acts, lifecycle }).await
}

fn env(id: &str) -> NewEnv {
    NewEnv {
        id: id.parse().unwrap(),
        appid: None,
        app_secret: None,
        hosts: Vec::new(),
        origins: Vec::new(),
        development_login: true,
    }
}

fn real(id: &str) -> NewEnv {
    let app_secret = Some(Secret::from("s3cret"));
    let hosts = vec!["API.example.com".into()];
    NewEnv { appid: Some("wx1".into()), app_secret, hosts, development_login: false, ..env(id) }
}

#[tokio::test]
async fn what_is_added_is_seen_at_once_and_after_a_restart() {
    check_kept(Fresh::sqlite()).await;
    if let Some(fresh) = Fresh::mysql().await {
        check_kept(fresh).await;
    }
}

async fn check_kept(fresh: Fresh) {
    let opened = store(&fresh, 1).await.unwrap();
    let seen = opened.envs();
    let (added, key) = opened.add(real("shop")).await.unwrap();
    assert!(seen.peek().get(&added.id).is_some());
    drop(opened);
    let again = store(&fresh, 1).await.unwrap();
    let shop = again.get(&added.id).unwrap();
    assert_eq!(shop.appid.as_deref(), Some("wx1"));
    assert_eq!(shop.app_secret, Some(Secret::from("s3cret")));
    assert_eq!(again.envs().peek().by_host("api.example.com"), Some(&added.id));
    let keys = again.server_keys();
    let keys = keys.peek();
    assert_eq!(keys.get(&key.secret_id).unwrap().secret.expose(), key.secret_key.as_bytes());
    assert!(keys.by_access_key(&key.access_key).is_some());
}

#[tokio::test]
async fn another_master_key_opens_nothing() {
    let fresh = Fresh::sqlite();
    store(&fresh, 1).await.unwrap().add(real("shop")).await.unwrap();
    assert!(store(&fresh, 2).await.is_err());
}

#[tokio::test]
async fn an_environment_that_cannot_be_is_refused() {
    let fresh = Fresh::sqlite();
    let store = store(&fresh, 1).await.unwrap();
    store.add(real("shop")).await.unwrap();
    let check = async |new: NewEnv, expected: Expect| {
        let error = store.add(new).await.unwrap_err();
        expected.assert_eq(&format!("{}: {error}", error.kind().name()));
    };
    check(env("shop"), expect!["already_exists: environment shop exists already"]).await;
    check(NewEnv { hosts: vec!["api.example.com".into()], ..env("b") }, expect!["already_exists: host api.example.com belongs to environment shop already; remove it there first"]).await;
    check(
        NewEnv { hosts: vec!["a:80".into()], ..env("b") },
        expect![
            "invalid_parameter: hosts are at most 16 names such as api.example.com, without a port"
        ],
    )
    .await;
    check(
        NewEnv { appid: Some("wx1".into()), ..env("b") },
        expect!["invalid_parameter: an appid and its secret belong together; give both or neither"],
    )
    .await;
    check(NewEnv { development_login: true, ..real("b") }, expect!["invalid_parameter: the development login lets anybody in; it is not for an environment with an appid"]).await;
    check(
        NewEnv { appid: Some("wx 1".into()), ..real("b") },
        expect![
            "invalid_parameter: an appid has letters and digits only; copy it from mp.weixin.qq.com"
        ],
    )
    .await;
    assert_eq!(store.envs().peek().iter().count(), 1);
}

#[tokio::test]
async fn keys_come_and_go_within_their_bound() {
    let fresh = Fresh::sqlite();
    let store = store(&fresh, 1).await.unwrap();
    let (shop, first) = store.add(env("shop")).await.unwrap();
    store.add(env("other")).await.unwrap();
    for _ in 1..SERVER_KEYS_MAX {
        store.add_key(&shop.id, NewKey::generate().unwrap()).await.unwrap();
    }
    assert_eq!(
        store.add_key(&shop.id, NewKey::generate().unwrap()).await.unwrap_err().kind(),
        Kind::LimitExceeded
    );
    let elsewhere = store.remove_key(&"other".parse().unwrap(), &first.secret_id).await;
    assert_eq!(elsewhere.unwrap_err().kind(), Kind::NotFound);
    store.remove_key(&shop.id, &first.secret_id).await.unwrap();
    assert!(store.server_keys().peek().get(&first.secret_id).is_none());
    store.add_key(&shop.id, NewKey::generate().unwrap()).await.unwrap();
    assert_eq!(
        store
            .add_key(&"nowhere".parse().unwrap(), NewKey::generate().unwrap())
            .await
            .unwrap_err()
            .kind(),
        Kind::EnvNotFound
    );
}

#[test]
fn hosts_are_names() {
    for good in ["a", "api.example.com", "xn--fiq228c.cn"] {
        assert!(is_host(good), "{good}");
    }
    for bad in ["", ".", "a..b", "-a.b", "a_b", "a b", "a:1", &"a.".repeat(200)] {
        assert!(!is_host(bad), "{bad}");
    }
}
