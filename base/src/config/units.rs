//! Durations and sizes as people write them: `"500ms"`, `"30s"`, `"64KiB"`.

use std::fmt;
use std::time::Duration;

/// A number of bytes. Written as `"64KiB"`, `"1MiB"`, `"2GiB"` or as a plain number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Largest first, so that showing takes the first that divides.
const SIZES: [(&str, u64); 5] = [("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB), ("B", 1)];

/// Largest first; in milliseconds.
const TIMES: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

// === impl ByteSize ===

impl ByteSize {
    /// So many bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// So many times 1,024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count * KIB)
    }

    /// So many times 1,048,576 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count * MIB)
    }

    /// So many times 1,073,741,824 bytes.
    pub const fn gib(count: u64) -> Self {
        Self(count * GIB)
    }

    /// The bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The bytes as a length in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Reads `64KiB`; a number without a unit is bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let (count, unit) = split(text)?;
        let unit = if unit.is_empty() { "B" } else { unit };
        let (_, bytes) = SIZES.into_iter().find(|(name, _)| *name == unit)?;
        count.checked_mul(bytes).map(Self)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(self.0, &SIZES, "B"))
    }
}

/// Reads `30s`; the unit is part of it, for a bare number leaves open what it counts.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (count, unit) = split(text)?;
    let (_, ms) = TIMES.into_iter().find(|(name, _)| *name == unit)?;
    count.checked_mul(ms).map(Duration::from_millis)
}

/// The shortest spelling that [`parse_duration`] reads back, to the millisecond.
pub(super) fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &TIMES, "s")
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let count = text[..digits].parse().ok()?;
    Some((count, text[digits..].trim_start_matches(' ')))
}

fn show(value: u64, units: &[(&str, u64)], zero_unit: &str) -> String {
    match units.iter().find(|(_, size)| value != 0 && value.is_multiple_of(*size)) {
        Some((unit, size)) => format!("{}{unit}", value / size),
        None => format!("0{zero_unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_as_shown() {
        for text in ["500ms", "30s", "5m", "2h", "30d", "0s"] {
            let duration = parse_duration(text).expect(text);
            assert_eq!(show_duration(duration), text);
        }
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        for bad in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "30 sec",
            "99999999999999999999s",
            "9999999999999999999d",
        ] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_read_back_as_shown() {
        for text in ["64KiB", "1MiB", "2GiB", "3TiB", "1500B", "0B"] {
            assert_eq!(ByteSize::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(ByteSize::parse("4096"), Some(ByteSize::kib(4)));
        for bad in ["", "KiB", "1KB", "1.5MiB", "-1", "99999999999TiB"] {
            assert_eq!(ByteSize::parse(bad), None, "{bad}");
        }
    }
}
