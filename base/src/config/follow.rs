//! Who follows the configuration while the server runs: all prepare, then all commit.

use std::sync::Arc;

use crate::error::Result;

/// Takes a part `C` of the configuration over while the server runs.
///
/// A reload asks every follower to prepare. When one refuses, nothing has changed; when none does, all commit. A key whose
/// change nobody follows waits for the next start.
pub trait Follow<C: ?Sized>: Send + Sync {
    /// The keys that it takes over, each as the reference spells it ([`super::Reference::path`]): `waf.mode`,
    /// `gateway.route[].path`.
    fn keys(&self) -> &'static [&'static str];

    /// Makes whatever the new configuration needs, such as a table of routes or rules that are compiled. Nobody sees any of
    /// it before [`Prepared::commit`].
    ///
    /// # Errors
    /// Why this configuration cannot be used.
    fn prepare<'f>(&'f self, config: &C) -> Result<Prepared<'f>>;
}

/// What a follower made and nobody sees yet. Dropping it changes nothing.
pub struct Prepared<'f> {
    commit: Box<dyn FnOnce() + 'f>,
    new_content: Vec<&'static str>,
}

// === impl Prepared ===

impl<'f> Prepared<'f> {
    /// What `commit` will show. It must not fail.
    pub fn new(commit: impl FnOnce() + 'f) -> Self {
        Self { commit: Box::new(commit), new_content: Vec::new() }
    }

    /// Says that the files which these keys name hold something else than before: they count as changed although the keys
    /// are the same.
    #[must_use]
    pub fn with_new_content(mut self, keys: &[&'static str]) -> Self {
        self.new_content.extend_from_slice(keys);
        self
    }

    /// Takes it over, and gives the keys whose files hold something else than before.
    pub fn commit(self) -> Vec<&'static str> {
        (self.commit)();
        self.new_content
    }
}

/// A follower of one part of a larger configuration.
struct Part<C, P, F> {
    of: fn(&C) -> &P,
    follower: Arc<F>,
}

/// Lets `follower` follow the part of a configuration `C` that `of` names.
pub fn part<C: 'static, P: 'static, F: Follow<P> + 'static>(
    of: fn(&C) -> &P,
    follower: Arc<F>,
) -> Box<dyn Follow<C>> {
    Box::new(Part { of, follower })
}

impl<C, P, F: Follow<P>> Follow<C> for Part<C, P, F> {
    fn keys(&self) -> &'static [&'static str] {
        self.follower.keys()
    }

    fn prepare<'f>(&'f self, config: &C) -> Result<Prepared<'f>> {
        self.follower.prepare((self.of)(config))
    }
}

/// Whether `pattern`, spelt as in the reference, means the dotted `key`: `[]` stands for the number of an element,
/// `<name>` for a name that the operator chose.
pub fn means(pattern: &str, key: &str) -> bool {
    let mut segments = key.split('.');
    let fits = pattern.split('.').all(|wanted| match wanted.strip_suffix("[]") {
        Some(list) => segments.next() == Some(list) && segments.next().is_some_and(is_number),
        None if wanted == "<name>" => segments.next().is_some(),
        None => segments.next() == Some(wanted),
    });
    fits && segments.next().is_none()
}

fn is_number(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_keys_of_its_shape() {
        for (pattern, key, expected) in [
            ("waf.mode", "waf.mode", true),
            ("waf.mode", "waf.rules", false),
            ("waf", "waf.mode", false),
            ("gateway.route[].path", "gateway.route.0.path", true),
            ("gateway.route[].path", "gateway.route.12.path", true),
            ("gateway.route[].path", "gateway.route.0.name", false),
            ("gateway.route[].path", "gateway.route.path", false),
            ("gateway.route[].path", "gateway.route.x.path", false),
            ("envs.<name>.appid", "envs.demo.appid", true),
            ("envs.<name>.appid", "envs.appid", false),
        ] {
            assert_eq!(means(pattern, key), expected, "{pattern} {key}");
        }
    }
}
