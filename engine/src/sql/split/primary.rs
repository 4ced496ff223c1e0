//! Which server is the primary, its heartbeat, and who takes its place.
//!
//! A server is a primary when it takes writes, follows nobody, and has everything that this process acknowledged. Of
//! several, the one of the latest *term* is: a term is begun by whoever finds a promoted server first, in the row of the
//! heartbeat, which a primary that was left behind does not have.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use yunzhan_base::event::Level;
use yunzhan_base::{Clock, Error, Kind, Result};

use super::Shared;
use super::member::{Member, Seen, link};
use super::store;
use crate::config::{self, FailoverLoss};
use crate::sql::Mysql;
use crate::sql::migrate::Migrations;
use crate::sql::mysql::Address;
use crate::sql::mysql::status::{Link, Status};

/// What was seen of a server no longer ago than this counts for finding a primary.
const SEEN_FOR: Duration = Duration::from_secs(1);
/// How often a lost primary is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Finds the primary of a starting process, and migrates its tables.
pub(super) async fn find_first(
    config: &config::Sql,
    migrations: &Migrations,
    clock: &Clock,
) -> Result<(Vec<Arc<Member>>, usize)> {
    let (addresses, index) = look_at_all(config).await?;
    let members: Vec<_> =
        addresses.iter().map(|address| Arc::new(Member::new(address.clone()))).collect();
    let address = addresses[index].clone();
    let mysql = Mysql::connect_at(address, config.clone(), migrations, clock.clone()).await?;
    let _ = members[index].mysql.set(mysql);
    let mut link = link(&members[index], config).await?;
    let status = link.status("").await?;
    store::begin(&mut link, &status.identity).await?;
    take_term(&mut link).await?;
    Ok((members, index))
}

/// Every server, and which of them is the primary. Fails as unavailable when none is.
pub(super) async fn look_at_all(config: &config::Sql) -> Result<(Vec<Address>, usize)> {
    let addresses = Address::all(config)?;
    let looks: Vec<_> = addresses
        .iter()
        .map(|address| {
            let (address, config) = (address.clone(), config.clone());
            tokio::spawn(async move { look(&address, &config).await })
        })
        .collect();
    let mut found = Vec::with_capacity(looks.len());
    for look in looks {
        let look = look.await;
        found.push(look.map_err(|error| Error::internal("a look panicked").because(error))?);
    }
    let primaries = found.iter().enumerate().filter_map(|(index, look)| match look {
        Ok((status, false)) if !status.is_read_only => Some((index, term_of(status))),
        _ => None,
    });
    // The first one of the latest term.
    let latest = primaries.max_by_key(|(index, term)| (*term, std::cmp::Reverse(*index)));
    match latest {
        Some((index, _)) => Ok((addresses, index)),
        None => Err(none_takes_writes(&addresses, found)),
    }
}

async fn look(address: &Address, config: &config::Sql) -> Result<(Status, bool)> {
    let mut link = Link::open(address, config.mysql_connect_timeout, config.read_timeout).await?;
    let status = link.status("").await?;
    // Who only reads is no primary anyway, and need not say whom it follows.
    let is_following = status.is_read_only || link.is_following().await?;
    Ok((status, is_following))
}

fn term_of(status: &Status) -> i64 {
    status.beat.as_ref().map_or(0, |beat| beat.term)
}

fn none_takes_writes(addresses: &[Address], found: Vec<Result<(Status, bool)>>) -> Error {
    let mut looks: Vec<String> = Vec::with_capacity(found.len());
    let mut first = None;
    for (address, look) in addresses.iter().zip(found) {
        looks.push(match look {
            Ok((status, _)) if status.is_read_only => format!("{} only reads", address.name()),
            Ok(_) => format!("{} follows another server", address.name()),
            Err(error) => {
                let text = error.message().to_owned();
                first = first.or(Some(error));
                text
            }
        });
    }
    let text = format!("no database server takes writes: {}", looks.join("; "));
    let error = Error::new(first.as_ref().map_or(Kind::Unavailable, Error::kind), text);
    match first {
        Some(cause) => error.because(cause),
        None => error,
    }
}

/// Begins the term of the server at the other end, unless it is its own already.
async fn take_term(link: &mut Link) -> Result<bool> {
    let status = link.status("").await?;
    let Some(beat) = status.beat else {
        return Err(Error::new(Kind::Unavailable, "a promoted server has no tables of ours"));
    };
    Ok(beat.primary == status.identity
        || store::begin_term(link, beat.term, &status.identity).await?)
}

impl Shared {
    /// Writes the heartbeat, keeps this process's row, and finds the primary again when it is lost.
    pub(super) async fn look_after_primary(&self) {
        let mut refused = HashSet::new();
        let mut held: Option<(usize, Link)> = None;
        let (mut was_lost, mut patience_ms) = (false, 0);
        loop {
            let is_lost = self.is_lost();
            if is_lost || self.sees_later_term() {
                self.tell_loss(is_lost && !was_lost);
                self.find_primary(&mut refused).await;
            }
            was_lost = self.is_lost();
            if !was_lost && self.keep(&mut held, &mut patience_ms).await.is_err() {
                held = None;
                self.primary().demand();
            }
            let pause = if was_lost { LOOK_EVERY } else { self.config.replica_heartbeat };
            let _ = tokio::time::timeout(pause, self.wake.notified()).await;
        }
    }

    fn tell_loss(&self, is_new: bool) {
        if is_new {
            let text = format!(
                "the database server {} takes no writes any more; another one is looked for, and replicas go on answering reads",
                self.primary().name
            );
            self.events.notice(Level::Error, "primary_lost", &text);
        }
    }

    async fn keep(&self, held: &mut Option<(usize, Link)>, patience_ms: &mut u128) -> Result<()> {
        let index = self.primary_index();
        let kept = held.take().filter(|(of, _)| *of == index);
        let (_, link) = match kept {
            Some(kept) => held.insert(kept),
            None => held.insert((index, link(&self.members[index], &self.config).await?)),
        };
        self.announce(index, link).await?;
        let Some(seen) = self.members[index].seen() else { return Ok(()) };
        let Some(beat) = &seen.status.beat else { return Ok(()) };
        // A heartbeat from the future is of a clock that was ahead.
        let young = 0..*patience_ms;
        if young.contains(&age_ms(&seen, beat.at_ms)) {
            return Ok(());
        }
        // Whoever was faster does it for all; the others step in when it is late.
        let period_ms = self.config.replica_heartbeat.as_millis();
        *patience_ms = match store::beat(link, beat.at_ms).await? {
            true => period_ms * 3 / 4,
            false => period_ms * 2,
        };
        Ok(())
    }

    /// Whether a server that takes writes is of a later term than the primary: then the primary was left behind.
    fn sees_later_term(&self) -> bool {
        let Some(seen) = self.primary().last_seen() else { return false };
        let later = |other: &Arc<Seen>| !other.status.is_read_only && other.term() > seen.term();
        self.members.iter().filter_map(|member| member.seen()).any(|other| later(&other))
    }

    async fn find_primary(&self, refused: &mut HashSet<(usize, String)>) {
        let fresh =
            |seen: &Arc<Seen>| seen.began.elapsed() <= SEEN_FOR && !seen.status.is_read_only;
        let mut candidates: Vec<(usize, Arc<Seen>)> = Vec::new();
        for (index, member) in self.members.iter().enumerate() {
            candidates.extend(member.seen().filter(fresh).map(|seen| (index, seen)));
        }
        candidates.sort_by_key(|(index, seen)| (std::cmp::Reverse(seen.term()), *index));
        for (index, seen) in candidates {
            match self.try_primary(index, &seen).await {
                Ok(()) => {
                    refused.clear();
                    return;
                }
                Err(error) => {
                    let text = format!(
                        "the database server {} takes writes, and nothing is written to it: {}",
                        self.members[index].name,
                        error.log_text()
                    );
                    if refused.insert((index, error.message().to_owned())) {
                        self.events.notice(Level::Error, "primary_refused", &text);
                    }
                }
            }
        }
    }

    /// Takes a server that takes writes for the primary, if it is one.
    async fn try_primary(&self, index: usize, seen: &Arc<Seen>) -> Result<()> {
        let member = &self.members[index];
        let mut link = link(member, &self.config).await?;
        // Asked anew: what was seen may be from before it was left.
        let status = link.status(&self.id).await?;
        if status.is_read_only || link.is_following().await? {
            return Err(Error::new(Kind::Unavailable, "it follows another server"));
        }
        let lost = self.what_it_lacks(&status);
        if let (Some(lost), FailoverLoss::Refuse) = (&lost, self.config.failover_loss) {
            return Err(Error::new(Kind::Unavailable, lost.clone()));
        }
        if !take_term(&mut link).await? {
            return Err(Error::new(Kind::Unavailable, "another server of ours begins its term"));
        }
        let was = self.primary.swap(index, Ordering::SeqCst);
        self.was_left.store(false, Ordering::SeqCst);
        // How it stood before must not count as how the primary stands.
        let _ = tokio::time::timeout(SEEN_FOR, member.ask()).await;
        self.tell_change(was, index, seen, lost.as_deref());
        Ok(())
    }

    /// What of the acknowledged writes a server lacks, in words.
    fn what_it_lacks(&self, status: &Status) -> Option<String> {
        let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let has = status.by_server.clone().unwrap_or_default();
        (!has.includes(&acknowledged)).then(|| {
            format!("it lacks acknowledged writes: it has {has}, and {acknowledged} were acknowledged here; sql.failover_loss decides")
        })
    }

    fn tell_change(&self, was: usize, index: usize, seen: &Arc<Seen>, lost: Option<&str>) {
        let name = &self.members[index].name;
        if let Some(lost) = lost {
            // What was lost is told once; from here on the new primary's writes are what counts.
            *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner) =
                seen.status.by_server.clone().unwrap_or_default();
            let text = format!("{name} is the primary although {lost}");
            self.events.notice(Level::Error, "acknowledged_writes_lost", &text);
        }
        let text = match was == index {
            true => format!("the database server {name} takes writes again"),
            false => format!(
                "{name} is the primary of the database now; it was {}",
                self.members[was].name
            ),
        };
        self.events.notice(Level::Warn, "primary_found", &text);
    }
}

/// The age of a heartbeat that a server showed, in milliseconds; one from the future is very old.
fn age_ms(seen: &Seen, at_ms: i64) -> u128 {
    u128::try_from(seen.now_ms().saturating_sub(at_ms)).unwrap_or(u128::MAX)
}
