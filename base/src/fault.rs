//! Faults on purpose, for drills and tests: a plan that can be swapped while the server runs and that ends by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::live::Live;

/// Where a fault can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A read of the SQL engine.
    SqlRead,
    /// A unit of the SQL engine, before it is sent.
    SqlWrite,
    /// A unit of the SQL engine that was committed, and whose answer is lost.
    SqlWriteAnswer,
    /// A request to an upstream.
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
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Where.
    pub point: Point,
    /// How often, in parts per thousand.
    pub per_mille: u32,
    /// What.
    pub effect: Effect,
}

/// What goes wrong, and until when. The end is the dead man's switch: a drill that dies leaves nothing broken.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The first rule that strikes counts.
    pub rules: Vec<Rule>,
    /// When everything is well again, in milliseconds since 1970.
    pub until_ms: i64,
}

/// The plan in force. Clones share it; without one, asking costs a load and a length check.
#[derive(Clone, Debug)]
pub struct Faults {
    plan: Live<Plan>,
    clock: Clock,
    draws: Arc<AtomicU64>,
}

impl Faults {
    /// No faults, until a plan is set; `seed` makes the draws repeatable.
    pub fn none(clock: Clock, seed: u64) -> Self {
        Self { plan: Live::new(Plan::default()), clock, draws: Arc::new(AtomicU64::new(seed)) }
    }

    /// Replaces the plan.
    pub fn set(&self, plan: Plan) {
        self.plan.store(plan);
    }

    /// What strikes here and now.
    pub fn at(&self, point: Point) -> Option<Effect> {
        let plan = self.plan.peek();
        if plan.rules.is_empty() || self.clock.now_ms() >= plan.until_ms {
            return None;
        }
        let here = plan.rules.iter().filter(|rule| rule.point == point);
        here.into_iter().find(|rule| self.draw() < rule.per_mille).map(|rule| rule.effect)
    }

    /// A number below 1,000 from a repeatable sequence (a Weyl sequence, whitened).
    fn draw(&self) -> u32 {
        let state = self.draws.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        u32::try_from((mixed >> 32) % 1000).expect("below 1,000")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_ends_by_itself() {
        let clock = Clock::manual(0);
        let faults = Faults::none(clock.clone(), 1);
        assert_eq!(faults.at(Point::SqlRead), None);
        let always = Rule { point: Point::SqlRead, per_mille: 1000, effect: Effect::Fail };
        faults.set(Plan { rules: vec![always], until_ms: 1000 });
        assert_eq!(faults.at(Point::SqlRead), Some(Effect::Fail));
        assert_eq!(faults.at(Point::SqlWrite), None);
        clock.advance(Duration::from_secs(1));
        assert_eq!(faults.at(Point::SqlRead), None);
    }
}
