//! How far a server is: a set of global transaction identifiers, as MariaDB and MySQL spell theirs.
//!
//! MariaDB numbers the commits of a *domain* in their order (`0-1-100`: domain, server, number), and so a position is the
//! highest number of each. MySQL numbers those of a *source* (`uuid:1-5:7`), and a set may have gaps.

use std::collections::BTreeMap;
use std::fmt;

/// A set of transactions. Not known is not the same as empty: see [`Position::parse`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position(BTreeMap<Box<str>, Vec<Span>>);

/// Numbers from the first to the second, both included.
type Span = (u64, u64);

// === impl Position ===

impl Position {
    /// Reads either spelling. None where the text is empty or no position: who knows nothing must not be taken for somebody
    /// who needs nothing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut position = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.contains(':') {
                true => position.add_mysql(part)?,
                false => {
                    let (domain, _, number) = mariadb(part)?;
                    position.add(domain, (0, number));
                }
            }
        }
        (!position.0.is_empty()).then_some(position)
    }

    /// The same with the commits of each server apart where the spelling names the server. Two servers that both were written
    /// to count on in one domain, and only so it shows that one lacks what the other has.
    pub(crate) fn parse_by_server(text: &str) -> Option<Self> {
        let mut position = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.contains(':') {
                true => position.add_mysql(part)?,
                false => {
                    let (domain, server, number) = mariadb(part)?;
                    position.add(&format!("{domain}-{server}"), (0, number));
                }
            }
        }
        (!position.0.is_empty()).then_some(position)
    }

    fn add_mysql(&mut self, part: &str) -> Option<()> {
        let mut pieces = part.split(':').map(str::trim);
        let source = pieces.next().filter(|source| !source.is_empty())?;
        // What is no number is a tag, and the numbers after it are counted for themselves.
        let mut key = source.to_ascii_lowercase();
        let mut has_numbers = false;
        for piece in pieces {
            let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
            match (first.parse::<u64>(), last.parse::<u64>()) {
                (Ok(first), Ok(last)) if 0 < first && first <= last => {
                    self.add(&key, (first, last));
                    has_numbers = true;
                }
                _ if piece
                    .bytes()
                    .next()
                    .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_') =>
                {
                    key = format!("{}:{piece}", source.to_ascii_lowercase());
                }
                _ => return None,
            }
        }
        has_numbers.then_some(())
    }

    fn add(&mut self, key: &str, span: Span) {
        let Some(spans) = self.0.get_mut(key) else {
            self.0.insert(key.into(), vec![span]);
            return;
        };
        spans.push(span);
        spans.sort_unstable();
        let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
        for &(first, last) in spans.iter() {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                _ => joined.push((first, last)),
            }
        }
        *spans = joined;
    }

    /// Whether everything of `other` is in this one.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|(key, needed)| {
            let Some(spans) = self.0.get(key) else { return false };
            needed.iter().all(|need| spans.iter().any(|span| span.0 <= need.0 && need.1 <= span.1))
        })
    }

    /// Takes in what `other` has, and for each source everything before it: commits are counted in their order, so that who
    /// has a later one has the earlier ones too, and what is kept stays as small as the number of sources.
    pub(crate) fn raise(&mut self, other: &Self) {
        for (key, spans) in &other.0 {
            let last = spans.iter().map(|span| span.1).max().unwrap_or(0);
            let first = u64::from(key.len() > SHORTEST_UUID);
            self.add(key, (first, last));
        }
    }

    /// Takes in what `other` has.
    pub(crate) fn join(&mut self, other: &Self) {
        for (key, spans) in &other.0 {
            spans.iter().for_each(|span| self.add(key, *span));
        }
    }
}

/// MySQL's sources are UUIDs, and count from 1; MariaDB's domains are two short numbers at the most, and are ranges from 0.
const SHORTEST_UUID: usize = 31;

fn mariadb(text: &str) -> Option<(&str, &str, u64)> {
    let mut pieces = text.split('-');
    let (domain, server, number) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    let is_whole = pieces.next().is_none() && is_number(domain) && is_number(server);
    is_whole.then(|| number.parse().ok()).flatten().map(|number| (domain, server, number))
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, spans)) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            f.write_str(key)?;
            for (first, last) in spans {
                match *first {
                    0 => write!(f, "-{last}")?,
                    first if first == *last => write!(f, ":{first}")?,
                    first => write!(f, ":{first}-{last}")?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn includes(whole: &str, part: &str) -> bool {
        Position::parse(whole).unwrap().includes(&Position::parse(part).unwrap())
    }

    #[test]
    fn positions_of_mariadb_are_numbers_of_a_domain() {
        assert!(includes("0-1-100", "0-1-100"));
        assert!(includes("0-2-101", "0-1-100"));
        assert!(includes("0-1-100,7-1-5", "7-9-5"));
        assert!(!includes("0-1-100", "0-1-101"));
        assert!(!includes("0-1-100", "7-1-1"));
    }

    #[test]
    fn what_one_server_lacks_shows_by_server() {
        let token = Position::parse_by_server("0-1-100").unwrap();
        for (state, has_it) in
            [("0-1-99,0-2-105", false), ("0-1-100,0-2-105", true), ("0-2-9", false)]
        {
            assert_eq!(
                Position::parse_by_server(state).unwrap().includes(&token),
                has_it,
                "{state}"
            );
        }
    }

    #[test]
    fn positions_of_mysql_are_sets_with_gaps() {
        assert!(includes(&format!("{A}:1-5:7, {B}:1-3"), &format!("{A}:7")));
        assert!(!includes(&format!("{A}:1-5:7"), &format!("{A}:6")));
        assert!(!includes(&format!("{A}:1-5:7"), &format!("{A}:5-7")));
        assert!(includes(&format!("{A}:1-5:6-9"), &format!("{A}:2-8")));
        assert!(includes(&format!("{A}:1-5"), &A.to_uppercase().clone().add(":3")));
        assert!(!includes(&format!("{A}:1-5"), &format!("{B}:1")));
        assert!(includes(&format!("{A}:1-5:tag:1-2"), &format!("{A}:tag:2")));
        assert!(!includes(&format!("{A}:1-5:tag:1-2"), &format!("{A}:tag:5")));
    }

    #[test]
    fn nothing_known_is_no_position() {
        for text in [
            "",
            " , ",
            "0-1",
            "0-1-x",
            "0-1-2-3",
            "a-1-2",
            A,
            &format!("{A}:"),
            &format!("{A}:5-3"),
            ":1",
            "x:0",
        ] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
        assert_eq!(Position::parse("0-1-5,nonsense"), None);
    }

    #[test]
    fn a_raised_position_has_what_came_before() {
        let mut floor = Position::default();
        floor.raise(&Position::parse(&format!("{A}:9")).unwrap());
        floor.raise(&Position::parse(&format!("{A}:7")).unwrap());
        assert_eq!(floor.to_string(), format!("{A}:1-9"));
        let mut floor = Position::default();
        floor.raise(&Position::parse("0-1-9").unwrap());
        floor.raise(&Position::parse("0-2-7,3-1-1").unwrap());
        assert_eq!(floor.to_string(), "0-9,3-1");
        assert!(Position::parse("0-1-9,3-1-2").unwrap().includes(&floor));
    }

    use std::ops::Add;
}
