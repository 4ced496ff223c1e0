//! What was said of a request against what must be said.

use regex::Regex;

use super::case::Case;
use super::send::Answer;
use super::server::Seen;

/// Why a case fails, or nothing.
pub(super) fn judge(case: &Case, answer: &Answer, seen: &Seen) -> Option<String> {
    let told = answer.request_id.as_ref().and_then(|id| seen.get(id));
    let told = told.map_or(&[][..], Vec::as_slice);
    let output = &case.output;
    let has = |rule: &u64| told.iter().any(|told| told.rule == *rule);
    let status = answer.status.map_or("no answer".to_owned(), |status| format!("status {status}"));
    if output.expect_error == Some(true) {
        return match answer.status {
            None | Some(400..) => None,
            Some(_) => Some(format!("is answered, {status}")),
        };
    }
    if let Some(wanted) = output.status.filter(|wanted| Some(*wanted) != answer.status) {
        return Some(format!("wants status {wanted}, got {status}"));
    }
    let missing: Vec<&u64> = output.log.expect_ids.iter().filter(|rule| !has(rule)).collect();
    if !missing.is_empty() {
        return Some(format!("{missing:?} not matched, {status}"));
    }
    let surplus: Vec<&u64> = output.log.no_expect_ids.iter().filter(|rule| has(rule)).collect();
    if !surplus.is_empty() {
        return Some(format!("{surplus:?} matched, {status}"));
    }
    let matches = |pattern: &str| match Regex::new(pattern.trim()) {
        Ok(regex) => told.iter().any(|told| regex.is_match(&told.line)),
        Err(_) => false,
    };
    if let Some(pattern) = output.log.match_regex.as_ref().filter(|pattern| !matches(pattern)) {
        return Some(format!("nothing told matches {pattern}, {status}"));
    }
    if let Some(pattern) = output.log.no_match_regex.as_ref().filter(|pattern| matches(pattern)) {
        let rules: Vec<u64> = told.iter().map(|told| told.rule).collect();
        return Some(format!("something told matches {pattern}: {rules:?}"));
    }
    None
}
