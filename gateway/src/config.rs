//! What can be configured between listener and upstream.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use yunzhan_base::config::{ByteSize, FromConfig, Given, Reader, Reason, Words};
use yunzhan_base::policy::Cors;
use yunzhan_base::route::RouteScope;
use yunzhan_base::{Accepts, Access, EnvId, RoutePolicy, WafMode};
use yunzhan_net::http::Target;

use crate::bounds::Bounds;
use crate::client_address::{Network, TRUSTED_PROXIES_MAX, TrustedProxies};
use crate::sockets::SocketBounds;

/// A phone on a bad network sends a head within seconds; an attacker takes all the time there is.
pub const HEAD_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// A little more than the 60 s after which load balancers in front give an idle connection up, so that they, not we, end it.
pub const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(75);
/// A phone that changes from one network to the next is back within seconds.
pub const BODY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);
/// A tenth of what the slowest network in use gives (GPRS, 40 kbit/s), and far above an attacker's byte now and then.
pub const BODY_RATE_MIN_DEFAULT: usize = 500;
/// Streams of events are silent for long; whoever sends them sends a comment every half minute at best.
pub const EVENT_STREAM_TIMEOUT_DEFAULT: Duration = Duration::from_secs(300);
/// Three pings that nobody answered.
pub const SOCKET_IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(90);
/// An idle socket costs about as much as an idle connection.
pub const SOCKETS_MAX_DEFAULT: usize = 20_000;
/// Half of all: one environment cannot take the others' places.
pub const SOCKETS_PER_ENV_MAX_DEFAULT: usize = 10_000;
/// A school or an office behind one address.
pub const SOCKETS_PER_ADDRESS_MAX_DEFAULT: usize = 1_000;
/// Tokens and cookies fit thrice; hyper needs 8 KiB at least.
pub const HEAD_BYTES_MAX_DEFAULT: usize = 32 << 10;
/// Browsers send about 20. It is hyper's own bound, which costs nothing to keep.
pub const HEADERS_MAX_DEFAULT: usize = 100;
/// Plain idle connections cost about 22 KiB each; so many fit into 440 MB.
pub const CONNECTIONS_MAX_DEFAULT: usize = 20_000;
/// A whole office behind one address opens a few hundred; one client that opens more leaves room for others.
pub const CONNECTIONS_PER_ADDRESS_MAX_DEFAULT: usize = 1_000;
/// Held bodies together: a few hundred uploads of the largest size at once, and never the machine's memory.
pub const HELD_BYTES_MAX_DEFAULT: usize = 128 << 20;
/// Bodies to a remote upstream, which streams.
pub const REMOTE_BODY_BYTES_MAX_DEFAULT: usize = 16 << 20;
/// The same bound as for background jobs would cut off reports; a team's server gets half a minute.
pub const REMOTE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Bounds, time-outs and remote routes.
#[derive(Clone, Debug)]
pub struct Config {
    /// From the first byte of a request's head to its last.
    pub head_timeout: Duration,
    /// From one request of a connection to the next.
    pub idle_timeout: Duration,
    /// For each wait of a body, in either direction.
    pub body_timeout: Duration,
    /// Bytes a second that a request's body arrives with, and that a client takes of an answer, at least, beside one
    /// `body_timeout`.
    pub body_rate_min_bytes: usize,
    /// For each wait of an answer that is a stream of events.
    pub event_stream_timeout: Duration,
    /// How long a socket may be silent.
    pub socket_idle_timeout: Duration,
    /// Sockets and streams of events that are open at once: in all, of one environment, of one address.
    pub sockets_max: [usize; 3],
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// Connections open at once on each listener.
    pub connections_max: usize,
    /// Connections open at once from one address, over all listeners; trusted proxies have no such bound.
    pub connections_per_address_max: usize,
    /// Who may say who the client is.
    pub trusted_proxies: TrustedProxies,
    /// Bytes of all request bodies that are held at one time; a request beyond is refused with 503.
    pub held_bytes_max: usize,
    /// Paths that servers elsewhere answer.
    pub routes: Vec<RemoteRoute>,
}

/// One path that a server elsewhere answers, with every method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRoute {
    /// Name in logs and metrics.
    pub name: String,
    /// Path with `{name}` segments; `{*rest}` at the end takes the rest.
    pub path: String,
    /// For which host or environment alone.
    pub scope: RouteScope,
    /// Where requests go.
    pub upstream: Target,
    /// Who may call.
    pub access: Access,
    /// What is enforced here.
    pub policy: RoutePolicy,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            head_timeout: HEAD_TIMEOUT_DEFAULT,
            idle_timeout: IDLE_TIMEOUT_DEFAULT,
            body_timeout: BODY_TIMEOUT_DEFAULT,
            body_rate_min_bytes: BODY_RATE_MIN_DEFAULT,
            event_stream_timeout: EVENT_STREAM_TIMEOUT_DEFAULT,
            socket_idle_timeout: SOCKET_IDLE_TIMEOUT_DEFAULT,
            sockets_max: [
                SOCKETS_MAX_DEFAULT,
                SOCKETS_PER_ENV_MAX_DEFAULT,
                SOCKETS_PER_ADDRESS_MAX_DEFAULT,
            ],
            head_bytes_max: HEAD_BYTES_MAX_DEFAULT,
            headers_max: HEADERS_MAX_DEFAULT,
            connections_max: CONNECTIONS_MAX_DEFAULT,
            connections_per_address_max: CONNECTIONS_PER_ADDRESS_MAX_DEFAULT,
            trusted_proxies: TrustedProxies::default(),
            held_bytes_max: HELD_BYTES_MAX_DEFAULT,
            routes: Vec::new(),
        }
    }
}

impl Config {
    /// Reads the table `gateway`. All but `connections_max` and `held_bytes_max` follows a reload; open connections keep the bounds they began with.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let default = Self::default();
        let size = |bytes: usize| ByteSize::bytes(bytes as u64);
        Self {
            head_timeout: timeout(
                reader,
                ("head_timeout", "from the first byte of a request's head to its last"),
                default.head_timeout,
            ),
            idle_timeout: timeout(
                reader,
                ("idle_timeout", "when a connection without a request is closed"),
                default.idle_timeout,
            ),
            body_timeout: timeout(
                reader,
                ("body_timeout", "for each wait of a body, and a client that takes no bytes"),
                default.body_timeout,
            ),
            body_rate_min_bytes: read_body_rate_min(reader, default.body_rate_min_bytes),
            event_stream_timeout: timeout(
                reader,
                ("event_stream_timeout", "for each wait of an answer that is a stream of events"),
                default.event_stream_timeout,
            ),
            socket_idle_timeout: timeout(
                reader,
                ("socket_idle_timeout", "how long a WebSocket may be silent, pings included"),
                default.socket_idle_timeout,
            ),
            sockets_max: read_sockets_max(reader, default.sockets_max),
            head_bytes_max: bounded(
                reader,
                ("head_bytes_max", "bytes of a request's head; a larger one is answered with 431"),
                size(default.head_bytes_max),
                ByteSize::kib(8)..=ByteSize::mib(1),
            )
            .as_usize(),
            headers_max: read_headers_max(reader, default.headers_max),
            connections_max: reader.value_in(
                "connections_max",
                default.connections_max,
                1..=1_000_000,
                "connections open at once on each listener; one more is closed",
            ),
            connections_per_address_max: bounded(
                reader,
                (
                    "connections_per_address_max",
                    "connections open at once from one address (IPv6: one /64 network) over all listeners; one more is closed. Trusted proxies have no such bound",
                ),
                default.connections_per_address_max,
                1..=1_000_000,
            ),
            trusted_proxies: read_trusted_proxies(reader),
            held_bytes_max: reader
                .value_in(
                    "held_bytes_max",
                    size(default.held_bytes_max),
                    ByteSize::mib(1)..=ByteSize::gib(64),
                    "bytes of all request bodies held at one time; a request beyond is answered with 503",
                )
                .as_usize(),
            routes: read_routes(reader),
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            head_timeout: self.head_timeout,
            idle_timeout: self.idle_timeout,
            body_timeout: self.body_timeout,
            body_rate_min_bytes: self.body_rate_min_bytes as u64,
            event_stream_timeout: self.event_stream_timeout,
            socket_idle_timeout: self.socket_idle_timeout,
            sockets: SocketBounds {
                sockets_max: self.sockets_max[0],
                per_env_max: self.sockets_max[1],
                per_address_max: self.sockets_max[2],
            },
            head_bytes_max: self.head_bytes_max,
            headers_max: self.headers_max,
            connections_max: self.connections_max,
        }
    }
}

/// Shorter is no time-out but a fault, longer is none.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);

/// A value that follows a reload, within bounds.
fn bounded<T: FromConfig + PartialOrd>(
    reader: &mut Reader<'_>,
    (key, doc): (&'static str, &'static str),
    default: T,
    bounds: RangeInclusive<T>,
) -> T {
    let value = reader.live(key, default, doc);
    if !bounds.contains(&value) {
        let (least, most) = (bounds.start().show(), bounds.end().show());
        let en = format!("expected between {least} and {most}");
        reader.problem(key, (en, format!("应在 {least} 与 {most} 之间")));
    }
    value
}

fn read_trusted_proxies(reader: &mut Reader<'_>) -> TrustedProxies {
    let key = "trusted_proxies";
    let networks: Vec<Network> = reader.live(
        key,
        Vec::new(),
        "proxies in front of this server, as networks such as `\"10.0.0.0/8\"` or addresses. From them alone the client's address is taken: from `X-Forwarded-For`, or `Forwarded` where there is none, and from the PROXY protocol",
    );
    if networks.len() > TRUSTED_PROXIES_MAX {
        let en = format!("at most {TRUSTED_PROXIES_MAX} networks can be trusted");
        reader.problem(key, (en, format!("最多信任 {TRUSTED_PROXIES_MAX} 个网段")));
    }
    TrustedProxies::new(networks)
}

/// A time-out that follows a reload.
fn timeout(
    reader: &mut Reader<'_>,
    key: (&'static str, &'static str),
    default: Duration,
) -> Duration {
    bounded(reader, key, default, TIMEOUTS)
}

fn read_headers_max(reader: &mut Reader<'_>, default: usize) -> usize {
    let doc = "headers of one HTTP/1 request; one more is answered with 431. HTTP/2 is bounded by head_bytes_max";
    bounded(reader, ("headers_max", doc), default, 10..=1000)
}

fn read_body_rate_min(reader: &mut Reader<'_>, default: usize) -> usize {
    let doc = "bytes a second that a request's body arrives with, and that a client takes of an answer, at least, beside one body_timeout";
    let default = ByteSize::bytes(default as u64);
    let bounds = ByteSize::bytes(1)..=ByteSize::mib(1);
    bounded(reader, ("body_rate_min", doc), default, bounds).as_usize()
}

fn read_sockets_max(reader: &mut Reader<'_>, default: [usize; 3]) -> [usize; 3] {
    let keys = [
        (
            "sockets_max",
            "WebSockets and streams of events open at once; one more is answered with 429",
        ),
        ("sockets_per_env_max", "the same, of one environment"),
        ("sockets_per_address_max", "the same, of one address; trusted proxies have no such bound"),
    ];
    std::array::from_fn(|at| bounded(reader, keys[at], default[at], 1..=1_000_000))
}

fn read_routes(reader: &mut Reader<'_>) -> Vec<RemoteRoute> {
    let mut paths: HashMap<RouteScope, matchit::Router<()>> = HashMap::new();
    let mut routes = Vec::new();
    for mut element in reader.list("route") {
        let Some(route) = RemoteRoute::read(&mut element) else { continue };
        let of_scope = paths.entry(route.scope.clone()).or_default();
        if let Err(error) = of_scope.insert(&route.path, ()) {
            let zh = format!("此路径不能与其他路由并存: {error}");
            element
                .problem("path", (format!("the path cannot stand beside the others: {error}"), zh));
        }
        routes.push(route);
    }
    routes
}

// === impl RemoteRoute ===

impl RemoteRoute {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let path: Option<String> = reader.live_required(
            "path",
            "path that the upstream answers; `{*rest}` at its end takes every path below",
        );
        let upstream: Option<Upstream> = reader
            .live_required("upstream", "where requests go: `http://host:port` or `https://host`");
        let access =
            reader.live("access", Caller(Access::Public), "who may call: `public` or `user`");
        let body = ByteSize::bytes(REMOTE_BODY_BYTES_MAX_DEFAULT as u64);
        let body = reader.live("body_bytes_max", body, "the largest request body");
        let timeout = reader.live(
            "timeout",
            REMOTE_TIMEOUT_DEFAULT,
            "how long the upstream may take from the end of the request to the head of its answer, and stand still during an upload",
        );
        let name: Option<String> =
            reader.live_optional("name", "name in logs and metrics; the path when it is not given");
        let waf: Option<WafModeText> = reader.live_optional(
            "waf",
            "what rules against attacks may do here: `block`, `observe` or `off`; `waf.mode` when it is not given",
        );
        let host: Option<String> = reader
            .live_optional("host", "the host for which alone the route stands, without a port");
        let env: Option<EnvId> =
            reader.live_optional("env", "the environment for which alone the route stands");
        if host.is_some() && env.is_some() {
            let en = "a route stands for a host or for an environment, not for both";
            reader.problem("env", (en, "一条路由只能限定 host 或 env 之一"));
        }
        let scope = match (host, env) {
            (Some(host), _) => RouteScope::Host(host.to_ascii_lowercase()),
            (None, Some(env)) => RouteScope::Env(env),
            (None, None) => RouteScope::Everywhere,
        };
        let path = path?;
        if !path.starts_with('/') {
            reader.problem("path", ("a path begins with /", "路径以 / 开头"));
        }
        Some(Self {
            name: name.unwrap_or_else(|| path.clone()),
            path,
            scope,
            upstream: upstream?.0,
            access: access.0,
            policy: RoutePolicy {
                timeout,
                accepts: Accepts::Streaming { bytes_max: body.as_usize() as u64 },
                waf: waf.map(|mode| mode.0),
                cors: Cors::PassedOn,
                ..RoutePolicy::ORDINARY
            },
        })
    }
}

/// An upstream's address, as the file spells it.
struct Upstream(Target);

impl FromConfig for Upstream {
    fn expected() -> Words {
        Words::new(
            r#"an address such as "http://127.0.0.1:3000""#,
            r#"形如 "http://127.0.0.1:3000" 的地址"#,
        )
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        let text = given.text().ok_or(Reason::none())?;
        Target::parse(text).map(Self).map_err(|error| Reason::from(error.to_string()))
    }

    fn show(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

/// What rules may do, as the file spells it.
pub struct WafModeText(pub WafMode);

impl FromConfig for WafModeText {
    fn expected() -> Words {
        Words::new(r#""block", "observe" or "off""#, r#""block"、"observe" 或 "off""#)
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        given.text().and_then(WafMode::from_name).map(Self).ok_or(Reason::none())
    }

    fn show(&self) -> String {
        format!("\"{}\"", self.0.name())
    }
}

/// Who may call a remote route. Keys of the admin dialect and operators have routes of their own.
struct Caller(Access);

impl FromConfig for Caller {
    fn expected() -> Words {
        Words::new(r#""public" or "user""#, r#""public" 或 "user""#)
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        match given.text() {
            Some("public") => Ok(Self(Access::Public)),
            Some("user") => Ok(Self(Access::User)),
            _ => Err(Reason::none()),
        }
    }

    fn show(&self) -> String {
        let word = if self.0 == Access::User { "user" } else { "public" };
        format!("\"{word}\"")
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use yunzhan_base::config::{Document, Lang, Variables};

    use super::*;

    fn check(text: &str, expected: &Expect) {
        let document = Document::parse("yunzhan.toml", text, Variables::default());
        let config = Config::read(&mut document.root().table("gateway"));
        match document.finish() {
            Ok(()) => expected.assert_eq(&format!("{:?} {:?}", config.head_timeout, config.routes)),
            Err(problems) => expected.assert_eq(&problems.render(Lang::En)),
        }
    }

    #[test]
    fn a_route_names_its_path_and_its_upstream() {
        check(
            "[gateway]\nhead_timeout = \"5s\"\n[[gateway.route]]\npath = \"/api/{*rest}\"\nupstream = \"http://127.0.0.1:3000\"\naccess = \"user\"",
            &expect![[
                r#"5s [RemoteRoute { name: "/api/{*rest}", path: "/api/{*rest}", scope: Everywhere, upstream: http://127.0.0.1:3000, access: User, policy: RoutePolicy { goal: Ordinary, timeout: 30s, priority: Normal, accepts: Streaming { bytes_max: 16777216 }, waf: None, cors: PassedOn } }]"#
            ]],
        );
        check(
            "[gateway]\nhead_bytes_max = 1\n[[gateway.route]]\npath = \"api\"\nupstream = \"ftp://x\"\nacces = \"all\"\n[[gateway.route]]\npath = \"/a/{b\"\nupstream = \"http://a\"",
            &expect![[r#"
                error: expected between "8KiB" and "1MiB"
                 --> yunzhan.toml:2:18 (gateway.head_bytes_max)
                  |
                2 | head_bytes_max = 1
                  |                  ^

                error: a path begins with /
                 --> yunzhan.toml:4:8 (gateway.route.0.path)
                  |
                4 | path = "api"
                  |        ^^^^^

                error: expected an address such as "http://127.0.0.1:3000", got "ftp://x"
                 --> yunzhan.toml:5:12 (gateway.route.0.upstream)
                  |
                5 | upstream = "ftp://x"
                  |            ^^^^^^^^^
                  = "ftp://x" is not the address of a server: it begins with neither http:// nor https://
                  = no default; variable: YUNZHAN_GATEWAY__ROUTE__0__UPSTREAM

                error: unknown key "acces"
                 --> yunzhan.toml:6:1 (gateway.route.0.acces)
                  |
                6 | acces = ***
                  | ^^^^^
                  = did you mean "access"?

                error: the path cannot stand beside the others: Parameters must be registered with a valid name
                 --> yunzhan.toml:8:8 (gateway.route.1.path)
                  |
                8 | path = "/a/{b"
                  |        ^^^^^^^
            "#]],
        );
    }
}
