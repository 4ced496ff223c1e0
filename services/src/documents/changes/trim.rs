//! Taking away what nobody asks for any more.

use std::time::Duration;

use yunzhan_base::{EnvId, Result};

use crate::documents::Documents;
use crate::documents::transaction::TRANSACTION_LIFE_MS;

/// How often [`Documents::trim_changes`] wants to be called.
pub const TRIM_PERIOD: Duration = Duration::from_secs(10);

/// What is younger is kept for the transactions of all servers: they live half as long, and clocks differ.
const KEPT_MS: i64 = 2 * TRANSACTION_LIFE_MS;

/// A log that is so many times larger than it may be loses what transactions could ask for: a disk is not without end.
const OVERFLOW: i64 = 4;

/// Rows of one write batch of trimming: others of the slot group wait for it.
const TRIM_ROWS: usize = 500;

/// Write batches of one run in one environment. What is left goes in the next run.
const TRIM_BATCHES_MAX: usize = 200;

impl Documents {
    /// Takes away changes that are too old or too many, in the environments in which this server has written. Call it every
    /// [`TRIM_PERIOD`].
    ///
    /// # Errors
    /// Those of the database.
    pub async fn trim_changes(&self) -> Result<()> {
        let mut failed = Ok(());
        for env in self.store.signals.take_grown() {
            match self.trim_env(&env).await {
                Ok(true) => {}
                Ok(false) => self.store.signals.keep_grown(&env),
                Err(error) => {
                    self.store.signals.keep_grown(&env);
                    failed = Err(error);
                }
            }
        }
        failed
    }

    /// Trims one log; says whether nothing is left in it that will have to go later.
    async fn trim_env(&self, env: &EnvId) -> Result<bool> {
        let now_ms = self.now_ms();
        if self.cluster().is_some_and(|cluster| cluster.has_peers()) {
            self.store.sweep_claims(env, now_ms).await?;
        }
        let mut heads = self.store.log_heads(env).await?;
        for _ in 0..TRIM_BATCHES_MAX {
            heads.sort_by_key(|(_, at_ms)| *at_ms);
            let Some((group, at_ms)) = heads.first_mut() else { return Ok(true) };
            let bound_ms = self.bound_ms(now_ms, self.store.log_state(env).await?.bytes);
            if *at_ms >= bound_ms {
                return Ok(false);
            }
            match self.trim_group(env, *group, bound_ms).await? {
                Some(next_ms) => *at_ms = next_ms,
                None => drop(heads.remove(0)),
            }
        }
        Ok(false)
    }

    /// What is older than this goes.
    fn bound_ms(&self, now_ms: i64, bytes: i64) -> i64 {
        let config = self.config();
        let bytes_max = i64::try_from(config.change_log_bytes_max).unwrap_or(i64::MAX);
        if bytes > bytes_max.saturating_mul(OVERFLOW) {
            return now_ms;
        }
        if bytes > bytes_max {
            return now_ms - KEPT_MS;
        }
        let age_ms = i64::try_from(config.change_log_age.as_millis()).unwrap_or(i64::MAX);
        now_ms.saturating_sub(age_ms.max(KEPT_MS))
    }

    /// Takes away the oldest changes of a group that are older than `bound_ms`, in whole write batches; gives the time of the
    /// oldest that stays, if there is any.
    async fn trim_group(&self, env: &EnvId, group: usize, bound_ms: i64) -> Result<Option<i64>> {
        let oldest = self.store.oldest_changes(env, group, TRIM_ROWS).await?;
        let Some((first, _)) = oldest.first().copied() else { return Ok(None) };
        // The last sequence of a full page may go on behind it. A write batch of more rows than a page goes as a whole.
        let is_full = oldest.len() == TRIM_ROWS;
        let last = oldest.last().map_or(first, |(sequence, _)| *sequence);
        let is_whole = |sequence: i64| !is_full || sequence < last || first == last;
        let goes = |(sequence, at_ms): &&(i64, i64)| *at_ms < bound_ms && is_whole(*sequence);
        let Some((up_to, _)) = oldest.iter().take_while(goes).last() else {
            return Ok(Some(bound_ms));
        };
        self.store.trim(env, group, *up_to).await?;
        match oldest.iter().find(|(sequence, _)| sequence > up_to) {
            Some((_, at_ms)) => Ok(Some(*at_ms)),
            // Behind a full page there may be more of the same age.
            None => Ok(is_full.then_some(0)),
        }
    }
}
