//! A README as the tour reads it.
//!
//! Between the comments `tour: start` and `tour: end`, a block marked `sh` holds commands, and a block marked `text` after
//! it holds what they print. A comment such as `<!-- tour: serve mysql -->` gives marks to the commands below it.

use std::iter::Peekable;
use std::str::Lines;

/// Stands for what is different each time.
const ANYTHING: char = '…';

/// Commands and what they print.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    marks: Vec<String>,
    pub(super) commands: String,
    pub(super) output: String,
}

impl Block {
    /// Whether a comment gave it this mark.
    pub(super) fn has(&self, mark: &str) -> bool {
        self.marks.iter().any(|given| given == mark)
    }

    /// The same with words that are different each time.
    pub(super) fn replaced(&self, words: &[&str]) -> Self {
        let replace = |output: String, word: &&str| output.replace(word, &ANYTHING.to_string());
        let output = words.iter().fold(self.output.clone(), replace);
        Self { marks: self.marks.clone(), commands: self.commands.clone(), output }
    }

    /// The same without what is printed, which is in the reader's language.
    pub(super) fn silent(self) -> Self {
        Self { output: String::new(), ..self }
    }
}

/// The blocks of the tour, in order.
pub(super) fn tour(readme: &str) -> Vec<Block> {
    let mut lines = section(readme, "tour").lines().peekable();
    let (mut blocks, mut marks) = (Vec::<Block>::new(), Vec::new());
    while let Some(line) = lines.next() {
        if let Some(given) = line.strip_prefix("<!-- tour: ") {
            let given = given.strip_suffix(" -->").expect("a comment of one line");
            marks = given.split(' ').map(str::to_owned).collect();
        } else if line == "```sh" {
            let marks = std::mem::take(&mut marks);
            let commands = fenced(&mut lines);
            blocks.push(Block { marks, commands, ..Block::default() });
        } else if line == "```text" {
            let block = blocks.last_mut().expect("commands before what they print");
            assert!(block.output.is_empty(), "two outputs of one block: {}", block.commands);
            block.output = fenced(&mut lines);
        }
    }
    assert!(marks.is_empty(), "marks without commands: {marks:?}");
    blocks
}

/// What stands between the comments `<name>: start` and `<name>: end`.
pub(super) fn section<'r>(readme: &'r str, name: &str) -> &'r str {
    let (_, rest) = readme.split_once(&format!("<!-- {name}: start -->")).expect("a start");
    let (section, _) = rest.split_once(&format!("<!-- {name}: end -->")).expect("an end");
    section
}

fn fenced(lines: &mut Peekable<Lines<'_>>) -> String {
    let mut text = String::new();
    for line in lines.take_while(|line| *line != "```") {
        text += line;
        text.push('\n');
    }
    text
}

/// What was printed, with every line that the pattern's line allows written as that line: equal to the pattern when all are.
pub(super) fn masked(printed: &str, pattern: &str) -> String {
    let mut patterns = pattern.lines();
    let mut text = String::new();
    for line in printed.lines() {
        let pattern = patterns.next().filter(|pattern| allows(pattern, line));
        text += pattern.unwrap_or(line);
        text.push('\n');
    }
    text
}

fn allows(pattern: &str, line: &str) -> bool {
    let Some((first, pattern)) = pattern.split_once(ANYTHING) else { return pattern == line };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let (between, last) = pattern.rsplit_once(ANYTHING).unwrap_or(("", pattern));
    for part in between.split(ANYTHING) {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[test]
fn a_page_gives_its_blocks() {
    let readme = "\
```sh
before
```
<!-- tour: start -->
<!-- tour: serve mysql -->
```sh
one
two
```
words
```text
1 …
```
```sh
three
```
<!-- tour: end -->
";
    let blocks = tour(readme);
    assert_eq!(blocks.len(), 2);
    assert!(blocks[0].has("mysql") && !blocks[0].has("sql"));
    assert_eq!((blocks[0].commands.as_str(), blocks[0].output.as_str()), ("one\ntwo\n", "1 …\n"));
    assert_eq!((blocks[1].commands.as_str(), blocks[1].output.as_str()), ("three\n", ""));
}

#[test]
fn only_the_ellipsis_stands_for_anything() {
    assert_eq!(masked("a 1 b 22 c\nend\n", "a … b … c\nend\n"), "a … b … c\nend\n");
    assert_eq!(masked("a 1 b 22 d\n", "a … b … c\n"), "a 1 b 22 d\n");
    assert_eq!(masked("ab\nmore\n", "a…b\n"), "a…b\nmore\n");
    assert_eq!(masked("a\n", "a…a\n"), "a\n");
    assert_eq!(masked("", "a\n"), "");
}
