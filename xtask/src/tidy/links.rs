//! Links between documents: what a relative link names is tracked, so a reader of a clone arrives.

use super::Complaint;
use super::tree::Tree;

/// Relative links in Markdown that lead nowhere.
pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (path, text) in tree.ending(".md") {
        for (index, target) in links(text) {
            let dead = relative(target)
                .and_then(|target| resolve(path, target))
                .filter(|at| !tree.has(at));
            if let Some(missing) = dead {
                let message = format!(
                    "the link leads to {missing}, which is not there: correct or remove it"
                );
                complaints.push(Complaint::at_line(path, index, message));
            }
        }
    }
    complaints
}

/// Targets of the links outside code, each with the index of its line.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut in_fence = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        } else if !in_fence {
            let prose = line.split('`').step_by(2);
            found.extend(prose.flat_map(targets).map(|target| (index, target)));
        }
    }
    found
}

/// What stands between `](` and the next `)` or blank, and in `src="…"` and `href="…"`.
fn targets(prose: &str) -> Vec<&str> {
    let after = |mark: &'static str, ends: [char; 2]| {
        prose.split(mark).skip(1).filter_map(move |rest| rest.split(ends).next())
    };
    let quoted = ['"', ' '];
    after("](", [')', ' ']).chain(after("src=\"", quoted)).chain(after("href=\"", quoted)).collect()
}

/// The path of a link that stays in the repository, without its anchor.
fn relative(target: &str) -> Option<&str> {
    let leaves = target.contains("://") || target.starts_with("mailto:") || target.starts_with('#');
    let path = target.split(['#', '?']).next()?;
    (!leaves && !path.is_empty()).then_some(path)
}

/// The path from the root; nothing when it leaves the root or names the root itself.
fn resolve(document: &str, target: &str) -> Option<String> {
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let (folder, target) = target.strip_prefix('/').map_or((folder, target), |target| ("", target));
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::spell;
    use super::*;

    #[test]
    fn a_link_leads_somewhere() {
        let document = "\
[there](decisions/0001.md#context) and [up](../LICENSE), [folder](../base/src) and [web](https://example.com)
[gone](decisions/0009.md) `[code](nowhere.md)` <img src=\"shop.png\"> [anchor](#here) [root](/LICENSE)
```
[fenced](nowhere.md)
```
";
        let tree = Tree::of(&[
            ("LICENSE", ""),
            ("base/src/lib.rs", ""),
            ("docs/decisions/0001.md", ""),
            ("docs/map.md", document),
        ]);
        expect![[r#"
            docs/map.md:2: the link leads to docs/decisions/0009.md, which is not there: correct or remove it
            docs/map.md:2: the link leads to docs/shop.png, which is not there: correct or remove it
        "#]]
        .assert_eq(&spell(&check(&tree)));
    }
}
