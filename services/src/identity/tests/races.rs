//! What happens when two things happen at once, or when one is broken off half-way.

use std::sync::Arc;


use super::house::{House, text};


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
