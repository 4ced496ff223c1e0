//! A key of an environment, and the admin dialect's signature as a server-side client makes it.
//!
//! Written from the recorded vectors in `node/vectors`, not from the server's code, so that a mistake there meets a
//! second opinion here.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;
use yunzhan_base::Clock;

use crate::http::{Answer, Http};

/// Signed in this order.
const SIGNED_HEADERS: [&str; 3] = ["content-type", "host", "x-sdk-version"];
const SDK_VERSION: &str = "e2e/1";
const JSON: &str = "application/json";

/// A key of an environment.
#[derive(Clone, Debug)]
pub struct Key {
    /// The public half.
    pub id: String,
    /// The secret half.
    pub secret: String,
}

/// What a signature covers.
struct Signed<'s> {
    timestamp_s: i64,
    /// As the client spells it; the published clients write `post`.
    method: &'s str,
    host: &'s str,
    target: &'s str,
    /// Names in lower case with their values, in the order in which they are listed.
    headers: &'s [(&'s str, &'s str)],
    body: &'s str,
}

impl Key {
    /// Calls an action of the admin dialect in an environment, signed now.
    pub async fn admin(&self, http: &Http, env: &str, action: &str, body: &Value) -> Answer {
        self.admin_at(http, env, action, body, Clock::System.now_ms() / 1000).await
    }

    /// The same, signed at this second.
    ///
    /// # Panics
    /// When the body is no object, or no answer comes.
    pub async fn admin_at(
        &self,
        http: &Http,
        env: &str,
        action: &str,
        body: &Value,
        timestamp_s: i64,
    ) -> Answer {
        let mut body = body.clone();
        body["action"] = action.into();
        body["envName"] = env.into();
        self.admin_text(http, env, body.to_string(), timestamp_s).await
    }

    /// The same with a body of the caller's own spelling.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn admin_text(
        &self,
        http: &Http,
        env: &str,
        body: String,
        timestamp_s: i64,
    ) -> Answer {
        let target = format!("/admin?env={env}&seqId=1");
        let values = [JSON, http.host(), SDK_VERSION];
        let headers: Vec<_> = SIGNED_HEADERS.into_iter().zip(values).collect();
        let authorization = self.sign(&Signed {
            timestamp_s,
            method: "post",
            host: http.host(),
            target: &target,
            headers: &headers,
            body: &body,
        });
        http.request(hyper::Method::POST, target)
            .header("x-sdk-version", SDK_VERSION)
            .header("x-timestamp", &timestamp_s.to_string())
            .header("x-signature-expires", "600")
            .header("authorization", &authorization)
            .body(JSON, body)
            .send()
            .await
    }

    /// The header `Authorization`.
    fn sign(&self, signed: &Signed<'_>) -> String {
        let params = params(signed.body);
        let names: Vec<&str> = params.keys().map(String::as_str).collect();
        let headers: Vec<&str> = signed.headers.iter().map(|(name, _)| *name).collect();
        let date = day(signed.timestamp_s);
        let scope = format!("{date}/tcb/tc3_request");
        let canonical = hash(canonical(signed, &params).as_bytes());
        let text = format!("TC3-HMAC-SHA256\n{}\n{scope}\n{canonical}", signed.timestamp_s);
        let steps = [date.as_str(), "tcb", "tc3_request", &text];
        let key = format!("TC3{}", self.secret).into_bytes();
        let signature = steps.iter().fold(key, |key, step| {
            hmac::sign(&hmac::Key::new(HMAC_SHA256, &key), step.as_bytes()).as_ref().to_vec()
        });
        format!(
            "TC3-HMAC-SHA256 Credential={}/{scope}, SignedParams={}, SignedHeaders={}, Signature={}",
            self.id,
            names.join(";"),
            headers.join(";"),
            hex::encode(signature)
        )
    }
}

fn canonical(signed: &Signed<'_>, params: &BTreeMap<String, String>) -> String {
    let (path, query) = signed.target.split_once('?').unwrap_or((signed.target, ""));
    let header = |(name, value): &(&str, &str)| {
        let value =
            if *name == "content-type" { (*value).to_owned() } else { value.trim().to_lowercase() };
        format!("{name}:{value}\n")
    };
    let headers: String = signed.headers.iter().map(header).collect();
    let names: Vec<&str> = signed.headers.iter().map(|(name, _)| *name).collect();
    let payload: String =
        params.iter().map(|(name, value)| format!("&{name}={value}\r\n")).collect();
    let (method, host, names) = (signed.method, signed.host, names.join(";"));
    let payload = hash(payload.as_bytes());
    format!("{method}\n//{host}{path}\n{query}\n{headers}\n{names}\n{payload}")
}

/// Every member of a JSON body as it is signed, empty ones left out. A body that is no object has none.
fn params(body: &str) -> BTreeMap<String, String> {
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(body).unwrap_or_default();
    let signed = |(name, raw): (String, Box<RawValue>)| {
        let text: Option<String> = serde_json::from_str(raw.get()).ok();
        let value = text.map_or_else(|| raw.get().to_owned(), |text| text.trim().to_owned());
        (!value.is_empty()).then(|| (param_name(&name), value))
    };
    members.into_iter().filter_map(signed).collect()
}

/// JavaScript's `encodeURIComponent` of the trimmed lower-case name, with `!'()*` escaped too.
fn param_name(name: &str) -> String {
    crate::http::encode(&name.trim().to_lowercase())
}

fn day(timestamp_s: i64) -> String {
    let at = Timestamp::from_second(timestamp_s).expect("a second of this age");
    at.strftime("%Y-%m-%d").to_string()
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    /// Recorded from the published clients.
    const VECTORS: &str = include_str!("../node/vectors/tc3.json");

    #[test]
    fn the_published_clients_sign_the_same() {
        let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
        let (forms, bodies): (Vec<_>, Vec<_>) = vectors
            .iter()
            .partition(|vector| vector["name"].as_str().unwrap().contains("multipart"));
        assert_eq!((bodies.len(), forms.len()), (5, 2), "forms are signed by nobody here");
        for vector in bodies {
            assert_eq!(signature(vector), vector["signature"], "{}", vector["name"]);
        }
    }

    fn signature(vector: &Value) -> String {
        let text = |name: &str| vector[name].as_str().unwrap();
        let headers: BTreeMap<String, String> = serde_json::from_value(vector["headers"].clone())
            .map(|pairs: Vec<(String, String)>| {
                pairs.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect()
            })
            .unwrap();
        let listed = headers["authorization"].split("SignedHeaders=").nth(1).unwrap();
        let listed = listed.split(',').next().unwrap().split(';');
        let listed: Vec<_> = listed.map(|name| (name, headers[name].as_str())).collect();
        let key = Key { id: text("secretId").into(), secret: text("secretKey").into() };
        let body = String::from_utf8(BASE64_STANDARD.decode(text("bodyBase64")).unwrap()).unwrap();
        let authorization = key.sign(&Signed {
            timestamp_s: headers["x-timestamp"].parse().unwrap(),
            method: text("methodSigned"),
            host: &headers["host"],
            target: text("target"),
            headers: &listed,
            body: &body,
        });
        authorization.split("Signature=").nth(1).unwrap().to_owned()
    }
}
