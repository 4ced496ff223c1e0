//! In which order? Fields with directions: the order of results, and the fields of an index.

use bson::{Bson, Document};

use crate::error::{Error, Kind, Result};
use crate::key::sort_key;
use crate::needs::Needs;
use crate::number::Number;
use crate::path::Path;

/// Most fields in one order; MongoDB's bound for a compound index.
const FIELDS_MAX: usize = 32;

/// Upwards or downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The least value first.
    Ascending,
    /// The greatest value first.
    Descending,
}

/// Fields to order by, the most significant one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    fields: Vec<Field>,
}

/// One field of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where the value is.
    pub path: Path,
    /// Which way it counts.
    pub direction: Direction,
}

impl Direction {
    /// Reads `1` or `-1`, or the words of the clients: `asc`, `desc`.
    ///
    /// # Errors
    /// `InvalidValue`.
    pub fn parse(value: &Bson) -> Result<Self> {
        match (value.as_str(), Number::of(value).and_then(Number::integer)) {
            (Some("asc"), _) | (_, Some(1)) => Ok(Self::Ascending),
            (Some("desc"), _) | (_, Some(-1)) => Ok(Self::Descending),
            _ => Err(Error::value("direction must be 1 or -1")),
        }
    }
}

impl Order {
    /// Reads `{"a":1,"b.c":-1}`.
    ///
    /// # Errors
    /// `InvalidPath`, `InvalidValue`, `TooLarge`.
    pub fn parse(document: &Document) -> Result<Self> {
        let fields = document.iter().map(|(path, direction)| {
            let direction = Direction::parse(direction).map_err(|error| error.at(path))?;
            Ok((path.as_str(), direction))
        });
        Self::from_fields(fields.collect::<Result<Vec<_>>>()?)
    }

    /// Makes an order of pairs of path and direction.
    ///
    /// # Errors
    /// `InvalidPath`, `TooLarge` beyond 32 fields.
    pub fn from_fields<'a>(fields: impl IntoIterator<Item = (&'a str, Direction)>) -> Result<Self> {
        let fields = fields
            .into_iter()
            .map(|(path, direction)| Ok(Field { path: Path::parse(path)?, direction }));
        let fields: Vec<_> = fields.collect::<Result<_>>()?;
        if fields.len() > FIELDS_MAX {
            return Err(Error::new(Kind::TooLarge, format!("order has over {FIELDS_MAX} fields")));
        }
        Ok(Self { fields })
    }

    /// The fields, the most significant one first.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether any order will do.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The top-level fields that the order reads.
    pub fn needs(&self) -> Needs {
        Needs::Only(self.fields.iter().map(|field| field.path.field().into()).collect())
    }

    /// Sorts documents. Those that are equal in this order stay as they were.
    pub fn sort(&self, documents: &mut [Document]) {
        if !self.is_empty() {
            documents.sort_by_cached_key(|document| sort_key(document, self));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use expect_test::{Expect, expect};

    use super::Order;
    use crate::testing::{doc, text};

    const DOCUMENTS: &str = r#"
        {"n":1,"v":2}
        {"n":2,"v":"a"}
        {"n":3,"v":[9,1]}
        {"n":4}
        {"n":5,"v":{"$numberDouble":"1.5"}}
        {"n":6,"v":null}
        {"n":7,"v":[]}
        {"n":8,"v":[{"x":1}]}
    "#;

    fn check(order: &str, expected: &Expect) {
        let order = Order::parse(&doc(order)).unwrap();
        let lines = DOCUMENTS.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut documents: Vec<_> = lines.map(doc).collect();
        order.sort(&mut documents);
        expected
            .assert_eq(&documents.iter().map(|document| text(document) + "\n").collect::<String>());
    }

    #[test]
    fn an_array_counts_with_its_least_item_upwards_and_its_greatest_downwards() {
        check(
            r#"{"v":1}"#,
            &expect![[r#"
            {"n":7,"v":[]}
            {"n":4}
            {"n":6,"v":null}
            {"n":3,"v":[9,1]}
            {"n":5,"v":1.5}
            {"n":1,"v":2}
            {"n":2,"v":"a"}
            {"n":8,"v":[{"x":1}]}
        "#]],
        );
        check(
            r#"{"v":-1,"n":-1}"#,
            &expect![[r#"
            {"n":8,"v":[{"x":1}]}
            {"n":2,"v":"a"}
            {"n":3,"v":[9,1]}
            {"n":1,"v":2}
            {"n":5,"v":1.5}
            {"n":6,"v":null}
            {"n":4}
            {"n":7,"v":[]}
        "#]],
        );
        check(
            r#"{"v.x":-1,"n":1}"#,
            &expect![[r#"
            {"n":8,"v":[{"x":1}]}
            {"n":1,"v":2}
            {"n":2,"v":"a"}
            {"n":3,"v":[9,1]}
            {"n":4}
            {"n":5,"v":1.5}
            {"n":6,"v":null}
            {"n":7,"v":[]}
        "#]],
        );
        check(
            "{}",
            &expect![[r#"
            {"n":1,"v":2}
            {"n":2,"v":"a"}
            {"n":3,"v":[9,1]}
            {"n":4}
            {"n":5,"v":1.5}
            {"n":6,"v":null}
            {"n":7,"v":[]}
            {"n":8,"v":[{"x":1}]}
        "#]],
        );
    }

    #[test]
    fn a_position_names_one_item_and_an_item_without_fields_is_null() {
        let sorted = |order: &str| {
            let lines = [
                r#"{"n":1,"v":[{"x":5},{"x":1}]}"#,
                r#"{"n":2,"v":[{"x":3},{"x":9}]}"#,
                r#"{"n":3,"v":[{"x":4},7]}"#,
                r#"{"n":4,"v":[[6]]}"#,
            ];
            let mut documents: Vec<_> = lines.into_iter().map(doc).collect();
            Order::parse(&doc(order)).unwrap().sort(&mut documents);
            documents.iter().map(|document| document["n"].to_string()).collect::<String>()
        };
        expect![[r#"
            {"v.0.x":1} 4231
            {"v.1.x":-1} 2134
            {"v.x":1} 3412
            {"v.0":1} 2314
        "#]]
        .assert_eq(
            &[r#"{"v.0.x":1}"#, r#"{"v.1.x":-1}"#, r#"{"v.x":1}"#, r#"{"v.0":1}"#]
                .map(|order| format!("{order} {}\n", sorted(order)))
                .concat(),
        );
    }

    #[test]
    fn orders_that_are_none() {
        let fields: Vec<_> = (0..33).map(|number| format!(r#""f{number}":1"#)).collect();
        let many = format!("{{{}}}", fields.join(","));
        let texts = [r#"{"a":2}"#, r#"{"a":"up"}"#, r#"{"a.":1}"#, &many];
        let errors = texts.map(|text| format!("{}\n", Order::parse(&doc(text)).unwrap_err()));
        expect![[r#"
            direction must be 1 or -1, at field a
            direction must be 1 or -1, at field a
            field path has an empty part, at field a.
            order has over 32 fields
        "#]]
        .assert_eq(&errors.concat());
        assert!(Order::parse(&doc(r#"{"a":"asc","b":"desc","c":1.0}"#)).is_ok());
    }
}
