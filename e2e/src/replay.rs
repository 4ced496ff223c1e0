//! What somebody knows who has read a change log from its beginning, and whether all of it fits together.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use yunzhan_services::documents::{ChangeKind, LoggedChange, Position};

use crate::change_log::DocumentVersion;

/// A reader of the log.
#[derive(Debug)]
pub struct Replay {
    /// Behind what the log begins.
    oldest: Position,
    /// The place of the last change of each slot group.
    last: BTreeMap<usize, (i64, i64)>,
    /// The version of each document that changed; none of one that is gone.
    versions: BTreeMap<(i64, Vec<u8>), Option<i64>>,
    /// How many documents were found of each range: by collection, group and sequence.
    loads: BTreeMap<(i64, usize, i64), usize>,
}

// === impl Replay ===

impl Replay {
    /// Nothing is known of what was written up to here.
    pub fn after(oldest: &Position) -> Self {
        let (last, versions, loads) = <(BTreeMap<_, _>, BTreeMap<_, _>, BTreeMap<_, _>)>::default();
        Self { oldest: oldest.clone(), last, versions, loads }
    }

    /// Takes the next change.
    ///
    /// # Errors
    /// When it does not follow in its slot group, or did not find what the change before it left of its document.
    pub fn take(&mut self, change: &LoggedChange) -> Result<()> {
        self.follow(change).with_context(|| {
            let LoggedChange { collection, kind, key, place, previous, .. } = change;
            format!(
                "{kind:?} at {place:?} of document {} in {collection}, which was at {previous}",
                hex::encode(key)
            )
        })
    }

    fn follow(&mut self, change: &LoggedChange) -> Result<()> {
        let (group, sequence, ordinal) = change.place;
        let (last, last_ordinal) =
            self.last.insert(group, (sequence, ordinal)).unwrap_or((self.oldest.of(group), -1));
        let is_same_batch = sequence == last && last_ordinal >= 0 && ordinal == last_ordinal + 1;
        let is_next_batch = sequence == last + 1 && ordinal == 0;
        ensure!(is_same_batch || is_next_batch, "it comes after {:?}", (group, last, last_ordinal));
        let found_one = change.previous > 0;
        ensure!(change.before_image.is_some() == found_one, "its before-image does not fit");
        let needs_one = matches!(change.kind, ChangeKind::Update | ChangeKind::Remove);
        ensure!(needs_one == found_one, "its kind does not fit");
        if change.kind == ChangeKind::Load {
            ensure!(change.key.is_empty(), "a load names a document");
            self.loads.insert((change.collection, group, sequence), 0);
            return Ok(());
        }
        let left = match change.kind {
            ChangeKind::Remove => None,
            _ => Some(sequence),
        };
        match self.versions.insert((change.collection, change.key.clone()), left) {
            Some(known) => ensure!(known.unwrap_or(0) == change.previous, "{known:?} was left"),
            None if found_one => self.is_explained(change.collection, group, change.previous)?,
            None => {}
        }
        Ok(())
    }

    /// A version without a change of its document is older than the log, or one of a load.
    fn is_explained(&mut self, collection: i64, group: usize, version: i64) -> Result<()> {
        if let Some(found) = self.loads.get_mut(&(collection, group, version)) {
            *found += 1;
            return Ok(());
        }
        let oldest = self.oldest.of(group);
        ensure!(
            version <= oldest,
            "no change explains version {version}; the log begins after {oldest}"
        );
        Ok(())
    }

    /// Holds what the log left against where its counters stand and what documents are there.
    ///
    /// # Errors
    /// When a counter stands elsewhere, a document is missing or has another version, or no change explains one.
    pub fn finish(mut self, newest: &Position, documents: &[DocumentVersion]) -> Result<()> {
        for group in self.oldest.behind(newest).collect::<Vec<_>>() {
            let last =
                self.last.get(&group).map_or(self.oldest.of(group), |(sequence, _)| *sequence);
            let counter = newest.of(group);
            ensure!(
                last == counter,
                "group {group} ends at {last}, and its counter says {counter}"
            );
        }
        for (group, (last, _)) in &self.last {
            ensure!(*last == newest.of(*group), "group {group} goes on behind its counter");
        }
        let mut there = 0;
        for row in documents {
            let place = format!("document {} in {}", hex::encode(&row.key), row.collection);
            match self.versions.get(&(row.collection, row.key.clone())) {
                Some(known) => {
                    let version = row.version;
                    ensure!(
                        *known == Some(version),
                        "{place} is at {version}, its last change left {known:?}"
                    );
                    there += 1;
                }
                None => self
                    .is_explained(row.collection, row.group, row.version)
                    .with_context(|| format!("{place} is there"))?,
            }
        }
        let left = self.versions.values().flatten().count();
        ensure!(there == left, "the log left {left} documents, of which {there} are there");
        let empty = self.loads.iter().find(|(_, found)| **found == 0);
        ensure!(empty.is_none(), "nothing is there of the load {empty:?}");
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const GROUP: usize = 3;

    fn change(kind: ChangeKind, key: u8, place: (i64, i64), previous: i64) -> LoggedChange {
        LoggedChange {
            collection: 1,
            kind,
            key: if kind == ChangeKind::Load { Vec::new() } else { vec![key] },
            place: (GROUP, place.0, place.1),
            previous,
            before_image: (previous > 0).then(Vec::new),
            at_ms: 0,
        }
    }

    fn row(key: u8, version: i64) -> DocumentVersion {
        DocumentVersion { collection: 1, key: vec![key], group: GROUP, version }
    }

    /// A position at this number in the group, made from the text of a token.
    fn at(sequence: u8) -> Position {
        use base64::Engine as _;
        let mut bytes = [0; 65];
        (bytes[0], bytes[1 + GROUP]) = (1, sequence);
        let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        Position::from_token(&token).unwrap()
    }

    fn check(
        oldest: u8,
        changes: &[LoggedChange],
        newest: u8,
        rows: &[DocumentVersion],
    ) -> Result<(), String> {
        let mut replay = Replay::after(&at(oldest));
        let taken = changes.iter().try_for_each(|change| replay.take(change));
        let done = taken.and_then(|()| replay.finish(&at(newest), rows));
        done.map_err(|error| error.root_cause().to_string())
    }

    #[test]
    fn what_fits_together_passes() {
        use ChangeKind::{Insert, Load, Remove, Update};
        let changes = [
            change(Insert, 1, (1, 0), 0),
            change(Insert, 2, (1, 1), 0),
            change(Update, 1, (2, 0), 1),
            change(Load, 0, (3, 0), 0),
            change(Update, 7, (4, 0), 3),
            change(Remove, 2, (5, 0), 1),
            change(Insert, 2, (6, 0), 0),
        ];
        let rows = [row(1, 2), row(2, 6), row(7, 4), row(8, 3)];
        assert_eq!(check(0, &changes, 6, &rows), Ok(()));
        // A log that begins later explains the rest by its beginning.
        assert_eq!(check(3, &changes[4..], 6, &rows), Ok(()));
    }

    #[test]
    fn gaps_repeats_and_what_does_not_fit_are_found() {
        use ChangeKind::{Insert, Load, Remove, Update};
        let first = change(Insert, 1, (1, 0), 0);
        let fails = |changes: &[LoggedChange], newest, rows: &[DocumentVersion], with: &str| {
            let text = check(0, changes, newest, rows).unwrap_err();
            assert!(text.contains(with), "{text}");
        };
        fails(&[first.clone(), change(Update, 1, (3, 0), 1)], 3, &[row(1, 3)], "it comes after");
        fails(&[first.clone(), first.clone()], 1, &[row(1, 1)], "it comes after");
        fails(&[first.clone(), change(Update, 1, (1, 2), 1)], 1, &[row(1, 1)], "it comes after");
        fails(&[change(Insert, 1, (1, 1), 0)], 1, &[row(1, 1)], "it comes after");
        fails(&[first.clone(), change(Insert, 1, (2, 0), 0)], 2, &[row(1, 2)], "was left");
        fails(
            &[first.clone(), change(Update, 2, (2, 0), 1)],
            2,
            &[row(1, 1)],
            "no change explains",
        );
        fails(&[first.clone(), change(Insert, 2, (2, 0), 1)], 2, &[row(1, 1)], "its kind");
        fails(&[first.clone(), change(Remove, 1, (2, 0), 1)], 2, &[row(1, 1)], "its last change");
        let one = std::slice::from_ref(&first);
        fails(one, 2, &[row(1, 1)], "its counter");
        fails(one, 0, &[row(1, 1)], "behind its counter");
        fails(one, 1, &[], "of which 0 are there");
        fails(one, 1, &[row(1, 1), row(2, 1)], "no change explains");
        fails(&[change(Load, 0, (1, 0), 0)], 1, &[], "nothing is there of the load");
        fails(&[], 0, &[row(1, 1)], "no change explains");
    }
}
