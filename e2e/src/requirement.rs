//! What not every machine has. A test that needs it says so by name where it is missing, and fails where it is required. (A database reports itself:
//! [`Server::start_on`](crate::Server::start_on).)

use std::process::Command;

use crate::report::skipped;

/// Names, with commas between, that must be there: CI sets it.
pub const REQUIRE_VARIABLE: &str = "YUNZHAN_TEST_REQUIRE";
/// Something that a test needs and a machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Node and npm, with packages at hand or a registry that answers.
    Node,
    /// Python with its package `websockets`.
    PythonWebSockets,
}

impl Requirement {
    fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::PythonWebSockets => "python",
        }
    }

    /// Whether the test may go on. Where it may not, says why.
    ///
    /// # Panics
    /// When this machine lacks it although it is required.
    pub fn is_met(self) -> bool {
        self.lack().is_none_or(|why| self.skip(&why))
    }

    /// Skips a test for want of this: `false`, after saying why.
    ///
    /// # Panics
    /// When it is required.
    pub fn skip(self, why: &str) -> bool {
        let required = std::env::var(REQUIRE_VARIABLE).unwrap_or_default();
        let is_required = required.split(',').any(|name| name.trim() == self.name());
        assert!(!is_required, "{REQUIRE_VARIABLE} names {}, but {why}", self.name());
        skipped(why);
        false
    }

    fn lack(self) -> Option<String> {
        match self {
            Self::Node => ["node", "npm"].into_iter().find_map(|program| {
                let found = Command::new(program).arg("--version").output();
                (!found.is_ok_and(|output| output.status.success()))
                    .then(|| format!("{program} is not installed"))
            }),
            Self::PythonWebSockets => match python_with_websockets() {
                Some(_) => None,
                None => Some("no python3 has the package websockets".to_owned()),
            },
        }
    }
}

/// A Python that has the package `websockets`: the one that is found by its name, or the system's own, for which the
/// distribution's packages are.
pub fn python_with_websockets() -> Option<&'static str> {
    ["python3", "/usr/bin/python3"].into_iter().find(|program| {
        let found = Command::new(program).args(["-c", "import websockets"]).output();
        found.is_ok_and(|output| output.status.success())
    })
}
