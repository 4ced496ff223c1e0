//! Who is turned away: every kind of caller against every kind of access.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use yunzhan_base::principal::{AuthVerdict, Authenticate, Claim};
use yunzhan_base::{Access, EnvId, Principal};

use super::house::{House, text};

impl House {
    /// The verdict on a caller, in one line.
    fn verdict(&self, access: Access, env: Option<&str>, authorization: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let env: Option<EnvId> = env.map(|env| env.parse().unwrap());
        let uri = Uri::from_static("/admin?env=shop");
        let claim = Claim {
            access,
            method: &Method::POST,
            uri: &uri,
            headers: &headers,
            body: None,
            env: env.as_ref(),
        };
        match self.identity.authenticate(&claim) {
            AuthVerdict::Known(Principal::Nobody) => "nobody".into(),
            AuthVerdict::Known(Principal::User(user)) => format!("user of {}", user.env),
            AuthVerdict::Known(Principal::Server(key)) => format!("server of {}", key.env),
            AuthVerdict::Known(Principal::Operator) => "operator".into(),
            AuthVerdict::Refused(error) => error.kind().name().into(),
            AuthVerdict::NeedsBody => "needs body".into(),
            AuthVerdict::Wait(_) => "waits".into(),
        }
    }
}

#[tokio::test]
async fn each_access_admits_its_own_and_nobody_else() {
    let house = House::new().await;
    let key = house.add_key("shop").await;
    let session = house.log_in("shop", "alice").await;
    let token = format!("Bearer {}", text(&session, "access_token"));
    let refresh = format!("Bearer {}", text(&session, "refresh_token"));
    let access_key = format!("bearer {}", key.access_key);
    let wrong_key = format!("Bearer {}x", key.access_key);
    let secret_key = format!("Bearer {}", key.secret_key);
    let check = |access, env, authorization: &[&str]| house.verdict(access, env, authorization);
    let shop = Some("shop");
    let (user, server) = (Access::User, Access::Server);

    assert_eq!(check(Access::Public, shop, &[]), "nobody");
    assert_eq!(check(Access::Public, shop, &["Bearer garbage"]), "nobody");
    assert_eq!(check(Access::Operator, shop, &[&token]), "permission_denied");

    assert_eq!(check(user, shop, &[&token]), "user of shop");
    assert_eq!(check(user, None, &[&token]), "user of shop");
    assert_eq!(check(user, Some("other"), &[&token]), "env_not_found");
    assert_eq!(check(server, shop, &[&access_key]), "server of shop");
    assert_eq!(check(server, None, &[&access_key]), "server of shop");
    assert_eq!(check(server, Some("other"), &[&access_key]), "env_not_found");

    for authorization in [
        &[][..],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &["Basic YTpi"],
        &[&refresh],
        &[&wrong_key],
        &[&secret_key],
        &[&token, &token],
        &[&access_key, &access_key],
    ] {
        assert_eq!(check(user, shop, authorization), "unauthenticated", "{authorization:?}");
        assert_eq!(check(server, shop, authorization), "unauthenticated", "{authorization:?}");
    }
    assert_eq!(check(user, shop, &[&access_key]), "unauthenticated");
    assert_eq!(check(server, shop, &[&token]), "unauthenticated");
    house.envs.remove_key(&"shop".parse().unwrap(), &key.secret_id).await.unwrap();
    assert_eq!(check(server, shop, &[&access_key]), "unauthenticated");
}

#[tokio::test]
async fn a_token_that_is_forged_expired_or_revoked_is_refused() {
    let house = House::new().await;
    let session = house.log_in("shop", "alice").await;
    let token = text(&session, "access_token");
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let none = BASE64.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    let hs256 = BASE64.encode(r#"{"alg":"HS256","typ":"at+jwt"}"#);
    let other_claims = BASE64.encode(
        String::from_utf8(BASE64.decode(claims).unwrap())
            .unwrap()
            .replace("dev-alice", "dev-admin"),
    );
    let check = |token: &str| house.verdict(Access::User, None, &[&format!("Bearer {token}")]);
    assert_eq!(check(token), "user of shop");
    for forged in [
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{hs256}.{claims}.{signature}"),
        format!("{head}.{other_claims}.{signature}"),
        format!("{head}.{claims}.{}", "A".repeat(86)),
        format!("{head}.{claims}"),
        "token".to_owned(),
    ] {
        assert_eq!(check(&forged), "unauthenticated", "{forged}");
    }
    house.later(Duration::from_secs(7200));
    assert_eq!(check(token), "token_expired");
    // A replica that never saw the token says the same.
    let replica = house.replica().await;
    assert_eq!(replica.verify_access(token).unwrap_err().kind().name(), "token_expired");
}

#[tokio::test]
async fn a_token_in_the_body_names_the_caller() {
    let house = House::new().await;
    let [alice, bob, other] = [("shop", "alice"), ("shop", "bob"), ("other", "alice")];
    let alice = house.log_in(alice.0, alice.1).await;
    let bob = house.log_in(bob.0, bob.1).await;
    let other = house.log_in(other.0, other.1).await;
    let [alice_token, bob_token, other_token] =
        [&alice, &bob, &other].map(|session| text(session, "access_token"));
    let check = |authorization: Option<&str>, body: Option<&str>| {
        let mut headers = HeaderMap::new();
        if let Some(token) = authorization {
            let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
            headers.insert(header::AUTHORIZATION, value);
        }
        let (uri, env) = (Uri::from_static("/web?env=shop"), "shop".parse().unwrap());
        let body = body.map(|body| Bytes::copy_from_slice(body.as_bytes()));
        let claim = Claim {
            access: Access::UserInBody,
            method: &Method::POST,
            uri: &uri,
            headers: &headers,
            body: body.as_ref(),
            env: Some(&env),
        };
        match house.identity.authenticate(&claim) {
            AuthVerdict::Known(Principal::User(user)) => user.openid.clone().unwrap(),
            AuthVerdict::Refused(error) => error.kind().name().into(),
            AuthVerdict::NeedsBody => "needs body".into(),
            _ => "something else".into(),
        }
    };
    let carries = |token: &str| format!(r#"{{"a":[1],"access_token":"{token}","openid":"bob"}}"#);
    let body = carries(alice_token);

    assert_eq!(check(None, None), "needs body");
    assert_eq!(check(None, Some(&body)), "dev-alice");
    assert_eq!(check(None, Some(&carries(other_token))), "env_not_found");
    for (body, refusal) in [
        ("", "unauthenticated"),
        ("{}", "unauthenticated"),
        (r#"{"access_token":null}"#, "unauthenticated"),
        (r#"{"access_token":""}"#, "unauthenticated"),
        (&*carries("token"), "unauthenticated"),
        (&*carries(text(&alice, "refresh_token")), "unauthenticated"),
        (&*format!(r#"{{"data":{body}}}"#), "unauthenticated"),
        (r#"{"access_token":7}"#, "invalid_parameter"),
        (
            &*format!(r#"{{"access_token":"{alice_token}","access_token":"{bob_token}"}}"#),
            "invalid_parameter",
        ),
        (&*format!(r#"["{alice_token}"]"#), "malformed"),
        (&body[..body.len() - 1], "malformed"),
        (&*format!("{body}{body}"), "malformed"),
    ] {
        assert_eq!(check(None, Some(body)), refusal, "{body}");
    }

    // A token in the head is not needed and cannot stand for the one in the body.
    assert_eq!(check(Some(alice_token), None), "needs body");
    assert_eq!(check(Some(alice_token), Some(&body)), "dev-alice");
    assert_eq!(check(Some(alice_token), Some("{}")), "unauthenticated");
    assert_eq!(check(Some(bob_token), Some(&body)), "unauthenticated");
    assert_eq!(check(Some("garbage"), None), "unauthenticated");
    assert_eq!(check(Some(other_token), None), "env_not_found");
    house.later(Duration::from_secs(7200));
    assert_eq!(check(None, Some(&body)), "token_expired");
    assert_eq!(check(Some(alice_token), None), "token_expired");
}

#[tokio::test]
async fn a_signed_request_is_held_to_head_first_and_then_to_its_body() {
    let house = House::new().await;
    let key = house.add_key("shop").await;
    let body = Bytes::from_static(br#"{"action":"database.getDocument"}"#);
    let signed = Signer {
        secret_id: &key.secret_id,
        secret_key: &key.secret_key,
        now_s: house.clock.now_s(),
    };
    let check = |headers: &HeaderMap, env: &str, body: Option<&Bytes>| {
        let (uri, env) = (Uri::from_static("/admin?env=shop"), env.parse().unwrap());
        let claim = Claim {
            access: Access::Server,
            method: &Method::POST,
            uri: &uri,
            headers,
            body,
            env: Some(&env),
        };
        match house.identity.authenticate(&claim) {
            AuthVerdict::Known(Principal::Server(key)) => format!("server of {}", key.env),
            AuthVerdict::Refused(error) => error.kind().name().into(),
            AuthVerdict::NeedsBody => "needs body".into(),
            _ => "something else".into(),
        }
    };
    let headers = signed.headers();
    assert_eq!(check(&headers, "shop", None), "needs body");
    assert_eq!(check(&headers, "shop", Some(&body)), "server of shop");
    assert_eq!(
        check(
            &headers,
            "shop",
            Some(&Bytes::from_static(br#"{"action":"database.removeDocument"}"#))
        ),
        "signature_invalid"
    );
    assert_eq!(check(&headers, "other", None), "env_not_found");
    let stranger = Signer { secret_id: "YZIDnobody", ..signed };
    assert_eq!(check(&stranger.headers(), "shop", None), "signature_invalid");
    let guesser = Signer { secret_key: "guess", ..signed };
    assert_eq!(check(&guesser.headers(), "shop", Some(&body)), "signature_invalid");
    house.later(Duration::from_secs(601));
    assert_eq!(check(&headers, "shop", None), "signature_expired");
}

/// Signs `POST /admin?env=shop {"action":"database.getDocument"}` as the SDKs do, step by step.
#[derive(Clone, Copy)]
struct Signer<'a> {
    secret_id: &'a str,
    secret_key: &'a str,
    now_s: i64,
}

impl Signer<'_> {
    fn headers(&self) -> HeaderMap {
        use crate::crypto::sha256;
        let day = jiff::Timestamp::from_second(self.now_s).unwrap().to_string()[..10].to_owned();
        let payload = hex::encode(sha256(b"&action=database.getDocument\r\n"));
        let lines = "content-type:application/json\nhost:localhost\n";
        let canonical =
            format!("post\n//localhost/admin\nenv=shop\n{lines}\ncontent-type;host\n{payload}");
        let text = format!(
            "TC3-HMAC-SHA256\n{}\n{day}/tcb/tc3_request\n{}",
            self.now_s,
            hex::encode(sha256(canonical.as_bytes()))
        );
        let hmac = |key: &[u8], text: &str| {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
            aws_lc_rs::hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
        };
        let first = hmac(format!("TC3{}", self.secret_key).as_bytes(), &day);
        let key = hmac(&hmac(&first, "tcb"), "tc3_request");
        let signature = hex::encode(hmac(&key, &text));
        let authorization = format!(
            "TC3-HMAC-SHA256 Credential={}/{day}/tcb/tc3_request, SignedParams=action, SignedHeaders=content-type;host, Signature={signature}",
            self.secret_id
        );
        let pairs = [
            ("authorization", authorization),
            ("x-timestamp", self.now_s.to_string()),
            ("content-type", "application/json".into()),
            ("host", "localhost".into()),
        ];
        pairs
            .into_iter()
            .map(|(name, value)| {
                (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap())
            })
            .collect()
    }
}
