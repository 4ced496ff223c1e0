//! The PROXY protocol, versions 1 and 2: what a load balancer says of a client before the client's first byte.
//!
//! [`parse`] is a function from bytes to a verdict. It is asked again as more bytes arrive, and never takes a byte that does
//! not belong to the header. The listener asks it only for bytes of trusted proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use yunzhan_base::config::{FromConfig, Given, Reason, Words};

/// The longest header of version 1, by its specification.
const V1_BYTES_MAX: usize = 107;

/// What a header of version 2 may hold beside its 16 fixed bytes. The largest address takes 216, a client certificate among
/// the extensions a few thousand.
const V2_BODY_BYTES_MAX: usize = 16 << 10;

/// The longest header of either version.
pub const HEADER_BYTES_MAX: usize = V2_FIXED_BYTES + V2_BODY_BYTES_MAX;

const V1_BEGINNING: &[u8] = b"PROXY ";
const V2_BEGINNING: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The beginning, version with command, family with transport, and the length of the rest.
const V2_FIXED_BYTES: usize = 16;

/// Which headers a listener takes. A listener that takes any takes no connection without one: guessing would let clients
/// write their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Connections begin with the client's own bytes.
    #[default]
    Off,
    /// Either version.
    On,
    /// Version 1 alone.
    V1,
    /// Version 2 alone.
    V2,
}

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header; every byte so far belongs to it.
    Incomplete,
    /// A whole header.
    Header(Header),
    /// No header, and what is wrong with it.
    Invalid(&'static str),
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 1 or 2.
    pub version: u8,
    /// Its length in bytes; what follows is the client's.
    pub bytes: usize,
    /// The client; none when the proxy speaks for itself (`LOCAL`) or does not know (`UNKNOWN`), and then the peer is the
    /// client.
    pub source: Option<SocketAddr>,
}

/// Reads a header at the beginning of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed {
    let (v1, v2) = (begins(bytes, V1_BEGINNING), begins(bytes, V2_BEGINNING));
    let parsed = match (v1, v2) {
        (true, _) => parse_v1(bytes),
        (_, true) => parse_v2(bytes),
        _ => Err("the connection does not begin with a PROXY header"),
    };
    match parsed {
        Ok(None) => Parsed::Incomplete,
        Ok(Some(header)) => Parsed::Header(header),
        Err(why) => Parsed::Invalid(why),
    }
}

/// Whether the bytes begin so, as far as they go.
fn begins(bytes: &[u8], beginning: &[u8]) -> bool {
    bytes.iter().zip(beginning).all(|(byte, wanted)| byte == wanted)
}

/// A header of version 1: one line of text. None when it has not ended.
fn parse_v1(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    let line = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < V1_BYTES_MAX {
            Ok(None)
        } else {
            Err("a PROXY line of version 1 has at most 107 bytes")
        };
    };
    let text = line[..end].strip_suffix(b"\r").and_then(|text| std::str::from_utf8(text).ok());
    let text = text.ok_or("a PROXY line ends with CR and LF, and is ASCII")?;
    let mut words = text.split(' ').skip(1);
    let source = match words.next() {
        // Whatever follows is to be ignored.
        Some("UNKNOWN") => None,
        Some("TCP4") => Some(read_addresses::<Ipv4Addr>(&mut words)?),
        Some("TCP6") => Some(read_addresses::<Ipv6Addr>(&mut words)?),
        _ => return Err("a PROXY line names TCP4, TCP6 or UNKNOWN"),
    };
    if source.is_some() && words.next().is_some() {
        return Err("a PROXY line has more than two addresses and two ports");
    }
    Ok(Some(Header { version: 1, bytes: end + 1, source }))
}

/// The source of `source destination source-port destination-port`; all four must be what they should be.
fn read_addresses<'t, A>(
    words: &mut impl Iterator<Item = &'t str>,
) -> Result<SocketAddr, &'static str>
where
    A: std::str::FromStr + Into<IpAddr>,
{
    let wrong = "a PROXY line has two addresses of its family and two ports";
    let mut address = || words.next().and_then(|word| word.parse::<A>().ok()).ok_or(wrong);
    let (source, _destination) = (address()?, address()?);
    let mut port = || words.next().and_then(read_port).ok_or(wrong);
    let (source_port, _destination_port) = (port()?, port()?);
    Ok(SocketAddr::new(source.into().to_canonical(), source_port))
}

/// Decimal digits without a sign or a leading zero.
fn read_port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain && (word == "0" || !word.starts_with('0')) { word.parse().ok() } else { None }
}

/// A header of version 2: binary, and its length stands in it. None when it has not ended.
fn parse_v2(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED_BYTES>() else { return Ok(None) };
    let [.., version_command, family_transport, high, low] = *fixed;
    if version_command >> 4 != 2 {
        return Err("a binary PROXY header is of version 2");
    }
    let is_local = match version_command & 0xf {
        0 => true,
        1 => false,
        _ => return Err("a PROXY header says LOCAL or PROXY"),
    };
    let (family, transport) = (family_transport >> 4, family_transport & 0xf);
    // A proxy that speaks for itself may write there what it likes.
    if !is_local && (family > 3 || transport > 2) {
        return Err("a PROXY header names an unknown family or transport");
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_BODY_BYTES_MAX {
        return Err("a PROXY header is longer than 16 KiB");
    }
    let Some(body) = rest.get(..length) else { return Ok(None) };
    // What follows the addresses are extensions, which nobody here asks for.
    let source = match family {
        _ if is_local => None,
        1 => Some(read_v4(body).ok_or(TOO_SHORT)?),
        2 => Some(read_v6(body).ok_or(TOO_SHORT)?),
        _ => None,
    };
    Ok(Some(Header { version: 2, bytes: V2_FIXED_BYTES + length, source }))
}

const TOO_SHORT: &str = "a PROXY header is too short for its addresses";

fn read_v4(body: &[u8]) -> Option<SocketAddr> {
    let [a, b, c, d, _, _, _, _, high, low, _, _] = *body.first_chunk::<12>()?;
    let address = Ipv4Addr::new(a, b, c, d);
    Some(SocketAddr::new(address.into(), u16::from_be_bytes([high, low])))
}

fn read_v6(body: &[u8]) -> Option<SocketAddr> {
    let (address, rest) = body.split_first_chunk::<16>()?;
    let [high, low, _, _] = *rest.get(16..)?.first_chunk::<4>()?;
    let address = IpAddr::from(Ipv6Addr::from(*address)).to_canonical();
    Some(SocketAddr::new(address, u16::from_be_bytes([high, low])))
}

// === impl ProxyProtocol ===

impl ProxyProtocol {
    /// Whether a header of this version is taken.
    pub(crate) const fn takes(self, version: u8) -> bool {
        match self {
            Self::Off => false,
            Self::On => true,
            Self::V1 => version == 1,
            Self::V2 => version == 2,
        }
    }
}

impl FromConfig for ProxyProtocol {
    fn expected() -> Words {
        Words::new(r#""off", "on", "v1" or "v2""#, r#""off"、"on"、"v1" 或 "v2""#)
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        match given.text() {
            Some("off") => Ok(Self::Off),
            Some("on") => Ok(Self::On),
            Some("v1") => Ok(Self::V1),
            Some("v2") => Ok(Self::V2),
            _ => Err(Reason::none()),
        }
    }

    fn show(&self) -> String {
        let word = match self {
            Self::Off => "off",
            Self::On => "on",
            Self::V1 => "v1",
            Self::V2 => "v2",
        };
        format!("\"{word}\"")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    /// The source and the length of a header, or why there is none.
    fn read(bytes: &[u8]) -> String {
        match parse(bytes) {
            Parsed::Incomplete => "incomplete".into(),
            Parsed::Invalid(why) => format!("invalid: {why}"),
            Parsed::Header(Header { version, bytes, source }) => {
                let source = source.map_or_else(|| "peer".into(), |source| source.to_string());
                format!("v{version} {bytes} {source}")
            }
        }
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&V2_BEGINNING[..], &[0x20 | command, family], &length, body].concat()
    }

    #[test]
    fn a_line_of_version_1_names_the_client() {
        for (line, wanted) in [
            ("PROXY TCP4 203.0.113.7 10.0.0.1 5000 80\r\nGET /", "v1 41 203.0.113.7:5000"),
            (
                "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
                "v1 56 255.255.255.255:65535",
            ),
            ("PROXY TCP6 2001:db8::1 ::1 1 443\r\n", "v1 34 [2001:db8::1]:1"),
            ("PROXY TCP6 ::ffff:203.0.113.7 ::ffff:10.0.0.1 1 443\r\n", "v1 53 203.0.113.7:1"),
            ("PROXY UNKNOWN\r\n", "v1 15 peer"),
            ("PROXY UNKNOWN ffff:f...f:ffff a b c d e\r\n", "v1 41 peer"),
        ] {
            assert_eq!(read(line.as_bytes()), wanted, "{line:?}");
        }
    }

    #[test]
    fn what_is_not_quite_version_1_is_refused() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
            "PROXY\r\n",
            "PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n",
            "PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n",
            "PROXY TCP4 01.1.1.1 1.1.1.1 1 1\r\n",
            "PROXY TCP4 ::1 ::1 1 1\r\n",
            "PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n",
            "PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n",
            "PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n",
            "PROXY UNKNOWNX\r\n",
            "\r\n\r\n\0\r\nQUIT!",
        ] {
            assert!(matches!(parse(line.as_bytes()), Parsed::Invalid(_)), "{line:?}");
        }
        let endless = format!("PROXY UNKNOWN {}", "a".repeat(100));
        assert_eq!(read(&endless.as_bytes()[..106]), "incomplete");
        assert!(matches!(parse(endless.as_bytes()), Parsed::Invalid(_)));
    }

    #[test]
    fn a_header_of_version_2_names_the_client() {
        let v4 = [203, 0, 113, 7, 10, 0, 0, 1, 0x13, 0x88, 0, 80];
        let v6: Vec<u8> = [
            &"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets()[..],
            &Ipv6Addr::LOCALHOST.octets(),
            &[0, 1, 1, 0xbb],
        ]
        .concat();
        let mapped: Vec<u8> = [
            &"::ffff:203.0.113.7".parse::<Ipv6Addr>().unwrap().octets()[..],
            &[0; 16],
            &[0, 1, 1, 0xbb],
        ]
        .concat();
        // PP2_TYPE_CRC32C and an extension that nobody knows.
        let extended = [&v4[..], &[3, 0, 4, 1, 2, 3, 4, 0xea, 0, 1, 9]].concat();
        for (bytes, wanted) in [
            (v2(1, 0x11, &v4), "v2 28 203.0.113.7:5000"),
            (v2(1, 0x12, &v4), "v2 28 203.0.113.7:5000"),
            (v2(1, 0x21, &v6), "v2 52 [2001:db8::1]:1"),
            (v2(1, 0x21, &mapped), "v2 52 203.0.113.7:1"),
            (v2(1, 0x11, &extended), "v2 39 203.0.113.7:5000"),
            (v2(0, 0x11, &v4), "v2 28 peer"),
            // The health check of a load balancer: an address that means nothing, and extensions.
            (v2(0, 0x11, &extended), "v2 39 peer"),
            (v2(0, 0xff, &[1]), "v2 17 peer"),
            (v2(0, 0, &[]), "v2 16 peer"),
            (v2(1, 0, &[]), "v2 16 peer"),
            (v2(1, 0x31, &[0; 216]), "v2 232 peer"),
        ] {
            assert_eq!(read(&bytes), wanted, "{bytes:?}");
            let followed = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read(&followed), wanted, "what follows is the client's");
            for shorter in 0..bytes.len() {
                assert_eq!(read(&bytes[..shorter]), "incomplete", "{shorter} of {bytes:?}");
            }
        }
    }

    #[test]
    fn what_is_not_quite_version_2_is_refused() {
        let mut version_1 = v2(1, 0x11, &[0; 12]);
        version_1[12] = 0x11;
        let mut huge = v2(1, 0x11, &[0; 12]);
        huge[14..16].copy_from_slice(&[0xff, 0xff]);
        for bytes in [
            version_1,
            huge,
            v2(2, 0x11, &[0; 12]),
            v2(1, 0x13, &[0; 12]),
            v2(1, 0x41, &[0; 12]),
            v2(1, 0x11, &[0; 11]),
            v2(1, 0x21, &[0; 35]),
        ] {
            assert!(matches!(parse(&bytes), Parsed::Invalid(_)), "{bytes:?}");
        }
    }

    #[test]
    fn a_listener_takes_the_versions_that_it_names() {
        let takes = |protocol: ProxyProtocol| [1, 2].map(|version| protocol.takes(version));
        assert_eq!(takes(ProxyProtocol::Off), [false, false]);
        assert_eq!(takes(ProxyProtocol::On), [true, true]);
        assert_eq!(takes(ProxyProtocol::V1), [true, false]);
        assert_eq!(takes(ProxyProtocol::V2), [false, true]);
    }
}
