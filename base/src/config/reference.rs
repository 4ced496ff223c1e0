//! The reference of every key, made from what rooms ask for.

/// One key as its room describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Dotted name; `<name>` stands for a name that the operator chooses, `[]` for each element of a list.
    pub path: String,
    /// What it holds.
    pub expected: String,
    /// As the file would spell it; none for a key without a default.
    pub default: Option<String>,
    /// What it is for.
    pub doc: &'static str,
    /// Whether a change takes effect without a restart.
    pub live: bool,
}

/// The keys as a page, one section for each table, in the order in which tables were first asked for.
pub fn markdown(references: &[Reference]) -> String {
    let mut sections: Vec<(&str, String)> = Vec::new();
    for reference in references {
        let (table, key) = reference.path.rsplit_once('.').unwrap_or(("", &reference.path));
        let place = sections.iter().position(|(name, _)| *name == table);
        let place = place.unwrap_or_else(|| {
            sections.push((table, heading(table)));
            sections.len() - 1
        });
        sections[place].1 += &row(key, reference);
    }
    sections.into_iter().map(|(_, section)| section).collect()
}

fn row(key: &str, reference: &Reference) -> String {
    let default =
        reference.default.as_deref().map_or_else(|| "—".into(), |text| format!("`{text}`"));
    let live = if reference.live { "reload" } else { "restart" };
    let expected = reference.expected.replace('|', "\\|");
    format!("| `{key}` | {expected} | {default} | {live} | {} |\n", reference.doc)
}

fn heading(table: &str) -> String {
    let title = match table.strip_suffix("[]") {
        Some(list) => format!("`[[{list}]]`"),
        None if table.is_empty() => "Top level".into(),
        None => format!("`[{table}]`"),
    };
    format!(
        "\n## {title}\n\n| key | holds | default | takes effect | what it is for |\n|---|---|---|---|---|\n"
    )
}
