//! ModSecurity's public cases of operators and transformations, against ours.
//!
//! `YUNZHAN_TEST_SECLANG` names a folder with `operators/` and `transformations/` as in the public repository of the
//! cases; without it the test says that it was skipped.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use yunzhan_waf::operator::{Captures, Files, Operator};
use yunzhan_waf::transformation::Transformation;

/// File, input or parameter that is in the case, how many cases differ for it, and why. An empty text is in each.
const DEVIATIONS: &[(&str, &str, usize, &str)] = &[
    ("geoLookup", "", 5, "refused by name: places of addresses are not known"),
    ("rx", "(?!xml)", 2, "refused by name: look-ahead"),
    ("rxGlobal", "(?!xml)", 2, "refused by name: look-ahead"),
    (
        "ipMatch",
        "10.0.0.0/100",
        1,
        "a network that is none is a mistake in the rule, not a match that fails",
    ),
    ("validateByteRange", "xxx", 2, "a range that is none is a mistake in the rule"),
    ("validateByteRange", "\0TestCase", 1, "no range at all is a mistake in the rule"),
    ("cssDecode", "\u{0}  string", 1, "the public runner cuts input and output at the null byte"),
    ("escapeSeqDecode", "\\xag", 1, "the public runner reads `\\xag` in the case itself as a byte"),
    ("phpArgsNames", "", 13, "ModSecurity 3 has no such transformation"),
    ("urlDecodeUni", "%u00a0", 1, "the case supposes that no code page is mapped"),
];

fn folder() -> Option<PathBuf> {
    let required = std::env::var("YUNZHAN_TEST_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').any(|name| name.trim() == "seclang");
    match std::env::var_os("YUNZHAN_TEST_SECLANG").filter(|folder| !folder.is_empty()) {
        Some(folder) => Some(folder.into()),
        None if is_required => panic!("YUNZHAN_TEST_SECLANG names no folder"),
        None => {
            let _ = std::io::stderr().write_all(b"skipped: seclang (set YUNZHAN_TEST_SECLANG)\n");
            None
        }
    }
}

/// Files beside the cases, whatever folder a case names.
struct Beside(PathBuf);

impl Files for Beside {
    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let file = Path::new(name).file_name().ok_or_else(|| format!("{name} is no file"))?;
        let path = self.0.join("op").join(file);
        std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Bytes of a text in which `\xHH` and `\uHHHH` stand for one byte each.
fn bytes(text: &str) -> Vec<u8> {
    let (text, mut out) = (text.as_bytes(), Vec::new());
    let mut at = 0;
    while at < text.len() {
        let length = match text[at..] {
            [b'\\', b'x', ..] => 4,
            [b'\\', b'u', ..] => 6,
            _ => 1,
        };
        let digits = text.get(at + 2..at + length).and_then(|digits| str::from_utf8(digits).ok());
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(code) if length > 1 => out.push(code as u8),
            _ => {
                out.push(text[at]);
                at += 1;
                continue;
            }
        }
        at += length;
    }
    out
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_default()
}

/// What differs in a case, if anything does.
fn transformation(case: &Value) -> Option<String> {
    let name = text(case, "name").replace('_', "");
    let Some(it) = Transformation::parse(&name) else { return Some("unknown".into()) };
    let (input, expected) = (bytes(text(case, "input")), bytes(text(case, "output")));
    let mut out = Vec::new();
    let found = if it.apply(&input, &mut out) { &out } else { &input };
    let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
    (*found != expected).then(|| format!("{} instead of {}", shown(found), shown(&expected)))
}

fn operator(case: &Value, files: &Beside) -> Option<String> {
    let argument = text(case, "param").as_bytes();
    let it = match Operator::compile(text(case, "name"), Some(argument), files) {
        Ok(it) => it,
        Err(why) => return Some(why),
    };
    let mut captures = Captures { is_wanted: true, found: Vec::new() };
    let found = it.matches(&bytes(text(case, "input")), None, &mut captures);
    if found != (case["ret"].as_i64() != Some(0)) {
        return Some(format!("matched: {found}"));
    }
    // The public runner does not read them, and those of `rxGlobal` are not what ModSecurity captures.
    let groups = case["re_groups"].as_array().filter(|_| text(case, "name") == "rx")?;
    let groups: Vec<_> = groups.iter().filter_map(Value::as_str).map(bytes).collect();
    let captured: Vec<_> = captures.found.into_iter().map(|(_, bytes)| bytes).collect();
    (captured != groups).then(|| format!("captured {captured:?}"))
}

#[test]
fn public_cases() {
    let Some(root) = folder() else { return };
    let (mut count, mut differences) = (0, BTreeMap::<usize, usize>::new());
    let mut unknown = Vec::new();
    for kind in ["operators", "transformations"] {
        let files = Beside(root.join(kind));
        let mut names: Vec<_> =
            std::fs::read_dir(&files.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        for path in names.iter().filter(|path| path.extension().is_some_and(|it| it == "json")) {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            for case in &cases {
                count += 1;
                let wrong = match kind {
                    "operators" => operator(case, &files),
                    _ => transformation(case),
                };
                let Some(wrong) = wrong else { continue };
                let known = DEVIATIONS.iter().position(|row| {
                    let place = format!("{}\0{}", text(case, "param"), text(case, "input"));
                    row.0 == stem && place.contains(row.1)
                });
                match known {
                    Some(row) => *differences.entry(row).or_default() += 1,
                    None => unknown.push(format!("{stem}: {case}: {wrong}")),
                }
            }
        }
    }
    for (at, row) in DEVIATIONS.iter().enumerate() {
        let seen = differences.get(&at).copied().unwrap_or_default();
        assert_eq!(seen, row.2, "deviations {row:?}");
    }
    let total: usize = differences.values().sum();
    let line = format!("passed {} of {count}, {total} listed\n", count - total - unknown.len());
    let _ = std::io::stderr().write_all(line.as_bytes());
    assert!(unknown.is_empty(), "{} differ:\n{}", unknown.len(), unknown.join("\n"));
}
