//! Who the client is: the connection's peer, or whom trusted proxies name.
//!
//! A chain of proxies writes addresses from left to right, and the client may have written the first ones itself. So the
//! walk goes from right to left, from one trusted proxy to the next, and ends at the first address that is none: nobody
//! whom we trust vouches for what stands left of it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use yunzhan_base::config::{FromConfig, Given, Reason, Words};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Elements of a list that are looked at, from its right end. No real chain of proxies is as long.
pub const HOPS_MAX: usize = 32;

/// Networks that may be trusted: the lists that large delivery networks publish have a few hundred.
pub const TRUSTED_PROXIES_MAX: usize = 1000;

/// A network of addresses, such as `10.0.0.0/8`; a single address is the network of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The proxies that may say who the client is. Empty by default: then nobody may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// Whom a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Address and port; the port is 0 where a proxy does not name it.
    pub address: SocketAddr,
    /// Whether the client speaks HTTPS, where trusted proxies say so; elsewhere the connection itself tells.
    pub is_https: Option<bool>,
}

/// The address in its own family: IPv4 that is written as IPv6 (`::ffff:1.2.3.4`) is IPv4.
pub fn normalise(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whom a request comes from: the peer of its connection, or, when that is a trusted proxy, the right-most address of
/// `X-Forwarded-For` that is no trusted proxy. Where there is no `X-Forwarded-For`, `Forwarded` (RFC 7239) is read in the
/// same way. What cannot be read ends the walk at the proxy that vouched for it; so do `unknown` and hidden names.
pub fn client(peer: SocketAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Client {
    let peer = normalise(peer);
    if !trusted.contains(peer.ip()) {
        return Client { address: peer, is_https: None };
    }
    // Nearly every proxy writes the older header and lets the newer one pass, whoever wrote it.
    if headers.contains_key(X_FORWARDED_FOR) || !headers.contains_key(header::FORWARDED) {
        let (address, hops) = walk(peer, trusted, x_forwarded_for(headers).map(parse_node));
        return Client { address, is_https: x_forwarded_proto(headers, hops) };
    }
    let mut elements = Vec::new();
    let nodes = forwarded_elements(headers).map(|element| {
        let element = element?;
        elements.push(element.is_https);
        element.node
    });
    let (address, hops) = walk(peer, trusted, nodes);
    Client { address, is_https: elements.get(hops.saturating_sub(1)).copied().flatten() }
}

/// The `X-Forwarded-For` for the next server: the peer alone, or behind the list that it sent when it is a trusted proxy.
pub fn forwarded_for(
    headers: &HeaderMap,
    peer: SocketAddr,
    trusted: &TrustedProxies,
) -> HeaderValue {
    let own = peer.ip().to_canonical().to_string();
    appended(headers, &X_FORWARDED_FOR, peer, trusted, &own)
}

/// The `Forwarded` for the next server, where a trusted proxy sent one: its list and the peer behind it.
pub fn forwarded(
    headers: &HeaderMap,
    peer: SocketAddr,
    trusted: &TrustedProxies,
) -> Option<HeaderValue> {
    let address = peer.ip().to_canonical();
    if !headers.contains_key(header::FORWARDED) || !trusted.contains(address) {
        return None;
    }
    let own = match address {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    };
    Some(appended(headers, &header::FORWARDED, peer, trusted, &own))
}

fn appended(
    headers: &HeaderMap,
    name: &HeaderName,
    peer: SocketAddr,
    trusted: &TrustedProxies,
    own: &str,
) -> HeaderValue {
    let mut list = Vec::new();
    if trusted.contains(peer.ip()) {
        for line in headers.get_all(name) {
            list.extend_from_slice(line.as_bytes());
            list.extend_from_slice(b", ");
        }
    }
    list.extend_from_slice(own.as_bytes());
    HeaderValue::from_bytes(&list).expect("header values with addresses between them")
}

/// From the peer leftwards to the first address that is no trusted proxy. Gives it, and how many elements it is away.
fn walk(
    peer: SocketAddr,
    trusted: &TrustedProxies,
    nodes: impl Iterator<Item = Option<SocketAddr>>,
) -> (SocketAddr, usize) {
    let (mut address, mut hops) = (peer, 0);
    for node in nodes {
        let Some(node) = node else { break };
        address = node;
        hops += 1;
        if !trusted.contains(address.ip()) {
            break;
        }
    }
    (address, hops)
}

/// Elements of every line, from the right; empty ones mean nothing (RFC 9110 section 5.6.1).
fn elements_from_right(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(name).iter().rev();
    let elements = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    elements.take(HOPS_MAX).map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

fn x_forwarded_for(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    elements_from_right(headers, X_FORWARDED_FOR)
}

/// What the proxy said that wrote the client's address. Proxies that write one word instead of a list are believed too.
fn x_forwarded_proto(headers: &HeaderMap, hops: usize) -> Option<bool> {
    let said = elements_from_right(headers, X_FORWARDED_PROTO).take(hops.max(1)).last();
    said.and_then(is_https)
}

fn is_https(scheme: &[u8]) -> Option<bool> {
    let is = |name: &str| scheme.eq_ignore_ascii_case(name.as_bytes());
    match () {
        () if is("https") || is("wss") => Some(true),
        () if is("http") || is("ws") => Some(false),
        () => None,
    }
}

/// An address with or without a port; IPv6 also in brackets.
fn parse_node(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse::<SocketAddr>() {
        return has_no_zone(address).then(|| normalise(address));
    }
    let bare = match text.strip_prefix('[') {
        Some(rest) => IpAddr::V6(rest.strip_suffix(']')?.parse().ok()?),
        None => text.parse().ok()?,
    };
    Some(SocketAddr::new(bare.to_canonical(), 0))
}

/// A zone names an interface of the proxy, which means nothing here.
fn has_no_zone(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V4(_))
        || matches!(address, SocketAddr::V6(address) if address.scope_id() == 0)
}

// === Forwarded (RFC 7239) ===

/// What one proxy said.
#[derive(Default)]
struct Element {
    node: Option<SocketAddr>,
    is_https: Option<bool>,
}

/// Elements of every line, from the right; none for one that cannot be read.
fn forwarded_elements(headers: &HeaderMap) -> impl Iterator<Item = Option<Element>> {
    let lines = headers.get_all(header::FORWARDED).iter().rev();
    let elements = lines.flat_map(|line| {
        let mut rest = Some(line.as_bytes());
        std::iter::from_fn(move || {
            let text = rest?;
            // A line whose quotes do not match is not read further to the left.
            let split = last_element(text);
            rest = split.and_then(|(left, _)| left);
            Some(split.map(|(_, element)| element.trim_ascii()))
        })
    });
    elements
        .take(HOPS_MAX)
        .filter(|element| element.is_none_or(|element| !element.is_empty()))
        .map(|element| element.and_then(read_element))
}

/// The last element of a list, and what stands left of it. A comma in quotes belongs to its element; none where a quote has
/// no partner.
fn last_element(text: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let mut at = text.len();
    while at > 0 {
        at -= 1;
        match text[at] {
            b',' => return Some((Some(&text[..at]), &text[at + 1..])),
            b'"' => at = opening_quote(&text[..at])?,
            _ => {}
        }
    }
    Some((None, text))
}

/// The last quote that no backslash escapes.
fn opening_quote(text: &[u8]) -> Option<usize> {
    let is_escaped =
        |at: usize| text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
    (0..text.len()).rev().find(|at| text[*at] == b'"' && !is_escaped(*at))
}

/// `for=192.0.2.1;proto=https`, in any order and with whatever else; none when it cannot be read.
fn read_element(mut text: &[u8]) -> Option<Element> {
    let mut element = Element::default();
    loop {
        text = text.trim_ascii_start();
        let equals = text.iter().position(|byte| *byte == b'=')?;
        let name = &text[..equals];
        let (value, rest) = read_value(&text[equals + 1..])?;
        if name.eq_ignore_ascii_case(b"for") {
            if element.node.is_some() {
                return None;
            }
            element.node = Some(parse_node(&value)?);
        } else if name.eq_ignore_ascii_case(b"proto") {
            element.is_https = is_https(&value);
        }
        match rest.trim_ascii_start() {
            [] => return Some(element),
            [b';', rest @ ..] => text = rest,
            _ => return None,
        }
    }
}

/// A value in quotes, or one that reaches to the next `;`: many proxies write a port or brackets without the quotes that the
/// grammar wants.
fn read_value(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let [b'"', quoted @ ..] = text else {
        let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
        return Some((Cow::Borrowed(text[..end].trim_ascii_end()), &text[end..]));
    };
    let (mut value, mut bytes) = (Vec::new(), quoted.iter().enumerate());
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((Cow::Owned(value), &quoted[at + 1..])),
            b'\\' => value.push(*bytes.next()?.1),
            byte => value.push(*byte),
        }
    }
    None
}

// === impl TrustedProxies ===

impl TrustedProxies {
    /// These networks.
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Self {
        let mut trusted = Self::default();
        for Network { address, prefix } in networks {
            match address {
                IpAddr::V4(address) => trusted.v4.push((address.to_bits(), mask_v4(prefix))),
                IpAddr::V6(address) => trusted.v6.push((address.to_bits(), mask_v6(prefix))),
            }
        }
        trusted
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether this is a trusted proxy's address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                self.v4.iter().any(|(network, mask)| address.to_bits() & mask == *network)
            }
            IpAddr::V6(address) => {
                self.v6.iter().any(|(network, mask)| address.to_bits() & mask == *network)
            }
        }
    }
}

const fn mask_v4(prefix: u8) -> u32 {
    match u32::MAX.checked_shl(32 - prefix as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

const fn mask_v6(prefix: u8) -> u128 {
    match u128::MAX.checked_shl(128 - prefix as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

// === impl Network ===

/// Why a text names no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotANetwork {
    /// It is no address, or its prefix is no number in its bounds.
    Form,
    /// It has bits behind its prefix: two different things may be meant.
    BitsBehindPrefix,
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| NotANetwork::Form)?;
        let bits = if written.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map_err(|_| NotANetwork::Form)?
            }
            Some(_) => return Err(NotANetwork::Form),
        };
        if prefix > bits {
            return Err(NotANetwork::Form);
        }
        // `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
        let (address, prefix) = match written.to_canonical() {
            address @ IpAddr::V4(_) if written.is_ipv6() && prefix >= 96 => (address, prefix - 96),
            _ => (written, prefix),
        };
        let is_clean = match address {
            IpAddr::V4(address) => address.to_bits() & !mask_v4(prefix) == 0,
            IpAddr::V6(address) => address.to_bits() & !mask_v6(prefix) == 0,
        };
        if is_clean { Ok(Self { address, prefix }) } else { Err(NotANetwork::BitsBehindPrefix) }
    }
}

impl FromConfig for Network {
    fn expected() -> Words {
        Words::new(
            r#"a network such as "10.0.0.0/8" or an address"#,
            r#"网段 (例如 "10.0.0.0/8") 或地址"#,
        )
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        given.text().ok_or(NotANetwork::Form).and_then(str::parse).map_err(|why| match why {
            NotANetwork::Form => Reason::none(),
            NotANetwork::BitsBehindPrefix => Reason::from((
                "an address has bits behind its prefix: write 10.0.0.0/8, or 10.0.0.1 for one address",
                "地址在前缀之外还有位: 网段写作 10.0.0.0/8, 单个地址写作 10.0.0.1",
            )),
        })
    }

    fn show(&self) -> String {
        format!("\"{}/{}\"", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests;
