//! Tables, facts and spans of time, as people read them.

use serde_json::Value;

/// Rows under headings, columns as wide as their widest cell.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = headings.iter().map(|&heading| heading.to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&heading).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| columns(&line[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let render = |line: &&Vec<String>| {
        let cells = line.iter().zip(&widths);
        let padded =
            cells.map(|(cell, width)| format!("{cell}{}", " ".repeat(width - columns(cell))));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines.iter().map(render).collect()
}

/// One fact a line, each behind its name.
pub fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| columns(name)).max().unwrap_or(0);
    let line = |(name, fact): &(&str, String)| {
        format!("{name}{}  {fact}\n", " ".repeat(width - columns(name)))
    };
    facts.iter().map(line).collect()
}

/// A span of time in its largest unit, for people: `850ms`, `3.5s`, `48m`, `2h`, `3d`. One that is negative, because two
/// clocks differ, is none.
pub fn age(span_ms: i64) -> String {
    const SECOND_MS: i64 = 1000;
    const MINUTE_MS: i64 = 60 * SECOND_MS;
    const HOUR_MS: i64 = 60 * MINUTE_MS;
    const DAY_MS: i64 = 24 * HOUR_MS;
    match span_ms.max(0) {
        0 => "0s".to_owned(),
        span_ms @ ..SECOND_MS => format!("{span_ms}ms"),
        span_ms @ ..10_000 if span_ms % SECOND_MS >= 100 => {
            format!("{}.{}s", span_ms / SECOND_MS, span_ms % SECOND_MS / 100)
        }
        span_ms @ ..MINUTE_MS => format!("{}s", span_ms / SECOND_MS),
        span_ms @ ..HOUR_MS => format!("{}m", span_ms / MINUTE_MS),
        span_ms @ ..DAY_MS => format!("{}h", span_ms / HOUR_MS),
        span_ms => format!("{}d", span_ms / DAY_MS),
    }
}

/// Columns of a terminal; what is not ASCII in our tables is Chinese and takes two.
fn columns(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum()
}

/// The text under a name; `-` where there is none.
pub fn word(object: &Value, name: &str) -> String {
    object[name].as_str().filter(|word| !word.is_empty()).unwrap_or("-").to_owned()
}

/// The texts of a list under a name, with blanks between; `-` where there are none.
pub fn words(object: &Value, name: &str) -> String {
    let list = object[name].as_array().map_or(&[][..], Vec::as_slice);
    let words: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_their_headings() {
        let rows = [vec!["demo".into(), "-".into()], vec!["商店".into(), "wx1".into()]];
        assert_eq!(table(&["id", "appid"], &rows), "id    appid\ndemo  -\n商店  wx1\n");
    }

    #[test]
    fn spans_of_time_are_short() {
        for (span_ms, text) in [
            (-5, "0s"),
            (0, "0s"),
            (850, "850ms"),
            (3550, "3.5s"),
            (59_999, "59s"),
            (3_599_999, "59m"),
            (7_200_000, "2h"),
            (86_400_000 * 3, "3d"),
        ] {
            assert_eq!(age(span_ms), text);
        }
    }

    #[test]
    fn facts_stand_in_a_column() {
        let some = [("索引", "by_age".to_owned()), ("unique", "no".to_owned())];
        assert_eq!(facts(&some), "索引    by_age\nunique  no\n");
    }
}
