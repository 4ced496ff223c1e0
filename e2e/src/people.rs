//! People in front of a mini-program or a page: how they log in, and what they do with documents.

use hyper::Method;
use serde_json::{Value, json};

use crate::http::{Answer, Http, Request, encode};

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub struct Person {
    http: Http,
    /// What shows who they are.
    pub access_token: String,
    /// What renews it.
    pub refresh_token: String,
    /// The server's id of them.
    pub uid: String,
}

/// Which documents, and how many of them.
#[derive(Clone, Debug)]
pub struct Find {
    query: Value,
    order: Value,
    offset: u32,
    limit: u32,
}

// === logging in ===

impl Http {
    /// Comes as somebody whom nobody knows.
    pub async fn login_anonymously(&self, env: &str) -> Person {
        let target = format!("/auth/v1/signin/anonymously?client_id={env}");
        self.person(&self.post(target, &json!({})).send().await.value())
    }

    /// Logs in under a name, where that is proof enough.
    pub async fn login_development(&self, env: &str, name: &str) -> Person {
        self.login(env, "development", name).await
    }

    /// Logs in with what `wx.login` gave.
    pub async fn login_wechat(&self, env: &str, appid: &str, code: &str) -> Person {
        self.login(env, appid, code).await
    }

    async fn login(&self, env: &str, provider: &str, code: &str) -> Person {
        let first = self.ask_provider_token(env, provider, code).await.value();
        let target = format!("/auth/v1/signin/with/provider?client_id={env}");
        let second = json!({ "provider_token": first["provider_token"] });
        self.person(&self.post(target, &second).send().await.value())
    }

    /// The first half of a login, whatever comes of it.
    pub async fn ask_provider_token(&self, env: &str, provider: &str, code: &str) -> Answer {
        let target = format!("/auth/v1/provider/token?client_id={env}");
        let body = json!({
            "provider_id": provider,
            "provider_code": code,
            "provider_params": { "provider_code_type": "open_id", "appid": provider },
        });
        self.post(target, &body).send().await
    }

    /// Renews tokens, whatever comes of it.
    pub async fn renew(&self, env: &str, refresh_token: &str) -> Answer {
        let body = json!({ "grant_type": "refresh_token", "refresh_token": refresh_token });
        self.post(format!("/auth/v1/token?client_id={env}"), &body).send().await
    }

    fn person(&self, credentials: &Value) -> Person {
        let text = |name: &str| credentials[name].as_str().expect("a text").to_owned();
        Person {
            http: self.clone(),
            access_token: text("access_token"),
            refresh_token: text("refresh_token"),
            uid: text("sub"),
        }
    }
}

// === impl Person ===

impl Person {
    /// The same person at a server that moved, such as one that was started again.
    #[must_use]
    pub fn at(&self, http: Http) -> Self {
        Self { http, ..self.clone() }
    }

    /// Who the server says they are.
    pub async fn me(&self) -> Answer {
        self.request(Method::GET, "/auth/v1/user/me".to_owned()).send().await
    }

    /// Ends the session.
    pub async fn sign_out(&self) {
        let request = self.request(Method::POST, "/auth/v1/user/signout".to_owned());
        let _ = request.json(&json!({})).send().await.value();
    }

    /// Begins a request that shows the token.
    pub fn request(&self, method: Method, target: String) -> Request<'_> {
        self.http.request(method, target).bearer(&self.access_token)
    }

    /// Begins adding documents.
    pub fn inserting(&self, collection: &str, documents: &[Value]) -> Request<'_> {
        let request = self.request(Method::POST, documents_of(collection));
        request.json(&json!({ "data": documents }))
    }

    /// Adds a document and gives its id.
    pub async fn insert(&self, collection: &str, document: Value) -> String {
        let answer = self.inserting(collection, &[document]).send().await.value();
        answer["insertedIds"][0].as_str().expect("an id").to_owned()
    }

    /// Begins a search.
    pub fn finding(&self, collection: &str, find: &Find) -> Request<'_> {
        self.request(Method::GET, format!("{}?{}", documents_of(collection), find.parameters()))
    }

    /// Finds documents.
    pub async fn find(&self, collection: &str, find: &Find) -> Vec<Value> {
        let mut answer = self.finding(collection, find).send().await.value();
        match answer["list"].take() {
            Value::Array(list) => list,
            other => panic!("a list was expected: {other}"),
        }
    }

    /// Counts documents.
    pub async fn count(&self, collection: &str, query: &Value) -> u64 {
        let query = encode(&query.to_string());
        let target = format!("{}?count=true&query={query}", documents_of(collection));
        let answer = self.request(Method::GET, target).send().await.value();
        answer["total"].as_u64().expect("a number")
    }

    /// Changes the documents that match; gives how many.
    pub async fn update(&self, collection: &str, query: &Value, update: &Value) -> u64 {
        let body = json!({ "query": query, "data": update, "multi": true, "upsert": false });
        let request = self.request(Method::PATCH, documents_of(collection)).json(&body);
        request.send().await.value()["updated"].as_u64().expect("a number")
    }

    /// Removes the documents that match; gives how many.
    pub async fn remove(&self, collection: &str, query: &Value) -> u64 {
        let target = format!("{}/remove", documents_of(collection));
        let body = json!({ "query": query, "multi": true });
        let answer = self.request(Method::POST, target).json(&body).send().await.value();
        answer["deleted"].as_u64().expect("a number")
    }
}

/// The path of a collection's documents.
pub fn documents_of(collection: &str) -> String {
    format!(
        "/v1/database/instances/(default)/databases/(default)/collections/{collection}/documents"
    )
}

// === impl Find ===

impl Find {
    /// Those that match, up to a hundred.
    pub fn matching(query: Value) -> Self {
        Self { query, order: json!([]), offset: 0, limit: 100 }
    }

    /// All of them, up to a hundred.
    pub fn every() -> Self {
        Self::matching(json!({}))
    }

    /// By this field first, and by those named later among its equals.
    ///
    /// # Panics
    /// Never: an order is a list.
    #[must_use]
    pub fn by(mut self, field: &str, direction: &str) -> Self {
        let order = self.order.as_array_mut().expect("a list");
        order.push(json!({ "field": field, "direction": direction }));
        self
    }

    /// Not the first ones.
    #[must_use]
    pub fn skip(mut self, offset: u32) -> Self {
        self.offset = offset;
        self
    }

    /// At most so many.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    fn parameters(&self) -> String {
        let (query, order) = (encode(&self.query.to_string()), encode(&self.order.to_string()));
        format!("query={query}&order={order}&offset={}&limit={}", self.offset, self.limit)
    }
}
