//! The control route of the rule tester, and rules in bodies.

use std::sync::Arc;

use bson::Bson;
use serde_json::{Value, json};
use yunzhan_base::{Call, Error, Kind, ResponseFuture, Result};
use yunzhan_query::rule::{Caller, Operation};

use crate::dialect::json;
use crate::dialect::members::{Members, refused};
use crate::documents::{Documents, RuleTest, Subject};

/// Asks the rules of a collection, or a draft, what they would answer.
pub(super) fn test(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let mut members = Members::read(call.bytes(), documents.now_ms())?;
        let test = RuleTest {
            operation: operation(&members.required_text("operation")?)?,
            caller: caller(&mut members)?,
            subject: subject(&mut members)?,
            data: members.document("data")?,
            draft: draft(&call)?,
        };
        let tested = documents.test_rules(&env, call.params.get("collection")?, test).await?;
        let answer = json!({ "allowed": tested.allowed, "explanation": tested.explanation });
        Ok(json::ok(&answer))
    })
}

/// The text of rules that came as an object or as text.
pub(super) fn text(rules: Value) -> Result<String> {
    match rules {
        Value::String(text) => Ok(text),
        Value::Object(_) => Ok(rules.to_string()),
        _ => Err(refused("rules", "an object")),
    }
}

/// Rules as an object; as text when they are none.
pub(super) fn shown(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

fn draft(call: &Call) -> Result<Option<String>> {
    // Read as plain JSON: what looks like a date or an id in a rule is text.
    let body: Value = match call.bytes().is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(call.bytes()).unwrap_or_default(),
    };
    match &body["rules"] {
        Value::Null => Ok(None),
        rules => text(rules.clone()).map(Some),
    }
}

fn operation(name: &str) -> Result<Operation> {
    let every = [Operation::Read, Operation::Create, Operation::Update, Operation::Delete];
    let found = every.into_iter().find(|operation| operation.name() == name);
    found.ok_or_else(|| refused("operation", "read, create, update or delete"))
}

/// Somebody without any name is nobody.
fn caller(members: &mut Members) -> Result<Caller> {
    let (openid, uid) = (members.text("openid")?, members.text("uid")?);
    let roles = match members.take("roles") {
        None => Vec::new(),
        Some(Bson::Array(roles)) => roles
            .into_iter()
            .map(|role| match role {
                Bson::String(role) => Ok(role),
                _ => Err(refused("roles", "a list of texts")),
            })
            .collect::<Result<_>>()?,
        Some(_) => return Err(refused("roles", "a list of texts")),
    };
    let logged_in = openid.is_some() || uid.is_some() || !roles.is_empty();
    Ok(Caller { logged_in, openid, uid, login_type: None, roles })
}

fn subject(members: &mut Members) -> Result<Subject> {
    let named = [
        members.document("query")?.map(Subject::Query),
        members.document("document")?.map(Subject::Document),
        members.take("id").map(Subject::Id),
    ];
    let mut named = named.into_iter().flatten();
    match (named.next(), named.next()) {
        (Some(subject), None) => Ok(subject),
        _ => {
            let message = "name one of query, id and document";
            Err(Error::new(Kind::InvalidParameter, message))
        }
    }
}
