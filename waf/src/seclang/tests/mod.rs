//! Text to the printed tree, a mistake of every kind, growth, and rule sets that others publish.

mod growth;
mod include;
mod mistakes;
mod print;
mod published;
mod tree;

use super::ast::{Directive, Problem};

fn show(result: Result<Vec<Directive>, Vec<Problem>>) -> String {
    match result {
        Ok(directives) => directives.iter().map(print::directive).collect(),
        Err(problems) => problems.iter().map(problem).collect(),
    }
}

fn problem(problem: &Problem) -> String {
    let rule = problem.rule.map(|rule| format!(" rule {rule}")).unwrap_or_default();
    format!("{}{rule}: {}\n", problem.place, problem.message)
}
