//! Where the server listens: the table `[listen]` with one listener of each kind, or the list `[[listen]]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use yunzhan_base::config::{FromConfig, Given, Reader, Reason, TableOrList, Words};
use yunzhan_gateway::proxy_protocol::ProxyProtocol;
use yunzhan_gateway::tls::CertificateFiles;

use super::{Config, read_certificate};

/// On every address of the machine, so that a phone in the same network can open the demo (mission row D7).
const HTTP_DEFAULT: ListenAt = ListenAt::At(SocketAddr::new(ANY, 8080));
/// Its sibling with TLS (mission row D7).
const HTTPS_DEFAULT: ListenAt = ListenAt::At(SocketAddr::new(ANY, 8443));
/// Loopback only: whoever reaches it operates the server. Beside 8080, and not 9090, where Prometheus itself listens.
const CONTROL_DEFAULT: ListenAt = ListenAt::At(SocketAddr::new(LOOPBACK, 8079));

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    /// The key that names its address.
    pub(crate) key: String,
    /// Where; port 0 takes a free one.
    pub(crate) address: SocketAddr,
    /// What is spoken there.
    pub(crate) protocol: Protocol,
    /// Its own certificate, if it has one.
    pub(crate) certificate: Option<CertificateFiles>,
    /// Whether connections begin with what a trusted proxy says of the client.
    pub(crate) proxy_protocol: ProxyProtocol,
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1 for clients.
    Http,
    /// HTTP/1.1 and HTTP/2 over TLS for clients.
    Https,
    /// The control API, health and metrics for operators.
    Control,
}

/// A listener's address, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenAt {
    /// Listens there; port 0 takes a free one.
    At(SocketAddr),
    /// Does not listen.
    Off,
}

/// The listeners, and where they were read, for what only the whole configuration can tell.
pub(super) struct Listening<'d> {
    pub(super) listeners: Vec<Listen>,
    elements: Vec<Reader<'d>>,
}

// === impl ListenAt ===

impl ListenAt {
    /// The address, if it listens.
    pub(crate) fn address(self) -> Option<SocketAddr> {
        match self {
            Self::At(address) => Some(address),
            Self::Off => None,
        }
    }
}

// === impl Listening ===

impl<'d> Listening<'d> {
    /// Reads both spellings. With a list nothing else listens, but where a variable says so.
    pub(super) fn read(root: &mut Reader<'d>, folder: &Path) -> Self {
        let TableOrList { mut table, list: mut elements, is_list } = root.table_or_list("listen");
        let or_off = |default| if is_list { ListenAt::Off } else { default };
        let http = table.value("http", or_off(HTTP_DEFAULT), HTTP_DOC);
        let https = table.value("https", or_off(HTTPS_DEFAULT), HTTPS_DOC);
        let control = table.value("control", or_off(CONTROL_DEFAULT), CONTROL_DOC);
        refuse_same_addresses(
            &mut table,
            &[("http", http), ("https", https), ("control", control)],
        );
        let kinds =
            [(http, Protocol::Http), (https, Protocol::Https), (control, Protocol::Control)];
        let mut listeners: Vec<_> =
            kinds.into_iter().filter_map(|(at, protocol)| Listen::plain(at, protocol)).collect();
        for (index, element) in elements.iter_mut().enumerate() {
            let Some(listen) = Listen::read(element, index, folder) else { continue };
            let twin = listeners.iter().find(|other| meets(other.address, listen.address));
            if let Some(twin) = twin {
                let en = format!("{} listens there already", twin.key);
                element.problem("address", (en, format!("{} 已在此地址监听", twin.key)));
            }
            listeners.push(listen);
        }
        Self { listeners, elements }
    }

    /// Refuses listeners that take the word of proxies when no proxy is trusted: they would refuse everybody.
    pub(super) fn refuse_untrusted(&mut self, config: &mut Config) {
        if !config.gateway.trusted_proxies.is_empty() {
            return;
        }
        for (index, element) in self.elements.iter_mut().enumerate() {
            let is_proxied = |listen: &Listen| {
                listen.key == key_of(index) && listen.proxy_protocol != ProxyProtocol::Off
            };
            if config.listeners.iter().any(is_proxied) {
                let en =
                    "gateway.trusted_proxies names nobody from whom the PROXY protocol is taken";
                let zh = "gateway.trusted_proxies 为空, 无法接受任何来源的 PROXY 协议";
                element.problem("proxy_protocol", (en, zh));
            }
        }
    }
}

const HTTP_DOC: &str = "where HTTP is served; \"off\" for nowhere";
const HTTPS_DOC: &str = "where HTTPS is served; \"off\" for nowhere";
const CONTROL_DOC: &str = "where `/control/v1`, `/healthz`, `/readyz` and `/metrics` are served; keep it out of reach of strangers";

const CERTIFICATE_DOCS: [&str; 2] = [
    "its certificate chain in PEM, for `https`; that of `[tls]` when it is not given. Read again at every reload",
    "the private key of its certificate, in PEM",
];

/// Refuses addresses on which two listeners of the table would meet.
fn refuse_same_addresses(listen: &mut Reader<'_>, listeners: &[(&'static str, ListenAt)]) {
    for (place, &(later, at)) in listeners.iter().enumerate() {
        let is_met = |(_, other): &&(&str, ListenAt)| match (at, other) {
            (ListenAt::At(one), ListenAt::At(other)) => meets(one, *other),
            _ => false,
        };
        let Some(&(earlier, _)) = listeners[..place].iter().find(is_met) else { continue };
        // Told at a key that somebody wrote: the other one may be a default.
        let (told, other) = if listen.is_set(later) { (later, earlier) } else { (earlier, later) };
        let zh = format!("listen.{other} 已使用此地址; 请换一个端口");
        let en = format!("listen.{other} has this address already; choose another port");
        listen.problem(told, (en, zh));
    }
}

/// Whether both would take the same port of one address. An address that stands for all of the machine's meets each of them,
/// and `[::]` those of IPv4 too. Port 0 is another one each time.
fn meets(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |all: SocketAddr, one: SocketAddr| {
        all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4())
    };
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || covers(one, other) || covers(other, one))
}

fn key_of(index: usize) -> String {
    format!("listen.{index}.address")
}

// === impl Listen ===

impl Listen {
    /// A listener of the table.
    fn plain(at: ListenAt, protocol: Protocol) -> Option<Self> {
        let ListenAt::At(address) = at else { return None };
        let key = format!("listen.{}", protocol.name());
        let proxy_protocol = ProxyProtocol::Off;
        Some(Self { key, address, protocol, certificate: None, proxy_protocol })
    }

    /// An element of the list; none without an address.
    fn read(reader: &mut Reader<'_>, index: usize, folder: &Path) -> Option<Self> {
        let address = reader.required(
            "address",
            "where it listens. With `[[listen]]` nothing else listens: the list stands instead of the table `[listen]`",
        );
        let protocol = reader.value("protocol", Protocol::Http, "what is spoken there");
        let certificate = read_certificate(reader, CERTIFICATE_DOCS, "", folder);
        let proxy_protocol = reader.value(
            "proxy_protocol",
            ProxyProtocol::Off,
            "whether connections begin with a PROXY header that names the client, of either version or of one; taken from `gateway.trusted_proxies` alone",
        );
        if certificate.is_some() && protocol != Protocol::Https {
            let en = "only a listener with protocol \"https\" has a certificate";
            reader.problem("certificate", (en, "只有 protocol 为 \"https\" 的监听才有证书"));
        }
        if proxy_protocol != ProxyProtocol::Off && protocol == Protocol::Control {
            let en = "operators reach the control listener without a proxy";
            reader.problem("proxy_protocol", (en, "管理监听不经过代理"));
        }
        let key = key_of(index);
        Some(Self { key, address: address?, protocol, certificate, proxy_protocol })
    }
}

// === impl Protocol ===

impl Protocol {
    /// As the configuration spells it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Control => "control",
        }
    }
}

impl FromConfig for Protocol {
    fn expected() -> Words {
        Words::new(r#""http", "https" or "control""#, r#""http"、"https" 或 "control""#)
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        let kinds = [Self::Http, Self::Https, Self::Control];
        let named = |kind: &Self| given.text() == Some(kind.name());
        kinds.into_iter().find(named).ok_or(Reason::none())
    }

    fn show(&self) -> String {
        format!("\"{}\"", self.name())
    }
}

// === impl ListenAt ===

impl FromConfig for ListenAt {
    fn expected() -> Words {
        let address = SocketAddr::expected();
        Words::new(format!("{}, or \"off\"", address.en), format!("{}, 或 \"off\"", address.zh))
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        if given.text() == Some("off") {
            Ok(Self::Off)
        } else {
            SocketAddr::read(given).map(Self::At)
        }
    }

    fn show(&self) -> String {
        match self {
            Self::At(address) => address.show(),
            Self::Off => "\"off\"".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use yunzhan_base::config::{Document, Lang, Variables};

    use super::*;

    fn check(text: &str, variables: &[(&str, &str)], expected: &Expect) {
        let variables: Variables =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let document = Document::parse("yunzhan.toml", text, variables);
        let config = Config::read(&mut document.root(), Path::new("/srv"), false);
        let shown = match document.finish() {
            Err(problems) => problems.render(Lang::En),
            Ok(()) => config.listeners.iter().map(show).collect(),
        };
        expected.assert_eq(&shown);
    }

    fn show(listen: &Listen) -> String {
        let Listen { key, address, protocol, certificate, proxy_protocol } = listen;
        let chain =
            certificate.as_ref().map_or("-".into(), |files| files.chain.display().to_string());
        format!("{key} {} {address} {chain} {proxy_protocol:?}\n", protocol.name())
    }

    #[test]
    fn the_table_has_one_listener_of_each_kind() {
        check(
            "",
            &[],
            &expect![[r#"
            listen.http http 0.0.0.0:8080 - Off
            listen.https https 0.0.0.0:8443 - Off
            listen.control control 127.0.0.1:8079 - Off
        "#]],
        );
        check(
            "[listen]\nhttp = \"off\"\nhttps = \"[::]:443\"",
            &[("YUNZHAN_LISTEN__CONTROL", "off")],
            &expect![[r#"
                listen.https https [::]:443 - Off
            "#]],
        );
    }

    const LIST: &str = r#"
        [gateway]
        trusted_proxies = ["10.0.0.0/8"]
        [[listen]]
        address = "0.0.0.0:80"
        [[listen]]
        address = "0.0.0.0:443"
        protocol = "https"
        certificate = "shop.pem"
        key = "shop.key"
        [[listen]]
        address = "10.0.0.2:8443"
        protocol = "https"
        proxy_protocol = "on"
    "#;

    #[test]
    fn the_list_has_as_many_as_there_are_and_no_other() {
        check(
            LIST,
            &[],
            &expect![[r#"
            listen.0.address http 0.0.0.0:80 - Off
            listen.1.address https 0.0.0.0:443 /srv/shop.pem Off
            listen.2.address https 10.0.0.2:8443 - On
        "#]],
        );
        check(
            LIST,
            &[
                ("YUNZHAN_LISTEN__CONTROL", "127.0.0.1:1"),
                ("YUNZHAN_LISTEN__3__ADDRESS", "127.0.0.1:2"),
                ("YUNZHAN_LISTEN__0__PROXY_PROTOCOL", "v2"),
            ],
            &expect![[r#"
                listen.control control 127.0.0.1:1 - Off
                listen.0.address http 0.0.0.0:80 - V2
                listen.1.address https 0.0.0.0:443 /srv/shop.pem Off
                listen.2.address https 10.0.0.2:8443 - On
                listen.3.address http 127.0.0.1:2 - Off
            "#]],
        );
    }

    #[test]
    fn every_mistake_of_a_list_is_named_with_its_line() {
        let text = r#"
[[listen]]
adress = "0.0.0.0:80"
[[listen]]
address = "0.0.0.0:80"
protocol = "htps"
[[listen]]
address = "0.0.0.0:80"
certificate = "shop.pem"
key = "shop.key"
proxy_protocol = "on"
[[listen]]
address = "127.0.0.1:8079"
protocol = "control"
proxy_protocol = "yes"
"#;
        check(
            text,
            &[],
            &expect![[r#"
            error: address is missing
             --> yunzhan.toml:2:1 (listen.0.address)
              |
            2 | [[listen]]
              | ^^^^^^^^^^

            error: unknown key "adress"
             --> yunzhan.toml:3:1 (listen.0.adress)
              |
            3 | adress = ***
              | ^^^^^^
              = did you mean "address"?

            error: expected "http", "https" or "control", got "htps"
             --> yunzhan.toml:6:12 (listen.1.protocol)
              |
            6 | protocol = "htps"
              |            ^^^^^^
              = default: "http"; variable: YUNZHAN_LISTEN__1__PROTOCOL

            error: listen.1.address listens there already
             --> yunzhan.toml:8:11 (listen.2.address)
              |
            8 | address = "0.0.0.0:80"
              |           ^^^^^^^^^^^^

            error: only a listener with protocol "https" has a certificate
             --> yunzhan.toml:9:15 (listen.2.certificate)
              |
            9 | certificate = "shop.pem"
              |               ^^^^^^^^^^

            error: gateway.trusted_proxies names nobody from whom the PROXY protocol is taken
              --> yunzhan.toml:11:18 (listen.2.proxy_protocol)
               |
            11 | proxy_protocol = "on"
               |                  ^^^^

            error: expected "off", "on", "v1" or "v2", got "yes"
              --> yunzhan.toml:15:18 (listen.3.proxy_protocol)
               |
            15 | proxy_protocol = "yes"
               |                  ^^^^^
               = default: "off"; variable: YUNZHAN_LISTEN__3__PROXY_PROTOCOL
        "#]],
        );
    }

    #[test]
    fn addresses_meet_where_one_listener_would_take_the_others_port() {
        let check = |one: &str, other: &str| meets(one.parse().unwrap(), other.parse().unwrap());
        for (one, other) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("0.0.0.0:80", "10.0.0.1:80"),
            ("[::]:80", "10.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
        ] {
            assert!(check(one, other) && check(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("127.0.0.1:80", "127.0.0.1:81"),
            ("0.0.0.0:80", "[::1]:80"),
        ] {
            assert!(!check(one, other) && !check(other, one), "{one} {other}");
        }
    }
}
