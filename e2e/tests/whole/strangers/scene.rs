//! A server with something worth protecting, and what strangers hold in their hands.

use serde_json::{Value, json};
use yunzhan_base::Clock;
use yunzhan_e2e::environment::Permission;
use yunzhan_e2e::people::Find;
use yunzhan_e2e::{Environment, Http, Options, Person, Server, past};

pub(super) const ENV: &str = "shop";
const ELSEWHERE: &str = "elsewhere";
/// A collection whose documents are their owners' alone.
pub(super) const NOTES: &str = "notes";
const DAY_MS: i64 = 24 * 3600 * 1000;

/// Alice has a note; everybody else is a stranger.
pub(super) struct Scene {
    pub(super) server: Server,
    pub(super) shop: Environment,
    pub(super) elsewhere: Environment,
    pub(super) forged_access_key: String,
    /// What strangers show as people's tokens.
    pub(super) people: Tokens,
    /// What strangers show as the operator's token.
    pub(super) operators: Tokens,
    alice: Person,
}

pub(super) struct Tokens {
    pub(super) expired: String,
    pub(super) forged: String,
    /// Good in another environment.
    pub(super) elsewhere: String,
}

impl Scene {
    pub(super) async fn set() -> Self {
        let mut server = Server::start(Options::default()).await;
        let shop = server.add_environment(ENV).await;
        let elsewhere = server.add_environment(ELSEWHERE).await;
        server.add_collection(ENV, NOTES, Permission::Private).await;
        let earlier_operator = server.control_token();
        assert_eq!(server.terminate().await.code(), Some(0));
        let yesterday_ms = Clock::System.now_ms() - DAY_MS;
        let expired = past::access_token_of(&server.data(), ENV, "alice", yesterday_ms).await;
        server.restart().await;

        let http = server.http();
        let alice = http.login_development(ENV, "alice").await;
        alice.insert(NOTES, json!({ "_id": "n1", "text": "Alice's" })).await;
        let people = Tokens {
            expired: expired.unwrap(),
            forged: forged(&alice.access_token),
            elsewhere: http.login_development(ELSEWHERE, "alice").await.access_token,
        };
        let operators = Tokens {
            expired: earlier_operator,
            forged: forged(&server.control_token()),
            elsewhere: elsewhere.access_key.clone(),
        };
        let forged_access_key = forged(&shop.access_key);
        Self { server, shop, elsewhere, forged_access_key, people, operators, alice }
    }

    /// The listener that has this path.
    pub(super) fn door(&self, target: &str) -> Http {
        let is_operators = ["/control/", "/healthz", "/readyz", "/metrics"];
        let is_operators = is_operators.iter().any(|beginning| target.starts_with(beginning));
        if is_operators { Http::at(self.server.url("control")) } else { self.server.http() }
    }

    /// A good token of somebody else in the same environment.
    pub(super) async fn another_person(&self) -> String {
        self.server.http().login_development(ENV, "mallory").await.access_token
    }

    /// Nothing of what the strangers tried has left a trace.
    pub(super) async fn is_untouched(&self) {
        let notes = self.alice.find(NOTES, &Find::every()).await;
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert_eq!(notes[0]["text"], "Alice's");
        let envs =
            self.server.control(hyper::Method::GET, "/control/v1/envs", &Value::Null).await.value();
        let key_ids = |env: &Value| env["key_ids"].as_array().unwrap().len();
        let shown: Vec<_> = envs["envs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|env| (&env["env"], key_ids(env)))
            .collect();
        assert_eq!(shown, [(&json!("demo"), 1), (&json!(ELSEWHERE), 1), (&json!(ENV), 1)]);
    }
}

/// The same with its last character changed, which keeps its form.
fn forged(token: &str) -> String {
    // Another one of the alphabets of both Base64 and hexadecimal digits, in a place where every bit counts.
    let place = token.len() - 5;
    let other = if &token[place..=place] == "a" { "b" } else { "a" };
    format!("{}{other}{}", &token[..place], &token[place + 1..])
}
