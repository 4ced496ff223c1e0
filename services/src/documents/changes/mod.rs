//! The change log: every write of a document, in the order in which it became visible, for as long as somebody may ask.
//!
//! It is written with the documents themselves (`store/batch.rs`), so nothing is in one and not in the other. A change says
//! what a document was before; what it is afterwards is what the next change of it found, or the document itself. Transactions
//! read from it what documents were at their snapshot, and followers what happened since their [`Position`].
//!
//! - **Order.** Within a slot group, sequences ascend without a gap in the order of the commits. Between groups there is none,
//!   but for positions: each is of one moment.
//! - **Bulk loads** are logged as one range: the documents of a collection whose version is the sequence of the change.
//! - **Age.** [`Documents::trim_changes`] takes away what is older than `change_log_age`, and what is over
//!   `change_log_bytes_max` of an environment; never what an open transaction of any server may still ask for, unless the log
//!   would grow to several times its bound. Who comes too late hears it.

mod signals;
mod trim;

use std::time::{Duration, Instant};

use yunzhan_base::{EnvId, Error, Kind, Result};

pub(super) use self::signals::Signals;
pub use self::trim::TRIM_PERIOD;
use super::Documents;
pub use super::logic::position::Position;

/// Rows of the log that are read at once.
const PAGE_ROWS: usize = 256;

/// No further write batch is read when the before-images that were read have more bytes than this.
const CHANGES_BYTES_MAX: usize = 16 << 20;

/// What happened to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was added.
    Insert,
    /// It became another one.
    Update,
    /// It was removed.
    Remove,
    /// Documents of a collection were added by the thousand; which, their versions tell.
    Load,
}

/// A change of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedChange {
    /// The number of the collection.
    pub collection: i64,
    /// What happened.
    pub kind: ChangeKind,
    /// The key of the document's id; empty for a load.
    pub key: Vec<u8>,
    /// The slot group, the sequence in it, and the place within the write batch.
    pub place: (usize, i64, i64),
    /// The version that the document had; 0 when it was not there.
    pub previous: i64,
    /// Its BSON before the change, if it was there.
    pub before_image: Option<Vec<u8>>,
    /// When it was written, by the clock of the server that did, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Changes, and where to go on.
#[derive(Debug)]
pub struct Changes {
    /// In each slot group in their order.
    pub changes: Vec<LoggedChange>,
    /// Behind the last of them.
    pub position: Position,
}

// === impl ChangeKind ===

impl ChangeKind {
    /// As it is stored.
    pub(super) const fn code(self) -> i64 {
        match self {
            Self::Insert => 1,
            Self::Update => 2,
            Self::Remove => 3,
            Self::Load => 4,
        }
    }

    /// Reads what is stored.
    pub(super) fn from_code(code: i64) -> Result<Self> {
        let kinds = [Self::Insert, Self::Update, Self::Remove, Self::Load];
        let found = kinds.into_iter().find(|kind| kind.code() == code);
        found.ok_or_else(|| Error::internal(format!("the change log has the kind {code}")))
    }
}

// === impl Documents ===

impl Documents {
    /// Where the change log of an environment ends now: whoever goes on from here misses nothing that is written later.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn position(&self, env: &EnvId) -> Result<Position> {
        self.store.position(env).await
    }

    /// Where the change log of an environment begins now: [`Self::changes`] tells what was written later, unless more of it is
    /// trimmed meanwhile.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn oldest_position(&self, env: &EnvId) -> Result<Position> {
        Ok(self.store.log_state(env).await?.trimmed)
    }

    /// What changed in an environment since a position: at least one change if there are any, about `changes_max` if there are
    /// so many, and always whole write batches as far as a slot group sees them.
    ///
    /// # Errors
    /// `NotFound` when the log no longer goes back so far, or never came so far: read the documents again, from a new position.
    pub async fn changes(
        &self,
        env: &EnvId,
        since: &Position,
        changes_max: usize,
    ) -> Result<Changes> {
        let now = self.store.position(env).await?;
        // A position ahead of the log is of another one, such as before a backup was brought back.
        if now.is_behind(since) {
            return Err(gone());
        }
        let mut read = Changes { changes: Vec::new(), position: since.clone() };
        let mut bytes = 0;
        for group in since.behind(&now) {
            if read.changes.len() >= changes_max.max(1) || bytes > CHANGES_BYTES_MAX {
                break;
            }
            let up_to = now.of(group);
            let into = (&mut read, &mut bytes);
            let reached = self.changes_of(env, group, (since, up_to), changes_max, into).await?;
            read.position.set(group, reached);
        }
        // After reading: what was taken away meanwhile was not read.
        let trimmed = self.store.log_state(env).await?.trimmed;
        if since.is_behind(&trimmed) {
            return Err(gone());
        }
        Ok(read)
    }

    /// Reads changes of a group into `read`, and says up to which sequence.
    async fn changes_of(
        &self,
        env: &EnvId,
        group: usize,
        (since, up_to): (&Position, i64),
        changes_max: usize,
        (read, bytes): (&mut Changes, &mut usize),
    ) -> Result<i64> {
        let mut place = (since.of(group), i64::MAX);
        loop {
            let (page, is_last) = self.store.changes(env, group, place, up_to, PAGE_ROWS).await?;
            for logged in page {
                // A whole write batch has come when the next one begins.
                let is_full = read.changes.len() >= changes_max || *bytes > CHANGES_BYTES_MAX;
                if logged.sequence != place.0 && is_full {
                    return Ok(place.0);
                }
                *bytes += logged.before_image.as_ref().map_or(0, Vec::len);
                place = (logged.sequence, logged.ordinal);
                read.changes.push(LoggedChange {
                    collection: logged.collection,
                    kind: logged.kind,
                    key: logged.document,
                    place: (group, logged.sequence, logged.ordinal),
                    previous: logged.previous,
                    before_image: logged.before_image,
                    at_ms: logged.at_ms,
                });
            }
            if is_last {
                return Ok(up_to);
            }
        }
    }

    /// Waits until something was written in an environment since a position, also by another server, or until `deadline`;
    /// gives where the log ends then. A write of this server is heard at once, one of another within milliseconds where the
    /// servers speak to each other, and within [`signals::POLL`] where they do not.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn wait_for_changes(
        &self,
        env: &EnvId,
        since: &Position,
        deadline: Instant,
    ) -> Result<Position> {
        let mut heard = self.store.signals.listen(env);
        loop {
            heard.mark_heard();
            let now = self.store.signals.poll(env, self.store.position(env)).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            if since.is_behind(&now) || left == Duration::ZERO {
                return Ok(now);
            }
            heard.wait(left.min(self.store.signals.pause())).await;
        }
    }
}

fn gone() -> Error {
    let message =
        "the change log no longer goes back so far; read the documents again, and go on from there";
    Error::new(Kind::NotFound, message)
}
