//! Access tokens that are not what they claim to be, or not any more.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use yunzhan_base::Clock;
use yunzhan_e2e::{Answer, Options, Person, Server, past};

const ENV: &str = "demo";
const HOUR_MS: i64 = 3600 * 1000;

/// The three parts of a token; the first two decoded, letter for letter.
struct Parts {
    header: String,
    payload: String,
    signature: String,
}

impl Parts {
    fn of(token: &str) -> Self {
        let parts: Vec<&str> = token.split('.').collect();
        let text = |part: &str| String::from_utf8(BASE64.decode(part).unwrap()).unwrap();
        Self { header: text(parts[0]), payload: text(parts[1]), signature: parts[2].to_owned() }
    }

    /// With another value in the header, or one more.
    fn with_header(self, key: &str, value: &Value) -> Self {
        Self { header: with(&self.header, key, value), ..self }
    }

    /// With another value in the payload, or one more.
    fn with_payload(self, key: &str, value: &Value) -> Self {
        Self { payload: with(&self.payload, key, value), ..self }
    }

    fn signed(&self) -> String {
        format!("{}.{}", BASE64.encode(&self.header), BASE64.encode(&self.payload))
    }

    fn keeping_the_signature(&self) -> String {
        format!("{}.{}", self.signed(), self.signature)
    }

    fn without_a_signature(&self) -> String {
        format!("{}.", self.signed())
    }

    fn signed_by_hmac(&self, key: &[u8]) -> String {
        let signed = self.signed();
        let tag = hmac::sign(&hmac::Key::new(HMAC_SHA256, key), signed.as_bytes());
        format!("{signed}.{}", BASE64.encode(tag))
    }

    fn signed_by(&self, key: &Ed25519KeyPair) -> String {
        let signed = self.signed();
        format!("{signed}.{}", BASE64.encode(key.sign(signed.as_bytes())))
    }
}

/// The object with this member; the others keep their places.
fn with(object: &str, key: &str, value: &Value) -> String {
    let old: Value = serde_json::from_str(object).unwrap();
    if old[key].is_null() {
        return object.replacen('{', &format!("{{\"{key}\":{value},"), 1);
    }
    let (old, new) = (format!("\"{key}\":{}", old[key]), format!("\"{key}\":{value}"));
    assert!(object.contains(&old), "{object} has no {old}");
    object.replacen(&old, &new, 1)
}

async fn me(server: &Server, token: &str) -> Answer {
    server.http().get("/auth/v1/user/me").bearer(token).send().await
}

async fn is_refused(server: &Server, what: &str, token: &str) {
    let answer = me(server, token).await;
    let verdict = (answer.status.as_u16(), answer.code());
    assert_eq!(verdict, (401, "unauthenticated".to_owned()), "{what}: {answer:?}");
}

#[tokio::test]
async fn a_token_that_the_server_did_not_sign_is_refused() {
    let server = Server::start(Options::default()).await;
    let alice = server.http().login_development(ENV, "alice").await;
    let parts = || Parts::of(&alice.access_token);
    assert_eq!(me(&server, &parts().keeping_the_signature()).await.status, 200, "unless unchanged");

    let keys = server.http().get("/.well-known/jwks.json").send().await.value();
    let public = keys["keys"][0]["x"].as_str().unwrap();
    let own = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64.encode(own.public_key()) });
    let hs256 = || parts().with_header("alg", &json!("HS256"));
    for (what, token) in [
        (
            "algorithm none, unsigned",
            parts().with_header("alg", &json!("none")).without_a_signature(),
        ),
        (
            "algorithm none, signed",
            parts().with_header("alg", &json!("none")).keeping_the_signature(),
        ),
        ("no signature", parts().without_a_signature()),
        ("the public key as a secret", hs256().signed_by_hmac(&BASE64.decode(public).unwrap())),
        ("the public key's text as a secret", hs256().signed_by_hmac(public.as_bytes())),
        (
            "the public key as a secret, algorithm kept",
            parts().signed_by_hmac(&BASE64.decode(public).unwrap()),
        ),
        ("another key under the same name", parts().signed_by(&own)),
        (
            "another key under its own name",
            parts().with_header("kid", &json!("mine")).signed_by(&own),
        ),
        ("another key brought along", parts().with_header("jwk", &jwk).signed_by(&own)),
        (
            "another key's address",
            parts().with_header("jku", &json!("http://127.0.0.1/")).signed_by(&own),
        ),
        (
            "a key from a file",
            parts().with_header("kid", &json!("../../../dev/null")).signed_by_hmac(b""),
        ),
        (
            "somebody else's name",
            parts().with_payload("sub", &json!("bob")).keeping_the_signature(),
        ),
        (
            "a longer life",
            parts().with_payload("exp", &json!(9_999_999_999_i64)).keeping_the_signature(),
        ),
        ("a role", parts().with_payload("roles", &json!(["admin"])).keeping_the_signature()),
        ("a refresh token", alice.refresh_token.clone()),
        ("a word", "token".to_owned()),
        ("dots", "..".to_owned()),
        ("a very long one", format!("{}.a.a", "a".repeat(20_000))),
    ] {
        is_refused(&server, what, &token).await;
    }
    assert_eq!(alice.me().await.status, 200, "nothing of this hurt the real one");
}

#[tokio::test]
async fn a_session_that_ended_is_refused_at_once() {
    let server = Server::start(Options::default()).await;
    let http = server.http();
    let revoked = http.login_development(ENV, "alice").await;
    let other_phone = http.login_development(ENV, "alice").await;
    assert_eq!(revoked.me().await.status, 200);
    let body = json!({ "token": revoked.access_token });
    let _ = http.post(format!("/auth/v1/revoke?client_id={ENV}"), &body).send().await.value();
    is_over(&server, &revoked).await;
    assert_eq!(other_phone.me().await.status, 200, "the other session goes on");

    other_phone.sign_out().await;
    is_over(&server, &other_phone).await;

    let ended_by_the_operator = http.login_development(ENV, "alice").await;
    let path = format!("/control/v1/envs/{ENV}/users/{}/sessions", ended_by_the_operator.uid);
    let _ = server.control(hyper::Method::DELETE, &path, &Value::Null).await.value();
    is_over(&server, &ended_by_the_operator).await;
}

async fn is_over(server: &Server, person: &Person) {
    is_refused(server, "an ended session", &person.access_token).await;
    let renewed = server.http().renew(ENV, &person.refresh_token).await;
    assert_eq!((renewed.status.as_u16(), renewed.code().as_str()), (400, "invalid_grant"));
}

#[tokio::test]
async fn what_ended_stays_ended_when_the_server_starts_again() {
    let mut server = Server::start(Options::default()).await;
    let alice = server.http().login_development(ENV, "alice").await;
    let bob = server.http().login_development(ENV, "bob").await;
    alice.sign_out().await;
    server.kill();
    server.restart().await;
    is_over(&server, &alice).await;
    assert_eq!(me(&server, &bob.access_token).await.status, 200);
}

#[tokio::test]
async fn a_token_has_its_time() {
    let mut server = Server::start(Options::default()).await;
    assert_eq!(server.terminate().await.code(), Some(0));
    let issued = async |after_ms: i64| {
        let at_ms = Clock::System.now_ms() + after_ms;
        past::access_token_of(&server.data(), ENV, "alice", at_ms).await.unwrap()
    };
    let expired = issued(-3 * HOUR_MS).await;
    let nearly_expired = issued(-2 * HOUR_MS + 60_000).await;
    let soon = issued(30_000).await;
    let from_the_future = issued(HOUR_MS).await;
    server.restart().await;
    assert_eq!(me(&server, &nearly_expired).await.status, 200);
    assert_eq!(
        me(&server, &soon).await.status,
        200,
        "the clocks of two servers may differ a little"
    );
    is_refused(&server, "a token of the future", &from_the_future).await;
    is_refused(&server, "an expired token", &expired).await;
    // The database's dialect tells the two apart, so that a client renews instead of logging in again.
    let http = server.http();
    let request = http.get(format!("{}?limit=1", yunzhan_e2e::people::documents_of("goods")));
    let answer = request.bearer(&expired).send().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (401, "ACCESS_TOKEN_EXPIRED"));
}

#[tokio::test]
async fn a_dropped_key_takes_its_tokens_along() {
    let server = Server::start(Options::default()).await;
    let alice = server.http().login_development(ENV, "alice").await;
    let rotate = async |drop_old: bool| {
        let body = json!({ "drop_old": drop_old });
        server.control(hyper::Method::POST, "/control/v1/keys/rotate", &body).await.value()
    };
    let announced = rotate(false).await;
    assert_eq!(announced["keys"].as_array().unwrap().len(), 2, "{announced}");
    assert_eq!(alice.me().await.status, 200, "an ordinary rotation logs nobody out");
    rotate(true).await;
    is_refused(&server, "a token of a leaked key", &alice.access_token).await;
    let renewed = server.http().renew(ENV, &alice.refresh_token).await.value();
    assert_eq!(me(&server, renewed["access_token"].as_str().unwrap()).await.status, 200);
}
