//! The list of all operators that are functions of their arguments. Those that decide what is evaluated at all (`$cond`,
//! `$let`, `$map` and their like) are in `parse.rs` and `evaluate.rs`.

use std::fmt;

use bson::Bson;

use super::argument::Arguments;
use super::{arithmetic, array, compare, convert, date, fold, object, set, text, text_regex};
use crate::error::Result;

/// One operator.
pub(super) struct Operator {
    /// With its dollar sign.
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// Whether the second and the third argument are a regular expression and its options.
    pub(super) regex: bool,
    pub(super) apply: Apply,
}

type Apply = fn(&Arguments<'_>) -> Result<Option<Bson>>;

/// How the arguments are written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A list with at least and at most so many, or the only one without brackets.
    List(usize, usize),
    /// A date, or a document of `date` and `timezone`.
    Date,
    /// A document. A name that begins with `?` may be left out.
    Named(&'static [&'static str]),
}

impl Operator {
    pub(super) fn is_named(&self) -> bool {
        matches!(self.shape, Shape::Named(_))
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The operator of this name.
pub(super) fn find(name: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.name == name)
}

const ANY: usize = usize::MAX;

const fn list(name: &'static str, least: usize, most: usize, apply: Apply) -> Operator {
    Operator { name, shape: Shape::List(least, most), regex: false, apply }
}

const fn date(name: &'static str, apply: Apply) -> Operator {
    Operator { name, shape: Shape::Date, regex: false, apply }
}

const fn named(name: &'static str, names: &'static [&'static str], apply: Apply) -> Operator {
    Operator { name, shape: Shape::Named(names), regex: false, apply }
}

const fn regex(name: &'static str, apply: Apply) -> Operator {
    Operator { name, shape: Shape::Named(&["input", "regex", "?options"]), regex: true, apply }
}

static OPERATORS: &[Operator] = &[
    // Numbers.
    list("$abs", 1, 1, arithmetic::abs),
    list("$add", 0, ANY, arithmetic::add),
    list("$ceil", 1, 1, arithmetic::ceil),
    list("$divide", 2, 2, arithmetic::divide),
    list("$exp", 1, 1, arithmetic::exp),
    list("$floor", 1, 1, arithmetic::floor),
    list("$ln", 1, 1, arithmetic::ln),
    list("$log", 2, 2, arithmetic::log),
    list("$log10", 1, 1, arithmetic::log10),
    list("$mod", 2, 2, arithmetic::modulo),
    list("$multiply", 0, ANY, arithmetic::multiply),
    list("$pow", 2, 2, arithmetic::power),
    list("$round", 1, 2, arithmetic::round),
    list("$sqrt", 1, 1, arithmetic::sqrt),
    list("$subtract", 2, 2, arithmetic::subtract),
    list("$trunc", 1, 2, arithmetic::trunc),
    // Accumulators over the items of an array, or over several arguments.
    list("$avg", 0, ANY, fold::avg),
    list("$max", 0, ANY, fold::max),
    list("$min", 0, ANY, fold::min),
    list("$stdDevPop", 0, ANY, fold::std_dev_pop),
    list("$stdDevSamp", 0, ANY, fold::std_dev_samp),
    list("$sum", 0, ANY, fold::sum),
    // Comparison.
    list("$cmp", 2, 2, compare::cmp),
    list("$eq", 2, 2, compare::eq),
    list("$gt", 2, 2, compare::gt),
    list("$gte", 2, 2, compare::gte),
    list("$lt", 2, 2, compare::lt),
    list("$lte", 2, 2, compare::lte),
    list("$ne", 2, 2, compare::ne),
    list("$not", 1, 1, compare::not),
    // Arrays.
    list("$arrayElemAt", 2, 2, array::element),
    list("$concatArrays", 0, ANY, array::concat),
    list("$first", 1, 1, array::first),
    list("$in", 2, 2, array::contains),
    list("$indexOfArray", 2, 4, array::index_of),
    list("$isArray", 1, 1, array::is_array),
    list("$last", 1, 1, array::last),
    list("$range", 2, 3, array::range),
    list("$reverseArray", 1, 1, array::reverse),
    list("$size", 1, 1, array::size),
    list("$slice", 2, 3, array::slice),
    named("$zip", &["inputs", "?useLongestLength", "?defaults"], array::zip),
    // Documents.
    list("$arrayToObject", 1, 1, object::of_array),
    list("$mergeObjects", 0, ANY, object::merge),
    list("$objectToArray", 1, 1, object::to_array),
    // Sets.
    list("$allElementsTrue", 1, 1, set::all_true),
    list("$anyElementTrue", 1, 1, set::any_true),
    list("$setDifference", 2, 2, set::difference),
    list("$setEquals", 2, ANY, set::equals),
    list("$setIntersection", 0, ANY, set::intersection),
    list("$setIsSubset", 2, 2, set::is_subset),
    list("$setUnion", 0, ANY, set::union),
    // Strings.
    list("$concat", 0, ANY, text::concat),
    list("$indexOfBytes", 2, 4, text::index_of_bytes),
    list("$indexOfCP", 2, 4, text::index_of_chars),
    list("$split", 2, 2, text::split),
    list("$strLenBytes", 1, 1, text::len_bytes),
    list("$strLenCP", 1, 1, text::len_chars),
    list("$strcasecmp", 2, 2, text::case_compare),
    list("$substr", 3, 3, text::substr_bytes),
    list("$substrBytes", 3, 3, text::substr_bytes),
    list("$substrCP", 3, 3, text::substr_chars),
    list("$toLower", 1, 1, text::to_lower),
    list("$toUpper", 1, 1, text::to_upper),
    named("$ltrim", &["input", "?chars"], text::trim_start),
    named("$rtrim", &["input", "?chars"], text::trim_end),
    named("$trim", &["input", "?chars"], text::trim),
    regex("$regexFind", text_regex::find),
    regex("$regexFindAll", text_regex::find_all),
    regex("$regexMatch", text_regex::matches),
    // Types.
    list("$isNumber", 1, 1, convert::is_number),
    list("$toBool", 1, 1, convert::to_bool),
    list("$toDate", 1, 1, convert::to_date),
    list("$toDouble", 1, 1, convert::to_double),
    list("$toInt", 1, 1, convert::to_int),
    list("$toLong", 1, 1, convert::to_long),
    list("$toObjectId", 1, 1, convert::to_object_id),
    list("$toString", 1, 1, convert::to_string),
    list("$type", 1, 1, convert::type_of),
    named("$convert", &["input", "to", "?onError", "?onNull"], convert::convert),
    // Dates.
    date("$dayOfMonth", date::day_of_month),
    date("$dayOfWeek", date::day_of_week),
    date("$dayOfYear", date::day_of_year),
    date("$hour", date::hour),
    date("$isoDayOfWeek", date::iso_day_of_week),
    date("$isoWeek", date::iso_week),
    date("$isoWeekYear", date::iso_week_year),
    date("$millisecond", date::millisecond),
    date("$minute", date::minute),
    date("$month", date::month),
    date("$second", date::second),
    date("$week", date::week),
    date("$year", date::year),
    named("$dateAdd", &["startDate", "unit", "amount", "?timezone"], date::date_add),
    named("$dateDiff", DATE_DIFF, date::date_diff),
    named("$dateFromParts", DATE_PARTS, date::from_parts),
    named("$dateFromString", DATE_TEXT, date::from_text),
    named("$dateSubtract", &["startDate", "unit", "amount", "?timezone"], date::date_subtract),
    named("$dateToParts", &["date", "?timezone", "?iso8601"], date::to_parts),
    named("$dateToString", &["date", "?format", "?timezone", "?onNull"], date::to_text),
];

const DATE_DIFF: &[&str] = &["startDate", "endDate", "unit", "?timezone", "?startOfWeek"];

const DATE_TEXT: &[&str] = &["dateString", "?format", "?timezone", "?onError", "?onNull"];

const DATE_PARTS: &[&str] = &[
    "?year",
    "?month",
    "?day",
    "?isoWeekYear",
    "?isoWeek",
    "?isoDayOfWeek",
    "?hour",
    "?minute",
    "?second",
    "?millisecond",
    "?timezone",
];

#[test]
fn every_operator_is_documented() {
    let names: Vec<&str> = OPERATORS.iter().map(|operator| operator.name).collect();
    crate::testing::check_documented("expressions", &names);
}
