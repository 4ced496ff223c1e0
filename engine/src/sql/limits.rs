//! Bounds that every backend keeps, and the checks that make backends refuse the same things.

use yunzhan_base::{Error, Kind, Result};

use super::{Expect, Key, ShardLocation, Statement, Value, WriteBatch, WriteStep};

/// The longest idempotency key, in characters: a column of both dialects.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;
/// How long the answer of a unit with an idempotency key is remembered at least. Clients give up retrying far earlier.
pub const IDEMPOTENCY_AGE_MS: i64 = 24 * 60 * 60 * 1000;
/// How often forgotten answers are swept, by the clock of the engine.
pub(crate) const SWEEP_EVERY_MS: i64 = 60 * 1000;
/// How soon a sweep that left some for the next is followed by it.
const SWEEP_AGAIN_MS: i64 = 1000;
/// Forgotten answers that one sweep deletes, so that no unit waits long behind it.
pub(crate) const SWEEP_ROWS_MAX: u32 = 10_000;
/// Rows that the steps of one unit are done for, a step without rows counting as one. It is one commit, for which everybody else who writes to that database waits; whoever makes units of
/// what clients send keeps to a lower bound of their own.
pub const UNIT_ROWS_MAX: usize = 100_000;
/// Bytes that the parameters of one unit hold: units wait in memory, and nothing that one of them needs is as large.
pub const UNIT_BYTES_MAX: usize = 64 << 20;
/// The values of one answer together: a result that must be held whole may not eat the process.
pub const RESULT_BYTES_MAX: usize = 64 << 20;

/// The most rows that `place` lets a read answer.
pub(crate) fn rows_max(place: &ShardLocation) -> usize {
    match &place.key {
        Key::All(merge) => {
            merge.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
        }
        Key::Slot(_) => usize::MAX,
    }
}

/// The moment that counts as the one of a sweep at `now_ms` which deleted so many rows: the next comes
/// [`SWEEP_EVERY_MS`] after it, and after a full one a second from now, so that answers never come faster than they go.
pub(crate) fn swept_ms(now_ms: i64, rows: u64) -> i64 {
    match rows < u64::from(SWEEP_ROWS_MAX) {
        true => now_ms,
        false => now_ms - SWEEP_EVERY_MS + SWEEP_AGAIN_MS,
    }
}

pub(crate) fn too_large() -> Error {
    let mib = RESULT_BYTES_MAX >> 20;
    Error::new(Kind::TooLarge, format!("the answer is over {mib} MiB; ask for fewer rows"))
}

/// A counter is one row: a unit whose counter is not there, or several, writes nothing.
pub(crate) fn check_taken(changed: u64) -> Result<()> {
    Expect::Rows(1).check(changed)
}

/// The fault of a unit that binds a number which none of its steps took.
pub(crate) fn nothing_taken(counter: usize) -> Error {
    Error::internal(format!("no step of the unit took a number {counter}"))
}

/// The bytes that a unit holds while it waits.
pub(crate) fn bytes_of(unit: &WriteBatch) -> usize {
    let values = unit.steps.iter().flat_map(WriteStep::values);
    values.map(|value| size_of::<Value>() + heap_bytes(value)).sum()
}

/// The bytes of a value besides its place in a list.
pub(crate) fn heap_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        Value::Null | Value::Integer(_) | Value::Real(_) | Value::Taken(_) => 0,
    }
}

/// Refuses what one of the backends could not keep.
pub(crate) fn check_unit(unit: &WriteBatch) -> Result<()> {
    if let Some(key) = &unit.idempotency
        && (key.is_empty() || key.chars().count() > IDEMPOTENCY_KEY_CHARS_MAX)
    {
        return Err(Error::new(
            Kind::InvalidParameter,
            format!("an idempotency key has 1 to {IDEMPOTENCY_KEY_CHARS_MAX} characters"),
        ));
    }
    let rows: usize = unit.steps.iter().map(WriteStep::row_count).sum();
    if rows > UNIT_ROWS_MAX || bytes_of(unit) > UNIT_BYTES_MAX {
        let mib = UNIT_BYTES_MAX >> 20;
        let message = format!(
            "a unit of writing has at most {UNIT_ROWS_MAX} rows of {mib} MiB; write less at once"
        );
        return Err(Error::new(Kind::TooLarge, message));
    }
    check_values(unit.steps.iter().flat_map(WriteStep::values))
}

/// MySQL has no infinities, and SQLite turns "not a number" into null.
pub(crate) fn check_statement(statement: &Statement) -> Result<()> {
    check_values(statement.params.iter())
}

fn check_values<'v>(mut values: impl Iterator<Item = &'v Value>) -> Result<()> {
    let is_finite = |value: &Value| !matches!(value, Value::Real(number) if !number.is_finite());
    if values.all(is_finite) {
        return Ok(());
    }
    Err(Error::new(Kind::InvalidParameter, "a number to store must be finite"))
}

/// How the changes of each step are remembered: `1,0,2`.
pub(crate) fn changed_text(changed: &[u64]) -> String {
    let counts: Vec<String> = changed.iter().map(u64::to_string).collect();
    counts.join(",")
}

/// Reads what [`changed_text`] wrote.
pub(crate) fn changed_from(text: &str) -> Result<Vec<u64>> {
    let counts = text.split(',').filter(|count| !count.is_empty());
    let counts: Result<Vec<u64>, _> = counts.map(str::parse).collect();
    counts.map_err(|error| Error::internal("a remembered answer is broken").because(error))
}

// === impl Expect ===

impl Expect {
    /// Whether a step did what its unit counts on.
    pub(crate) fn check(self, changed: u64) -> Result<()> {
        match self {
            Self::Rows(rows) if rows != changed => {
                Err(Error::new(Kind::Conflict, Kind::Conflict.entry().en)
                    .with_detail(format!("a step changed {changed} rows instead of {rows}")))
            }
            Self::Rows(_) | Self::Any => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;
    use crate::sql::StepRows;

    #[test]
    fn remembered_changes_come_back() {
        for changed in [vec![], vec![0], vec![1, 0, 250]] {
            assert_eq!(changed_from(&changed_text(&changed)).unwrap(), changed);
        }
        assert!(changed_from("1,x").is_err());
    }

    #[test]
    fn a_unit_has_an_end_in_rows_and_in_bytes() {
        let step = |bytes: usize| {
            let params = vec![Value::Blob(vec![0; bytes])];
            WriteStep::once(Statement { sql: "", tables: &[], params }, Expect::Any)
        };
        let many = |rows: usize, bytes: usize| {
            let mut step = WriteStep { rows: StepRows::new(1), ..step(0) };
            (0..rows).for_each(|_| step.rows.push([Value::Blob(vec![0; bytes])]));
            vec![step]
        };
        let kind = |steps: Vec<WriteStep>| {
            check_unit(&WriteBatch { steps, idempotency: None }).map_err(|error| error.kind())
        };
        assert_eq!(kind(vec![step(0); UNIT_ROWS_MAX]), Ok(()));
        assert_eq!(kind(vec![step(0); UNIT_ROWS_MAX + 1]), Err(Kind::TooLarge));
        assert_eq!(kind(many(UNIT_ROWS_MAX, 0)), Ok(()));
        assert_eq!(kind(many(UNIT_ROWS_MAX + 1, 0)), Err(Kind::TooLarge));
        assert_eq!(kind(many(2, UNIT_BYTES_MAX / 2)), Err(Kind::TooLarge));
        assert_eq!(kind(vec![step(UNIT_BYTES_MAX / 2)]), Ok(()));
        assert_eq!(kind(vec![step(UNIT_BYTES_MAX / 2); 2]), Err(Kind::TooLarge));
    }

    #[test]
    fn keys_are_bounded() {
        let keyed = |key: &str| WriteBatch { steps: vec![], idempotency: Some(key.to_owned()) };
        assert!(check_unit(&keyed(&"é".repeat(255))).is_ok());
        assert!(check_unit(&keyed(&"é".repeat(256))).is_err());
        assert!(check_unit(&keyed("")).is_err());
    }
}
