//! Who wrote last at which position, as far as this server did it: what a replica must have before it may answer them.
//!
//! The table is bounded. What falls out of it raises the *floor*, which a replica must have for anybody: so a full table
//! asks for more than it has to, and never for less.

use std::collections::{HashMap, VecDeque};

use super::position::Position;
use crate::sql::{Token, Who};

/// People whose last write is known by itself. The oldest of them wrote seconds ago where a thousand write in a second, and
/// a replica that is read from is fifty milliseconds behind: the floor costs nobody a read. About 2 MB.
pub(super) const WRITERS_MAX: usize = 16_384;

/// The last writes of this server.
#[derive(Default)]
pub(super) struct Writers {
    last: HashMap<Who, Last>,
    /// Who wrote, in order; an entry whose number is not the person's last is stale.
    order: VecDeque<(Who, u64)>,
    next: u64,
    /// What a replica must have for anybody.
    floor: Position,
    /// Writes whose position is not known, counted; and how many of those the floor has meanwhile.
    unknown: u64,
    settled: u64,
}

struct Last {
    number: u64,
    token: Token,
}

/// What a replica must have applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// At least this; an empty one is nothing.
    Position(Position),
    /// Something was written at a position that nobody knows yet.
    Unknown,
}

// === impl Writers ===

impl Writers {
    /// Takes note of an acknowledged write; of nobody's, when it is not known whose it was, and so of everybody's.
    pub(super) fn note(&mut self, who: Option<Who>, token: &Token) {
        let Some(position) = Position::parse(&token.0) else {
            self.unknown += 1;
            return;
        };
        let Some(who) = who else {
            self.floor.raise(&position);
            return;
        };
        self.next += 1;
        self.last.insert(who, Last { number: self.next, token: token.clone() });
        self.order.push_back((who, self.next));
        self.make_room();
    }

    fn make_room(&mut self) {
        // Stale entries go as they come to the front; where few write much, they must not pile up behind one who does not.
        while self.last.len() > WRITERS_MAX || self.order.len() > 2 * WRITERS_MAX {
            let Some((who, number)) = self.order.pop_front() else { return };
            if self.last.get(&who).is_some_and(|last| last.number == number)
                && let Some(last) = self.last.remove(&who)
                && let Some(position) = Position::parse(&last.token.0)
            {
                self.floor.raise(&position);
            }
        }
    }

    /// What this person's reads need, as far as this server knows.
    pub(super) fn needs(&self, who: Who) -> Needs {
        if self.settled < self.unknown {
            return Needs::Unknown;
        }
        let mut needed = self.floor.clone();
        if let Some(position) = self.last.get(&who).and_then(|last| Position::parse(&last.token.0))
        {
            needed.join(&position);
        }
        Needs::Position(needed)
    }

    /// How many writes had no position so far; to be asked before a position of the primary is, and given to [`Self::settle`].
    pub(super) fn unknown(&self) -> u64 {
        self.unknown
    }

    /// The primary was at `position` after the first `unknown` writes without a position were acknowledged.
    pub(super) fn settle(&mut self, unknown: u64, position: &Position) {
        if unknown > self.settled {
            self.floor.raise(position);
            self.settled = unknown;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn token(number: u64) -> Token {
        Token(format!("0-1-{number}"))
    }

    fn needs(writers: &Writers, who: u64) -> String {
        match writers.needs(Who(who)) {
            Needs::Position(position) => position.to_string(),
            Needs::Unknown => "?".to_owned(),
        }
    }

    #[test]
    fn each_person_needs_their_own_last_write() {
        let mut writers = Writers::default();
        writers.note(Some(Who(1)), &token(5));
        writers.note(Some(Who(2)), &token(6));
        writers.note(Some(Who(1)), &token(7));
        assert_eq!([1, 2, 3].map(|who| needs(&writers, who)), ["0-7", "0-6", ""]);
    }

    #[test]
    fn a_write_of_nobody_is_needed_by_everybody() {
        let mut writers = Writers::default();
        writers.note(Some(Who(1)), &token(5));
        writers.note(None, &token(9));
        assert_eq!([1, 2].map(|who| needs(&writers, who)), ["0-9", "0-9"]);
    }

    #[test]
    fn a_full_table_asks_for_more_and_never_for_less() {
        let mut writers = Writers::default();
        let many = WRITERS_MAX as u64 + 100;
        (1..=many).for_each(|who| writers.note(Some(Who(who)), &token(who)));
        assert_eq!(writers.last.len(), WRITERS_MAX);
        assert_eq!(needs(&writers, 1), "0-100");
        assert_eq!(needs(&writers, 101), "0-101");
        assert_eq!(needs(&writers, many + 1), "0-100");
        // One person who writes all the time does not push the others out, and nothing grows.
        (1..10 * many).for_each(|number| writers.note(Some(Who(7)), &token(many + number)));
        assert!(writers.order.len() <= 2 * WRITERS_MAX);
        let mut floor = needs(&writers, many + 1);
        assert!(floor.split_off(2).parse::<u64>().unwrap() >= 100);
    }

    #[test]
    fn a_write_without_a_position_waits_for_the_primary_s() {
        let mut writers = Writers::default();
        writers.note(Some(Who(1)), &Token::default());
        assert_eq!(needs(&writers, 2), "?");
        let before = writers.unknown();
        writers.note(None, &Token("nonsense".to_owned()));
        writers.settle(before, &Position::parse("0-1-50").unwrap());
        assert_eq!(needs(&writers, 2), "?", "the second came after the question");
        writers.settle(writers.unknown(), &Position::parse("0-1-60").unwrap());
        assert_eq!(needs(&writers, 2), "0-60");
    }
}
