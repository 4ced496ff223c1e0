//! `ctl`: what a rule changes for the rest of its transaction.

use super::ast::{BodyProcessor, Control, EngineMode, Selection, Target};
use super::names::{Refused, unknown};
use super::target::{shown, single};
use super::{BODY_BYTES_MAX, ids, number};

/// Every control that is offered, for the nearest name.
pub(super) const CONTROLS: &[&str] = &[
    "auditEngine",
    "auditLogParts",
    "debugLogLevel",
    "forceRequestBodyVariable",
    "forceResponseBodyVariable",
    "requestBodyAccess",
    "requestBodyLimit",
    "requestBodyProcessor",
    "responseBodyAccess",
    "responseBodyLimit",
    "responseBodyProcessor",
    "ruleEngine",
    "ruleRemoveById",
    "ruleRemoveByMsg",
    "ruleRemoveByTag",
    "ruleRemoveTargetById",
    "ruleRemoveTargetByMsg",
    "ruleRemoveTargetByTag",
];

pub(super) const CONTROLS_REFUSED: &[Refused] = &[
    ("hashEngine", "answers are not rewritten by rules"),
    ("hashEnforcement", "answers are not rewritten by rules"),
    ("parseXmlIntoArgs", "XML does not become arguments; look at XML:/* instead"),
];

/// `name=value`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn control(text: &str) -> Result<Control, String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!("`{}` lacks `=` and a value", shown(text.as_bytes())));
    };
    let (name, value) = (name.trim(), value.trim());
    if value.contains("%{") {
        return Err(format!("{name} expands no macros"));
    }
    let lowercase = name.to_ascii_lowercase();
    let control = match lowercase.as_str() {
        "auditengine" => Ok(Control::Elsewhere("auditEngine")),
        "auditlogparts" => Ok(Control::Elsewhere("auditLogParts")),
        "debugloglevel" => Ok(Control::Elsewhere("debugLogLevel")),
        "forcerequestbodyvariable" => switch(value).map(Control::ForceRequestBodyVariable),
        "forceresponsebodyvariable" => switch(value).map(Control::ForceResponseBodyVariable),
        "requestbodyaccess" => switch(value).map(Control::RequestBodyAccess),
        "requestbodylimit" => {
            number(value.as_bytes(), BODY_BYTES_MAX).map(Control::RequestBodyLimit)
        }
        "requestbodyprocessor" => processor(value).map(Control::RequestBodyProcessor),
        "responsebodyaccess" => switch(value).map(Control::ResponseBodyAccess),
        "responsebodylimit" => {
            number(value.as_bytes(), BODY_BYTES_MAX).map(Control::ResponseBodyLimit)
        }
        "responsebodyprocessor" => processor(value).map(Control::ResponseBodyProcessor),
        "ruleengine" => engine_mode(value).map(Control::RuleEngine),
        "ruleremovebyid" => by_id(value).map(Control::Remove),
        "ruleremovebymsg" => by_message(value).map(Control::Remove),
        "ruleremovebytag" => by_tag(value).map(Control::Remove),
        "ruleremovetargetbyid" => remove_target(value, by_id),
        "ruleremovetargetbymsg" => remove_target(value, by_message),
        "ruleremovetargetbytag" => remove_target(value, by_tag),
        _ => return Err(unknown("control", name, CONTROLS_REFUSED, CONTROLS.iter().copied())),
    };
    control.map_err(|problem| format!("{name}: {problem}"))
}

/// `On` or `Off`.
pub(super) fn switch(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("`{}` is neither On nor Off", shown(value.as_bytes()))),
    }
}

/// `On`, `Off` or `DetectionOnly`.
pub(super) fn engine_mode(value: &str) -> Result<EngineMode, String> {
    match value.to_ascii_lowercase().as_str() {
        "on" => Ok(EngineMode::On),
        "off" => Ok(EngineMode::Off),
        "detectiononly" => Ok(EngineMode::DetectionOnly),
        _ => Err(format!("`{}` is not On, Off or DetectionOnly", shown(value.as_bytes()))),
    }
}

/// Ids and ranges.
pub(super) fn by_id(value: &str) -> Result<Selection, String> {
    ids::ranges(value).map(Selection::Ids)
}

/// A tag.
pub(super) fn by_tag(value: &str) -> Result<Selection, String> {
    named(value).map(Selection::Tag)
}

/// A message.
pub(super) fn by_message(value: &str) -> Result<Selection, String> {
    named(value).map(Selection::Message)
}

fn named(value: &str) -> Result<String, String> {
    if value.is_empty() { Err("a text is missing".into()) } else { Ok(value.to_owned()) }
}

fn processor(value: &str) -> Result<BodyProcessor, String> {
    const PROCESSORS: [(&str, BodyProcessor); 4] = [
        ("URLENCODED", BodyProcessor::UrlEncoded),
        ("MULTIPART", BodyProcessor::Multipart),
        ("JSON", BodyProcessor::Json),
        ("XML", BodyProcessor::Xml),
    ];
    let found = PROCESSORS.iter().find(|(known, _)| known.eq_ignore_ascii_case(value));
    let known = PROCESSORS.iter().map(|(known, _)| *known);
    found.map(|(_, found)| *found).ok_or_else(|| unknown("body processor", value, &[], known))
}

fn remove_target(
    value: &str,
    selection: fn(&str) -> Result<Selection, String>,
) -> Result<Control, String> {
    let Some((rules, target)) = value.split_once(';') else {
        return Err("`;` and a target are missing".into());
    };
    let target: Target = single(target.as_bytes())?;
    if target.is_excluded || target.is_count {
        return Err("the target is written without `!` and `&`".into());
    }
    Ok(Control::RemoveTarget(selection(rules)?, target))
}
