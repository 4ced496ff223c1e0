//! The place in a statement's text where the rows of its step stand, and the same text for many rows at once.

use std::sync::OnceLock;

/// Rows that one statement takes at once, largest first. Each is a text that servers keep prepared, so they are few.
pub(crate) const AT_ONCE: [usize; 2] = [64, 8];

/// Where the parameters of rows stand in a text.
#[derive(Debug)]
pub(crate) struct RowsText {
    /// Where the first row ends, in bytes of the text.
    first_end: usize,
    /// Each further row, with what parts it from the one before.
    further: String,
    /// Whether every row begins with the statement's own parameters; else those stand around the rows.
    pub(crate) repeats_params: bool,
    /// Parameters of the statement that stand before the rows.
    pub(crate) params_before: usize,
    many: [OnceLock<String>; AT_ONCE.len()],
}

// === impl RowsText ===

impl RowsText {
    /// Writes the tuple of `VALUES`.
    pub(crate) fn values(sql: &mut String, columns: &str) -> Result<Self, String> {
        let columns: usize =
            columns.parse().map_err(|_| "{rows:N} says how many columns".to_owned())?;
        let tuple = format!("({})", marks(columns));
        sql.push_str(&tuple);
        Ok(Self::at(sql.len(), format!(", {tuple}"), true, 0))
    }

    /// Writes the rows as a table with these columns, each `name key` or `name number`. A server that joins with a table of
    /// parameters must be told their types; SQLite knows them from the values.
    pub(crate) fn table(sql: &mut String, columns: &str, has_casts: bool) -> Result<Self, String> {
        let params_before = sql.matches('?').count();
        let (mut named, mut further) = (Vec::new(), Vec::new());
        for column in columns.split(',') {
            let (name, kind) =
                column.trim().split_once(' ').ok_or("{rows_as:…} names a column without a kind")?;
            let mark = match (has_casts, kind) {
                (false, "key" | "number") => "?",
                (true, "key") => "CAST(? AS BINARY)",
                (true, "number") => "CAST(? AS SIGNED)",
                _ => return Err(format!("{{rows_as:…}} has no columns of {kind}")),
            };
            named.push(format!("{mark} AS {name}"));
            further.push(mark);
        }
        sql.push_str(&format!("SELECT {}", named.join(", ")));
        let further = format!(" UNION ALL SELECT {}", further.join(", "));
        Ok(Self::at(sql.len(), further, false, params_before))
    }

    fn at(first_end: usize, further: String, repeats_params: bool, params_before: usize) -> Self {
        Self { first_end, further, repeats_params, params_before, many: Default::default() }
    }

    /// The text for as many rows as [`AT_ONCE`] has at place `size`; `sql` is that for one.
    pub(crate) fn many(&self, sql: &str, size: usize) -> &str {
        self.many[size].get_or_init(|| {
            let (begin, end) = sql.split_at(self.first_end);
            format!("{begin}{}{end}", self.further.repeat(AT_ONCE[size] - 1))
        })
    }
}

fn marks(count: usize) -> String {
    vec!["?"; count].join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn many_rows_stand_where_one_stood() {
        let mut sql = "INSERT INTO t VALUES ".to_owned();
        let rows = RowsText::values(&mut sql, "2").unwrap();
        sql.push_str(" -- end");
        let tuples = vec!["(?, ?)"; AT_ONCE[1]].join(", ");
        assert_eq!(rows.many(&sql, 1), format!("INSERT INTO t VALUES {tuples} -- end"));
        let mut sql = "SELECT ? FROM (".to_owned();
        let rows = RowsText::table(&mut sql, "a key, b number", false).unwrap();
        sql.push_str(") r");
        let further = " UNION ALL SELECT ?, ?".repeat(AT_ONCE[1] - 1);
        assert_eq!(rows.many(&sql, 1), format!("SELECT ? FROM (SELECT ? AS a, ? AS b{further}) r"));
        assert_eq!(rows.params_before, 1);
        assert!(RowsText::values(&mut sql, "x").is_err());
        assert!(RowsText::table(&mut sql, "a", true).is_err());
        assert!(RowsText::table(&mut sql, "a date", true).is_err());
    }
}
