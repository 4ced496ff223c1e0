//! This node among others: what an operator may set about it.

use std::time::Duration;

use yunzhan_base::config::Reader;

/// Two heartbeats may be late by seconds, as on a machine that is short of processors, and a node that died is replaced within
/// a quarter of a minute.
pub(crate) const SESSION_LIFE_DEFAULT: Duration = Duration::from_secs(15);
/// Shorter ones would end on a healthy machine: heartbeats come five times in a life.
const SESSION_LIFE_MIN: Duration = Duration::from_secs(1);
/// For longer than this nobody wants to be without a task's node.
const SESSION_LIFE_MAX: Duration = Duration::from_secs(300);
/// A column of the table of nodes.
const NAME_CHARS_MAX: usize = 255;
/// Where Linux tells the host's name.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// The table `[cluster]`.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The node's name, where the operator gave it one.
    pub(crate) name: Option<String>,
    /// How long this node's session lives without a heartbeat.
    pub(crate) session_life: Duration,
}

impl Config {
    /// Reads the table.
    pub(crate) fn read(cluster: &mut Reader<'_>) -> Self {
        let name: Option<String> = cluster.optional(
            "node_name",
            "what this node is called in lists and logs; without it, the host's name",
        );
        if name.as_ref().is_some_and(|name| !is_name(name)) {
            let text = ("a name has 1 to 255 characters", "名称应为 1 至 255 个字符");
            cluster.problem("node_name", text);
        }
        Self {
            name,
            session_life: cluster.value_in(
                "session_life",
                SESSION_LIFE_DEFAULT,
                SESSION_LIFE_MIN..=SESSION_LIFE_MAX,
                "on a shared database, how long after its last heartbeat a node counts as dead, so that another one takes over what one node does",
            ),
        }
    }

    /// The configured name, or the host's.
    pub(crate) fn node_name(&self) -> String {
        let host = || std::fs::read_to_string(HOST_NAME_FILE).ok();
        let name = self.name.clone().or_else(host).unwrap_or_default().trim().to_owned();
        if is_name(&name) { name } else { "node".to_owned() }
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.chars().count())
}
