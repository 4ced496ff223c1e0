//! The page that lists what is supported, made from the tables that the parser reads.

use std::path::Path;

use super::action::{ACTIONS, ACTIONS_REFUSED};
use super::control::{CONTROLS, CONTROLS_REFUSED};
use super::directive::{DIRECTIVES_REFUSED, RULES};
use super::names::{Refused, VARIABLES, VARIABLES_REFUSED};
use super::setting::{ELSEWHERE, NUMBERS, SETTINGS};
use crate::operator;
use crate::transformation::Transformation;

const HEAD: &str = "# What the WAF supports of ModSecurity's language\n\n\
    Everything here is known by name; a name that is not is an error with file and line, and so is one that is listed as\n\
    refused, with its reason. [waf.md](waf.md) tells how to use it.\n\n\
    Where the meaning of a thing comes from stands beside it:\n\n\
    - **manual**: the reference manual of ModSecurity, 3 where 2 and 3 differ (`ModSecurity/wiki/Reference-Manual-(v3.x)`).\n\
    - **cases**: besides, the public cases of ModSecurity (`operators/`, `transformations/`), which run as a test;\n  \
      `waf/tests/public_cases.rs` lists each that differs, with the reason.\n\
    - anything else is named.\n\n\
    Made from the program; do not edit.\n";

const MANUAL: &str = "manual";
const CASES: &str = "manual, cases";

/// Sources that are not those of the kind.
const SOURCES: &[(&str, &str)] = &[
    ("SecArgumentsLimit", "manual; ModSecurity 3's default of 1000"),
    ("SecRequestBodyJsonDepthLimit", "manual; RFC 8259 for what JSON is"),
    ("SecUploadFileLimit", "manual of 2; RFC 7578 and RFC 2046 for what a multipart body is"),
    ("SecUnicodeMapFile", "manual; the code page 20127 of `unicode.mapping`"),
    ("@detectSQLi", "manual, cases; libinjection, by its port `libinjectionrs`"),
    ("@detectXSS", "manual, cases; libinjection, by its port `libinjectionrs`"),
    ("@rx", "manual, cases; PCRE's spelling, without what needs more than linear time"),
    ("@rxGlobal", "manual, cases; as `@rx`"),
    ("@ipMatch", "manual, cases; RFC 4632 and RFC 4291 for networks"),
    ("@validateUtf8Encoding", "manual, cases; RFC 3629"),
    ("@validateUrlEncoding", "manual, cases; RFC 3986 section 2.1"),
    ("@verifyCC", "manual, cases; ISO/IEC 7812-1 for the check digit"),
    ("XML", "manual; XPath `/*` and `//@*` alone, by a reader of our own"),
    ("REQUEST_COOKIES", "manual; RFC 6265 section 4.2"),
    ("REQUEST_URI", "manual; RFC 9112 section 3.2 for forms of a target"),
    ("utf8toUnicode", "manual, cases; RFC 3629"),
    ("base64Decode", "manual, cases; RFC 4648"),
    ("base64Encode", "manual, cases; RFC 4648"),
    ("htmlEntityDecode", "manual, cases; ModSecurity's short list of names"),
    ("requestBodyProcessor", "manual; RFC 8259, RFC 7578, XML 1.0, WHATWG URL section 5"),
];

/// One row: the name, what is to be said of it, where its meaning comes from.
struct Row(String, String, &'static str);

fn row(name: &str, note: &str, usual: &'static str) -> Row {
    let source = SOURCES.iter().find(|(known, _)| *known == name).map_or(usual, |row| row.1);
    Row(name.to_owned(), note.to_owned(), source)
}

fn table(page: &mut String, title: &str, mut rows: Vec<Row>) {
    rows.sort_by_key(|row| row.0.to_ascii_lowercase());
    page.push_str(&format!(
        "\n## {title}\n\n{} in all.\n\n| name | | meaning from |\n|---|---|---|\n",
        rows.len()
    ));
    for Row(name, note, source) in rows {
        page.push_str(&format!("| `{name}` | {note} | {source} |\n"));
    }
}

fn refused(page: &mut String, title: &str, rows: impl Iterator<Item = (String, String)>) {
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    page.push_str(&format!("\n### Refused {title}\n\n| name | why |\n|---|---|\n"));
    for (name, why) in rows {
        page.push_str(&format!("| `{name}` | {why} |\n"));
    }
}

fn owned(rows: &[Refused]) -> impl Iterator<Item = (String, String)> {
    rows.iter().map(|(name, why)| ((*name).to_owned(), (*why).to_owned()))
}

fn directives(page: &mut String) {
    let rules = RULES.iter().chain(SETTINGS).map(|name| row(name, "", MANUAL));
    let numbers = NUMBERS.iter().map(|(name, max, _)| row(name, &format!("at most {max}"), MANUAL));
    table(page, "Directives", rules.chain(numbers).collect());
    page.push_str(
        "\n### Directives that are read and do nothing\n\n| name | | why |\n|---|---|---|\n",
    );
    for elsewhere in ELSEWHERE {
        let only = elsewhere
            .only
            .map_or_else(String::new, |only| format!("only `{only}`; anything else is refused"));
        page.push_str(&format!("| `{}` | {only} | {} |\n", elsewhere.name, elsewhere.reason));
    }
    refused(page, "directives", owned(DIRECTIVES_REFUSED));
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    directives(&mut page);
    let members = |has_members| if has_members { "has members" } else { "" };
    let variables =
        VARIABLES.iter().map(|known| row(known.name, members(known.has_members), MANUAL));
    table(&mut page, "Variables", variables.collect());
    refused(&mut page, "variables", owned(VARIABLES_REFUSED));
    let offered = operator::all().filter(|(_, why)| why.is_none());
    table(
        &mut page,
        "Operators",
        offered.map(|(name, _)| row(&format!("@{name}"), "", CASES)).collect(),
    );
    let others =
        operator::all().filter_map(|(name, why)| Some((format!("@{name}"), why?.to_owned())));
    refused(&mut page, "operators", others);
    let all = Transformation::all().map(|it| row(it.name(), "", CASES));
    table(&mut page, "Transformations", all.collect());
    table(&mut page, "Actions", ACTIONS.iter().map(|name| row(name, "", MANUAL)).collect());
    refused(&mut page, "actions", owned(ACTIONS_REFUSED));
    table(
        &mut page,
        "Controls (`ctl`)",
        CONTROLS.iter().map(|name| row(name, "", MANUAL)).collect(),
    );
    refused(&mut page, "controls", owned(CONTROLS_REFUSED));
    page
}

/// `UPDATE_EXPECT=1` writes the page anew.
#[test]
fn the_page_lists_what_is_supported() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/waf-supported.md");
    let made = page();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &made).unwrap_or_default();
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stands == made,
        "docs/waf-supported.md is out of date; run this test with UPDATE_EXPECT=1"
    );
    for (name, _) in SOURCES {
        assert!(made.contains(&format!("| `{name}` |")), "{name} is in no table");
    }
}
