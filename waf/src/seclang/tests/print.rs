//! A short form of the tree, a directive a line.

use std::fmt::Write as _;

use crate::seclang::ast::{
    Action, Change, Directive, DirectiveKind, Member, Piece, Rule, Target, Text,
};

pub(super) fn directive(directive: &Directive) -> String {
    let line = directive.place.line;
    let kind = match &directive.kind {
        DirectiveKind::Rule(rule) => self::rule(rule),
        DirectiveKind::Action(list) => format!("action {}", actions(list)),
        DirectiveKind::DefaultAction(list) => format!("default {}", actions(list)),
        DirectiveKind::Marker(name) => format!("marker {name}"),
        DirectiveKind::Remove(selection) => format!("remove {selection:?}"),
        DirectiveKind::UpdateTarget(selection, list) => {
            format!("update {selection:?} {}", targets(list))
        }
        DirectiveKind::UpdateAction(id, link, list) => {
            format!("update {id} {link:?} {}", actions(list))
        }
        DirectiveKind::Setting(setting) => format!("{setting:?}"),
        DirectiveKind::Signature(text) => format!("signature {text}"),
    };
    format!("{line}: {kind}\n")
}

fn rule(rule: &Rule) -> String {
    let operator = &rule.operator;
    let not = if operator.is_negated { "not " } else { "" };
    let mut out = format!("{} {not}{}", targets(&rule.targets), operator.name);
    if !operator.argument.0.is_empty() {
        let _ = write!(out, " {}", text(&operator.argument));
    }
    if !rule.actions.is_empty() {
        let _ = write!(out, " -> {}", actions(&rule.actions));
    }
    out
}

fn targets(targets: &[Target]) -> String {
    targets.iter().map(target).collect::<Vec<_>>().join(" | ")
}

fn target(target: &Target) -> String {
    let mut out = String::new();
    out.push_str(if target.is_excluded { "!" } else { "" });
    out.push_str(if target.is_count { "&" } else { "" });
    let _ = write!(out, "{:?}", target.variable);
    let _ = match &target.member {
        None => Ok(()),
        Some(Member::Named(name)) => write!(out, ":{name}"),
        Some(Member::Matching(pattern)) => write!(out, "~{pattern}"),
        Some(Member::XPath(path)) => write!(out, " at {path}"),
    };
    out
}

fn actions(actions: &[Action]) -> String {
    actions.iter().map(action).collect::<Vec<_>>().join(", ")
}

fn action(action: &Action) -> String {
    match action {
        Action::Message(message) => format!("msg {}", text(message)),
        Action::LogData(data) => format!("logdata {}", text(data)),
        Action::Tag(tag) => format!("tag {}", text(tag)),
        Action::SetVariable(set) => {
            let place = format!("{:?}.{}", set.collection, text(&set.name));
            match &set.change {
                Change::Set(value) => format!("{place} = {}", text(value)),
                Change::Add(value) => format!("{place} += {}", text(value)),
                Change::Subtract(value) => format!("{place} -= {}", text(value)),
                Change::Remove => format!("remove {place}"),
            }
        }
        Action::ExpireVariable(collection, name, seconds) => {
            format!("expire {collection:?}.{} in {}", text(name), text(seconds))
        }
        Action::InitCollection(collection, key) => format!("{collection:?} of {}", text(key)),
        Action::SetKey(collection, key) => format!("key of {collection:?} {}", text(key)),
        Action::SetEnvironment(name, value) => format!("env {} = {}", text(name), text(value)),
        action => format!("{action:?}"),
    }
}

/// Literals in quotes, macros in angle brackets.
fn text(text: &Text) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Literal(bytes) => {
            format!("\"{}\"", bytes.escape_ascii().to_string().replace("\\\"", "\""))
        }
        Piece::Macro(variable, None) => format!("<{variable:?}>"),
        Piece::Macro(variable, Some(member)) => format!("<{variable:?}.{member}>"),
    };
    text.0.iter().map(piece).collect()
}
