//! Whatever the bytes are, reading them ends without a panic, and takes work that grows no faster than they do.

use proptest::prelude::*;

use crate::seclang::cursor::steps;
use crate::seclang::parse;

/// Pieces of the language, so that random text gets past the first word.
const PIECES: &[&str] = &[
    "SecRule ",
    "SecAction ",
    "SecMarker ",
    "SecRuleRemoveById ",
    "SecRuleUpdateTargetById ",
    "ARGS",
    "TX:",
    "XML:/*",
    "|",
    "!",
    "&",
    ",",
    "\"",
    "'",
    "\\",
    "\\\n",
    "\n",
    " ",
    "#",
    "@rx ",
    "@",
    "%{",
    "}",
    "tx.a",
    "remote_addr",
    "id:",
    "1",
    "-",
    "setvar:",
    "ctl:",
    "ruleRemoveTargetById=",
    ";",
    "=",
    "=+",
    "chain",
    "t:",
    "lowercase",
    "msg:'",
    "/",
    "skipAfter:",
    "phase:2",
    "\u{fffd}",
    "\r",
    "\t",
];

fn language() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => proptest::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn steps_of(text: &[u8]) -> u64 {
    steps::take();
    let _ = parse("a.conf", text);
    steps::take()
}

/// Each byte is walked in its line, in its word, as an action or a target, and as text with macros.
const STEPS_PER_BYTE_MAX: u64 = 6;

proptest! {
    #[test]
    fn any_bytes_are_read_in_linear_time(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(steps_of(&bytes) <= STEPS_PER_BYTE_MAX * bytes.len() as u64);
    }

    #[test]
    fn any_text_of_the_language_is_read_in_linear_time(text in language()) {
        prop_assert!(steps_of(&text) <= STEPS_PER_BYTE_MAX * text.len() as u64);
    }
}

#[test]
fn twice_the_text_takes_twice_the_steps() {
    let shapes: [fn(usize) -> String; 8] = [
        |count| format!("SecRule ARGS \"{}\" id:1", "%{tx.a".repeat(count)),
        |count| format!("SecRule ARGS \"{}\" id:1", "%{".repeat(count)),
        |count| format!("SecRule ARGS \"{}\" id:1", "\\".repeat(2 * count)),
        |count| format!("SecRule ARGS:'{} a id:1", "\\'".repeat(count)),
        |count| format!("SecAction \"id:1,msg:'{}", "','".repeat(count)),
        |count| format!("SecAction \"id:1,setvar:'tx.{}", "{=}".repeat(count)),
        |count| "#\\\n".repeat(count),
        |count| "SecMarker \\\n".repeat(count),
    ];
    for (index, shape) in shapes.iter().enumerate() {
        let (once, twice) = (steps_of(shape(5_000).as_bytes()), steps_of(shape(10_000).as_bytes()));
        assert!(once > 5_000, "shape {index} is walked in {once} steps");
        assert!(twice <= 2 * once, "shape {index}: {once} steps, then {twice}");
    }
}
