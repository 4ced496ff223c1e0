//! What an operator may set about identity.

use std::time::Duration;

use yunzhan_base::config::Reader;
use yunzhan_net::http::Target;

/// Two hours, as long as the clients of the cloud this replaces are used to. A stolen access token is worth no longer.
const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(2 * 3600);
/// Clients renew 30 s before the end; below a minute they would renew all the time.
const ACCESS_TOKEN_LIFETIME_MIN: Duration = Duration::from_secs(60);
/// Ended sessions are remembered this long, and old keys are published so long.
const ACCESS_TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// `wx.request` gives up after 60 s; then the phone, which never saw the answer, tries again with the token it has.
const REFRESH_GRACE: Duration = Duration::from_secs(60);
/// Longer would let a thief hide in it.
const REFRESH_GRACE_MAX: Duration = Duration::from_secs(300);
/// A key that leaks unnoticed is worth at most a month.
const SIGNING_KEY_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// WeChat's server API.
const WECHAT_URL: &str = "https://api.weixin.qq.com";
/// The name of an installation that does not give itself one.
const ISSUER: &str = "yunzhan";

/// Identity's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Claim `iss` of access tokens; installations that verify each other's tokens differ in it.
    pub issuer: String,
    /// How long an access token lives.
    pub access_token_lifetime: Duration,
    /// How long the refresh token before the present one still gives the same answer; zero means never.
    pub refresh_grace: Duration,
    /// After what time a new key signs access tokens.
    pub signing_key_age_max: Duration,
    /// Whether visitors may come without a login.
    pub anonymous_login: bool,
    /// Where WeChat's server API is.
    pub wechat: Target,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            issuer: ISSUER.to_owned(),
            access_token_lifetime: ACCESS_TOKEN_LIFETIME,
            refresh_grace: REFRESH_GRACE,
            signing_key_age_max: SIGNING_KEY_AGE_MAX,
            anonymous_login: true,
            wechat: wechat(),
        }
    }
}

impl Config {
    /// Reads the table `[identity]`.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            issuer: reader.value("issuer", ISSUER.to_owned(), "claim `iss` of access tokens"),
            access_token_lifetime: reader.value_in(
                "access_token_lifetime",
                ACCESS_TOKEN_LIFETIME,
                ACCESS_TOKEN_LIFETIME_MIN..=ACCESS_TOKEN_LIFETIME_MAX,
                "how long an access token lives; clients renew it by themselves",
            ),
            refresh_grace: reader.value_in(
                "refresh_grace",
                REFRESH_GRACE,
                Duration::ZERO..=REFRESH_GRACE_MAX,
                "how long a phone that lost the answer may repeat a refresh; later reuse of the old token ends the session",
            ),
            signing_key_age_max: reader.value_in(
                "signing_key_age_max",
                SIGNING_KEY_AGE_MAX,
                ACCESS_TOKEN_LIFETIME_MAX..=Duration::from_secs(366 * 24 * 3600),
                "after what time a new key signs access tokens",
            ),
            anonymous_login: reader.value("anonymous_login", true, "whether visitors may come without a login"),
            wechat: read_wechat(reader),
        }
    }

    /// The lifetime as tokens count it.
    pub(crate) fn access_token_lifetime_s(&self) -> i64 {
        i64::try_from(self.access_token_lifetime.as_secs()).unwrap_or(i64::MAX)
    }
}

fn read_wechat(reader: &mut Reader<'_>) -> Target {
    let doc = "where WeChat's server API is; a test points it at a stand-in";
    let url = reader.value("wechat_url", WECHAT_URL.to_owned(), doc);
    Target::parse(&url).unwrap_or_else(|error| {
        reader.problem("wechat_url", (error.to_string(), error.to_string()));
        wechat()
    })
}

fn wechat() -> Target {
    Target::parse(WECHAT_URL).expect("the address of WeChat's server API")
}
