//! What the gateway enforces on a route's requests, whoever answers them: a built-in service, a team's own server, a folder.
//!
//! A stage reads its own field and no other. A new stage adds its field here, and its default to [`RoutePolicy::ORDINARY`]; where
//! an operator may set it for a route of their own, it gets a key of the configuration besides.

use std::time::Duration;

/// The policy of one route. Built from [`RoutePolicy::ORDINARY`] by its `const` methods, or read from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutePolicy {
    /// What its latency should be. A goal is measured and told; it never cuts a request off.
    pub goal: Goal,
    /// How long whoever answers may take: to the head of the answer, counted from the end of a buffered request body.
    pub timeout: Duration,
    /// Who gives way when there is more work than time.
    pub priority: Priority,
    /// What becomes of request bodies.
    pub accepts: Accepts,
    /// What rules against attacks may do here, where that differs from everywhere.
    pub waf: Option<WafMode>,
    /// How requests from pages of other origins are treated.
    pub cors: Cors,
}

/// The latency that a route should have (mission row A7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Goal {
    /// Core: P99 under 200 ms.
    Core,
    /// Ordinary: P99 under 800 ms.
    Ordinary,
    /// Background: nobody looks at a screen meanwhile.
    Background,
    /// What an operator waits for, such as rules that are compiled: the control listener only.
    Operator,
}

/// Who gives way when there is more work than time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// First to go.
    Low,
    /// Most work.
    #[default]
    Normal,
    /// Last to go: sign-in, payment callbacks, health.
    High,
}

/// What becomes of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// A body with a byte in it is refused.
    Nothing,
    /// It is held whole before the service is called, and paid from the budget of held bodies.
    Buffered {
        /// Bytes at most; a larger one is refused before it is read.
        bytes_max: usize,
    },
    /// It is handed on as it arrives. It ends cleanly only after the rules passed it; until then nothing made of it counts.
    Streaming {
        /// Bytes at most.
        bytes_max: u64,
    },
}

/// What rules against attacks may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WafMode {
    /// Refuse.
    Block,
    /// Record, and let everything pass.
    Observe,
    /// Nothing.
    Off,
}

/// How requests from pages of other origins are treated (the Fetch standard, CORS protocol).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cors {
    /// The gateway answers preflights and marks answers, for the origins that the environment permits.
    Answered,
    /// Preflights go to whoever answers the path, without a caller; answers stay as they are.
    PassedOn,
}

/// The bound that background jobs have by mission row A7. Core and ordinary work gets it too: their figures are goals for the
/// 99th percentile, and cutting a slow read at its goal would turn a late answer into none.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// What an operator may wait for.
pub const OPERATOR_TIMEOUT: Duration = Duration::from_secs(60);

// === impl RoutePolicy ===

impl RoutePolicy {
    /// Ordinary work without a body.
    pub const ORDINARY: Self = Self {
        goal: Goal::Ordinary,
        timeout: TIMEOUT_DEFAULT,
        priority: Priority::Normal,
        accepts: Accepts::Nothing,
        waf: None,
        cors: Cors::Answered,
    };

    /// Core work (mission row A7) without a body.
    pub const CORE: Self = Self { goal: Goal::Core, ..Self::ORDINARY };

    /// What an operator asks for, quick to answer.
    pub const CONTROL: Self =
        Self { goal: Goal::Background, waf: Some(WafMode::Off), ..Self::ORDINARY };

    /// What an operator waits for.
    pub const OPERATOR: Self =
        Self { goal: Goal::Operator, timeout: OPERATOR_TIMEOUT, ..Self::CONTROL };

    /// The same with a body that is held whole.
    #[must_use]
    pub const fn buffered(self, bytes_max: usize) -> Self {
        Self { accepts: Accepts::Buffered { bytes_max }, ..self }
    }

    /// The same with a body that is handed on as it arrives.
    #[must_use]
    pub const fn streaming(self, bytes_max: u64) -> Self {
        Self { accepts: Accepts::Streaming { bytes_max }, ..self }
    }

    /// The same with another time-out.
    #[must_use]
    pub const fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The same with another priority.
    #[must_use]
    pub const fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }
}

// === impl Goal ===

impl Goal {
    /// The figure for the 99th percentile, where there is one.
    pub const fn p99(self) -> Option<Duration> {
        match self {
            Self::Core => Some(Duration::from_millis(200)),
            Self::Ordinary => Some(Duration::from_millis(800)),
            Self::Background | Self::Operator => None,
        }
    }

    /// Label of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Ordinary => "ordinary",
            Self::Background => "background",
            Self::Operator => "operator",
        }
    }
}

// === impl Accepts ===

impl Accepts {
    /// Bytes at most.
    pub const fn bytes_max(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Buffered { bytes_max } => bytes_max as u64,
            Self::Streaming { bytes_max } => bytes_max,
        }
    }
}

// === impl WafMode ===

impl WafMode {
    /// As the configuration spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Observe => "observe",
            Self::Off => "off",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Block, Self::Observe, Self::Off].into_iter().find(|mode| mode.name() == name)
    }
}
