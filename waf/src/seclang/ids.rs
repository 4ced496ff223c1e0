//! Ids of rules, alone and in ranges.

use super::target::shown;
use super::{ID_MAX, IDS_MAX, number};

/// One id.
pub(super) fn id(text: &str) -> Result<u64, String> {
    match number(text.as_bytes(), ID_MAX)? {
        0 => Err("no rule has the id 0".into()),
        id => Ok(id),
    }
}

/// Ids and ranges, with spaces or commas between them.
pub(super) fn ranges(text: &str) -> Result<Vec<(u64, u64)>, String> {
    let is_separator = |letter: char| letter.is_ascii_whitespace() || letter == ',';
    let words = text.split(is_separator).filter(|word| !word.is_empty());
    let ranges: Vec<(u64, u64)> = words.take(IDS_MAX + 1).map(range).collect::<Result<_, _>>()?;
    match ranges.len() {
        0 => Err("an id is missing".into()),
        count if count > IDS_MAX => Err(format!("more than {IDS_MAX} ids")),
        _ => Ok(ranges),
    }
}

fn range(word: &str) -> Result<(u64, u64), String> {
    let (first, last) = match word.split_once('-') {
        Some((first, last)) => (id(first)?, id(last)?),
        None => (id(word)?, id(word)?),
    };
    if first > last {
        return Err(format!("the range `{}` ends before it begins", shown(word.as_bytes())));
    }
    Ok((first, last))
}
