//! Holds what the log told against what writers were answered and what readers saw.

use std::collections::BTreeMap;

use yunzhan_e2e::change_log::{ChangeLog, json};
use yunzhan_services::documents::{ChangeKind, LoggedChange, Position};

use super::GOODS;
use super::follower::{Record, Sight, named};
use super::writer::{Act, Outcome, Turn};

/// What became of each document, as the log tells it.
pub(super) struct Told {
    /// The states of a document by its id, in their order.
    states: BTreeMap<String, Vec<State>>,
}

/// What a change left.
struct State {
    group: usize,
    sequence: i64,
    kind: ChangeKind,
    /// What the writer wrote; none where the document is gone.
    text: Option<String>,
}

// === impl Told ===

impl Told {
    /// What a follower heard, which must be what is read from the beginning, too.
    pub(super) async fn by(record: &Record, log: &ChangeLog) -> Self {
        let left = log.snapshot(Some(GOODS)).await.unwrap();
        left.check().unwrap();
        assert_eq!(
            sorted(&record.changes),
            sorted(&left.changes),
            "the follower heard other changes"
        );
        let mut changes = BTreeMap::<_, Vec<_>>::new();
        record
            .changes
            .iter()
            .for_each(|change| changes.entry(&change.key).or_default().push(change));
        let mut states = BTreeMap::new();
        for (key, changes) in changes {
            let found = changes[1..].iter().map(|next| next.before_image.as_deref());
            let mut images: Vec<_> =
                found.map(|image| image.map(|bson| json(bson).unwrap())).collect();
            images.push(left.bodies.get(key).map(|body| body.document.clone()));
            let named: Vec<_> = images.iter().map(|image| image.as_ref().map(named)).collect();
            let (id, _) = named.iter().flatten().next().expect("it begins with an insert").clone();
            let state = |(change, image): (&&LoggedChange, Option<(String, String)>)| State {
                group: change.place.0,
                sequence: change.place.1,
                kind: change.kind,
                text: image.map(|(_, text)| text),
            };
            states.insert(id, changes.iter().zip(named).map(state).collect());
        }
        Self { states }
    }

    /// What was acknowledged stands in the log once, what was refused does not, and nothing else does.
    pub(super) fn explains(&self, turns: &[Turn]) {
        let mut written = BTreeMap::<&str, Vec<(&str, ChangeKind)>>::new();
        let mut removals = 0;
        for (id, states) in &self.states {
            for state in states {
                match &state.text {
                    Some(text) => written.entry(text).or_default().push((id, state.kind)),
                    None => removals += 1,
                }
            }
        }
        let (mut sure, mut unsure) = (0, 0);
        for turn in turns {
            let mut wanted: Vec<_> = match &turn.act {
                Act::Insert(id) => vec![(id.as_str(), ChangeKind::Insert)],
                Act::Update(id) => vec![(id.as_str(), ChangeKind::Update)],
                Act::Transact(ids) => {
                    ids.iter().map(|id| (id.as_str(), ChangeKind::Update)).collect()
                }
                Act::Remove(_) => {
                    sure += usize::from(turn.outcome == Outcome::Done);
                    unsure += usize::from(turn.outcome == Outcome::Unsure);
                    continue;
                }
            };
            wanted.sort_by_key(|(id, _)| *id);
            let found = written.remove(turn.text.as_str()).unwrap_or_default();
            let fits = match turn.outcome {
                Outcome::Done => found == wanted,
                Outcome::Nothing => found.is_empty(),
                Outcome::Unsure => found.is_empty() || found == wanted,
            };
            assert!(fits, "{turn:?} stands in the log as {found:?}");
        }
        assert!(written.is_empty(), "nobody wrote {written:?}");
        let removed = sure..=sure + unsure;
        assert!(removed.contains(&removals), "{removals} removals instead of {removed:?}");
    }

    /// Whether a position includes one change of a transaction, it includes the other one.
    pub(super) fn never_tells_half<'p>(
        &self,
        turns: &[Turn],
        moments: impl Iterator<Item = &'p Position>,
    ) {
        let moments: Vec<_> = moments.collect();
        for turn in turns {
            let Act::Transact(ids) = &turn.act else { continue };
            let place = |id| {
                let states = self.states.get(id)?.iter();
                states.clone().find(|state| state.text.as_ref() == Some(&turn.text))
            };
            let [Some(one), Some(other)] = [place(&ids[0]), place(&ids[1])] else { continue };
            for moment in &moments {
                let includes = |state: &State| state.sequence <= moment.of(state.group);
                assert_eq!(includes(one), includes(other), "{moment:?} has half of {turn:?}");
            }
        }
    }

    /// What readers saw is what the log says of one of the moments between the positions around it. Gives how many documents
    /// were seen where both positions are the same.
    pub(super) fn agrees(&self, sights: &[Sight]) -> usize {
        let mut exact = 0;
        for sight in sights {
            for (id, seen) in &sight.documents {
                let Some(states) = self.states.get(id) else {
                    assert_eq!(*seen, None, "no change explains {id}");
                    continue;
                };
                let (least, most) = sight.between(states[0].group);
                exact += usize::from(least == most);
                let before = states.iter().rev().find(|state| state.sequence <= least);
                let meanwhile =
                    states.iter().filter(|state| (least + 1..=most).contains(&state.sequence));
                let may_be = |state: Option<&State>| match (
                    state.and_then(|state| Some((state.sequence, state.text.as_ref()?))),
                    seen,
                ) {
                    (None, None) => true,
                    (Some((sequence, text)), Some((seen, version))) => {
                        text == seen && version.is_none_or(|version| version == sequence)
                    }
                    _ => false,
                };
                let fits = may_be(before) || meanwhile.clone().any(|state| may_be(Some(state)));
                assert!(fits, "{id} was seen as {seen:?} between {least} and {most}");
            }
        }
        assert!(exact > 0, "no position stood still");
        exact
    }
}

/// Changes by their places; within a slot group their order is the order in which they came.
fn sorted(changes: &[LoggedChange]) -> Vec<LoggedChange> {
    let mut sorted = changes.to_vec();
    sorted.sort_by_key(|change| change.place.0);
    sorted
}
