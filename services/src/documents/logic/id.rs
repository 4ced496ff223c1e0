//! Document ids: which values can be one, their keys, the slot they live in, and ids that this server makes.
//!
//! A made id is 32 lower-case hexadecimal digits, laid out as RFC 9562's UUID version 7: 48 bits of time in
//! milliseconds, the version, two random bits and the slot in `rand_a`, the variant, and 62 bits that count up within
//! one batch. So a collection grows at its end, a plain scan gives documents in the order of their birth, and `doc(id)`
//! finds its slot without asking.

use aws_lc_rs::digest::{SHA256, digest};
use bson::Bson;
use yunzhan_base::{Error, Kind, Result};
use yunzhan_engine::sql::SLOTS;
use yunzhan_query::key;

/// Longest text of an id, in bytes. Ids stand in every index entry; CloudBase's own have 32.
pub const ID_BYTES_MAX: usize = 256;

/// Digits of an id that this server makes.
const MADE_BYTES: usize = 32;
const VERSION_MASK: u128 = 0xf << 76;
const VERSION: u128 = 7 << 76;
const VARIANT_MASK: u128 = 0b11 << 62;
const VARIANT: u128 = 0b10 << 62;
const TAIL_MASK: u128 = (1 << 62) - 1;
/// The slot stands in the low ten bits of `rand_a`.
const SLOT_SHIFT: u32 = 64;

/// The key bytes of an id: what the `documents` table is sorted by.
///
/// # Errors
/// `InvalidParameter` when the value cannot be an id: only strings, numbers and ObjectIds can.
pub(in crate::documents) fn id_key(id: &Bson) -> Result<Vec<u8>> {
    match id {
        Bson::String(text) if text.is_empty() => return Err(refused("an _id may not be empty")),
        Bson::String(text) if text.len() > ID_BYTES_MAX => {
            return Err(refused("an _id has at most 256 bytes"));
        }
        Bson::Double(number) if number.is_nan() => return Err(refused("an _id may not be NaN")),
        Bson::String(_) | Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::ObjectId(_) => {
        }
        _ => return Err(refused("an _id is a string, a number or an ObjectId")),
    }
    let mut bytes = vec![key::FORMAT];
    key::encode(id, &mut bytes);
    Ok(bytes)
}

fn refused(message: &'static str) -> Error {
    Error::new(Kind::InvalidParameter, message)
}

/// The slot of the id with this key: carried by ids that this server makes, otherwise a hash of the key.
pub(in crate::documents) fn slot_of(key: &[u8]) -> u16 {
    made_text(key).and_then(parse).map_or_else(|| slot_of_bytes(key), slot_of_made)
}

/// The text of an id that may be one that this server made, as it stands in a key: after the format and the tag of a text,
/// before the two bytes that end one.
fn made_text(key: &[u8]) -> Option<&str> {
    match key {
        [key::FORMAT, _, text @ .., 0, 0] if text.len() == MADE_BYTES => {
            std::str::from_utf8(text).ok()
        }
        _ => None,
    }
}

/// The slot of an owner: what they add lives together.
pub(in crate::documents) fn slot_of_owner(owner: &str) -> u16 {
    slot_of_bytes(owner.as_bytes())
}

/// FNV-1a, folded to a slot. Part of a stored format: rows are found again by it.
fn slot_of_bytes(bytes: &[u8]) -> u16 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash =
        bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
    slot_in((hash ^ (hash >> 32)) as u16)
}

fn slot_of_made(bits: u128) -> u16 {
    slot_in((bits >> SLOT_SHIFT) as u16)
}

const fn slot_in(bits: u16) -> u16 {
    bits % SLOTS
}

/// The bits of an id that this server made. A foreign id that looks the same is taken for one, consistently.
fn parse(text: &str) -> Option<u128> {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != MADE_BYTES || !text.bytes().all(hex) {
        return None;
    }
    let bits = u128::from_str_radix(text, 16).ok()?;
    (bits & VERSION_MASK == VERSION && bits & VARIANT_MASK == VARIANT).then_some(bits)
}

/// Makes the ids of one batch, ascending.
pub(in crate::documents) struct Ids {
    next: u128,
}

impl Ids {
    /// Ids of this moment in this slot; `random` makes them unique.
    pub(in crate::documents) fn new(now_ms: i64, slot: u16, random: [u8; 16]) -> Self {
        let random = u128::from_be_bytes(random);
        let time = u128::from(now_ms.unsigned_abs() & 0xffff_ffff_ffff) << 80;
        let free = random & (0b11 << (SLOT_SHIFT + 10));
        // The highest bit of the tail stays clear, so that counting up never leaves it.
        let tail = random & (TAIL_MASK >> 1);
        Self { next: time | VERSION | free | (u128::from(slot) << SLOT_SHIFT) | VARIANT | tail }
    }

    /// Ids that a repetition of the same request makes again: `seed` names the request.
    pub(in crate::documents) fn repeatable(slot: u16, seed: &[u8]) -> Self {
        let digest = digest(&SHA256, seed);
        let (time, rest) = digest.as_ref().split_at(16);
        let half = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).expect("a half of 32 bytes");
        // Nobody reads the time of an id; taking it from the seed keeps the id a function of the request alone.
        let time = i64::from_be_bytes(half(time)[..8].try_into().expect("8 of 16 bytes"));
        Self::new(time, slot, half(rest))
    }

    /// The next id.
    pub(in crate::documents) fn next(&mut self) -> String {
        let text = format!("{:032x}", self.next);
        self.next += 1;
        text
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use bson::oid::ObjectId;
    use expect_test::expect;

    use super::*;

    #[test]
    fn made_ids_ascend_and_carry_their_slot() {
        let mut ids = Ids::new(1_767_225_600_000, 1023, [0xff; 16]);
        let (first, second) = (ids.next(), ids.next());
        expect!["019b76daa8007fff9fffffffffffffff"].assert_eq(&first);
        assert!(first < second);
        for slot in [0, 7, 1023] {
            let id = Bson::String(Ids::new(1, slot, [0xa5; 16]).next());
            assert_eq!(slot_of(&id_key(&id).unwrap()), slot);
        }
    }

    #[test]
    fn a_seed_gives_the_same_id_again() {
        let idempotent = Ids::repeatable(5, b"demo/u1/orders/k").next();
        assert_eq!(idempotent, Ids::repeatable(5, b"demo/u1/orders/k").next());
        assert_ne!(idempotent, Ids::repeatable(5, b"demo/u2/orders/k").next());
        assert_eq!(slot_of(&id_key(&Bson::String(idempotent)).unwrap()), 5);
    }

    #[test]
    fn foreign_ids_are_hashed_and_the_hash_stays() {
        let slot = |id: Bson| slot_of(&id_key(&id).unwrap());
        let slots = [
            slot(Bson::String("longjing-50g".into())),
            slot(Bson::Int32(7)),
            slot(Bson::Int64(7)),
            slot(Bson::Double(7.0)),
            slot(Bson::ObjectId(ObjectId::from_bytes([7; 12]))),
        ];
        expect!["[439, 676, 676, 676, 279]"].assert_eq(&format!("{slots:?}"));
    }

    #[test]
    fn only_some_values_are_ids() {
        let refusal = |id: Bson| id_key(&id).unwrap_err().to_string();
        assert_eq!(refusal(Bson::Null), "an _id is a string, a number or an ObjectId");
        assert_eq!(refusal(Bson::Boolean(true)), "an _id is a string, a number or an ObjectId");
        assert_eq!(refusal(Bson::String(String::new())), "an _id may not be empty");
        assert_eq!(refusal(Bson::String("x".repeat(257))), "an _id has at most 256 bytes");
        assert_eq!(refusal(Bson::Double(f64::NAN)), "an _id may not be NaN");
        assert!(id_key(&Bson::String("x".repeat(256))).is_ok());
    }
}
