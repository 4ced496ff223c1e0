//! What clients will not like about a certificate chain: found when it is loaded, and not by the first phone.
//!
//! Desktop browsers fetch a missing intermediate certificate by themselves, and phones do not; so a chain that "works" on
//! the operator's machine is the usual fault. What is found here is a warning, never a refusal: the operator may know more.

use std::fmt;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

/// Certificates of a chain that are looked at. Real chains have four at most.
const CHAIN_MAX: usize = 16;

/// So long before its end a certificate should have been renewed: twice the week in which people notice.
const SOON: Duration = Duration::from_secs(14 * DAY_S);

const DAY_S: u64 = 86_400;

/// The end of what a certificate can say, in seconds since 1970: beyond the year 9999.
const END_OF_TIME_S: u64 = 253_402_300_800;

/// The object identifier of a common name, as it stands in a certificate: tag, length, 2.5.4.3.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];

/// What is wrong, or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The file's order was not that of the chain; it is served in the right one.
    Sorted,
    /// The server's certificate is signed by one that is not in the file.
    LacksIntermediate {
        /// Who signed it, where the certificate says so.
        issuer: Option<String>,
    },
    /// It is not valid before so many days have passed.
    NotYetValid {
        /// Which of the chain; 1 is the server's own.
        number: usize,
        /// Whole days, rounded up.
        days: u64,
    },
    /// Its time is over.
    Expired {
        /// Which of the chain; 1 is the server's own.
        number: usize,
        /// Whole days since then.
        days: u64,
    },
    /// Its time is over soon.
    ExpiresSoon {
        /// Which of the chain; 1 is the server's own.
        number: usize,
        /// Whole days from now.
        days: u64,
    },
}

/// The chain in the order in which it is sent, each certificate followed by the one that signed it, and whether that is
/// another than the file's. What belongs to no chain stands at the end; what cannot be read leaves everything as it was.
pub(crate) fn sorted(chain: Vec<CertificateDer<'static>>) -> (Vec<CertificateDer<'static>>, bool) {
    let order = path(&chain);
    if order.iter().copied().eq(0..order.len()) {
        return (chain, false);
    }
    let rest = (0..chain.len()).filter(|index| !order.contains(index));
    let sorted = order.iter().copied().chain(rest).map(|index| chain[index].clone()).collect();
    (sorted, true)
}

/// From the server's certificate to the last signer in the file, as positions of the file; empty when it cannot be read.
fn path(chain: &[CertificateDer<'_>]) -> Vec<usize> {
    let certificates: Result<Vec<_>, _> = chain.iter().map(EndEntityCert::try_from).collect();
    let Ok(certificates) = certificates else { return Vec::new() };
    if certificates.len() > CHAIN_MAX {
        return Vec::new();
    }
    let signs_another = |index: usize| {
        let subject = certificates[index].subject();
        let mut others = certificates.iter().enumerate().filter(|(other, _)| *other != index);
        others.any(|(_, other)| other.issuer() == subject && other.subject() != subject)
    };
    let ends = || (0..certificates.len()).filter(|index| !signs_another(*index));
    // A root whose chain has a gap signs nothing here either, and is nobody's server.
    let leaf = ends().find(|index| !is_self_signed(&certificates[*index])).or(ends().next());
    let mut path: Vec<usize> = leaf.into_iter().collect();
    while let Some(&last) = path.last() {
        let signer = |index: &usize| {
            !path.contains(index) && certificates[*index].subject() == certificates[last].issuer()
        };
        let next = (0..certificates.len()).find(signer);
        match next {
            Some(next) if !is_self_signed(&certificates[last]) => path.push(next),
            _ => break,
        }
    }
    path
}

fn is_self_signed(certificate: &EndEntityCert<'_>) -> bool {
    certificate.issuer() == certificate.subject()
}

/// What is wrong with a chain that stands in its order, at this time.
pub fn inspect(chain: &[CertificateDer<'_>], now: UnixTime) -> Vec<Finding> {
    let path = path(chain);
    let mut findings = Vec::new();
    if let [only] = path[..]
        && let Ok(leaf) = EndEntityCert::try_from(&chain[only])
        && !is_self_signed(&leaf)
    {
        findings.push(Finding::LacksIntermediate { issuer: common_name(leaf.issuer()) });
    }
    for (place, index) in path.into_iter().enumerate() {
        let validity = EndEntityCert::try_from(&chain[index]).ok().as_ref().and_then(validity);
        findings.extend(validity.and_then(|validity| judge(place + 1, validity, now.as_secs())));
    }
    findings
}

/// Whether the server's certificate is for this host, a name or an address.
pub fn covers(chain: &[CertificateDer<'_>], host: &str) -> bool {
    let Some(leaf) = chain.first().and_then(|leaf| EndEntityCert::try_from(leaf).ok()) else {
        return false;
    };
    let name = ServerName::try_from(host);
    name.is_ok_and(|name| leaf.verify_is_valid_for_subject_name(&name).is_ok())
}

/// When a certificate begins and ends to be valid, in seconds since 1970.
fn validity(certificate: &EndEntityCert<'_>) -> Option<(u64, u64)> {
    // The library tells these times only when it refuses them, which it does before it looks at anything else.
    let refused = |seconds| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        certificate.verify_for_usage(&[], &[], &[], time, KeyUsage::server_auth(), None, None).err()
    };
    let begins = match refused(0)? {
        Error::CertNotValidYet { not_before, .. } => not_before.as_secs(),
        _ => 0,
    };
    match refused(END_OF_TIME_S)? {
        Error::CertExpired { not_after, .. } => Some((begins, not_after.as_secs())),
        _ => None,
    }
}

fn judge(number: usize, (begins_s, ends_s): (u64, u64), now_s: u64) -> Option<Finding> {
    if now_s < begins_s {
        return Some(Finding::NotYetValid { number, days: (begins_s - now_s).div_ceil(DAY_S) });
    }
    if now_s > ends_s {
        return Some(Finding::Expired { number, days: (now_s - ends_s) / DAY_S });
    }
    // Certificates of a week are renewed every few days.
    let soon_s = SOON.as_secs().min((ends_s - begins_s) / 3);
    let left_s = ends_s - now_s;
    (left_s < soon_s).then_some(Finding::ExpiresSoon { number, days: left_s / DAY_S })
}

/// The common name in a name, where it is plain text.
fn common_name(name: &[u8]) -> Option<String> {
    let at = name.windows(COMMON_NAME.len()).position(|window| window == COMMON_NAME)?;
    let [_tag, length, rest @ ..] = name.get(at + COMMON_NAME.len()..)? else { return None };
    let text = std::str::from_utf8(rest.get(..usize::from(*length))?).ok()?;
    // What a log shows must not be able to break its line.
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = |number: usize| match number {
            1 => "the certificate".to_owned(),
            number => format!("certificate {number} of the chain"),
        };
        match self {
            Self::Sorted => f.write_str(
                "the certificates stand in a wrong order; they are served in the right one: the server's own first, then each one's signer",
            ),
            Self::LacksIntermediate { issuer } => {
                let issuer = issuer.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
                write!(
                    f,
                    "the certificate of its signer{issuer} is missing, so phones will refuse it; use the file with the full chain (fullchain.pem)"
                )
            }
            Self::NotYetValid { number, days } => {
                write!(f, "{} is not valid yet, but in {days} days; look at the clock", which(*number))
            }
            Self::Expired { number, days } => {
                write!(f, "{} expired {days} days ago; renew it", which(*number))
            }
            Self::ExpiresSoon { number, days } => {
                write!(f, "{} expires in {days} days; renew it", which(*number))
            }
        }
    }
}

#[cfg(test)]
mod tests;
