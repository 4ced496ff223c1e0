//! What goes in comes out, and compares the same everywhere.

use yunzhan_base::Kind;

use super::{PUT, Subject, blob, kind_of, put, step, text, unit};
use crate::sql::Value;

/// Every character comes back, and comparing sees every difference.
pub async fn text_is_exact(subject: &Subject) {
    const NAMED: &str =
        "INSERT INTO {items} (env, id, number, name, note) VALUES ('demo', ?, 0, ?, ?)";
    const FIND: &str = "SELECT note FROM {items} WHERE env = 'demo' AND name = ?";
    let names =
        ["tea", "Tea", "tea ", "téa", "te\u{301}a", "茶", "🍵", "te\u{0}a", "it's \\ \"%_", ""];
    for (number, name) in names.iter().enumerate() {
        let note = format!("<{name}>");
        let params = vec![blob(&[u8::try_from(number).expect("few")]), text(name), text(&note)];
        subject.write(unit(vec![step(NAMED, params)])).await.expect("no two are equal");
    }
    for name in names {
        let found = subject.read(FIND, vec![text(name)]).await.expect("a read");
        let notes: Vec<&Value> = found.0.iter().flat_map(|row| &row.0).collect();
        assert_eq!(notes, [&text(&format!("<{name}>"))]);
    }
}

/// All bytes come back, and an empty value is not null.
pub async fn bytes_are_exact(subject: &Subject) {
    const PUT_BODY: &str = "INSERT INTO {items} (env, id, number, body) VALUES ('demo', ?, 0, ?)";
    const GET_BODY: &str = "SELECT id, body FROM {items} WHERE env = 'demo' AND id = ?";
    let all: Vec<u8> = (0..=255).collect();
    for (id, body) in [
        (&all[..64], blob(&all)),
        (&all[192..], blob(&[])),
        (&b"\0"[..], Value::Null),
        (&b"\0\0"[..], blob(b"\0")),
    ] {
        let params = vec![blob(id), body.clone()];
        subject.write(unit(vec![step(PUT_BODY, params)])).await.expect("a write");
        let found = subject.read(GET_BODY, vec![blob(id)]).await.expect("a read");
        assert_eq!(found.0[0].0, [blob(id), body]);
    }
}

/// A value of 8 MiB, the largest body that the server takes, fits.
pub async fn large_values_survive(subject: &Subject) {
    const PUT_BODY: &str = "INSERT INTO {items} (env, id, number, body) VALUES ('demo', ?, 0, ?)";
    let body: Vec<u8> = (0..8_u32 << 20).map(|index| (index % 251) as u8).collect();
    let params = vec![blob(b"a"), blob(&body)];
    subject.write(unit(vec![step(PUT_BODY, params)])).await.expect("a write");
    let found = subject.read("SELECT body FROM {items} WHERE env = 'demo'", vec![]).await;
    let rows = found.expect("a read").0;
    assert!(matches!(rows[0].0.as_slice(), [Value::Blob(found)] if *found == body));
}

/// Whole numbers of 64 bits and floating-point numbers keep their last bit.
pub async fn numbers_are_exact(subject: &Subject) {
    const PUT_SHARE: &str = "INSERT INTO {items} (env, id, number, share) VALUES ('demo', ?, ?, ?)";
    const GET_SHARE: &str = "SELECT number, share FROM {items} WHERE env = 'demo' AND id = ?";
    let shares = [0.1, -1.0e-300, f64::MAX, 5.0, 1.0 / 3.0];
    let numbers = [i64::MIN, i64::MAX, 0, -1, 1 << 53];
    for (index, (number, share)) in numbers.into_iter().zip(shares).enumerate() {
        let id = blob(&[u8::try_from(index).expect("few")]);
        let (number, share) = (Value::Integer(number), Value::Real(share));
        let params = vec![id.clone(), number.clone(), share.clone()];
        subject.write(unit(vec![step(PUT_SHARE, params)])).await.expect("a write");
        let found = subject.read(GET_SHARE, vec![id]).await.expect("a read");
        assert_eq!(found.0[0].0, [number, share]);
    }
}

/// What one backend cannot keep, none takes; and null stays out where it is forbidden.
pub async fn numbers_that_do_not_exist_are_refused(subject: &Subject) {
    const SHARE: &str = "INSERT INTO {items} (env, id, number, share) VALUES ('demo', 'a', 0, ?)";
    for share in [f64::NAN, f64::INFINITY] {
        let unit = unit(vec![step(SHARE, vec![Value::Real(share)])]);
        assert_eq!(kind_of(subject.write(unit).await), Kind::InvalidParameter);
    }
    let null = unit(vec![step(PUT, vec![text("demo"), blob(b"a"), Value::Null])]);
    assert_eq!(kind_of(subject.write(null).await), Kind::InvalidParameter);
}

/// Index entries rely on it: keys compare as `memcmp` does.
pub async fn binary_keys_sort_as_bytes(subject: &Subject) {
    const RANGE: &str =
        "SELECT id FROM {items} WHERE env = ? AND id >= ? AND id < ? ORDER BY id DESC";
    let ids: [&[u8]; 7] = [b"", b"\0", b"\0\0", b"A", b"a", b"\x7f", b"\xff"];
    for id in ids.iter().rev() {
        subject.put(id, 0).await.expect("a write");
    }
    let all = subject.read("SELECT id FROM {items} WHERE env = 'demo' ORDER BY id", vec![]).await;
    let all: Vec<Value> = all.expect("a read").0.into_iter().flat_map(|row| row.0).collect();
    assert_eq!(all, ids.map(blob));
    let range = subject.read(RANGE, vec![text("demo"), blob(b"\0\0"), blob(b"\x7f")]).await;
    let range: Vec<Value> = range.expect("a read").0.into_iter().flat_map(|row| row.0).collect();
    assert_eq!(range, [b"a", b"A", b"\0\0".as_slice()].map(blob));
}

/// Counting and adding give numbers, whatever the database calls them.
pub async fn sums_are_whole_numbers(subject: &Subject) {
    subject.write(unit(vec![put(b"a", 2), put(b"b", 40)])).await.expect("a write");
    const SUM: &str = "SELECT COUNT(*), SUM(number), MAX(number), SUM(share) FROM {items}
        WHERE env = 'demo'";
    let found = subject.read(SUM, vec![]).await.expect("a read");
    let [two, sum, most] = [2, 42, 40].map(Value::Integer);
    assert_eq!(found.0[0].0, [two, sum, most, Value::Null]);
}
