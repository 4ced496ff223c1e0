//! Sums, averages and spreads, value by value. `$sum`, `$avg`, `$min` and `$max` in an expression and in a group are these.

use bson::Bson;

use super::argument::Arguments;
use super::arithmetic::double;
use super::compare::order;
use crate::error::Result;
use crate::number::Number;

/// A sum that is exact as long as it is of integers, and is as wide as the widest number in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    whole: i128,
    real: f64,
    is_real: bool,
    is_long: bool,
}

impl Sum {
    /// Adds a number. Anything else counts as nothing.
    pub(crate) fn add(&mut self, value: &Bson) {
        self.is_long |= matches!(value, Bson::Int64(_));
        match Number::of(value) {
            // 2^64 numbers would have to be added to overflow this.
            Some(Number::Int(int)) => self.whole += i128::from(int),
            Some(Number::Double(double)) => {
                self.is_real = true;
                self.real += double;
            }
            None => {}
        }
    }

    pub(crate) fn value(&self) -> Bson {
        if self.is_real {
            return Bson::Double(self.whole as f64 + self.real);
        }
        match (i32::try_from(self.whole), i64::try_from(self.whole)) {
            (Ok(int), _) if !self.is_long => Bson::Int32(int),
            (_, Ok(long)) => Bson::Int64(long),
            _ => Bson::Double(self.whole as f64),
        }
    }

    fn double(&self) -> f64 {
        self.whole as f64 + self.real
    }
}

/// The mean of the numbers among some values; null if there are none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mean {
    sum: Sum,
    count: u64,
}

impl Mean {
    pub(crate) fn add(&mut self, value: &Bson) {
        if Number::of(value).is_some() {
            self.sum.add(value);
            self.count += 1;
        }
    }

    pub(crate) fn value(&self) -> Bson {
        match self.count {
            0 => Bson::Null,
            count => Bson::Double(self.sum.double() / count as f64),
        }
    }
}

/// The standard deviation of the numbers among some values, in one pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deviation {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Deviation {
    pub(crate) fn add(&mut self, value: &Bson) {
        let Some(number) = Number::of(value).map(double) else { return };
        self.count += 1;
        let distance = number - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (number - self.mean);
    }

    /// Of a sample of a population if `is_sample`, otherwise of all of it. Null for too few numbers.
    pub(crate) fn value(&self, is_sample: bool) -> Bson {
        let degrees = self.count.saturating_sub(is_sample.into());
        match degrees {
            0 => Bson::Null,
            degrees => Bson::Double((self.squares / degrees as f64).sqrt()),
        }
    }
}

pub(super) fn sum(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let mut sum = Sum::default();
    each(args, |value| sum.add(value))?;
    Ok(Some(sum.value()))
}

pub(super) fn avg(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let mut mean = Mean::default();
    each(args, |value| mean.add(value))?;
    Ok(Some(mean.value()))
}

pub(super) fn std_dev_pop(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let mut deviation = Deviation::default();
    each(args, |value| deviation.add(value))?;
    Ok(Some(deviation.value(false)))
}

pub(super) fn std_dev_samp(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let mut deviation = Deviation::default();
    each(args, |value| deviation.add(value))?;
    Ok(Some(deviation.value(true)))
}

pub(super) fn min(args: &Arguments<'_>) -> Result<Option<Bson>> {
    extreme(args, std::cmp::Ordering::is_lt)
}

pub(super) fn max(args: &Arguments<'_>) -> Result<Option<Bson>> {
    extreme(args, std::cmp::Ordering::is_gt)
}

/// Null and missing values do not take part.
fn extreme(args: &Arguments<'_>, wins: fn(std::cmp::Ordering) -> bool) -> Result<Option<Bson>> {
    let mut best: Option<Bson> = None;
    each(args, |value| {
        let better = best.is_none() || wins(order(Some(value), best.as_ref()));
        if better && !matches!(value, Bson::Null | Bson::Undefined) {
            best = Some(value.clone());
        }
    })?;
    Ok(Some(best.unwrap_or(Bson::Null)))
}

/// A single argument that is an array counts with its items, one of several as a whole.
fn each(args: &Arguments<'_>, mut see: impl FnMut(&Bson)) -> Result<()> {
    match (args.len(), args.get(0)) {
        (1, Some(Bson::Array(items))) => {
            args.meter.step(items.len())?;
            items.iter().for_each(see);
        }
        _ => args.iter().flatten().for_each(&mut see),
    }
    Ok(())
}
