//! What must be known of an action before anybody answers it, and what authentication takes from that.

use std::collections::HashMap;

use yunzhan_base::{Error, Kind};

use super::known;
use crate::identity::canonical_name;
use crate::service::AnyService;

/// The dialects that name the action in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DialectName {
    /// What server-side SDKs speak, to `/admin`.
    Admin,
    /// What `@cloudbase/js-sdk` speaks when it does not use the gateway dialect, to `/web`.
    Web,
}

/// An action, as far as others than its service must know it.
#[derive(Clone, Copy, Debug)]
pub struct ActionSpec {
    /// The value of `action`.
    pub name: &'static str,
    /// In which dialects clients send it.
    pub dialects: &'static [DialectName],
    /// The members that clients send with it, as they spell them. A signature does not know case, so that these alone keep
    /// `query` from being renamed to `Query` on its way, and the deletion of one document from becoming that of all.
    pub members: &'static [&'static str],
    /// Who sends it.
    pub sender: Sender,
}

/// Who sends an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Whoever is known: by a token in the web dialect, by a key in the admin dialect.
    Known,
    /// Also whoever has no token yet: the actions of a login.
    Anybody,
}

/// An action of a dialect, and whether a service answers it.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// The action.
    pub spec: &'static ActionSpec,
    /// Whether it is answered; else it is refused by name.
    pub is_offered: bool,
}

/// Members that the SDKs send with every action, as they spell them.
pub(crate) const COMMON: &[&str] = &[
    "action",
    "authorization",
    "crossAuthorizationToken",
    "envName",
    "eventId",
    "sdk_version",
    "sessionToken",
    "tcb_sessionToken",
    "timestamp",
    "wxCloudApiToken",
    "wxCloudSessionToken",
    "wxCloudbaseAccesstoken",
];

/// What authentication must know of the actions of all services.
#[derive(Clone, Debug)]
pub struct ActionNames {
    /// Spelling of a member by its name in a signature.
    spelt: HashMap<String, &'static str>,
    /// The actions of the web dialect that are sent without a token.
    logins: Vec<&'static str>,
}

// === impl DialectName ===

impl DialectName {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Admin, Self::Web];
}

// === impl ActionSpec ===

impl ActionSpec {
    /// An action of those whom the dialect knows.
    pub const fn new(
        name: &'static str,
        dialects: &'static [DialectName],
        members: &'static [&'static str],
    ) -> Self {
        Self { name, dialects, members, sender: Sender::Known }
    }

    /// Every action of a dialect, once: those that the services bring, then those that the SDKs send besides.
    pub fn all(services: &[&dyn AnyService], dialect: DialectName) -> Vec<Listed> {
        let offered = services.iter().flat_map(|service| service.actions());
        let offered = offered.map(|spec| Listed { spec, is_offered: true });
        let known = known::NOT_OFFERED.iter().map(|spec| Listed { spec, is_offered: false });
        let mut seen = Vec::new();
        let mut all: Vec<_> = offered.chain(known).collect();
        all.retain(|Listed { spec, .. }| {
            let is_first = spec.dialects.contains(&dialect) && !seen.contains(&spec.name);
            seen.extend(is_first.then_some(spec.name));
            is_first
        });
        all
    }

    /// The refusal of an action that nobody answers.
    pub(crate) fn not_offered(&self) -> Error {
        Error::new(Kind::NotImplemented, format!("{} is not offered by this server", self.name))
    }
}

// === impl ActionNames ===

impl ActionNames {
    /// What is to be known of these services' actions.
    pub fn of(services: &[&dyn AnyService]) -> Self {
        let [signed, web] = [DialectName::Admin, DialectName::Web]
            .map(|dialect| ActionSpec::all(services, dialect));
        let members = signed.iter().flat_map(|listed| listed.spec.members).chain(COMMON);
        let logins = web.iter().map(|listed| listed.spec);
        let logins = logins.filter(|spec| spec.sender == Sender::Anybody);
        Self {
            spelt: members.map(|member| (canonical_name(member), *member)).collect(),
            logins: logins.map(|spec| spec.name).collect(),
        }
    }

    /// How the member is spelt that is signed under this name, where any action has one.
    pub(crate) fn spelling(&self, signed: &str) -> Option<&'static str> {
        self.spelt.get(signed).copied()
    }

    /// Whether this action of the web dialect is sent without a token, under its one name.
    pub(crate) fn login(&self, action: &str) -> Option<&'static str> {
        self.logins.iter().find(|login| **login == action).copied()
    }
}
