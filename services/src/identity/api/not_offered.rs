//! Logins that the SDKs know and this server does not offer.

use std::sync::Arc;

use yunzhan_base::{Call, Error, Kind, ResponseFuture};

use crate::identity::Identity;

pub(super) fn handle(_: Arc<Identity>, _: Call) -> ResponseFuture {
    Box::pin(async move {
        let message =
            "this way of logging in is not offered; use signInWithOpenId or signInAnonymously";
        Err(Error::new(Kind::NotImplemented, message))
    })
}
