//! What the routing table is built of: the services' own routes, the configured ones, and what services publish meanwhile.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use yunzhan_base::route::RouteScope;
use yunzhan_base::{Error, Kind, Live, Result, Route};
use yunzhan_net::http::Client;

use crate::body::Budget;
use crate::bounds::Bounds;
use crate::client_address::TrustedProxies;
use crate::config::RemoteRoute;
use crate::upstream::files::Files;

/// Published routes of one host, of one environment, or of everywhere: whoever publishes one more has all of them built
/// anew, so that this also bounds how long that takes.
const PUBLISHED_PER_SCOPE_MAX: usize = 1000;

/// Published routes of one owner: at about a kilobyte each they stay below 20 MiB.
const PUBLISHED_PER_OWNER_MAX: usize = 20_000;

/// The first segments below which a second one says whose a path is (RFC 8615): keys of ours, challenges, a team's own files.
const WELL_KNOWN: &str = ".well-known";

/// What whoever answers needs of the gateway.
pub(crate) struct Shared {
    /// Of remote upstreams.
    pub(crate) client: Client,
    /// Of held bodies.
    pub(crate) budget: Budget,
    /// Of waits.
    pub(crate) bounds: Live<Bounds>,
    /// Who may say who the client is.
    pub(crate) trusted_proxies: Live<TrustedProxies>,
}

/// Every route that is known.
pub(crate) struct Routes {
    /// The services' own.
    pub(crate) own: Vec<Route>,
    /// The configured ones.
    pub(crate) remote: Vec<RemoteRoute>,
    /// What is served where no route matches.
    pub(crate) files: Option<Arc<Files>>,
    /// What their upstreams share.
    pub(crate) shared: Shared,
    published: HashMap<RouteScope, BTreeMap<&'static str, Vec<Route>>>,
    /// The roots of the services' own paths.
    taken: HashSet<&'static str>,
}

// === impl Routes ===

impl Routes {
    pub(crate) fn new(
        own: Vec<Route>,
        remote: Vec<RemoteRoute>,
        files: Option<Arc<Files>>,
        shared: Shared,
    ) -> Self {
        let everywhere = own.iter().filter(|route| route.scope == RouteScope::Everywhere);
        let taken = everywhere.map(|route| root(route.spec.path)).collect();
        Self { own, remote, files, shared, published: HashMap::new(), taken }
    }

    /// Every scope in which something stands.
    pub(crate) fn scopes<'r>(&'r self, remote: &'r [RemoteRoute]) -> HashSet<&'r RouteScope> {
        let own = self.own.iter().map(|route| &route.scope);
        let remote = remote.iter().map(|route| &route.scope);
        own.chain(remote).chain(self.published.keys()).chain([&RouteScope::Everywhere]).collect()
    }

    /// What was published in a scope, and by whom.
    pub(crate) fn published(
        &self,
        scope: &RouteScope,
    ) -> impl Iterator<Item = (&'static str, &Route)> {
        let of_scope = self.published.get(scope).into_iter().flatten();
        of_scope.flat_map(|(owner, routes)| routes.iter().map(|route| (*owner, route)))
    }

    /// Puts these in the place of those that the owner published in this scope before, and gives those back. What is refused
    /// changes nothing.
    pub(crate) fn replace(
        &mut self,
        owner: &'static str,
        scope: &RouteScope,
        routes: Vec<Route>,
    ) -> Result<Vec<Route>> {
        self.check_bounds(owner, scope, routes.len())?;
        for route in &routes {
            self.check_is_free(&route.path())?;
        }
        Ok(self.put(owner, scope, routes))
    }

    /// The same without a question, for what stood there before.
    pub(crate) fn put(
        &mut self,
        owner: &'static str,
        scope: &RouteScope,
        routes: Vec<Route>,
    ) -> Vec<Route> {
        let of_scope = self.published.entry(scope.clone()).or_default();
        let in_scope = routes.into_iter().map(|route| route.in_scope(scope.clone())).collect();
        let before = of_scope.insert(owner, in_scope).unwrap_or_default();
        of_scope.retain(|_, routes| !routes.is_empty());
        if of_scope.is_empty() {
            self.published.remove(scope);
        }
        before
    }

    fn check_bounds(&self, owner: &str, scope: &RouteScope, count: usize) -> Result<()> {
        let of_others = self.published(scope).filter(|(other, _)| *other != owner).count();
        if of_others + count > PUBLISHED_PER_SCOPE_MAX {
            return Err(too_many(&format!("{PUBLISHED_PER_SCOPE_MAX} published paths")));
        }
        let elsewhere = self.published.iter().filter(|(other, _)| *other != scope);
        let elsewhere = elsewhere.filter_map(|(_, owners)| Some(owners.get(owner)?.len()));
        if elsewhere.sum::<usize>() + count > PUBLISHED_PER_OWNER_MAX {
            return Err(too_many(&format!("{PUBLISHED_PER_OWNER_MAX} paths of {owner}")));
        }
        Ok(())
    }

    /// Whether a path may be published: those of the services stay theirs.
    fn check_is_free(&self, path: &str) -> Result<()> {
        if self.taken.contains(root(path)) {
            let message = format!("this server answers below /{} itself", root(path));
            return Err(Error::new(Kind::InvalidParameter, message));
        }
        Ok(())
    }
}

fn too_many(what: &str) -> Error {
    Error::new(Kind::LimitExceeded, format!("there are {what}, which is the most"))
}

/// What says whose a path is: its first segment, or two where the first says nothing.
pub(crate) fn root(path: &str) -> &str {
    let path = path.trim_start_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    if first != WELL_KNOWN {
        return first;
    }
    path.match_indices('/').nth(1).map_or(path, |(end, _)| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_segment_says_whose_a_path_is_and_below_well_known_the_second() {
        for (path, whose) in [
            ("/auth/v1/signin", "auth"),
            ("/hello", "hello"),
            ("/", ""),
            ("/{*path}", "{*path}"),
            ("/.well-known/jwks.json", ".well-known/jwks.json"),
            ("/.well-known/acme-challenge/{token}", ".well-known/acme-challenge"),
            ("/.well-known", ".well-known"),
        ] {
            assert_eq!(root(path), whose, "{path}");
        }
    }
}
