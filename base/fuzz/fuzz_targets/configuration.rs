//! A file and variables, split at the first NUL: reading never panics, every mistake has a place, and no secret is shown.

#![no_main]

use std::net::SocketAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use yunzhan_base::config::{ByteSize, Document, Lang, SourceSpan, Reader, Variables};

fuzz_target!(|bytes: &[u8]| {
    let Ok(input) = std::str::from_utf8(bytes) else { return };
    let (text, variables) = input.split_once('\0').unwrap_or((input, ""));
    let document = Document::parse("f", text, read_variables(variables)).with_files(|_| Ok(b"in a file".to_vec()));
    let secret = read(&mut document.root());
    let Err(problems) = document.finish() else { return };
    for problem in &problems.list {
        if let SourceSpan::Line { line, .. } = problem.place {
            assert!(line <= text.lines().count() + 1, "a mistake beyond the end of the file");
        }
    }
    let shown = problems.render(Lang::En) + &problems.render(Lang::Zh) + &problems.to_json(Lang::Zh).to_string();
    let Some(secret) = secret.filter(|secret| is_marked(secret) && input.matches(secret.as_str()).count() == 1) else { return };
    let line = text.lines().find(|line| line.contains(&secret)).unwrap_or_default();
    if line.trim_start().starts_with("secret") {
        assert!(!shown.contains(&secret), "a secret is shown: {shown}");
    }
});

/// A short or common secret, or one that looks like a part of a message, stands in any text by chance.
fn is_marked(secret: &str) -> bool {
    secret.strip_prefix("hunter2:").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn read_variables(text: &str) -> Variables {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (format!("YUNZHAN_{name}"), value.to_owned())).collect()
}

/// One key of every type, in every kind of table.
fn read(root: &mut Reader<'_>) -> Option<String> {
    read_types(root);
    let secret = root.secret("secret", "a secret");
    let mut table = root.table("table");
    read_types(&mut table);
    for (_, mut named) in root.tables("named") {
        read_types(&mut named);
        named.problem("text", "a mistake of the room");
    }
    for mut element in root.list("list") {
        let _: Option<String> = element.required("text", "text");
        read_types(&mut element);
    }
    secret.and_then(|secret| secret.expose_str().map(str::to_owned))
}

fn read_types(reader: &mut Reader<'_>) {
    let _: Option<String> = reader.optional("text", "text");
    reader.live("flag", false, "a flag");
    reader.value_in("count", 1_u16, 1..=100, "a count");
    reader.value("ratio", 0.5, "a ratio");
    reader.value_in("time", Duration::ZERO, Duration::ZERO..=Duration::from_secs(60), "a time");
    reader.value("size", ByteSize::default(), "a size");
    reader.value("addresses", Vec::<SocketAddr>::new(), "addresses");
}
