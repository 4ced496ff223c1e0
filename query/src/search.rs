//! Regular expressions, and what it costs to ask one.
//!
//! All are asked in time linear in the text. But an automaton that follows every state at once takes, for each byte, as
//! long as it has states, of which a short expression makes ten thousand: `[01]*1[01]{5000}x` on a text of four megabytes
//! keeps a core busy for a minute. So a text is read by a lazily made deterministic automaton, which takes a nanosecond a
//! byte and gives up where it would be remade again and again; what follows every state is paid for by what it may take.

use std::fmt;
use std::sync::{Mutex, TryLockError};

use regex_automata::dfa::onepass;
use regex_automata::hybrid::{dfa, regex as lazy};
use regex_automata::nfa::thompson::{self, NFA, pikevm::PikeVM};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, Span};

/// Memory of one compiled expression, and again of what is made of it while it is asked.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Nesting of groups and repetitions.
const NEST_MAX: u32 = 50;

/// How often what was made of an expression may be thrown away before the lazy automaton gives up.
const REMADE_MAX: usize = 3;

/// Text that the lazy automaton reads in about the time of one comparison.
const BYTES_PER_STEP: usize = 64;

/// States that are followed over one byte in about the time of one comparison.
const STATES_PER_STEP: usize = 8;

/// A compiled expression.
pub(crate) struct Search {
    lazy: lazy::Regex,
    /// What was made by those who asked before.
    made: Mutex<lazy::Cache>,
    /// Finds groups at the speed of the lazy one, where the expression allows it.
    onepass: Option<onepass::DFA>,
    every_state: PikeVM,
    states: usize,
}

/// Why an expression cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// No option has this letter.
    Option,
    /// For this reason it is none.
    Syntax(String),
    TooBig,
}

impl Search {
    /// Compiles an expression with the options `i`, `m`, `s` and `x`.
    pub(crate) fn new(pattern: &str, options: &str) -> Result<Self, Unusable> {
        let mut syntax = syntax::Config::new().nest_limit(NEST_MAX);
        for option in options.chars() {
            syntax = match option {
                'i' => syntax.case_insensitive(true),
                'm' => syntax.multi_line(true),
                's' => syntax.dot_matches_new_line(true),
                'x' => syntax.ignore_whitespace(true),
                _ => return Err(Unusable::Option),
            };
        }
        let parsed = syntax::parse_with(pattern, &syntax).map_err(|error| {
            let text = error.to_string();
            // The lines before the last one draw the expression.
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Unusable::Syntax(reason.to_owned())
        })?;
        let limited = thompson::Config::new().nfa_size_limit(Some(COMPILED_BYTES_MAX));
        let compiled = |config: thompson::Config| {
            let nfa = NFA::compiler().configure(config).build_from_hir(&parsed);
            nfa.map_err(|_| Unusable::TooBig)
        };
        let nfa = compiled(limited.clone())?;
        let backwards =
            compiled(limited.reverse(true).which_captures(thompson::WhichCaptures::None))?;
        Self::of(nfa, backwards).ok_or(Unusable::TooBig)
    }

    fn of(nfa: NFA, backwards: NFA) -> Option<Self> {
        let config = dfa::Config::new()
            .unicode_word_boundary(true)
            .cache_capacity(COMPILED_BYTES_MAX)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(REMADE_MAX));
        let lazily = |config: dfa::Config, nfa: NFA| {
            dfa::Builder::new().configure(config).build_from_nfa(nfa).ok()
        };
        let forward = lazily(config.clone(), nfa.clone())?;
        let all = regex_automata::MatchKind::All;
        let reverse = lazily(config.match_kind(all), backwards)?;
        let lazy = lazy::Builder::new().build_from_dfas(forward, reverse);
        let small = onepass::Config::new().size_limit(Some(COMPILED_BYTES_MAX));
        let onepass = onepass::Builder::new().configure(small).build_from_nfa(nfa.clone()).ok();
        let (states, made) = (nfa.states().len(), Mutex::new(lazy.create_cache()));
        let every_state = PikeVM::new_from_nfa(nfa).ok()?;
        Some(Self { lazy, made, onepass, every_state, states })
    }

    /// Whether the text has a match. `pay` is asked for steps before they are taken.
    pub(crate) fn is_match<E>(
        &self,
        text: &str,
        pay: impl Fn(usize) -> Result<(), E>,
    ) -> Result<bool, E> {
        pay(1 + text.len() / BYTES_PER_STEP)?;
        let input = Input::new(text).earliest(true);
        let found = self
            .with_made(|made| self.lazy.forward().try_search_fwd(made.as_parts_mut().0, &input));
        match found {
            Ok(found) => Ok(found.is_some()),
            Err(_) => {
                pay(self.dear(text.len()))?;
                Ok(self.every_state.is_match(&mut self.every_state.create_cache(), input))
            }
        }
    }

    /// The first match of what is left of the text from `from` on.
    pub(crate) fn find<E>(
        &self,
        text: &str,
        from: usize,
        pay: impl Fn(usize) -> Result<(), E>,
    ) -> Result<Option<Span>, E> {
        pay(1 + (text.len() - from) / BYTES_PER_STEP)?;
        let input = Input::new(text).range(from..);
        match self.with_made(|made| self.lazy.try_search(made, &input)) {
            Ok(found) => Ok(found.map(|found| found.span())),
            Err(_) => {
                pay(self.dear(text.len() - from))?;
                let found = self.every_state.find(&mut self.every_state.create_cache(), input);
                Ok(found.map(|found| found.span()))
            }
        }
    }

    /// What the groups of a match stand for, which [`Search::find`] gave.
    pub(crate) fn groups<E>(
        &self,
        text: &str,
        found: Span,
        pay: impl Fn(usize) -> Result<(), E>,
    ) -> Result<Vec<Option<Span>>, E> {
        let info = self.every_state.get_nfa().group_info();
        let mut captures = Captures::all(info.clone());
        if captures.group_len() == 1 {
            return Ok(Vec::new());
        }
        let input = Input::new(text).span(found).anchored(Anchored::Yes);
        match &self.onepass {
            Some(onepass) => {
                pay(1 + found.len() / BYTES_PER_STEP)?;
                onepass.captures(&mut onepass.create_cache(), input, &mut captures);
            }
            None => {
                pay(self.dear(found.len()))?;
                let mut cache = self.every_state.create_cache();
                self.every_state.captures(&mut cache, input, &mut captures);
            }
        }
        Ok((1..captures.group_len()).map(|group| captures.get_group(group)).collect())
    }

    /// Steps that following every state over so many bytes may take.
    fn dear(&self, bytes: usize) -> usize {
        (1 + bytes).saturating_mul(self.states) / STATES_PER_STEP
    }

    /// Whoever comes while another one asks begins with nothing made.
    fn with_made<T>(&self, ask: impl FnOnce(&mut lazy::Cache) -> T) -> T {
        match self.made.try_lock() {
            Ok(mut made) => ask(&mut made),
            Err(TryLockError::Poisoned(_) | TryLockError::WouldBlock) => {
                ask(&mut self.lazy.create_cache())
            }
        }
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Search({} states)", self.states)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use expect_test::expect;

    use super::*;

    /// Whether it matches, and the steps that it took.
    fn asked(search: &Search, text: &str) -> (bool, usize) {
        let steps = Cell::new(0);
        let pay = |more| {
            steps.set(steps.get() + more);
            Ok::<_, Infallible>(())
        };
        let Ok(found) = search.is_match(text, pay);
        (found, steps.get())
    }

    #[test]
    fn what_would_take_long_is_paid_for_and_nothing_else_is() {
        let noughts_and_ones: String = (0..20_000_u32)
            .map(|n| if n.wrapping_mul(2_654_435_761) >> 16 & 1 == 0 { '0' } else { '1' })
            .collect();
        let cheap = ["abc.*def", r"^\d{4}-\d{2}", r"(?i)(红|绿)茶|\w+@\w+\.cn", "[01]*1[01]{3}x"];
        for pattern in cheap {
            let search = Search::new(pattern, "").unwrap();
            assert_eq!(asked(&search, &noughts_and_ones), (false, 313), "{pattern}");
        }
        // Of nearly every byte a state that was never there before.
        let dear = Search::new("[01]*1[01]{5000}x", "").unwrap();
        let (found, steps) = asked(&dear, &noughts_and_ones);
        assert!(!found && steps > 10_000_000, "{steps}");
        let refused = dear.is_match(&noughts_and_ones, |steps| match steps {
            ..1000 => Ok(()),
            more => Err(more),
        });
        assert!(refused.is_err());
    }

    #[test]
    fn matches_and_groups_are_where_they_should_be() {
        let mut shown = String::new();
        let free = |_| Ok::<_, Infallible>(());
        for (pattern, text) in [
            (r"(\d+)-(\d+)?", "at 12-34"),
            (r"(\d+)-(\d+)?", "at 12-"),
            (r"(a|ab)(c|bcd)(d*)", "xabcd"),
            (r"\b茶(x)?\b", "绿 茶 "),
            ("x", "abc"),
        ] {
            let search = Search::new(pattern, "").unwrap();
            let Ok(found) = search.find(text, 0, free);
            let Ok(groups) = found.map_or(Ok(Vec::new()), |found| search.groups(text, found, free));
            let part = |span: Option<Span>| span.map_or("-", |span| &text[span]).to_owned();
            let groups: Vec<_> = groups.into_iter().map(part).collect();
            shown += &format!("{pattern} in {text}: {} [{}]\n", part(found), groups.join(", "));
        }
        expect![[r#"
            (\d+)-(\d+)? in at 12-34: 12-34 [12, 34]
            (\d+)-(\d+)? in at 12-: 12- [12, -]
            (a|ab)(c|bcd)(d*) in xabcd: abcd [a, bcd, ]
            \b茶(x)?\b in 绿 茶 : 茶 [-]
            x in abc: - []
        "#]]
        .assert_eq(&shown);
    }
}
