//! How each scalar type is written in each mode.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bson::raw::RawBsonRef;
use bson::{DateTime, Timestamp};

use super::Mode;

/// Relaxed dates are ISO 8601 up to the last millisecond of the year 9999.
const ISO_MS_MAX: i64 = 253_402_300_799_999;

/// Doubles below this bound are whole numbers that JavaScript prints without a fraction.
const WHOLE_DOUBLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Writes one value that is not a container.
pub(super) fn write(out: &mut String, value: RawBsonRef<'_>, mode: Mode) {
    match value {
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) => string(out, text),
        RawBsonRef::Boolean(truth) => out.push_str(if truth { "true" } else { "false" }),
        RawBsonRef::Int32(int) => integer(out, int.into(), "$numberInt", mode),
        RawBsonRef::Int64(int) => integer(out, int, "$numberLong", mode),
        RawBsonRef::Double(double) => self::double(out, double, mode),
        RawBsonRef::Decimal128(decimal) => {
            put(out, format_args!(r#"{{"$numberDecimal":"{decimal}"}}"#));
        }
        RawBsonRef::ObjectId(id) if mode == Mode::Server => put(out, format_args!(r#""{id}""#)),
        RawBsonRef::ObjectId(id) => put(out, format_args!(r#"{{"$oid":"{id}"}}"#)),
        RawBsonRef::DateTime(date) => self::date(out, date, mode),
        RawBsonRef::Timestamp(timestamp) => self::timestamp(out, timestamp),
        RawBsonRef::Binary(binary) => self::binary(out, binary.bytes, binary.subtype.into()),
        RawBsonRef::RegularExpression(regex) => {
            self::regex(out, regex.pattern.as_str(), regex.options.as_str());
        }
        RawBsonRef::JavaScriptCode(code) => {
            out.push_str("{\"$code\":");
            string(out, code);
            out.push('}');
        }
        RawBsonRef::MinKey => out.push_str(r#"{"$minKey":1}"#),
        RawBsonRef::MaxKey => out.push_str(r#"{"$maxKey":1}"#),
        // Containers never come here; undefined reads as null, and a pointer's parts are not accessible.
        _ => out.push_str("null"),
    }
}

/// Writes a JSON string: copied in runs, with only quotes, backslashes and control characters escaped.
pub(super) fn string(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut rest = text;
    loop {
        let (run, special) = rest.split_at(plain_bytes(rest.as_bytes()));
        out.push_str(run);
        let Some(byte) = special.bytes().next() else { break };
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => put(out, format_args!("\\u{byte:04x}")),
        }
        rest = &special[1..];
    }
    out.push('"');
}

/// How many bytes at the beginning stand for themselves in a JSON string. Looks at eight at a time: documents are mostly
/// text, and answers mostly documents.
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // The classic tests for a byte below a bound and for a zero byte (exact for the lowest such byte, which is all that
    // "any" needs).
    let any_below_space = |word: u64| word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    let any_equal = |word: u64, byte: u8| {
        let zeroed = word ^ (ONES * u64::from(byte));
        zeroed.wrapping_sub(ONES) & !zeroed & HIGH
    };
    let mut count = 0;
    for chunk in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        if any_below_space(word) | any_equal(word, b'"') | any_equal(word, b'\\') != 0 {
            break;
        }
        count += 8;
    }
    let is_plain = |byte: &&u8| !matches!(byte, 0..=0x1f | b'"' | b'\\');
    count + bytes[count..].iter().take_while(is_plain).count()
}

fn integer(out: &mut String, int: i64, wrapper: &str, mode: Mode) {
    match mode {
        Mode::Canonical | Mode::Server => {
            put(out, format_args!(r#"{{"{wrapper}":"{int}"}}"#));
        }
        Mode::Relaxed | Mode::Client => put(out, format_args!("{int}")),
    }
}

/// `{:?}` is the shortest text that reads back as the same double, and always shows that it is one.
fn double(out: &mut String, double: f64, mode: Mode) {
    let plain = double.is_finite() && !matches!(mode, Mode::Canonical | Mode::Server);
    match double {
        _ if plain && mode == Mode::Client && is_whole(double) => {
            put(out, format_args!("{}", double as i64));
        }
        _ if plain => put(out, format_args!("{double:?}")),
        f64::INFINITY => out.push_str(r#"{"$numberDouble":"Infinity"}"#),
        f64::NEG_INFINITY => out.push_str(r#"{"$numberDouble":"-Infinity"}"#),
        _ if double.is_nan() => out.push_str(r#"{"$numberDouble":"NaN"}"#),
        _ => put(out, format_args!(r#"{{"$numberDouble":"{double:?}"}}"#)),
    }
}

fn is_whole(double: f64) -> bool {
    double.fract() == 0.0
        && double.abs() < WHOLE_DOUBLE_MAX
        && !(double == 0.0 && double.is_sign_negative())
}

fn date(out: &mut String, date: DateTime, mode: Mode) {
    let ms = date.timestamp_millis();
    match mode {
        Mode::Client => put(out, format_args!(r#"{{"$date":{ms}}}"#)),
        Mode::Relaxed if (0..=ISO_MS_MAX).contains(&ms) => {
            let text =
                date.try_to_rfc3339_string().expect("years up to 9999 have an ISO 8601 form");
            put(out, format_args!(r#"{{"$date":"{text}"}}"#));
        }
        Mode::Canonical | Mode::Server | Mode::Relaxed => {
            put(out, format_args!(r#"{{"$date":{{"$numberLong":"{ms}"}}}}"#));
        }
    }
}

fn timestamp(out: &mut String, timestamp: Timestamp) {
    put(
        out,
        format_args!(r#"{{"$timestamp":{{"t":{},"i":{}}}}}"#, timestamp.time, timestamp.increment),
    );
}

fn binary(out: &mut String, bytes: &[u8], subtype: u8) {
    out.push_str(r#"{"$binary":{"base64":""#);
    STANDARD.encode_string(bytes, out);
    put(out, format_args!(r#"","subType":"{subtype:02x}"}}}}"#));
}

fn regex(out: &mut String, pattern: &str, options: &str) {
    out.push_str(r#"{"$regularExpression":{"pattern":"#);
    string(out, pattern);
    out.push_str(",\"options\":");
    string(out, options);
    out.push_str("}}");
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes any text");
}
