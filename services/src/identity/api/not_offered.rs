//! Logins and accounts that the SDKs know and this server does not offer: a clear word instead of a missing page.

use std::sync::Arc;

use http::Method;
use yunzhan_base::{Access, Call, Endpoint, Error, Kind, ResponseFuture};

use super::endpoint;
use crate::identity::Identity;

macro_rules! not_offered {
    ($($path:literal)*) => {
        /// The rest of what `@cloudbase/js-sdk` calls below `/auth/v1`, by whichever method.
        pub(in crate::identity) const ROUTES: &[Endpoint<Identity>] = &[$(
            row(Method::POST, $path),
            row(Method::GET, $path),
            row(Method::PUT, $path),
            row(Method::PATCH, $path),
            row(Method::DELETE, $path),
        )*];
    };
}

not_offered! {
    "/auth/v1/reset"
    "/auth/v1/device/code"
    "/auth/v1/checkUsername"
    "/auth/v1/checkIfUserExist"
    "/auth/v1/mgr/provider/providerSubType"
    "/auth/v1/plugin/weda/userinfo"
    "/auth/v1/signin/wechat/noauth"
    "/auth/v1/provider/uri"
    "/auth/v1/user/query"
    "/auth/v1/user/profile"
    "/auth/v1/user/basic/edit"
    "/auth/v1/user/trans/by/provider"
    "/auth/v1/user/provider"
    "/auth/v1/user/provider/{id}"
    "/auth/v1/user/provider/bind"
    "/auth/v1/user/sudo"
    "/auth/v1/user/contact"
    "/auth/v1/user/password"
    "/auth/v1/user/device/authorize"
    "/auth/v1/user/authorize"
    "/auth/v1/user/authorize/info"
    "/auth/v1/user/authorized/devices/{id}"
    "/auth/v1/user/revoke/all"
    "/auth/v1/user/security/history"
    "/auth/v1/captcha/data"
    "/auth/v1/captcha/data/verify"
    "/auth/v1/captcha/init"
    "/auth/v1/qrcode/generate"
    "/auth/v1/qrcode/get/status"
}

const fn row(method: Method, path: &'static str) -> Endpoint<Identity> {
    endpoint("identity.not_offered", method, path, Access::Public, by_path)
}

/// A way of logging in.
pub(super) fn handle(_: Arc<Identity>, _: Call) -> ResponseFuture {
    Box::pin(async move {
        let message =
            "this way of logging in is not offered; use signInWithOpenId or signInAnonymously";
        Err(Error::new(Kind::NotImplemented, message))
    })
}

fn by_path(_: Arc<Identity>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let message = format!("{} is not offered by this server", call.uri.path());
        Err(Error::new(Kind::NotImplemented, message))
    })
}
