//! Whether this process is the only one that writes, so that it need not ask the primary what others wrote.
//!
//! Each process keeps a row that says it may write. It acknowledges nothing before that row was there for [`SETTLE`], and
//! nothing while it does not count on the row any more. Whoever looked at the primary less than [`TRUST`] ago and saw no
//! other row therefore knows that nobody else acknowledged anything until now: the other's row would have been there when it
//! looked, for `TRUST` is shorter than `SETTLE`. Only spans of time are compared, and each on one clock.

use std::time::Duration;

use tokio::time::Instant;
use yunzhan_base::{Error, Kind, Result};

use super::Shared;
use super::member::link;
use super::store;
use crate::sql::mysql::status::Link;

/// How long a row lives without being renewed. A process that ended counts as one that writes for as long.
pub(super) const LIFE: Duration = Duration::from_secs(10);
/// How often it is renewed in a life.
const RENEWALS: u32 = 5;
/// How long a row is there before its process acknowledges anything.
const SETTLE: Duration = Duration::from_millis(500);
/// How long it counts that nobody else's row was seen.
const TRUST: Duration = Duration::from_millis(250);

/// That this process may write, as the database knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    /// At which server.
    primary: usize,
    /// From when on something may be acknowledged.
    settled: Instant,
    /// Until when; a third of a life before the row is dead, whatever its clock does meanwhile.
    until: Instant,
}

impl Shared {
    /// Whether nobody else acknowledged anything until now.
    pub(super) fn is_alone(&self) -> bool {
        let Some(seen) = self.primary().seen() else { return false };
        !self.is_lost() && seen.began.elapsed() <= TRUST && seen.status.others == Some(0)
    }

    /// Waits until what was written may be acknowledged: as a rule not at all.
    pub(super) async fn wait_until_announced(&self, primary: usize) -> Result<()> {
        let mut announced = self.announced.subscribe();
        let is_good = |announced: &Option<Announced>| {
            announced.is_some_and(|it| it.primary == primary && Instant::now() <= it.until)
        };
        let good = async { announced.wait_for(is_good).await.ok().and_then(|it| *it) };
        match tokio::time::timeout(self.config.write_timeout, good).await {
            Ok(Some(announced)) => {
                tokio::time::sleep_until(announced.settled).await;
                Ok(())
            }
            _ => Err(Error::new(
                Kind::Unavailable,
                "the write may have been done, but other servers cannot be told of it; try again",
            )),
        }
    }

    /// Renews the row when it is due. A failure leaves it for the next time.
    pub(super) async fn announce(&self, primary: usize, link: &mut Link) -> Result<()> {
        let last = *self.announced.borrow();
        let here = last.filter(|last| last.primary == primary);
        let sent = Instant::now();
        let is_due = here.is_none_or(|here| here.until - sent < LIFE * 2 / 3 - LIFE / RENEWALS);
        if !is_due {
            return Ok(());
        }
        store::register(link, &self.id, LIFE).await?;
        // One that nobody counted on any more begins anew.
        let running = here.filter(|here| sent <= here.until);
        let settled = running.map_or_else(|| Instant::now() + SETTLE, |here| here.settled);
        let until = sent + LIFE * 2 / 3;
        self.announced.send_replace(Some(Announced { primary, settled, until }));
        Ok(())
    }

    /// Tells of this process for the first time, and waits until a replica or two may have been looked at.
    pub(super) async fn ready(&self) -> Result<()> {
        let primary = self.primary_index();
        let mut link = link(&self.members[primary], &self.config).await?;
        store::forget_dead(&mut link, LIFE).await?;
        self.announce(primary, &mut link).await
    }
}
