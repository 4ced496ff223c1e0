//! The apps that WeChat knows and what it answers to their calls. No I/O: requests come in as values, time as a number.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::session::Sessions;
use super::token::Tokens;

/// WeChat's session keys are 16 bytes in Base64: the key of AES-128.
const SESSION_KEY_BYTES: usize = 16;

type Answer = Result<Value, Refusal>;

#[derive(Debug, Default)]
pub(super) struct Platform {
    apps: HashMap<String, App>,
    risky: HashSet<String>,
    busy_calls: u32,
}

#[derive(Debug, Default)]
struct App {
    secret: String,
    in_open_platform: bool,
    sessions: Sessions,
    tokens: Tokens,
}

impl Platform {
    pub(super) fn register(&mut self, appid: &str, secret: &str) {
        self.apps.entry(appid.to_owned()).or_default().secret = secret.to_owned();
    }

    pub(super) fn join_open_platform(&mut self, appid: &str) {
        self.apps.entry(appid.to_owned()).or_default().in_open_platform = true;
    }

    pub(super) fn mark_risky(&mut self, user: &str) {
        self.risky.insert(user.to_owned());
    }

    pub(super) fn be_busy(&mut self, calls: u32) {
        self.busy_calls = calls;
    }

    /// `None` when no such app is registered.
    pub(super) fn login_code(&mut self, appid: &str, user: &str, now_ms: i64) -> Option<String> {
        let code = BASE64_URL_SAFE_NO_PAD.encode(random::<24>());
        self.apps.get_mut(appid)?.sessions.give(code.clone(), user, now_ms);
        Some(code)
    }

    pub(super) fn token_owner(&self, token: &str, now_ms: i64) -> Option<String> {
        let owns = |(_, app): &(&String, &App)| app.tokens.accepts(token, now_ms);
        self.apps.iter().find(owns).map(|(appid, _)| appid.clone())
    }

    /// `GET /sns/jscode2session`; `given` gives a query parameter by its name, empty when it is absent.
    pub(super) fn code_to_session(
        &mut self,
        given: impl Fn(&str) -> String,
        now_ms: i64,
    ) -> Answer {
        self.refuse_when_busy()?;
        let (appid, code) = (given("appid"), given("js_code"));
        let app = known(&mut self.apps, &appid, &given("secret"))?;
        check(given("grant_type") == "authorization_code", Refusal::GRANT_TYPE)?;
        check(!code.is_empty(), Refusal::CODE_MISSING)?;
        let user = app.sessions.take(&code, now_ms)?;
        check(!self.risky.contains(&user), Refusal::RISKY_USER)?;
        let session_key = BASE64_STANDARD.encode(random::<SESSION_KEY_BYTES>());
        let mut session = json!({ "openid": openid(&appid, &user), "session_key": session_key });
        if app.in_open_platform {
            session["unionid"] = Value::from(openid("open platform", &user));
        }
        Ok(session)
    }

    /// `POST /cgi-bin/stable_token` with a JSON body.
    pub(super) fn stable_token(&mut self, body: &[u8], now_ms: i64) -> Answer {
        self.refuse_when_busy()?;
        let body: Value = serde_json::from_slice(body).map_err(|_| Refusal::NOT_JSON)?;
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        check(text("grant_type") == "client_credential", Refusal::GRANT_TYPE)?;
        let app = known(&mut self.apps, text("appid"), text("secret"))?;
        let force = body["force_refresh"].as_bool().unwrap_or(false);
        let fresh = BASE64_URL_SAFE_NO_PAD.encode(random::<96>());
        let (access_token, expires_in) = app.tokens.get(force, fresh, now_ms)?;
        Ok(json!({ "access_token": access_token, "expires_in": expires_in }))
    }

    fn refuse_when_busy(&mut self) -> Result<(), Refusal> {
        let busy = self.busy_calls > 0;
        self.busy_calls = self.busy_calls.saturating_sub(1);
        check(!busy, Refusal::BUSY)
    }
}

/// The app whose id and secret these are.
fn known<'a>(
    apps: &'a mut HashMap<String, App>,
    appid: &str,
    secret: &str,
) -> Result<&'a mut App, Refusal> {
    check(!appid.is_empty(), Refusal::APPID_MISSING)?;
    let app = apps.get_mut(appid).ok_or(Refusal::APPID)?;
    check(!secret.is_empty(), Refusal::SECRET_MISSING)?;
    check(app.secret == secret, Refusal::SECRET)?;
    Ok(app)
}

fn check(holds: bool, otherwise: Refusal) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// 28 letters that are the same for a user in an app at any time, and of the form that WeChat's have.
pub(super) fn openid(appid: &str, user: &str) -> String {
    let part = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, appid, user).hash(&mut hasher);
        hasher.finish().to_be_bytes()
    };
    let bytes: Vec<u8> = [0, 1, 2].into_iter().flat_map(part).collect();
    format!("o{}", &BASE64_URL_SAFE_NO_PAD.encode(bytes)[..27])
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_750_000_000_000;
    const APP: &str = "wx-shop";

    fn platform() -> Platform {
        let mut platform = Platform::default();
        platform.register(APP, "secret");
        platform
    }

    /// Logs in with a query of these parameters; what is missing in `query` has its right value.
    fn login(platform: &mut Platform, user: &str, query: &[(&str, &str)]) -> Answer {
        let code = platform.login_code(APP, user, NOW_MS).unwrap();
        let right = [
            ("appid", APP),
            ("secret", "secret"),
            ("js_code", &code),
            ("grant_type", "authorization_code"),
        ];
        let value = |name: &str| {
            query.iter().chain(&right).find(|(key, _)| *key == name).map(|(_, value)| *value)
        };
        platform.code_to_session(|name| value(name).unwrap_or_default().to_owned(), NOW_MS)
    }

    #[test]
    fn a_login_gives_the_openid_of_the_user_in_this_app() {
        let mut platform = platform();
        let session = login(&mut platform, "alice", &[]).unwrap();
        assert_eq!(session["openid"], openid(APP, "alice"));
        assert_eq!(session["session_key"].as_str().unwrap().len(), 24);
        assert_eq!(session.get("unionid"), None);
        assert_eq!(openid(APP, "alice").len(), 28);
        assert_ne!(openid(APP, "alice"), openid("wx-other", "alice"));
        assert_ne!(openid(APP, "alice"), openid(APP, "bob"));
    }

    #[test]
    fn apps_of_one_open_platform_account_know_a_user_by_one_unionid() {
        let mut platform = platform();
        platform.register("wx-other", "other");
        platform.join_open_platform(APP);
        platform.join_open_platform("wx-other");
        let here = login(&mut platform, "alice", &[]).unwrap();
        let code = platform.login_code("wx-other", "alice", NOW_MS).unwrap();
        let there = login(
            &mut platform,
            "alice",
            &[("appid", "wx-other"), ("secret", "other"), ("js_code", &code)],
        )
        .unwrap();
        assert_eq!(here["unionid"], there["unionid"]);
        assert_ne!(here["openid"], there["openid"]);
    }

    #[test]
    fn what_is_wrong_with_a_login_is_told_by_its_number() {
        let refused = |name: &str, value: &str| {
            login(&mut platform(), "alice", &[(name, value)]).unwrap_err()
        };
        assert_eq!(refused("appid", ""), Refusal::APPID_MISSING);
        assert_eq!(refused("appid", "wx-nobody"), Refusal::APPID);
        assert_eq!(refused("secret", ""), Refusal::SECRET_MISSING);
        assert_eq!(refused("secret", "wrong"), Refusal::SECRET);
        assert_eq!(refused("grant_type", "client_credential"), Refusal::GRANT_TYPE);
        assert_eq!(refused("js_code", ""), Refusal::CODE_MISSING);
        assert_eq!(refused("js_code", "made up"), Refusal::CODE);
    }

    #[test]
    fn a_code_of_another_app_is_no_code() {
        let mut platform = platform();
        platform.register("wx-other", "other");
        let foreign = platform.login_code("wx-other", "alice", NOW_MS).unwrap();
        assert_eq!(login(&mut platform, "alice", &[("js_code", &foreign)]), Err(Refusal::CODE));
    }

    #[test]
    fn a_risky_user_is_stopped() {
        let mut platform = platform();
        platform.mark_risky("mallory");
        assert_eq!(login(&mut platform, "mallory", &[]), Err(Refusal::RISKY_USER));
        assert!(login(&mut platform, "alice", &[]).is_ok());
    }

    #[test]
    fn a_busy_platform_recovers_and_a_code_survives_it() {
        let mut platform = platform();
        let code = platform.login_code(APP, "alice", NOW_MS).unwrap();
        platform.be_busy(2);
        let query = [("js_code", code.as_str())];
        assert_eq!(login(&mut platform, "alice", &query), Err(Refusal::BUSY));
        assert_eq!(login(&mut platform, "alice", &query), Err(Refusal::BUSY));
        assert!(login(&mut platform, "alice", &query).is_ok());
    }

    #[test]
    fn a_stable_token_is_given_to_the_app_alone() {
        let mut platform = platform();
        let mut ask = |body: &str| platform.stable_token(body.as_bytes(), NOW_MS);
        let given =
            ask(r#"{"grant_type":"client_credential","appid":"wx-shop","secret":"secret"}"#)
                .unwrap();
        assert_eq!(given["expires_in"], 7200);
        assert_eq!(
            ask(r#"{"grant_type":"client_credential","appid":"wx-shop","secret":"wrong"}"#),
            Err(Refusal::SECRET)
        );
        assert_eq!(ask(r#"{"appid":"wx-shop","secret":"secret"}"#), Err(Refusal::GRANT_TYPE));
        assert_eq!(ask("grant_type=client_credential"), Err(Refusal::NOT_JSON));
        let token = given["access_token"].as_str().unwrap();
        assert_eq!(platform.token_owner(token, NOW_MS), Some(APP.to_owned()));
        assert_eq!(platform.token_owner("made up", NOW_MS), None);
    }
}
