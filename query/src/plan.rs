//! Which way to the documents? By their ids, by ranges of an index, or through the whole collection.
//!
//! Whatever the plan, the filter decides about each document again: a plan only promises not to miss any.

use bson::Bson;

use crate::filter::{Constraint, Filter};
use crate::key::{KeyRange, Prefix, ranges};
use crate::order::{Direction, Field, Order};

/// Most ranges that one plan visits. A filter with more combinations of values uses fewer fields of the index.
const RANGES_MAX: usize = 1000;

/// An index as the planner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// Its fields.
    pub pattern: Order,
    /// Some document has several keys in it, or may have had ([`crate::key::Entries::multikey`]).
    pub multikey: bool,
    /// Some key was cut ([`crate::key::Entries::truncated`]).
    pub truncated: bool,
}

/// How to get at the documents.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// The documents with these ids, ascending and distinct.
    Ids(Vec<Bson>),
    /// The documents with keys in these ranges, which are ascending and do not overlap. A document may have several keys.
    Index {
        /// The place of the index in the list given to [`Plan::choose`].
        index: usize,
        /// Where to look.
        ranges: Vec<KeyRange>,
        /// Visit the keys from the last to the first.
        reverse: bool,
    },
    /// Every document.
    Scan,
}

/// A way to the documents, and whether they come in the wanted order.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The way.
    pub access: Access,
    /// The documents come in the order asked for, so that a limit may end the visit early.
    pub ordered: bool,
    /// Every document on the way matches, and has one key there, so that counting keys counts documents.
    pub exact: bool,
}

impl Plan {
    /// Chooses among the ids, `indexes` and a scan.
    pub fn choose(filter: &Filter, order: &Order, indexes: &[Index]) -> Self {
        if let Some(Constraint::Points(ids)) = filter.constraint("_id", false) {
            let ordered = order.is_empty() || ids.len() <= 1;
            return Self { access: Access::Ids(ids), ordered, exact: false };
        }
        let candidates = indexes
            .iter()
            .enumerate()
            .map(|(place, index)| Candidate::new(place, index, filter, order));
        let best = candidates
            .filter(Candidate::is_useful)
            .reduce(|best, next| if next.score() > best.score() { next } else { best });
        best.map_or(
            Self { access: Access::Scan, ordered: order.is_empty(), exact: filter.is_all() },
            Candidate::into_plan,
        )
    }
}

/// What one index could do.
struct Candidate {
    place: usize,
    /// Leading fields bound to points.
    points: usize,
    /// The field after them is bound to a range.
    ranged: bool,
    ranges: Vec<KeyRange>,
    /// The direction in which the keys have the wanted order, if they have.
    reading: Option<Direction>,
    /// That order is more than none at all.
    sorts: bool,
    /// The ranges say all that the filter says.
    exact: bool,
}

impl Candidate {
    fn new(place: usize, index: &Index, filter: &Filter, order: &Order) -> Self {
        let mut prefixes = vec![Prefix::empty()];
        let mut single = Vec::new();
        let mut range = None;
        for field in index.pattern.fields() {
            match filter.constraint(&field.path.to_string(), index.multikey) {
                Some(Constraint::Points(values)) if prefixes.len() * values.len() <= RANGES_MAX => {
                    prefixes = extend(&prefixes, &values, field.direction);
                    single.push(values.len() <= 1);
                }
                Some(constraint @ Constraint::Range { .. }) => {
                    range = Some((constraint, field.direction));
                    break;
                }
                _ => break,
            }
        }
        let bound = single.len() + usize::from(range.is_some());
        let is_plain = !index.multikey && !index.truncated;
        let exact = is_plain && filter.is_told_by(&index.pattern.fields()[..bound]);
        let reading = match index.multikey || index.truncated {
            false => reading_direction(index.pattern.fields(), &single, order),
            true => order.is_empty().then_some(Direction::Ascending),
        };
        Self {
            place,
            points: single.len(),
            ranged: range.is_some(),
            ranges: all_ranges(&prefixes, range),
            sorts: reading.is_some() && !order.is_empty(),
            reading,
            exact,
        }
    }

    fn is_useful(&self) -> bool {
        self.points > 0 || self.ranged || self.sorts
    }

    fn score(&self) -> (usize, bool, bool) {
        (self.points, self.ranged, self.sorts)
    }

    fn into_plan(self) -> Plan {
        let reverse = self.reading == Some(Direction::Descending);
        let access = Access::Index { index: self.place, ranges: self.ranges, reverse };
        Plan { access, ordered: self.reading.is_some(), exact: self.exact }
    }
}

fn extend(prefixes: &[Prefix], values: &[Bson], direction: Direction) -> Vec<Prefix> {
    prefixes
        .iter()
        .flat_map(|prefix| values.iter().map(|value| prefix.then(value, direction)))
        .collect()
}

fn all_ranges(prefixes: &[Prefix], range: Option<(Constraint, Direction)>) -> Vec<KeyRange> {
    let mut all: Vec<KeyRange> = match range {
        None => prefixes.iter().map(Prefix::range).collect(),
        Some((constraint, direction)) => {
            prefixes.iter().flat_map(|prefix| ranges(prefix, &constraint, direction)).collect()
        }
    };
    all.sort();
    // Cut keys may make ranges meet; each key must be visited once.
    all.dedup_by(|next, kept| {
        let meets = next.from < kept.to;
        if meets && next.to > kept.to {
            kept.to = std::mem::take(&mut next.to);
        }
        meets
    });
    all
}

/// The direction in which an index gives `order`, if it does. `single[i]` tells that the field `i` has at most one value in
/// the ranges; such a field never disturbs the order.
fn reading_direction(fields: &[Field], single: &[bool], order: &Order) -> Option<Direction> {
    if single.contains(&false) && !order.is_empty() {
        return None;
    }
    let constant =
        |wanted: &Field| fields[..single.len()].iter().any(|field| field.path == wanted.path);
    let mut rest = fields[single.len()..].iter();
    let mut reading = None;
    for wanted in order.fields() {
        if constant(wanted) {
            continue;
        }
        // Entries of equal keys lie by the ids of their documents, and ids are unique: nothing counts after them.
        let next = rest.next();
        let is_id = next.is_none() && wanted.path.is("_id");
        let along = match next {
            Some(field) => (field.path == wanted.path).then_some(field.direction),
            None => is_id.then_some(Direction::Ascending),
        };
        let direction =
            if along? == wanted.direction { Direction::Ascending } else { Direction::Descending };
        if *reading.get_or_insert(direction) != direction {
            return None;
        }
        if is_id {
            break;
        }
    }
    Some(reading.unwrap_or(Direction::Ascending))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use bson::{Bson, Document};
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::{Access, Index, Plan};
    use crate::filter::{Filter, Limits};
    use crate::key::{EntryOptions, entries_with, sort_key};
    use crate::order::Order;
    use crate::testing::{any_document, any_scalar, doc, matches, value_text};

    fn index(pattern: &str, multikey: bool) -> Index {
        Index { pattern: Order::parse(&doc(pattern)).unwrap(), multikey, truncated: false }
    }

    fn show(plan: &Plan) -> String {
        let access = match &plan.access {
            Access::Ids(ids) => {
                format!("ids {}", ids.iter().map(value_text).collect::<Vec<_>>().join(" "))
            }
            Access::Index { index, ranges, reverse } => {
                let direction = if *reverse { " backwards" } else { "" };
                format!("index {index}, {} ranges{direction}", ranges.len())
            }
            Access::Scan => "scan".to_owned(),
        };
        access + if plan.ordered { ", ordered" } else { "" }
    }

    /// Each line is a filter and an order; the indexes are always the same.
    fn check(lines: &str, expected: &Expect) {
        let indexes = [
            index(r#"{"owner":1,"at":-1}"#, false),
            index(r#"{"tags":1,"at":1}"#, true),
            index(r#"{"price":1}"#, false),
        ];
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
            let (filter, order) = line.split_once(" by ").unwrap_or((line, "{}"));
            let filter = Filter::parse(&doc(filter), &Limits::default()).unwrap();
            let plan = Plan::choose(&filter, &Order::parse(&doc(order)).unwrap(), &indexes);
            format!("{line} -> {}\n", show(&plan))
        });
        expected.assert_eq(&lines.collect::<String>());
    }

    #[test]
    fn the_narrowest_way_is_taken() {
        check(
            r#"
            {}
            {"_id":"x"} by {"at":1}
            {"_id":{"$in":["b","a"]},"owner":1}
            {"_id":{"$in":["b","a"]}} by {"at":1}
            {"_id":{"$gt":"a"}}
            {"color":1}
            {"owner":1}
            {"owner":1} by {"at":-1}
            {"owner":1} by {"at":1}
            {"owner":1} by {"owner":-1,"at":1}
            {"owner":1} by {"price":1}
            {"owner":{"$in":[1,2]}} by {"at":1}
            {"owner":{"$in":[]}}
            {"owner":1,"at":{"$gt":5,"$lt":9}}
            {"owner":{"$gt":1}} by {"owner":1,"at":-1}
            {"owner":{"$gt":1}} by {"owner":1,"at":1}
            {"at":5}
            {"tags":"a","owner":1,"at":2}
            {"tags":"a","at":2}
            {"tags":"a"} by {"at":1}
            {"price":{"$gt":5}} by {"price":-1}
            {} by {"price":-1}
            {} by {"at":1}
            {"$or":[{"owner":1},{"price":2}]}
            "#,
            &expect![[r#"
                {} -> scan, ordered
                {"_id":"x"} by {"at":1} -> ids "x", ordered
                {"_id":{"$in":["b","a"]},"owner":1} -> ids "a" "b", ordered
                {"_id":{"$in":["b","a"]}} by {"at":1} -> ids "a" "b"
                {"_id":{"$gt":"a"}} -> scan, ordered
                {"color":1} -> scan, ordered
                {"owner":1} -> index 0, 1 ranges, ordered
                {"owner":1} by {"at":-1} -> index 0, 1 ranges, ordered
                {"owner":1} by {"at":1} -> index 0, 1 ranges backwards, ordered
                {"owner":1} by {"owner":-1,"at":1} -> index 0, 1 ranges backwards, ordered
                {"owner":1} by {"price":1} -> index 0, 1 ranges
                {"owner":{"$in":[1,2]}} by {"at":1} -> index 0, 2 ranges
                {"owner":{"$in":[]}} -> index 0, 0 ranges, ordered
                {"owner":1,"at":{"$gt":5,"$lt":9}} -> index 0, 1 ranges, ordered
                {"owner":{"$gt":1}} by {"owner":1,"at":-1} -> index 0, 1 ranges, ordered
                {"owner":{"$gt":1}} by {"owner":1,"at":1} -> index 0, 1 ranges
                {"at":5} -> scan, ordered
                {"tags":"a","owner":1,"at":2} -> index 0, 1 ranges, ordered
                {"tags":"a","at":2} -> index 1, 1 ranges, ordered
                {"tags":"a"} by {"at":1} -> index 1, 1 ranges
                {"price":{"$gt":5}} by {"price":-1} -> index 2, 1 ranges backwards, ordered
                {} by {"price":-1} -> index 2, 1 ranges backwards, ordered
                {} by {"at":1} -> scan
                {"$or":[{"owner":1},{"price":2}]} -> scan, ordered
            "#]],
        );
    }

    #[test]
    fn too_many_combinations_use_fewer_fields() {
        let many: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let many = many.join(",");
        let filter = doc(&format!(r#"{{"a":{{"$in":[{many}]}},"b":{{"$in":[{many}]}}}}"#));
        let filter = Filter::parse(&filter, &Limits::default()).unwrap();
        let plan = Plan::choose(&filter, &Order::default(), &[index(r#"{"a":1,"b":1}"#, false)]);
        assert_eq!(show(&plan), "index 0, 100 ranges, ordered");
    }

    fn any_condition() -> BoxedStrategy<Bson> {
        let operator = prop::sample::select(vec!["$eq", "$gt", "$gte", "$lt", "$lte"]);
        let second = operator.clone();
        prop_oneof![
            any_scalar(),
            (operator.clone(), any_scalar())
                .prop_map(|(operator, value)| Bson::Document(bson::doc! { operator: value })),
            (operator, any_scalar(), second, any_scalar()).prop_map(
                |(one, value, other, bound)| {
                    Bson::Document(bson::doc! { one: value, other: bound })
                }
            ),
            prop::collection::vec(any_scalar(), 0..3)
                .prop_map(|values| Bson::Document(bson::doc! { "$in": values })),
        ]
        .boxed()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn no_plan_misses_a_match_or_the_order(
            documents in prop::collection::vec(any_document(), 1..6),
            conditions in prop::collection::vec(("[ab]", any_condition()), 0..3),
            pattern in prop::sample::select(vec![r#"{"a":1}"#, r#"{"a":-1,"b":1}"#, r#"{"b":1,"a":1}"#]),
            order in prop::sample::select(vec!["{}", r#"{"a":1}"#, r#"{"a":1,"b":-1}"#, r#"{"b":-1}"#]),
        ) {
            let conditions: Document = conditions.into_iter().collect();
            let Ok(filter) = Filter::parse(&conditions, &Limits::default()) else { return Ok(()) };
            let order = Order::parse(&doc(order)).unwrap();
            let mut index = index(pattern, false);
            let options = EntryOptions { combines_arrays: true, ..EntryOptions::default() };
            let stored: Vec<_> = documents.iter().map(|document| entries_with(document, &index.pattern, options).unwrap()).collect();
            index.multikey = stored.iter().any(|entries| entries.multikey);
            let plan = Plan::choose(&filter, &order, &[index]);
            let Access::Index { ranges, reverse, .. } = plan.access else { return Ok(()) };
            let mut found = Vec::new();
            for (document, entries) in documents.iter().zip(&stored) {
                let inside = |key: &&Vec<u8>| ranges.iter().any(|range| range.from <= **key && **key < range.to);
                found.extend(entries.keys.iter().filter(inside).map(|key| (key.clone(), document)));
                let is_found = entries.keys.iter().any(|key| inside(&key));
                prop_assert!(is_found || !matches(&filter, document), "{document} is missed");
                prop_assert!(!plan.exact || !is_found || matches(&filter, document), "{document} is counted");
            }
            if plan.ordered {
                found.sort_by(|a, b| if reverse { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) });
                let keys: Vec<_> = found.iter().map(|(_, document)| sort_key(document, &order)).collect();
                prop_assert!(keys.is_sorted());
            }
        }
    }
}
