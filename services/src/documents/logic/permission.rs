//! Who may do what with a collection: one function, one table.

use std::fmt;
use std::str::FromStr;

use yunzhan_base::principal::User;
use yunzhan_base::{EnvId, Error, Kind, Principal, Result};

/// The field that holds a document's owner. Written by this server alone when a person is the caller.
pub const OWNER_FIELD: &str = "_openid";

/// What people may do with a collection, as CloudBase's console names it. A server's key may do everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// Everybody reads, owners write what is theirs.
    ReadOnly,
    /// Owners read and write what is theirs; nobody sees anything else.
    Private,
    /// Everybody reads, only servers write.
    AdminWrite,
    /// Only servers read and write.
    AdminOnly,
    /// What the collection's own rules say.
    Custom,
}

/// What a call wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::documents) enum Operation {
    /// See documents, or count them.
    Read,
    /// Add documents.
    Insert,
    /// Change documents that are there.
    Update,
    /// Take documents away.
    Remove,
}

/// Which documents an allowed call reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::documents) enum Reach<'a> {
    /// All of them.
    All,
    /// Those whose owner is this one; what is inserted gets this owner.
    Owned(&'a str),
    /// Those that the collection's rules give, which somebody else asks; what is inserted gets this owner.
    Ruled(&'a str),
}

impl<'a> Reach<'a> {
    /// The person who calls, who owns what is inserted and never says so; none for servers.
    pub(in crate::documents) fn owner(self) -> Option<&'a str> {
        match self {
            Self::All => None,
            Self::Owned(owner) | Self::Ruled(owner) => Some(owner),
        }
    }
}

/// Decides whether `principal` may do this in a collection with this preset, and how far.
///
/// # Errors
/// `PermissionDenied`, with the same message whatever the collection holds.
pub(in crate::documents) fn permit<'a>(
    principal: &'a Principal,
    env: &EnvId,
    preset: Preset,
    operation: Operation,
) -> Result<Reach<'a>> {
    // A caller is worth nothing outside its environment, whoever let it through.
    let caller = Some(principal).filter(|caller| caller.env() == Some(env));
    match caller {
        // Whoever holds the control socket can read the files anyway; what they look at and import is on record.
        None if matches!(principal, Principal::Operator)
            && matches!(operation, Operation::Read | Operation::Insert) =>
        {
            Ok(Reach::All)
        }
        Some(Principal::Server(_)) => Ok(Reach::All),
        Some(Principal::User(user)) => permit_user(owner_of(user), preset, operation),
        _ => Err(denied(operation)),
    }
}

/// What `_openid` holds for a person: WeChat's id, or our own for somebody without one.
pub(in crate::documents) fn owner_of(user: &User) -> &str {
    user.openid.as_deref().unwrap_or(&user.uid)
}

fn permit_user(owner: &str, preset: Preset, operation: Operation) -> Result<Reach<'_>> {
    match (preset, operation) {
        (Preset::ReadOnly | Preset::AdminWrite, Operation::Read) => Ok(Reach::All),
        (Preset::ReadOnly | Preset::Private, _) => Ok(Reach::Owned(owner)),
        (Preset::AdminWrite | Preset::AdminOnly, _) => Err(denied(operation)),
        (Preset::Custom, _) => Ok(Reach::Ruled(owner)),
    }
}

/// The refusal, with the same message whatever the collection holds.
pub(in crate::documents) fn denied(operation: Operation) -> Error {
    let message = match operation {
        Operation::Read => "the permission of this collection does not let you read it",
        Operation::Insert => "the permission of this collection does not let you add to it",
        Operation::Update => "the permission of this collection does not let you change it",
        Operation::Remove => "the permission of this collection does not let you remove from it",
    };
    Error::new(Kind::PermissionDenied, message)
}

// === impl Preset ===

impl Preset {
    /// The preset of a collection that was made without naming one: nothing leaks before somebody decides.
    pub const DEFAULT: Self = Self::Private;

    /// All of them.
    pub const EVERY: [Self; 5] =
        [Self::ReadOnly, Self::Private, Self::AdminWrite, Self::AdminOnly, Self::Custom];

    /// The name in requests and rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "READONLY",
            Self::Private => "PRIVATE",
            Self::AdminWrite => "ADMINWRITE",
            Self::AdminOnly => "ADMINONLY",
            Self::Custom => "CUSTOM",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::EVERY.into_iter().find(|preset| preset.name() == text);
        found.ok_or_else(|| {
            let message = "a permission is READONLY, PRIVATE, ADMINWRITE, ADMINONLY or CUSTOM";
            Error::new(Kind::InvalidParameter, message)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::fmt::Write;
    use std::sync::Arc;

    use expect_test::expect;
    use yunzhan_base::principal::ServerKey;

    use super::*;

    fn user(env: &str, openid: Option<&str>) -> Principal {
        Principal::User(Arc::new(User {
            env: env.parse().unwrap(),
            uid: "u1".into(),
            openid: openid.map(Into::into),
            // A role alone opens no collection.
            roles: vec!["admin".into()],
            session: "s1".into(),
            anonymous: openid.is_none(),
            expires_s: i64::MAX,
        }))
    }

    fn server(env: &str) -> Principal {
        let env = env.parse().unwrap();
        Principal::Server(Arc::new(ServerKey { env, key_id: "k1".into() }))
    }

    #[test]
    fn every_caller_preset_and_operation_has_one_answer() {
        let env: EnvId = "demo".parse().unwrap();
        let callers = [
            ("user", user("demo", Some("o1"))),
            ("anonymous", user("demo", None)),
            ("foreign user", user("other", Some("o1"))),
            ("server", server("demo")),
            ("foreign server", server("other")),
            ("operator", Principal::Operator),
            ("nobody", Principal::Nobody),
        ];
        let mut table = String::from("caller         preset      read  insert update remove\n");
        for (name, principal) in &callers {
            for preset in Preset::EVERY {
                write!(table, "{name:<14} {:<10}", preset.name()).unwrap();
                for operation in
                    [Operation::Read, Operation::Insert, Operation::Update, Operation::Remove]
                {
                    let answer = match permit(principal, &env, preset, operation) {
                        Ok(Reach::All) => "all",
                        Ok(Reach::Owned(owner)) => owner,
                        Ok(Reach::Ruled(_)) => "rules",
                        Err(error) if error.kind() == Kind::PermissionDenied => "-",
                        Err(_) => "?",
                    };
                    write!(table, "  {answer:<5}").unwrap();
                }
                table.truncate(table.trim_end().len());
                table.push('\n');
            }
        }
        expect![[r#"
            caller         preset      read  insert update remove
            user           READONLY    all    o1     o1     o1
            user           PRIVATE     o1     o1     o1     o1
            user           ADMINWRITE  all    -      -      -
            user           ADMINONLY   -      -      -      -
            user           CUSTOM      rules  rules  rules  rules
            anonymous      READONLY    all    u1     u1     u1
            anonymous      PRIVATE     u1     u1     u1     u1
            anonymous      ADMINWRITE  all    -      -      -
            anonymous      ADMINONLY   -      -      -      -
            anonymous      CUSTOM      rules  rules  rules  rules
            foreign user   READONLY    -      -      -      -
            foreign user   PRIVATE     -      -      -      -
            foreign user   ADMINWRITE  -      -      -      -
            foreign user   ADMINONLY   -      -      -      -
            foreign user   CUSTOM      -      -      -      -
            server         READONLY    all    all    all    all
            server         PRIVATE     all    all    all    all
            server         ADMINWRITE  all    all    all    all
            server         ADMINONLY   all    all    all    all
            server         CUSTOM      all    all    all    all
            foreign server READONLY    -      -      -      -
            foreign server PRIVATE     -      -      -      -
            foreign server ADMINWRITE  -      -      -      -
            foreign server ADMINONLY   -      -      -      -
            foreign server CUSTOM      -      -      -      -
            operator       READONLY    all    all    -      -
            operator       PRIVATE     all    all    -      -
            operator       ADMINWRITE  all    all    -      -
            operator       ADMINONLY   all    all    -      -
            operator       CUSTOM      all    all    -      -
            nobody         READONLY    -      -      -      -
            nobody         PRIVATE     -      -      -      -
            nobody         ADMINWRITE  -      -      -      -
            nobody         ADMINONLY   -      -      -      -
            nobody         CUSTOM      -      -      -      -
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn names_of_presets_are_read_back() {
        for preset in Preset::EVERY {
            assert_eq!(preset.name().parse::<Preset>().unwrap(), preset);
        }
        assert!("private".parse::<Preset>().is_err());
        assert!("custom".parse::<Preset>().is_err());
    }
}
