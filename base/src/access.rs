//! Who may call a route.

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, also without a token; a token that is sent anyway is not looked at.
    Public,
    /// Whoever holds an access token, anonymous visitors included.
    User,
    /// As `User`, but the token travels in the body, as the member `access_token` of a JSON object. The head names nobody, so
    /// the body is read first, within the route's bound and the budget of all bodies.
    UserInBody,
    /// Whoever holds a key of the environment.
    Server,
    /// Whoever may operate this server: the control listener only.
    Operator,
}
