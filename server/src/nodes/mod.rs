//! This node among others: what an operator may set about it, and its internal listener.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use tokio::net::TcpListener;
use yunzhan_base::config::Reader;
use yunzhan_base::{Clock, Error, Kind, Result};
use yunzhan_net::peer::{Answer, Authority, SEED_BYTES, serve};
use yunzhan_net::shutdown::Shutdown;
use yunzhan_services::nodes::Link;

use crate::config::ListenAt;

/// Two heartbeats may be late by seconds, as on a machine that is short of processors, and a node that died is replaced within
/// a quarter of a minute.
pub(crate) const SESSION_LIFE_DEFAULT: Duration = Duration::from_secs(15);
/// Shorter ones would end on a healthy machine: heartbeats come five times in a life.
const SESSION_LIFE_MIN: Duration = Duration::from_secs(1);
/// For longer than this nobody wants to be without a task's node.
const SESSION_LIFE_MAX: Duration = Duration::from_secs(300);
/// A column of the table of nodes.
const NAME_CHARS_MAX: usize = 255;
/// What the key of the cluster's authority is made for; another text would make another authority.
const AUTHORITY_LABEL: &[u8] = b"yunzhan cluster authority 1";
/// Every address of the machine and a free port: others learn it from the node's row.
const LISTEN_SHARED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// Where Linux tells the host's name.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// The table `[cluster]`.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The node's name, where the operator gave it one.
    pub(crate) name: Option<String>,
    /// How long this node's session lives without a heartbeat.
    pub(crate) session_life: Duration,
    /// Where the internal listener listens; none leaves it to whether the database is shared.
    pub(crate) listen: Option<ListenAt>,
    /// The name or address under which other nodes reach this one.
    pub(crate) advertise: Option<String>,
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
        let advertise: Option<String> = cluster.optional(
            "advertise",
            "the name or address, without a port, under which other nodes reach this one; without it, the address from which this machine reaches the database",
        );
        if advertise.as_ref().is_some_and(|host| !is_host(host)) {
            let text = (
                "expected a host name or an address, without a port",
                "应为不带端口的主机名或地址",
            );
            cluster.problem("advertise", text);
        }
        Self {
            name,
            listen: cluster.optional(
                "listen",
                "where other nodes call this one, over TLS with certificates of the cluster; \"off\" for nowhere; without it, a free port where the database is shared, and nowhere else",
            ),
            advertise,
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

impl Config {
    /// Where the internal listener listens.
    fn listen_at(&self, is_shared: bool) -> Option<SocketAddr> {
        match self.listen {
            Some(at) => at.address(),
            None => is_shared.then_some(LISTEN_SHARED),
        }
    }

    /// What this node shows to others; none where it listens to nobody. Every node that knows the master key has the same
    /// authority: it can open whatever the others sealed, so there is nothing to keep from it.
    pub(crate) fn link(
        &self,
        database: Option<&str>,
        master_key: &[u8; 32],
        clock: &Clock,
    ) -> Result<Option<Link>> {
        let Some(listen) = self.listen_at(database.is_some()) else { return Ok(None) };
        let host = self.advertise.clone().unwrap_or_else(|| own_address(listen.ip(), database));
        let key = hmac::Key::new(hmac::HMAC_SHA256, master_key);
        let seed = hmac::sign(&key, AUTHORITY_LABEL);
        let seed: [u8; SEED_BYTES] = seed.as_ref().try_into().expect("SHA-256 has 32 bytes");
        let authority = Arc::new(Authority::from_seed(&seed)?);
        let identity = authority.identity(&host, clock.now_ms())?;
        Ok(Some(Link { authority, identity, host }))
    }

    /// Opens the internal listener, and says as `host:port` where others reach it.
    pub(crate) async fn open(
        &self,
        is_shared: bool,
        link: &Link,
        answer: Arc<dyn Answer>,
        shutdown: Shutdown,
    ) -> Result<String> {
        let wanted = self.listen_at(is_shared).unwrap_or(LISTEN_SHARED);
        let failed = |error: std::io::Error| {
            let text = format!("cannot listen on {wanted} (cluster.listen): {error}");
            Error::new(Kind::Unavailable, text).because(error)
        };
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        serve(listener, &link.identity, answer, shutdown)?;
        Ok(match link.host.parse() {
            Ok(address) => SocketAddr::new(address, port).to_string(),
            Err(_) => format!("{}:{port}", link.host),
        })
    }
}

/// The address under which this machine is seen on its way to the database, unless the listener has one itself. Nothing is
/// sent: the system only chooses a route.
fn own_address(listen: IpAddr, database: Option<&str>) -> String {
    if !listen.is_unspecified() {
        return listen.to_string();
    }
    let seen = database.and_then(host_and_port).and_then(|(host, port)| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect((host.trim_matches(['[', ']']), port)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    });
    seen.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_string()
}

/// Of `mysql://user:password@host:port/database`.
fn host_and_port(url: &str) -> Option<(&str, u16)> {
    const MYSQL_PORT: u16 = 3306;
    let authority = url.split_once("://")?.1.split('/').next()?;
    let address = authority.rsplit('@').next()?;
    match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => Some((host, port.parse().ok()?)),
        _ => Some((address, MYSQL_PORT)),
    }
}

fn is_host(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_name = (1..=253).contains(&text.len()) && text.bytes().all(is_plain);
    is_name || text.parse::<IpAddr>().is_ok()
}

fn is_name(name: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&name.chars().count())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_the_database_tells_the_address() {
        for (url, expected) in [
            ("mysql://root@127.0.0.1:3307/shop", Some(("127.0.0.1", 3307))),
            ("mysql://a:b:c@db.internal/shop", Some(("db.internal", 3306))),
            ("mysql://a@[::1]:3306/shop", Some(("[::1]", 3306))),
            ("mysql://a@[::1]/shop", Some(("[::1]", 3306))),
            ("shop", None),
        ] {
            assert_eq!(host_and_port(url), expected, "{url}");
        }
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        assert_eq!(own_address(any, Some("mysql://root@127.0.0.1:3306/shop")), "127.0.0.1");
        assert_eq!(own_address(any, None), "127.0.0.1");
        assert_eq!(own_address("10.1.2.3".parse().unwrap(), None), "10.1.2.3");
    }

    #[test]
    fn hosts_have_no_port() {
        for good in ["node-1", "10.0.0.1", "::1", "a.b_c.internal"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "a:1", "[::1]", "a b", "https://a"] {
            assert!(!is_host(bad), "{bad}");
        }
    }
}
