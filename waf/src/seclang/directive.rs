//! A directive from its words.

use super::action::actions;
use super::ast::{Action, DirectiveKind, OperatorText, Rule, Selection, Target, Text};
use super::control::{by_id, by_message, by_tag};
use super::file::Include;
use super::names::{Refused, unknown};
use super::setting::{ELSEWHERE, NUMBERS, SETTINGS, setting};
use super::target::{shown, targets};
use super::text::text;
use super::{ids, number, utf8};

/// What a directive says, as far as it was understood, and what is wrong with it.
#[derive(Default)]
pub(super) struct Parsed {
    pub(super) said: Option<Said>,
    pub(super) problems: Vec<String>,
}

/// What a directive says.
pub(super) enum Said {
    Directive(DirectiveKind),
    Include(Include),
}

impl Said {
    /// The id of the rule that it is.
    pub(super) fn id(&self) -> Option<u64> {
        let actions = match self {
            Self::Directive(DirectiveKind::Rule(rule)) => &rule.actions,
            Self::Directive(DirectiveKind::Action(actions)) => actions,
            _ => return None,
        };
        actions.iter().find_map(|action| match action {
            Action::Id(id) => Some(*id),
            _ => None,
        })
    }
}

impl Parsed {
    pub(super) fn wrong(problem: String) -> Self {
        Self { said: None, problems: vec![problem] }
    }

    /// What was understood; where nothing was, `None`.
    fn part<T: Default>(&mut self, result: Result<T, Vec<String>>) -> T {
        result.unwrap_or_else(|problems| {
            self.problems.extend(problems);
            T::default()
        })
    }

    /// The actions that were understood.
    fn actions(&mut self, word: &[u8]) -> Vec<Action> {
        actions(word).unwrap_or_else(|(actions, problems)| {
            self.problems.extend(problems);
            actions
        })
    }
}

/// Directives that are rules or about rules.
pub(super) const RULES: &[&str] = &[
    "Include",
    "IncludeOptional",
    "SecAction",
    "SecComponentSignature",
    "SecDefaultAction",
    "SecMarker",
    "SecRule",
    "SecRuleRemoveById",
    "SecRuleRemoveByMsg",
    "SecRuleRemoveByTag",
    "SecRuleUpdateActionById",
    "SecRuleUpdateTargetById",
    "SecRuleUpdateTargetByMsg",
    "SecRuleUpdateTargetByTag",
];

/// Directives that ModSecurity knows and nothing here offers.
pub(super) const DIRECTIVES_REFUSED: &[Refused] = &[
    ("SecChrootDir", "the program is confined by its service manager"),
    ("SecConnReadStateLimit", "connections are bounded by the listener's options"),
    ("SecConnWriteStateLimit", "connections are bounded by the listener's options"),
    ("SecCookieV0Separator", "cookies are separated by semicolons"),
    ("SecGeoLookupDb", "no database of places is read; geoLookup cannot answer"),
    ("SecGsbLookupDb", "no database of addresses is read; gsbLookup cannot answer"),
    ("SecGuardianLog", "rules run no programs"),
    ("SecHashKey", "answers are not rewritten by rules"),
    ("SecHashMethodPm", "answers are not rewritten by rules"),
    ("SecHashMethodRx", "answers are not rewritten by rules"),
    ("SecHashParam", "answers are not rewritten by rules"),
    ("SecHttpBlKey", "no list of addresses is asked while a request waits"),
    ("SecReadStateLimit", "connections are bounded by the listener's options"),
    ("SecRemoteRules", "rules are read from files that an operator checked, not from a URL"),
    ("SecRuleScript", "rules run no Lua"),
    ("SecServerSignature", "the gateway writes its own `server` header"),
    ("SecWriteStateLimit", "connections are bounded by the listener's options"),
];

/// Reads one directive: its name and its arguments.
pub(super) fn directive(words: &[Vec<u8>]) -> Parsed {
    let Some((name, arguments)) = words.split_first() else {
        return Parsed::wrong("a directive is missing".into());
    };
    let Ok(name) = utf8(name) else {
        return Parsed::wrong(format!("`{}` is no directive", shown(name)));
    };
    if name.starts_with('<') {
        let problem = format!(
            "`{}`: sections of Apache's configuration are not SecLang",
            shown(name.as_bytes())
        );
        return Parsed::wrong(problem);
    }
    let mut parsed = Parsed::default();
    let said = rule_directive(name, arguments, &mut parsed)
        .or_else(|| setting(name, arguments).map(|setting| setting.map(DirectiveKind::Setting)))
        .map(|kind| kind.map(Said::Directive))
        .or_else(|| include(name, arguments).map(|include| include.map(Said::Include)));
    match said {
        Some(Ok(said)) => parsed.said = Some(said),
        Some(Err(problem)) => parsed.problems.push(format!("{name}: {problem}")),
        None => {
            let numbers = NUMBERS.iter().map(|(known, ..)| *known);
            let elsewhere = ELSEWHERE.iter().map(|elsewhere| elsewhere.name);
            let known = RULES.iter().chain(SETTINGS).copied().chain(numbers).chain(elsewhere);
            parsed.problems.push(unknown("directive", name, DIRECTIVES_REFUSED, known));
        }
    }
    parsed
}

/// A directive that is a rule or about rules; `None` if it is none.
fn rule_directive(
    name: &str,
    arguments: &[Vec<u8>],
    parsed: &mut Parsed,
) -> Option<Result<DirectiveKind, String>> {
    let kind = match name.to_ascii_lowercase().as_str() {
        "secrule" => rule(arguments, parsed),
        "secaction" => one(arguments).map(|word| DirectiveKind::Action(parsed.actions(word))),
        "secdefaultaction" => {
            one(arguments).map(|word| DirectiveKind::DefaultAction(parsed.actions(word)))
        }
        "secmarker" => one_word(arguments).map(|word| DirectiveKind::Marker(word.to_owned())),
        "seccomponentsignature" => {
            one_word(arguments).map(|word| DirectiveKind::Signature(word.to_owned()))
        }
        "secruleremovebyid" => remove_by_id(arguments),
        "secruleremovebymsg" => one_word(arguments).and_then(by_message).map(DirectiveKind::Remove),
        "secruleremovebytag" => one_word(arguments).and_then(by_tag).map(DirectiveKind::Remove),
        "secruleupdateactionbyid" => update_action(arguments, parsed),
        "secruleupdatetargetbyid" => update_target(arguments, by_id, parsed),
        "secruleupdatetargetbymsg" => update_target(arguments, by_message, parsed),
        "secruleupdatetargetbytag" => update_target(arguments, by_tag, parsed),
        _ => return None,
    };
    Some(kind)
}

fn rule(arguments: &[Vec<u8>], parsed: &mut Parsed) -> Result<DirectiveKind, String> {
    let (targets_word, operator_word, actions_word) = match arguments {
        [targets, operator] => (targets, operator, None),
        [targets, operator, actions] => (targets, operator, Some(actions)),
        _ => {
            return Err(format!(
                "takes targets, an operator and actions, not {} arguments",
                arguments.len()
            ));
        }
    };
    let looked_at: Vec<Target> = parsed.part(targets(targets_word));
    if !looked_at.is_empty() && looked_at.iter().all(|target| target.is_excluded) {
        parsed.problems.push("all targets are left out, so the rule looks at nothing".into());
    }
    let operator = operator(operator_word).unwrap_or_else(|problem| {
        parsed.problems.push(problem);
        OperatorText { is_negated: false, name: "rx".into(), argument: Text::default() }
    });
    let actions = actions_word.map(|word| parsed.actions(word)).unwrap_or_default();
    Ok(DirectiveKind::Rule(Box::new(Rule { targets: looked_at, operator, actions })))
}

/// `!`, `@name` and an argument; without a name, all is a pattern.
fn operator(word: &[u8]) -> Result<OperatorText, String> {
    let word = word.trim_ascii_start();
    let (is_negated, word) = match word.strip_prefix(b"!") {
        Some(word) => (true, word.trim_ascii_start()),
        None => (false, word),
    };
    let Some(named) = word.strip_prefix(b"@") else {
        return Ok(OperatorText { is_negated, name: "rx".into(), argument: text(word)? });
    };
    let end = named.iter().position(u8::is_ascii_whitespace).unwrap_or(named.len());
    let name = utf8(&named[..end])?.to_owned();
    if name.is_empty() {
        return Err("an operator's name is missing behind `@`".into());
    }
    let argument = text(named.get(end + 1..).unwrap_or_default())?;
    Ok(OperatorText { is_negated, name, argument })
}

fn remove_by_id(arguments: &[Vec<u8>]) -> Result<DirectiveKind, String> {
    let words = arguments.iter().map(|word| utf8(word)).collect::<Result<Vec<_>, _>>()?;
    Ok(DirectiveKind::Remove(Selection::Ids(ids::ranges(&words.join(" "))?)))
}

fn update_target(
    arguments: &[Vec<u8>],
    selection: fn(&str) -> Result<Selection, String>,
    parsed: &mut Parsed,
) -> Result<DirectiveKind, String> {
    let [rules, changed] = arguments else {
        return Err(format!("takes rules and targets, not {} arguments", arguments.len()));
    };
    let selection = selection(utf8(rules)?)?;
    Ok(DirectiveKind::UpdateTarget(selection, parsed.part(targets(changed))))
}

fn update_action(arguments: &[Vec<u8>], parsed: &mut Parsed) -> Result<DirectiveKind, String> {
    let [rule, changed] = arguments else {
        return Err(format!("takes a rule and actions, not {} arguments", arguments.len()));
    };
    let (id, link) = match utf8(rule)?.split_once(':') {
        Some((id, link)) => (id, Some(number(link.as_bytes(), LINK_MAX)? as usize)),
        None => (utf8(rule)?, None),
    };
    Ok(DirectiveKind::UpdateAction(ids::id(id)?, link, parsed.actions(changed)))
}

/// The last place that a link of a chain can have.
const LINK_MAX: u64 = super::CHAIN_LINKS_MAX as u64 - 1;

fn include(name: &str, arguments: &[Vec<u8>]) -> Option<Result<Include, String>> {
    let is_optional = name.eq_ignore_ascii_case("IncludeOptional");
    if !is_optional && !name.eq_ignore_ascii_case("Include") {
        return None;
    }
    Some(one_word(arguments).map(|pattern| Include { pattern: pattern.to_owned(), is_optional }))
}

/// The only argument.
pub(super) fn one(arguments: &[Vec<u8>]) -> Result<&[u8], String> {
    match arguments {
        [word] => Ok(word),
        _ => Err(format!("takes one argument, not {}", arguments.len())),
    }
}

/// The only argument, with something in it.
pub(super) fn one_word(arguments: &[Vec<u8>]) -> Result<&str, String> {
    match utf8(one(arguments)?)? {
        "" => Err("its argument is empty".into()),
        word => Ok(word),
    }
}
