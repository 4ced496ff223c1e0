//! What people write about documents: Extended JSON, and the fields of an index.

use std::str::FromStr;

use serde_json::{Value, json};
use yunzhan_base::{Error, Kind};

/// An object in Extended JSON, as it was written.
///
/// It travels as text: the order of its members means something to queries and orders, and [`Value`] sorts them.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Json(String);

/// One field of an index, from `FIELD`, `FIELD:1`, `FIELD:-1` or `FIELD:2dsphere`.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Key {
    field: String,
    direction: &'static str,
}

/// A body with those of these members that are there.
pub(super) fn body<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let present = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect())
}

// === impl Json ===

impl Json {
    /// For a member of a body.
    pub(super) fn value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

impl FromStr for Json {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let advice = r#"write an object between single quotes, such as '{"done":false}'"#;
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(_)) => Ok(Self(text.to_owned())),
            Ok(_) => {
                let message = format!("JSON, but no object; {advice}");
                Err(Error::new(Kind::InvalidParameter, message))
            }
            Err(error) => Err(Error::new(Kind::Malformed, format!("not JSON: {error}; {advice}"))),
        }
    }
}

// === impl Key ===

impl Key {
    /// For a body.
    pub(super) fn value(&self) -> Value {
        json!({ "field": self.field, "direction": self.direction })
    }
}

impl FromStr for Key {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (field, direction) = text.rsplit_once(':').unwrap_or((text, "1"));
        let direction = match direction {
            "1" => "1",
            "-1" => "-1",
            "2dsphere" => "2dsphere",
            other => {
                let message = format!(
                    "{other:?} is no direction; write {field}:1 for upwards, {field}:-1 for downwards or {field}:2dsphere for places"
                );
                return Err(Error::new(Kind::InvalidParameter, message));
            }
        };
        if field.is_empty() {
            let message = "a field has a name; write FIELD, FIELD:1, FIELD:-1 or FIELD:2dsphere";
            return Err(Error::new(Kind::InvalidParameter, message));
        }
        Ok(Self { field: field.to_owned(), direction })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// What the line in `text` reads as, or why it does not.
    fn check<T: FromStr<Err = Error>>(text: &str, value: fn(&T) -> Value, expected: &Expect) {
        let read = text.parse::<T>();
        let shown =
            read.map_or_else(|error| format!("error: {error}"), |read| value(&read).to_string());
        expected.assert_eq(&shown);
    }

    #[test]
    fn a_field_with_or_without_a_direction() {
        let check = |text, expected: Expect| check(text, Key::value, &expected);
        check("age", expect![[r#"{"direction":"1","field":"age"}"#]]);
        check("age:1", expect![[r#"{"direction":"1","field":"age"}"#]]);
        check("a.b:-1", expect![[r#"{"direction":"-1","field":"a.b"}"#]]);
        check("at:2dsphere", expect![[r#"{"direction":"2dsphere","field":"at"}"#]]);
        check("a:b:-1", expect![[r#"{"direction":"-1","field":"a:b"}"#]]);
        check(
            "age:2",
            expect![[
                r#"error: "2" is no direction; write age:1 for upwards, age:-1 for downwards or age:2dsphere for places"#
            ]],
        );
        check(
            "age:",
            expect![[
                r#"error: "" is no direction; write age:1 for upwards, age:-1 for downwards or age:2dsphere for places"#
            ]],
        );
        check(
            ":1",
            expect!["error: a field has a name; write FIELD, FIELD:1, FIELD:-1 or FIELD:2dsphere"],
        );
        check(
            "",
            expect!["error: a field has a name; write FIELD, FIELD:1, FIELD:-1 or FIELD:2dsphere"],
        );
    }

    #[test]
    fn extended_json_is_passed_on_as_it_is_written() {
        let check = |text, expected: Expect| check(text, Json::value, &expected);
        check(r#"{"b":-1, "a":1.0}"#, expect![[r#""{\"b\":-1, \"a\":1.0}""#]]);
        check(
            "{done:false}",
            expect![[
                r#"error: not JSON: key must be a string at line 1 column 2; write an object between single quotes, such as '{"done":false}'"#
            ]],
        );
        check(
            "[1]",
            expect![[
                r#"error: JSON, but no object; write an object between single quotes, such as '{"done":false}'"#
            ]],
        );
        check(
            "",
            expect![[
                r#"error: not JSON: EOF while parsing a value at line 1 column 0; write an object between single quotes, such as '{"done":false}'"#
            ]],
        );
    }

    #[test]
    fn a_body_has_what_was_named() {
        let shown = body([("skip", Some(3.into())), ("limit", None)]).to_string();
        expect![[r#"{"skip":3}"#]].assert_eq(&shown);
    }
}
