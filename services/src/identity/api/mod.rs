//! The endpoints: one a file, listed here.

mod anonymous;
mod key_set;
mod me;
pub(super) mod not_offered;
mod provider_token;
mod refresh;
mod revoke;
mod sign_in;
mod sign_out;

use http::Method;
use yunzhan_base::{Access, Endpoint, RoutePolicy, RouteSpec};

use super::Identity;
use crate::dialect::auth::render_error;

/// Login bodies hold a code or a token.
const BODY_BYTES_MAX: usize = 16 << 10;

/// Everything that identity offers to clients.
pub const ROUTES: &[Endpoint<Identity>] = &[
    public("identity.provider_token", "/auth/v1/provider/token", provider_token::handle),
    public("identity.sign_in", "/auth/v1/signin/with/provider", sign_in::handle),
    public("identity.anonymous", "/auth/v1/signin/anonymously", anonymous::handle),
    public("identity.refresh", "/auth/v1/token", refresh::handle),
    public("identity.revoke", "/auth/v1/revoke", revoke::handle),
    for_users("identity.sign_out", Method::POST, "/auth/v1/user/signout", sign_out::handle),
    for_users("identity.me", Method::GET, "/auth/v1/user/me", me::handle),
    key_set("identity.key_set", "/.well-known/jwks.json"),
    key_set("identity.auth_key_set", "/auth/v1/.well-known/jwks.json"),
    // Known to the SDKs and not offered: a clear word instead of a missing page.
    public("identity.password", "/auth/v1/signin", not_offered::handle),
    public("identity.custom", "/auth/v1/signin/custom", not_offered::handle),
    public("identity.sign_up", "/auth/v1/signup", not_offered::handle),
    public("identity.verification", "/auth/v1/verification", not_offered::handle),
    public("identity.verify", "/auth/v1/verification/verify", not_offered::handle),
];

type Handle = fn(std::sync::Arc<Identity>, yunzhan_base::Call) -> yunzhan_base::ResponseFuture;

const fn public(name: &'static str, path: &'static str, handle: Handle) -> Endpoint<Identity> {
    endpoint(name, Method::POST, path, Access::Public, handle)
}

const fn for_users(
    name: &'static str,
    method: Method,
    path: &'static str,
    handle: Handle,
) -> Endpoint<Identity> {
    endpoint(name, method, path, Access::User, handle)
}

const fn key_set(name: &'static str, path: &'static str) -> Endpoint<Identity> {
    endpoint(name, Method::GET, path, Access::Public, key_set::handle)
}

const fn endpoint(
    name: &'static str,
    method: Method,
    path: &'static str,
    access: Access,
    handle: Handle,
) -> Endpoint<Identity> {
    let spec = RouteSpec {
        name,
        method,
        path,
        access,
        policy: RoutePolicy::CORE.buffered(BODY_BYTES_MAX),
        render_error,
    };
    Endpoint { spec, handle }
}
