//! The signing keys over time: made on the first start, replaced by age or by an operator, forgotten when nothing that they
//! signed can still be valid. And the news from other replicas.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;
use yunzhan_base::event::Level;
use yunzhan_base::{EnvId, Result, Secret};

use super::Identity;
use super::logic::millis;
use super::store::EndingsSince;
use super::token::{KeyRing, SigningKey};

/// How often [`Identity::refresh`] is due. A session that ends on one replica is over on the others after so long.
pub const REFRESH_PERIOD: Duration = Duration::from_secs(5);

/// How often [`Identity::tidy`] is due. It opens every environment's database, which is no work for every minute.
pub const TIDY_PERIOD: Duration = Duration::from_secs(3600);

/// A new key is known for so long before it signs: every replica has read it by then, and so has whoever keeps our key set for
/// as long as its answer allows.
pub(crate) const KEY_LEAD: Duration = Duration::from_secs(10 * 60);

/// How long an old key verifies after its successor began to sign: the longest lifetime of an access token, and a day for
/// replicas that were down.
const KEY_AFTERLIFE: Duration = Duration::from_secs(48 * 3600);

/// How far back endings are read again, so that replicas whose clocks differ by less than a minute miss none.
const ENDINGS_OVERLAP: Duration = Duration::from_secs(60);

/// How long one tidying goes on while there is more: half of the time until the next one.
const TIDY_TIME_MAX: Duration = Duration::from_secs(1800);

impl Identity {
    /// Reads the keys, and makes the first one on a new server. The caller holds `rotating`: a slower reading would put the
    /// keys from before a rotation back in place.
    pub(super) async fn load_keys(&self) -> Result<()> {
        let mut keys = self.store.signing_keys(self.clock.now_ms()).await?;
        if keys.is_empty() {
            self.add_key(self.clock.now_ms(), &[]).await?;
            keys = self.store.signing_keys(self.clock.now_ms()).await?;
        }
        let ring = KeyRing::new(keys);
        let has_lost_one = {
            let known = self.keys.peek();
            known.keys().iter().any(|key| !ring.keys().iter().any(|kept| kept.kid == key.kid))
        };
        self.keys.store(ring);
        if has_lost_one {
            self.memory.forget_verified();
        }
        Ok(())
    }

    /// Takes over what other replicas did: keys and ended sessions. Due every [`REFRESH_PERIOD`].
    pub async fn refresh(&self) -> Result<()> {
        let now_ms = self.clock.now_ms();
        let since_ms = *self.endings_read_ms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Some(EndingsSince { ended_ms: since_ms, session: String::new() });
        while let Some(since) = next {
            let now_s = self.clock.now_s();
            let page = self.store.endings_since(&since, now_s).await?;
            self.take_over(page.0, now_s);
            next = page.1;
        }
        *self.endings_read_ms.lock().unwrap_or_else(PoisonError::into_inner) =
            now_ms - millis(ENDINGS_OVERLAP);
        let _rotating = self.rotating.lock().await;
        self.load_keys().await
    }

    /// Replaces the signing key when it is old enough, and removes what has run out, however much that is. Due every
    /// [`TIDY_PERIOD`].
    ///
    /// # Errors
    /// The first failure of a database, after the others were tidied.
    pub async fn tidy(&self) -> Result<()> {
        self.rotate_by_age().await?;
        let now_ms = self.clock.now_ms();
        let ended_before_ms = now_ms - millis(KEY_AFTERLIFE);
        let until = Instant::now() + TIDY_TIME_MAX;
        let mut left: Vec<_> =
            std::iter::once(None).chain(self.env_ids().into_iter().map(Some)).collect();
        let mut result = Ok(());
        // A little of each in turn, so that one with much to remove keeps none of the others waiting.
        while !left.is_empty() && Instant::now() < until {
            let mut unfinished = Vec::new();
            for env in left {
                let tidied = match &env {
                    None => self.store.tidy_system(ended_before_ms).await,
                    Some(env) => self.store.tidy_env(env, now_ms).await,
                };
                match tidied {
                    Ok(true) => unfinished.push(env),
                    Ok(false) => {}
                    Err(error) => result = result.and(Err(error)),
                }
                tokio::task::yield_now().await;
            }
            left = unfinished;
        }
        result
    }

    /// Makes a new signing key. With `drop_old`, for a key that leaked, it signs at once and every token signed before is
    /// refused; otherwise it is announced first and old tokens live out their time.
    pub(crate) async fn rotate(&self, drop_old: bool) -> Result<()> {
        let _rotating = self.rotating.lock().await;
        let now_ms = self.clock.now_ms();
        if !drop_old {
            self.add_key(now_ms + millis(KEY_LEAD), &[]).await?;
            return self.load_keys().await;
        }
        let old: Vec<String> = self.keys.peek().keys().iter().map(|key| key.kid.clone()).collect();
        self.add_key(now_ms, &old).await?;
        self.load_keys().await
    }

    async fn rotate_by_age(&self) -> Result<()> {
        let _rotating = self.rotating.lock().await;
        let now_ms = self.clock.now_ms();
        let (newest_ms, ended) = {
            let ring = self.keys.peek();
            let newest_ms = ring.keys().last().map_or(now_ms, |key| key.signs_from_ms);
            (newest_ms, ended_keys(&ring, now_ms))
        };
        if !ended.is_empty() {
            self.store.replace_signing_keys(None, &ended).await?;
        }
        if now_ms - newest_ms >= millis(self.config.signing_key_age_max) {
            self.add_key(now_ms + millis(KEY_LEAD), &[]).await?;
            self.events.notice(
                Level::Info,
                "signing_key_rotated",
                "a new key signs access tokens in ten minutes",
            );
        }
        self.load_keys().await
    }

    async fn add_key(&self, signs_from_ms: i64, removed: &[String]) -> Result<()> {
        let seed: Secret = SigningKey::generate_seed()?;
        let key = SigningKey::from_seed(&seed, signs_from_ms)?;
        self.store.replace_signing_keys(Some((&key, &seed)), removed).await
    }

    fn env_ids(&self) -> Vec<EnvId> {
        self.envs.peek().iter().map(|env| env.id.clone()).collect()
    }
}

/// The keys whose successor has signed for so long that nothing of theirs can be valid.
fn ended_keys(ring: &KeyRing, now_ms: i64) -> Vec<String> {
    let pairs = ring.keys().iter().zip(ring.keys().iter().skip(1));
    let ended = pairs.filter(|(_, next)| next.signs_from_ms + millis(KEY_AFTERLIFE) < now_ms);
    ended.map(|(key, _)| key.kid.clone()).collect()
}
