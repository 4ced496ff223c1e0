//! Variables that change while rules run, and text that quotes variables.

use super::{Matched, Transaction};
use crate::rules::{Part, Template};
use crate::seclang::ast::{Collection, Piece, Text, Variable};

/// A value with the variable and the name under which it matched.
type Named = (Variable, Vec<u8>, Vec<u8>);

impl Transaction {
    /// All values of a variable that changes while rules run.
    pub(super) fn dynamic_values(&self, variable: Variable) -> Vec<Named> {
        let alone = |value: Vec<u8>| vec![(variable, Vec::new(), value)];
        let last = self.matched.last().copied();
        match variable {
            Variable::Tx => self.tx_values(),
            Variable::Ip => self.collection_values(variable, Collection::Ip),
            Variable::Global => self.collection_values(variable, Collection::Global),
            Variable::Resource => self.collection_values(variable, Collection::Resource),
            Variable::Session => self.collection_values(variable, Collection::Session),
            Variable::User => self.collection_values(variable, Collection::User),
            Variable::Env => self
                .environment
                .iter()
                .map(|(name, value)| (variable, name.to_vec(), value.clone()))
                .collect(),
            Variable::MatchedVar => {
                last.map_or_else(Vec::new, |it| alone(self.store.bytes(it.value).to_vec()))
            }
            Variable::MatchedVarName => {
                last.map_or_else(Vec::new, |it| alone(self.matched_name(it)))
            }
            Variable::MatchedVars => {
                let value = |it: &Matched| {
                    (variable, self.matched_name(*it), self.store.bytes(it.value).to_vec())
                };
                self.matched.iter().map(value).collect()
            }
            Variable::MatchedVarsNames => {
                let value =
                    |it: &Matched| (variable, self.matched_name(*it), self.matched_name(*it));
                self.matched.iter().map(value).collect()
            }
            Variable::HighestSeverity => {
                alone(self.highest_severity.unwrap_or(255).to_string().into_bytes())
            }
            _ => self.time_value(variable).map_or_else(Vec::new, alone),
        }
    }

    pub(super) fn tx_values(&self) -> Vec<Named> {
        let named = self.rules.tx_names.iter().filter_map(|(name, &place)| {
            let value = self.tx[place as usize].clone()?;
            Some((Variable::Tx, name.to_vec(), value))
        });
        let others =
            self.tx_others.iter().map(|(name, value)| (Variable::Tx, name.to_vec(), value.clone()));
        let mut values: Vec<Named> = named.chain(others).collect();
        values.sort_by(|a, b| a.1.cmp(&b.1));
        values
    }

    fn collection_values(&self, variable: Variable, collection: Collection) -> Vec<Named> {
        let Some(opened) = self.open.get(&collection) else { return Vec::new() };
        let now_ms = self.world.now_ms;
        let live = opened
            .values
            .iter()
            .filter(|(_, kept)| kept.until_ms.is_none_or(|until| until > now_ms));
        let mut values: Vec<Named> =
            live.map(|(name, kept)| (variable, name.to_vec(), kept.value.clone())).collect();
        values.sort_by(|a, b| a.1.cmp(&b.1));
        values
    }

    /// `TIME_*` of the moment at which the request came.
    fn time_value(&self, variable: Variable) -> Option<Vec<u8>> {
        let seconds = self.world.now_ms.div_euclid(1000);
        let local = seconds + i64::from(self.world.offset_s);
        let (day, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, date) = civil(day);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let text = match variable {
            Variable::Time => format!("{hour:02}:{minute:02}:{second:02}"),
            Variable::TimeDay => date.to_string(),
            Variable::TimeEpoch => seconds.to_string(),
            Variable::TimeHour => hour.to_string(),
            Variable::TimeMin => minute.to_string(),
            Variable::TimeMon => (month - 1).to_string(),
            Variable::TimeSec => second.to_string(),
            Variable::TimeWday => (day + 4).rem_euclid(7).to_string(),
            Variable::TimeYear => year.to_string(),
            Variable::Duration => "0".to_owned(),
            _ => return None,
        };
        Some(text.into_bytes())
    }

    /// A variable as `MATCHED_VAR_NAME` tells it.
    pub(super) fn matched_name(&self, matched: Matched) -> Vec<u8> {
        let mut name = matched.variable.name().as_bytes().to_vec();
        let member = self.store.bytes(matched.name);
        if matches!(matched.variable, Variable::MatchedVars | Variable::MatchedVarsNames) {
            return member.to_vec();
        }
        if !member.is_empty() {
            name.push(b':');
            let from = name.len();
            name.extend_from_slice(member);
            if matches!(matched.variable, Variable::RequestHeaders | Variable::ResponseHeaders) {
                capitalise(&mut name[from..]);
            }
        }
        name
    }

    pub(super) fn tx_name(&self, place: u32) -> &[u8] {
        &self.rules.tx_by_place[place as usize]
    }

    pub(super) fn tx_value(&self, name: &[u8]) -> Option<&[u8]> {
        let name = name.to_ascii_lowercase();
        match self.rules.tx_names.get(name.as_slice()) {
            Some(&place) => self.tx[place as usize].as_deref(),
            None => self.tx_others.get(name.as_slice()).map(Vec::as_slice),
        }
    }

    /// Text with its macros replaced. What a macro names and is not there leaves nothing behind.
    pub(super) fn expand(&self, template: &Template) -> Vec<u8> {
        self.expand_up_to(template, usize::MAX)
    }

    /// The first bytes of such a text, without a look at the rest.
    pub(super) fn expand_up_to(&self, template: &Template, bytes_max: usize) -> Vec<u8> {
        let mut text = Vec::new();
        for part in &template.0 {
            let room = bytes_max - text.len();
            let mut push = |bytes: &[u8]| text.extend_from_slice(&bytes[..bytes.len().min(room)]);
            match part {
                Part::Literal(literal) => push(literal),
                Part::Tx(place) => push(self.tx[*place as usize].as_deref().unwrap_or_default()),
                Part::List(list) => push(self.store.first(*list).unwrap_or_default()),
                // It may be a whole body, and nearly every message quotes it.
                Part::Dynamic(Variable::MatchedVar, _) => {
                    push(self.matched.last().map_or(&[], |it| self.store.bytes(it.value)));
                }
                Part::Dynamic(variable, name) => {
                    let mut quoted = Vec::new();
                    self.quote(*variable, name.as_deref(), &mut quoted);
                    push(&quoted);
                }
            }
        }
        text
    }

    fn quote(&self, variable: Variable, name: Option<&[u8]>, text: &mut Vec<u8>) {
        let values = self.dynamic_values(variable);
        let wanted =
            |(_, known, _): &&Named| name.is_none_or(|name| known.eq_ignore_ascii_case(name));
        if let Some((_, _, value)) = values.iter().find(wanted) {
            text.extend_from_slice(value);
        }
    }

    /// Text of an action that is too rare to be prepared.
    pub(super) fn expand_text(&self, source: &Text) -> Vec<u8> {
        let mut text = Vec::new();
        for piece in &source.0 {
            match piece {
                Piece::Literal(literal) => text.extend_from_slice(literal),
                Piece::Macro(Variable::Tx, Some(name)) => {
                    text.extend_from_slice(self.tx_value(name.as_bytes()).unwrap_or_default());
                }
                Piece::Macro(variable, name) => {
                    let list = match name {
                        Some(name) => self.rules.lists.named(*variable, name.as_bytes()),
                        None => self.rules.lists.whole(*variable),
                    };
                    match list {
                        Some(list) => {
                            text.extend_from_slice(self.store.first(list).unwrap_or_default());
                        }
                        None => {
                            self.quote(*variable, name.as_deref().map(str::as_bytes), &mut text);
                        }
                    }
                }
            }
        }
        text
    }
}

/// A header's name as people write it: `User-Agent`. HTTP/2 has them in small letters, and readers of logs search for these.
fn capitalise(name: &mut [u8]) {
    let mut is_first = true;
    for byte in name {
        if is_first {
            byte.make_ascii_uppercase();
        }
        is_first = *byte == b'-';
    }
}

/// Year, month and day of a day counted from 1970, in the proleptic Gregorian calendar.
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, date)
}
