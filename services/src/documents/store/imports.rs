//! Statements on imports: how far each is.

use yunzhan_base::Result;
use yunzhan_engine::sql::{Expect, Logical, Row, Value, WriteStep};

use super::{Table, blob, everywhere, step, text};
use crate::columns::Columns;
use crate::documents::import::{Imported, Tail};

const IMPORTS: Logical = Logical("imports");

const IMPORT: &str =
    "SELECT bytes, lines_in, documents, kept, is_done, tail_bytes, tail_sha256 FROM {imports}
     WHERE env = ? AND collection = ? AND name = ?";
const BEGIN: &str =
    "INSERT INTO {imports} (env, collection, name, bytes, lines_in, documents, kept, is_done, tail_bytes, tail_sha256, changed_ms)
     VALUES (?, ?, ?, 0, 0, 0, 0, 0, 0, ?, ?)";
const ADVANCE: &str = "UPDATE {imports}
     SET bytes = ?, lines_in = ?, documents = ?, kept = ?, is_done = ?, tail_bytes = ?,
     tail_sha256 = ?, changed_ms = ?
     WHERE env = ? AND collection = ? AND name = ? AND bytes = ? AND is_done = 0";
const FORGET: &str = "DELETE FROM {imports} WHERE env = ? AND changed_ms < ? AND is_done = 1";

impl Table<'_> {
    /// How far the import of this name is.
    pub(in crate::documents) async fn import(&self, name: &str) -> Result<Option<Imported>> {
        let (place, params) = (everywhere(&[], None), self.params([text(name)]));
        let rows = self.store.read(self.env, place, IMPORT, &[IMPORTS], params).await?;
        rows.into_iter().next().map(imported).transpose()
    }

    /// Begins an import, and forgets those that were done before `forgotten_ms`. Fails as `AlreadyExists` when there is
    /// one of this name.
    pub(in crate::documents) async fn begin_import(
        &self,
        name: &str,
        now_ms: i64,
        forgotten_ms: i64,
    ) -> Result<()> {
        let old = vec![text(self.env.as_str()), Value::Integer(forgotten_ms)];
        let begin =
            self.params([text(name), blob(&Tail::default().sha256), Value::Integer(now_ms)]);
        let steps = vec![
            step(FORGET, &[IMPORTS], old, Expect::Any),
            step(BEGIN, &[IMPORTS], begin, Expect::Rows(1)),
        ];
        self.store.write(self.env, everywhere(&[], None), steps, None).await.map(drop)
    }

    /// The step that moves an import on from `from_bytes`.
    pub(in crate::documents) fn advance_import(
        &self,
        name: &str,
        from_bytes: u64,
        state: Imported,
        now_ms: i64,
    ) -> WriteStep {
        let Imported { bytes, lines, documents, kept, is_done, tail } = state;
        let mut params: Vec<Value> =
            [bytes, lines, documents, kept, is_done.into(), tail.bytes].map(number).into();
        params.extend([blob(&tail.sha256), Value::Integer(now_ms)]);
        params.extend(self.params([text(name), number(from_bytes)]));
        step(ADVANCE, &[IMPORTS], params, Expect::Rows(1))
    }
}

fn imported(row: Row) -> Result<Imported> {
    let mut columns = Columns::from(row);
    let mut number = || columns.integer().map(|number| u64::try_from(number).unwrap_or(0));
    let (bytes, lines, documents, kept) = (number()?, number()?, number()?, number()?);
    let (is_done, tail_bytes) = (number()? != 0, number()?);
    let sha256 = columns.bytes()?.try_into().unwrap_or_default();
    let tail = Tail { bytes: tail_bytes, sha256 };
    Ok(Imported { bytes, lines, documents, kept, is_done, tail })
}

fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
