//! Faults on purpose, for drills and tests: a plan that can be swapped while the server runs and that ends by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::live::Live;

/// The longest that a plan is in force: nobody watches a drill for longer, and who wants more sets it again.
pub const PLAN_TIME_MAX: Duration = Duration::from_secs(30 * 60);

/// Where a fault can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A read of the SQL engine.
    SqlRead,
    /// A unit of the SQL engine, before it is sent.
    SqlWrite,
    /// A unit of the SQL engine that was committed, and whose answer is lost.
    SqlWriteAnswer,
    /// A request that this server sends over HTTP, before it is sent: to a team's own server, to WeChat.
    Upstream,
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It takes longer.
    Delay(Duration),
    /// It fails as unavailable.
    Fail,
}

/// One rule of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where.
    pub point: Point,
    /// How often, in parts per thousand.
    pub per_mille: u32,
    /// What.
    pub effect: Effect,
}

/// What goes wrong, and until when. The end is the dead man's switch: a drill that dies leaves nothing broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The first rule that strikes counts.
    pub rules: Vec<Rule>,
    /// When everything is well again, in milliseconds since 1970; at most [`PLAN_TIME_MAX`] after the plan is set.
    pub until_ms: i64,
}

/// The plan in force. Clones share it; without one, asking costs a load and a length check.
#[derive(Clone, Debug)]
pub struct Faults {
    active: Live<Active>,
    clock: Clock,
    draws: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Active {
    plan: Plan,
    /// When it was set. A clock that goes back behind this ends the plan: it would last longer than anybody meant.
    since_ms: i64,
    struck: [AtomicU64; Point::ALL.len()],
}

// === impl Point ===

impl Point {
    /// Every point.
    pub const ALL: [Self; 4] =
        [Self::SqlRead, Self::SqlWrite, Self::SqlWriteAnswer, Self::Upstream];

    /// Its name in control and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SqlRead => "sql_read",
            Self::SqlWrite => "sql_write",
            Self::SqlWriteAnswer => "sql_write_answer",
            Self::Upstream => "upstream",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|point| point.name() == name)
    }
}

// === impl Faults ===

impl Faults {
    /// No faults, until a plan is set; `seed` makes the draws repeatable.
    pub fn none(clock: Clock, seed: u64) -> Self {
        Self { active: Live::new(Active::default()), clock, draws: Arc::new(AtomicU64::new(seed)) }
    }

    /// Replaces the plan. An end that is further away than [`PLAN_TIME_MAX`] is brought forward to it.
    pub fn set(&self, mut plan: Plan) {
        let since_ms = self.clock.now_ms();
        let time_max_ms = i64::try_from(PLAN_TIME_MAX.as_millis()).unwrap_or(i64::MAX);
        plan.until_ms = plan.until_ms.min(since_ms.saturating_add(time_max_ms));
        self.active.store(Active { plan, since_ms, struck: Default::default() });
    }

    /// Ends the plan.
    pub fn clear(&self) {
        self.set(Plan::default());
    }

    /// The plan, while it is in force.
    pub fn plan(&self) -> Option<Plan> {
        let active = self.active.peek();
        active.is_in_force(self.clock.now_ms()).then(|| active.plan.clone())
    }

    /// How often the present plan has struck at this point.
    pub fn struck(&self, point: Point) -> u64 {
        self.active.peek().struck[point as usize].load(Ordering::Relaxed)
    }

    /// What strikes here and now.
    pub fn at(&self, point: Point) -> Option<Effect> {
        let active = self.active.peek();
        if active.plan.rules.is_empty() || !active.is_in_force(self.clock.now_ms()) {
            return None;
        }
        let mut here = active.plan.rules.iter().filter(|rule| rule.point == point);
        let striking = here.find(|rule| self.draw() < rule.per_mille)?;
        active.struck[point as usize].fetch_add(1, Ordering::Relaxed);
        Some(striking.effect)
    }

    /// A number below 1,000 from a repeatable sequence (a Weyl sequence, whitened).
    fn draw(&self) -> u32 {
        let state = self.draws.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        u32::try_from((mixed >> 32) % 1000).expect("below 1,000")
    }
}

impl Active {
    fn is_in_force(&self, now_ms: i64) -> bool {
        !self.plan.rules.is_empty() && (self.since_ms..self.plan.until_ms).contains(&now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: Rule = Rule { point: Point::SqlRead, per_mille: 1000, effect: Effect::Fail };

    fn faults_at(now_ms: i64) -> (Clock, Faults) {
        let clock = Clock::manual(now_ms);
        (clock.clone(), Faults::none(clock, 1))
    }

    #[test]
    fn a_plan_ends_by_itself() {
        let (clock, faults) = faults_at(0);
        assert_eq!(faults.at(Point::SqlRead), None);
        faults.set(Plan { rules: vec![ALWAYS], until_ms: 1000 });
        assert_eq!(faults.at(Point::SqlRead), Some(Effect::Fail));
        assert_eq!(faults.at(Point::SqlWrite), None);
        assert_eq!((faults.struck(Point::SqlRead), faults.struck(Point::SqlWrite)), (1, 0));
        clock.advance(Duration::from_secs(1));
        assert_eq!((faults.at(Point::SqlRead), faults.plan()), (None, None));
    }

    #[test]
    fn no_plan_outlives_its_bound() {
        let (clock, faults) = faults_at(7);
        faults.set(Plan { rules: vec![ALWAYS], until_ms: i64::MAX });
        let bound_ms = i64::try_from(PLAN_TIME_MAX.as_millis()).expect("half an hour");
        assert_eq!(faults.plan().map(|plan| plan.until_ms), Some(7 + bound_ms));
        clock.advance(PLAN_TIME_MAX);
        assert_eq!(faults.at(Point::SqlRead), None);
    }

    #[test]
    fn a_clock_that_goes_back_ends_a_plan() {
        let (clock, faults) = faults_at(10_000);
        faults.set(Plan { rules: vec![ALWAYS], until_ms: 20_000 });
        let Clock::Manual(now_ms) = &clock else { unreachable!("a manual clock") };
        now_ms.store(9_999, Ordering::SeqCst);
        assert_eq!(faults.at(Point::SqlRead), None);
    }

    #[test]
    fn a_share_strikes_about_as_often_as_it_says() {
        let (_, faults) = faults_at(0);
        faults.set(Plan { rules: vec![Rule { per_mille: 100, ..ALWAYS }], until_ms: 1 });
        let struck = (0..10_000).filter(|_| faults.at(Point::SqlRead).is_some()).count();
        assert!((900..1100).contains(&struck), "{struck}");
    }

    #[test]
    fn every_point_is_found_by_its_name() {
        for point in Point::ALL {
            assert_eq!(Point::from_name(point.name()), Some(point));
        }
        assert_eq!(Point::from_name("SqlRead"), None);
    }
}
