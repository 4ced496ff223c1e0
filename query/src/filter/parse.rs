//! From a filter document to a [`Filter`].

use bson::{Bson, Document};

use super::expression::Computed;
use super::types::Types;
use super::{Comparison, Condition, Filter, ItemFilter, ItemTest, Limits, Members, Pattern, Test};
use crate::compare::{compare, equal};
use crate::error::{Error, Kind, Result};
use crate::geo::{Area, Reach};
use crate::number::Number;
use crate::path::{POSITIONS_MAX, Path};

pub(super) fn parse(document: &Document, limits: &Limits) -> Result<Filter> {
    Parser::new(limits).filter(document)
}

/// Parses a filter that is asked about items, without a budget.
pub(super) fn parse_for_items(document: &Document, limits: &Limits) -> Result<Filter> {
    Parser { unmetered: true, items: 1, ..Parser::new(limits) }.filter(document)
}

impl ItemFilter {
    /// Parses the operand of `$elemMatch`: the same, but an item that is an array counts as a whole.
    pub(crate) fn of_item(condition: &Document) -> Result<Self> {
        let limits = Limits::default();
        let mut parser = Parser { unmetered: true, ..Parser::new(&limits) };
        Ok(Self { test: parser.item_test(condition)?, through_arrays: false })
    }

    /// Parses the operand of `$pull`: operators test items, a document without operators is a filter on items that are
    /// documents, anything else must be equal.
    pub(crate) fn parse(operand: &Bson) -> Result<Self> {
        let limits = Limits::default();
        let mut parser = Parser { unmetered: true, ..Parser::new(&limits) };
        match operand {
            Bson::Document(document) => {
                Ok(Self { test: parser.item_test(document)?, through_arrays: true })
            }
            other => {
                let test = ItemTest::Value(parser.tests(other)?);
                Ok(Self { test, through_arrays: false })
            }
        }
    }
}

struct Parser<'l> {
    limits: &'l Limits,
    depth: usize,
    conditions: usize,
    values: usize,
    patterns: usize,
    /// How many conditions on items are around this one: what is about whole documents may not stand in one.
    items: usize,
    /// How many conditions are around this one that are not about every match: where no distance can order.
    branches: usize,
    nears: usize,
    /// What is asked without a budget may hold nothing that needs one.
    unmetered: bool,
    /// Positions in the paths from the outermost filter to here.
    positions: usize,
}

impl<'l> Parser<'l> {
    fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            depth: 0,
            conditions: 0,
            values: 0,
            patterns: 0,
            items: 0,
            branches: 0,
            nears: 0,
            unmetered: false,
            positions: 0,
        }
    }

    fn filter(&mut self, document: &Document) -> Result<Filter> {
        self.enter()?;
        let mut filter = Filter::all();
        for (key, operand) in document {
            self.count_conditions(1)?;
            let part = if key.starts_with('$') {
                self.logical(key, operand)
            } else {
                self.field(key, operand)
            };
            filter = filter.and(part?);
        }
        self.depth -= 1;
        Ok(filter)
    }

    fn logical(&mut self, operator: &str, operand: &Bson) -> Result<Filter> {
        match operator {
            "$and" | "$or" | "$nor" => {}
            "$expr" => return self.expression(operand),
            "$jsonSchema" => return self.schema(operand),
            "$comment" => return Ok(Filter::all()),
            _ => return Err(Error::unknown_operator(operator)),
        }
        let optional = usize::from(operator != "$and");
        self.branches += optional;
        let parts = self.parts(operand).map_err(|error| error.operator(operator.to_owned()))?;
        self.branches -= optional;
        Ok(match operator {
            "$and" => parts.into_iter().fold(Filter::all(), Filter::and),
            "$or" => Filter { conditions: vec![Condition::Or(parts)] },
            _ => Filter { conditions: vec![Condition::Nor(parts)] },
        })
    }

    fn parts(&mut self, operand: &Bson) -> Result<Vec<Filter>> {
        let items = operand.as_array().filter(|items| !items.is_empty());
        let items = items.ok_or_else(|| Error::value("needs an array with at least one filter"))?;
        items
            .iter()
            .map(|item| {
                self.filter(
                    item.as_document()
                        .ok_or_else(|| Error::value("each item must be a document"))?,
                )
            })
            .collect()
    }

    /// `$jsonSchema`, of which `required` alone is offered: fields that must be there.
    fn schema(&mut self, operand: &Bson) -> Result<Filter> {
        let refused = |message: &'static str| Error::value(message).operator("$jsonSchema");
        let schema = operand.as_document().ok_or_else(|| refused("needs a document"))?;
        if let Some(other) = schema.keys().find(|key| *key != "required") {
            return Err(refused("knows required alone").at(other));
        }
        let names = schema.get("required").and_then(Bson::as_array);
        let names = names.ok_or_else(|| refused("needs required, a list of names"))?;
        self.count_conditions(names.len())?;
        let mut filter = Filter::all();
        for name in names {
            let name = name.as_str().ok_or_else(|| refused("needs required, a list of names"))?;
            filter = filter.and(Filter::field(Path::parse(name)?, Test::Exists(true)));
        }
        Ok(filter)
    }

    fn expression(&self, operand: &Bson) -> Result<Filter> {
        if self.items > 0 {
            return Err(misplaced_expression());
        }
        let computed = Computed::parse(operand).map_err(|error| error.operator("$expr"))?;
        Ok(Filter { conditions: vec![Condition::Expression(computed)] })
    }

    fn field(&mut self, key: &str, operand: &Bson) -> Result<Filter> {
        let path = Path::parse(key)?;
        if let Some(expression) = lone_expression(operand) {
            return self.expression(expression).map_err(|error| error.at(&path));
        }
        // Positions in nested paths multiply their ways just as those in one path do.
        self.positions += path.positions();
        if self.positions > POSITIONS_MAX {
            let message = format!("nested field paths have over {POSITIONS_MAX} positions");
            return Err(Error::new(Kind::InvalidPath, message).at(&path));
        }
        let tests = self.tests(operand).map_err(|error| error.at(&path))?;
        self.positions -= path.positions();
        Ok(Filter { conditions: vec![Condition::Field(path, tests)] })
    }

    /// The tests that stand for the value of a field: operators, a pattern, or equality.
    fn tests(&mut self, operand: &Bson) -> Result<Vec<Test>> {
        match operand {
            Bson::Document(document) if has_operators(document) => self.operators(document),
            Bson::RegularExpression(regex) => Ok(vec![Test::Pattern(
                self.pattern(regex.pattern.as_str(), regex.options.as_str())?,
            )]),
            value => Ok(vec![Test::Equal(value.clone())]),
        }
    }

    fn operators(&mut self, document: &Document) -> Result<Vec<Test>> {
        self.enter()?;
        let mut tests = Vec::with_capacity(document.len());
        for (operator, operand) in document {
            self.count_conditions(1)?;
            let test = self.operator(operator, operand, document);
            tests.extend(test.map_err(|error| error.operator(operator.clone()))?);
        }
        self.depth -= 1;
        Ok(tests)
    }

    /// One operator; `None` for `$options`, which is a part of `$regex`.
    fn operator(
        &mut self,
        operator: &str,
        operand: &Bson,
        siblings: &Document,
    ) -> Result<Option<Test>> {
        let compare = |comparison| Test::Compare(comparison, operand.clone());
        Ok(Some(match operator {
            "$eq" => Test::Equal(operand.clone()),
            "$ne" => Test::Not(vec![Test::Equal(not_a_pattern(operand)?.clone())]),
            "$gt" => compare(Comparison::Greater),
            "$gte" => compare(Comparison::GreaterOrEqual),
            "$lt" => compare(Comparison::Less),
            "$lte" => compare(Comparison::LessOrEqual),
            "$in" => Test::In(self.members(operand)?),
            "$nin" => Test::Not(vec![Test::In(self.members(operand)?)]),
            "$exists" => Test::Exists(truth(operand)?),
            "$regex" => Test::Pattern(self.regex(operand, siblings.get("$options"))?),
            "$options" if siblings.contains_key("$regex") => return Ok(None),
            "$options" => return Err(Error::value("stands without $regex")),
            "$not" => Test::Not(self.within_branch(|parser| parser.negated(operand))?),
            "$type" => Test::Type(Types::parse(operand)?),
            "$mod" => remainder(operand)?,
            "$size" => Test::Size(size(operand)?),
            "$all" => Test::All(self.within_branch(|parser| parser.all(operand))?),
            "$elemMatch" => {
                let document = document(operand)?;
                Test::Item(self.within_branch(|parser| parser.item_test(document))?)
            }
            "$geoWithin" => Test::Within(Box::new(self.area(Area::parse_within(operand)?)?)),
            "$geoIntersects" => {
                Test::Intersects(Box::new(self.area(Area::parse_intersects(operand)?)?))
            }
            "$near" | "$nearSphere" => Test::Near(self.near(operand, siblings)?),
            "$maxDistance" | "$minDistance" if is_near(siblings) => return Ok(None),
            "$maxDistance" | "$minDistance" => {
                return Err(Error::value("stands without $near or $nearSphere"));
            }
            "$expr" => return Err(misplaced_expression()),
            other => return Err(Error::unknown_operator(other)),
        }))
    }

    /// Parses what not every match need fulfil as it stands.
    fn within_branch<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.branches += 1;
        let parsed = parse(self)?;
        self.branches -= 1;
        Ok(parsed)
    }

    /// An area counts with its corners, each of which is looked at as a value is.
    fn area(&mut self, area: Area) -> Result<Area> {
        if self.unmetered {
            let message = "cannot stand in a condition on items outside of a filter";
            return Err(Error::new(Kind::InvalidOperator, message));
        }
        self.count_values(area.corners())?;
        Ok(area)
    }

    fn near(&mut self, operand: &Bson, siblings: &Document) -> Result<Reach> {
        let refused = |message| Err(Error::new(Kind::InvalidOperator, message));
        if self.branches > 0 || self.unmetered {
            return refused("orders the results, so it may stand only at the top or in $and");
        }
        self.nears += 1;
        if self.nears > 1 {
            return refused("orders the results, so a filter has at most one");
        }
        Reach::parse(operand, siblings)
    }

    fn members(&mut self, operand: &Bson) -> Result<Members> {
        let items = operand.as_array().ok_or_else(|| Error::value("needs an array"))?;
        self.count_values(items.len())?;
        let mut values = Vec::with_capacity(items.len());
        let mut patterns = Vec::new();
        for item in items {
            match item {
                Bson::RegularExpression(regex) => {
                    patterns.push(self.pattern(regex.pattern.as_str(), regex.options.as_str())?);
                }
                Bson::Document(document) if has_operators(document) => {
                    return Err(Error::value("an item may not be an operator"));
                }
                value => values.push(value.clone()),
            }
        }
        Ok(Members::new(values, patterns))
    }

    fn negated(&mut self, operand: &Bson) -> Result<Vec<Test>> {
        match operand {
            Bson::RegularExpression(_) => self.tests(operand),
            Bson::Document(document) if has_operators(document) => self.operators(document),
            _ => Err(Error::value("needs an operator or a regular expression")),
        }
    }

    fn all(&mut self, operand: &Bson) -> Result<Vec<Test>> {
        let items = operand.as_array().ok_or_else(|| Error::value("needs an array"))?;
        self.count_conditions(items.len())?;
        let mut tests = Vec::with_capacity(items.len());
        for item in items {
            match item.as_document() {
                Some(document)
                    if has_operators(document) && !document.contains_key("$elemMatch") =>
                {
                    return Err(Error::value("of all operators only $elemMatch may stand here"));
                }
                _ => tests.extend(self.tests(item)?),
            }
        }
        Ok(tests)
    }

    fn item_test(&mut self, document: &Document) -> Result<ItemTest> {
        let logical = document
            .keys()
            .next()
            .is_some_and(|key| matches!(key.as_str(), "$and" | "$or" | "$nor"));
        if has_operators(document) && !logical {
            return self.operators(document).map(ItemTest::Value);
        }
        self.items += 1;
        let filter = self.filter(document)?;
        self.items -= 1;
        Ok(ItemTest::Document(filter))
    }

    fn regex(&mut self, operand: &Bson, options: Option<&Bson>) -> Result<Pattern> {
        let (pattern, own_options) = match operand {
            Bson::String(pattern) => (pattern.as_str(), ""),
            Bson::RegularExpression(regex) => (regex.pattern.as_str(), regex.options.as_str()),
            _ => return Err(Error::value("needs a string or a regular expression")),
        };
        match options {
            None => self.pattern(pattern, own_options),
            Some(Bson::String(options)) => self.pattern(pattern, options),
            Some(_) => Err(Error::value("needs a string").operator("$options")),
        }
    }

    fn pattern(&mut self, pattern: &str, options: &str) -> Result<Pattern> {
        self.patterns += 1;
        if self.patterns > self.limits.patterns_max {
            let message =
                format!("filter has over {} regular expressions", self.limits.patterns_max);
            return Err(Error::new(Kind::TooLarge, message));
        }
        if pattern.len() > self.limits.pattern_bytes_max {
            let message =
                format!("regular expression is over {} bytes long", self.limits.pattern_bytes_max);
            return Err(Error::new(Kind::TooLarge, message));
        }
        Pattern::new(pattern, options)
    }

    fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > self.limits.depth_max {
            return Err(Error::new(
                Kind::TooDeep,
                format!("filter nests deeper than {}", self.limits.depth_max),
            ));
        }
        Ok(())
    }

    fn count_conditions(&mut self, count: usize) -> Result<()> {
        self.conditions += count;
        if self.conditions > self.limits.conditions_max {
            let message = format!("filter has over {} conditions", self.limits.conditions_max);
            return Err(Error::new(Kind::TooLarge, message));
        }
        Ok(())
    }

    fn count_values(&mut self, count: usize) -> Result<()> {
        self.values += count;
        if self.values > self.limits.values_max {
            return Err(Error::new(
                Kind::TooLarge,
                format!("filter lists over {} values", self.limits.values_max),
            ));
        }
        Ok(())
    }
}

impl Members {
    pub(super) fn new(mut values: Vec<Bson>, patterns: Vec<Pattern>) -> Self {
        values.sort_by(compare);
        values.dedup_by(|a, b| equal(a, b));
        Self { values, patterns }
    }
}

/// MongoDB decides by the first key.
fn has_operators(document: &Document) -> bool {
    document.keys().next().is_some_and(|key| key.starts_with('$'))
}

fn is_near(siblings: &Document) -> bool {
    siblings.contains_key("$near") || siblings.contains_key("$nearSphere")
}

/// The clients write `$expr` below a field, though it is about the whole document.
fn lone_expression(operand: &Bson) -> Option<&Bson> {
    operand.as_document().filter(|document| document.len() == 1)?.get("$expr")
}

fn misplaced_expression() -> Error {
    let message =
        "stands for the whole document: alone below a field or beside fields, not on items";
    Error::new(Kind::InvalidOperator, message).operator("$expr")
}

fn document(operand: &Bson) -> Result<&Document> {
    operand.as_document().ok_or_else(|| Error::value("needs a document"))
}

fn not_a_pattern(operand: &Bson) -> Result<&Bson> {
    match operand {
        Bson::RegularExpression(_) => {
            Err(Error::value("cannot take a regular expression, use $not"))
        }
        value => Ok(value),
    }
}

fn truth(operand: &Bson) -> Result<bool> {
    match (operand, Number::of(operand)) {
        (Bson::Boolean(truth), _) => Ok(*truth),
        (_, Some(number)) => Ok(number.compare(Number::Int(0)).is_ne()),
        _ => Err(Error::value("needs true or false")),
    }
}

fn size(operand: &Bson) -> Result<usize> {
    let size = Number::of(operand).and_then(Number::integer);
    size.and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| Error::value("needs a whole number from 0"))
}

fn remainder(operand: &Bson) -> Result<Test> {
    let number = |item: &Bson| Number::of(item).and_then(Number::truncate);
    let numbers = match operand.as_array().map(Vec::as_slice) {
        Some([divisor, remainder]) => number(divisor).zip(number(remainder)),
        _ => None,
    };
    match numbers {
        Some((0, _)) => Err(Error::value("divisor must not be 0")),
        Some((divisor, remainder)) => Ok(Test::Remainder { divisor, remainder }),
        None => Err(Error::value("needs an array of two numbers, divisor and remainder")),
    }
}
