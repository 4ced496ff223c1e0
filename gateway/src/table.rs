//! The routing table: every method and path that exists, and who answers it. Built whole, swapped whole.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use http::{HeaderValue, Method};
use matchit::InsertError;
use yunzhan_base::call::{self, Params};
use yunzhan_base::policy::Cors;
use yunzhan_base::route::{RenderError, RouteScope};
use yunzhan_base::{Access, EnvId, Error, Kind, Result, Route, RoutePolicy, RouteSpec};

use crate::budget::Budget;
use crate::config::RemoteRoute;
use crate::exchange::{Matched, Rule, Upstream};
use crate::respond;
use crate::routes::{Routes, Shared, root};
use crate::upstream::files::{self, Files};
use crate::upstream::local::Local;
use crate::upstream::remote::Remote;

/// The route of what no other route answers.
const FILES: &str = "files";

/// Path parameter names of ours are short; more than this is not a route.
const NAMES_MAX: usize = call::PATH_PARAMS_MAX;

/// Which route answers: by host, by environment, or everywhere. Built whole, or anew for one scope alone; swapped whole.
#[derive(Clone, Default)]
pub(crate) struct Table {
    everywhere: Arc<Paths>,
    of_hosts: HashMap<String, Arc<Paths>>,
    of_envs: HashMap<EnvId, Arc<Paths>>,
    /// The roots of the services' paths, and how refusals below them are rendered.
    dialects: Vec<(&'static str, RenderError)>,
}

/// The paths of one scope.
#[derive(Default)]
struct Paths {
    router: matchit::Router<usize>,
    places: Vec<Place>,
    positions: HashMap<String, usize>,
}

/// What stands at a path.
struct Place {
    /// Who put it there while the server served.
    published_by: Option<&'static str>,
    methods: Methods,
}

/// Who answers a path by which method; none stands for every method.
type Methods = Vec<(Option<Method>, Arc<Rule>)>;

/// What a request says of where it wants to go, beside its path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Destination<'a> {
    /// The host's name, in lower case, without a port.
    pub(crate) host: Option<&'a str>,
    /// The environment that the host means, or the query names.
    pub(crate) env: Option<&'a EnvId>,
    /// Whether it is the query alone that names it.
    pub(crate) is_env_queried: bool,
}

// === impl Table ===

impl Table {
    /// Every scope: the services' routes, the configured ones of `remote`, what was published, and the folder for what is left.
    pub(crate) fn build(routes: &Routes, remote: &[RemoteRoute]) -> Result<Self> {
        let mut table = Self::default();
        for route in &routes.own {
            // What one environment has of its own changes nothing for the others.
            if route.scope == RouteScope::Everywhere {
                table.add_dialect(route);
            }
        }
        for scope in routes.scopes(remote) {
            table.put(scope, Paths::build(routes, remote, scope)?);
        }
        Ok(table)
    }

    /// The same table with one scope built anew.
    pub(crate) fn rebuilt(&self, routes: &Routes, scope: &RouteScope) -> Result<Self> {
        let mut table = self.clone();
        table.put(scope, Paths::build(routes, &routes.remote, scope)?);
        Ok(table)
    }

    fn put(&mut self, scope: &RouteScope, paths: Paths) {
        let is_empty = paths.places.is_empty();
        let paths = Arc::new(paths);
        match scope {
            RouteScope::Everywhere => self.everywhere = paths,
            RouteScope::Host(host) if is_empty => drop(self.of_hosts.remove(host)),
            RouteScope::Host(host) => drop(self.of_hosts.insert(host.clone(), paths)),
            RouteScope::Env(env) if is_empty => drop(self.of_envs.remove(env)),
            RouteScope::Env(env) => drop(self.of_envs.insert(env.clone(), paths)),
        }
    }

    fn add_dialect(&mut self, route: &Route) {
        let root = root(route.spec.path);
        if !root.starts_with('{') && !self.dialects.iter().any(|(known, _)| *known == root) {
            self.dialects.push((root, route.spec.render_error));
        }
    }

    /// Whether host or environment make a difference to any path.
    pub(crate) fn is_scoped(&self) -> bool {
        !self.of_hosts.is_empty() || !self.of_envs.is_empty()
    }

    /// How a refusal of this path is rendered when no route matches: as its neighbours would.
    pub(crate) fn dialect(&self, path: &str) -> RenderError {
        self.neighbour(path).unwrap_or(respond::plain)
    }

    fn neighbour(&self, path: &str) -> Option<RenderError> {
        let root = root(path);
        self.dialects.iter().find(|(known, _)| *known == root).map(|(_, render)| *render)
    }

    /// The methods that a path knows, and its parameters: those of the host before those of the environment, and those
    /// before what stands everywhere.
    fn at<'t, 'p>(
        &'t self,
        destination: Destination<'_>,
        path: &'p str,
    ) -> Option<(&'t Methods, matchit::Params<'t, 'p>)> {
        let of_host = destination.host.and_then(|host| self.of_hosts.get(host));
        let of_env = destination.env.and_then(|env| self.of_envs.get(env));
        let all = [of_host, of_env, Some(&self.everywhere)];
        all.into_iter().flatten().find_map(|paths| {
            let found = paths.router.at(path).ok()?;
            let place = &paths.places[*found.value];
            // Whoever publishes a path with a parameter means none of the services' paths. And a link that names an environment
            // in its query must not put that environment's pages in the place of this host's own.
            let is_of_env = of_env.is_some_and(|of_env| Arc::ptr_eq(of_env, paths));
            let is_elsewhere = place.published_by.is_some()
                && (self.neighbour(path).is_some() || is_of_env && destination.is_env_queried);
            (!is_elsewhere).then_some((&place.methods, found.params))
        })
    }

    /// The methods that a path knows, for `Allow` (RFC 9110 section 15.5.6).
    pub(crate) fn allowed(&self, destination: Destination<'_>, path: &str) -> Option<HeaderValue> {
        let (methods, _) = self.at(destination, path)?;
        HeaderValue::from_str(&names(methods)).ok()
    }

    /// Whoever answers this path by other methods, where it is a folder: it knows whether there is a file.
    pub(crate) fn files(
        &self,
        destination: Destination<'_>,
        path: &str,
    ) -> Option<Arc<dyn Upstream>> {
        let (methods, _) = self.at(destination, path)?;
        let (_, rule) = methods.iter().find(|(_, rule)| rule.name == FILES)?;
        Some(Arc::clone(&rule.upstream))
    }

    /// The rule for a request, or why there is none.
    pub(crate) fn find(
        &self,
        destination: Destination<'_>,
        method: &Method,
        path: &str,
    ) -> Result<Matched> {
        let missing = || Error::new(Kind::NotFound, "there is no route for this path");
        let (methods, raw_params) = self.at(destination, path).ok_or_else(missing)?;
        let of = |method: &Method| methods.iter().find(|(known, _)| known.as_ref() == Some(method));
        let any = || methods.iter().find(|(known, _)| known.is_none());
        // Whoever answers GET answers HEAD (RFC 9110 section 9.3.2); the body is left out on the way back.
        let as_get = || (method == Method::HEAD).then(|| of(&Method::GET)).flatten();
        // The folder answers what is left, but not among the services: a mistyped call is no missing file.
        let is_files = methods.iter().any(|(_, rule)| rule.name == FILES);
        if is_files && self.neighbour(path).is_some() {
            return Err(missing());
        }
        let Some((_, rule)) = of(method).or_else(as_get).or_else(any) else {
            let message = format!("this path answers {} only", names(methods));
            return Err(Error::new(Kind::MethodNotAllowed, message));
        };
        let mut params = Params::default();
        if !rule.parameter_names.is_empty() {
            for (name, (_, raw)) in rule.parameter_names.iter().zip(raw_params.iter()) {
                params.push(name, call::decode(raw, false)?.into_owned());
            }
        }
        Ok(Matched { rule: Arc::clone(rule), params })
    }
}

// === impl Paths ===

impl Paths {
    /// What stands in one scope.
    fn build(routes: &Routes, remote: &[RemoteRoute], scope: &RouteScope) -> Result<Self> {
        let mut paths = Self::default();
        let shared = &routes.shared;
        for route in routes.own.iter().filter(|route| route.scope == *scope) {
            let rule = local_rule(route, true, &shared.budget);
            paths.insert(&route.path(), Some(&route.spec.method), rule, None)?;
        }
        for route in remote.iter().filter(|route| route.scope == *scope) {
            paths.insert(&route.path, None, remote_rule(route, shared)?, None)?;
        }
        for (owner, route) in routes.published(scope) {
            let rule = local_rule(route, is_of_env(scope), &shared.budget);
            paths.insert(&route.path(), Some(&route.spec.method), rule, Some(owner))?;
        }
        if let (RouteScope::Everywhere, Some(files)) = (scope, &routes.files) {
            paths.insert_files(files)?;
        }
        Ok(paths)
    }

    fn insert_files(&mut self, files: &Arc<Files>) -> Result<()> {
        for path in ["/", "/{*path}"] {
            // A route may claim either path, whatever it calls the rest; then it, not the folder, answers there.
            let is_same =
                |known: &String| known == path || is_catch_all(known) && is_catch_all(path);
            if !self.positions.keys().any(is_same) {
                for method in &files::METHODS {
                    self.insert(path, Some(method), files_rule(Arc::clone(files)), None)?;
                }
            }
        }
        Ok(())
    }

    fn insert(
        &mut self,
        path: &str,
        method: Option<&Method>,
        rule: Rule,
        published_by: Option<&'static str>,
    ) -> Result<()> {
        let position = match self.positions.get(path) {
            Some(position) => *position,
            None => self.insert_path(path, published_by)?,
        };
        let place = &mut self.places[position];
        let is_taken = place.methods.iter().any(|(known, _)| known.as_ref() == method);
        if is_taken || place.published_by != published_by {
            return Err(Error::new(
                Kind::AlreadyExists,
                format!("two routes answer {path}; remove one of them"),
            ));
        }
        place.methods.push((method.cloned(), Arc::new(rule)));
        Ok(())
    }

    fn insert_path(&mut self, path: &str, published_by: Option<&'static str>) -> Result<usize> {
        let position = self.places.len();
        self.router.insert(path, position).map_err(|error| route_conflict(path).because(error))?;
        self.places.push(Place { published_by, methods: Vec::new() });
        self.positions.insert(path.to_owned(), position);
        Ok(position)
    }
}

fn local_rule(route: &Route, env_in_query: bool, budget: &Budget) -> Rule {
    let spec = route.spec;
    Rule {
        name: spec.name,
        access: spec.access,
        policy: route.policy,
        render_error: spec.render_error,
        env_in_query,
        parameter_names: parameter_names(spec.path),
        upstream: Arc::new(Local::new(route.clone(), budget.clone())),
    }
}

/// Whether a query that chose the route also says in which environment it is.
fn is_of_env(scope: &RouteScope) -> bool {
    matches!(scope, RouteScope::Env(_))
}

fn remote_rule(route: &RemoteRoute, parts: &Shared) -> Result<Rule> {
    Ok(Rule {
        name: interned(&route.name),
        access: route.access,
        policy: route.policy,
        render_error: respond::plain,
        env_in_query: is_of_env(&route.scope),
        parameter_names: Vec::new(),
        upstream: Arc::new(Remote::new(
            route,
            &parts.client,
            parts.bounds.clone(),
            parts.trusted_proxies.clone(),
        )?),
    })
}

fn files_rule(files: Arc<Files>) -> Rule {
    Rule {
        name: FILES,
        access: Access::Public,
        policy: RoutePolicy { cors: Cors::PassedOn, ..RoutePolicy::ORDINARY },
        render_error: respond::plain,
        env_in_query: false,
        parameter_names: Vec::new(),
        upstream: files,
    }
}

fn names(methods: &[(Option<Method>, Arc<Rule>)]) -> String {
    let mut names: Vec<_> =
        methods.iter().filter_map(|(known, _)| Some(known.as_ref()?.as_str())).collect();
    if names.contains(&"GET") && !names.contains(&"HEAD") {
        names.push("HEAD");
    }
    names.join(", ")
}

/// Whether a route takes every path below `/`.
pub fn is_catch_all(path: &str) -> bool {
    path.starts_with("/{*")
}

/// The configured routes, by their place in `remote`, that cannot stand beside a service's own, each with the path that it
/// meets. Asked before anything is open.
pub fn route_conflicts(
    local: impl Iterator<Item = &'static RouteSpec>,
    remote: &[RemoteRoute],
) -> Vec<(usize, String)> {
    let own: HashSet<_> = local.map(|spec| spec.path).collect();
    let mut paths = matchit::Router::new();
    for path in &own {
        // Those of the services stand beside one another; a gateway is built of them in every test.
        let _ = paths.insert(*path, ());
    }
    let everywhere = |(_, route): &(usize, &RemoteRoute)| route.scope == RouteScope::Everywhere;
    let conflict = |(place, route): (usize, &RemoteRoute)| match paths.insert(&route.path, ()) {
        Err(InsertError::Conflict { with }) if own.contains(with.as_str()) => Some((place, with)),
        // Two configured routes that meet were refused when they were read.
        _ => None,
    };
    remote.iter().enumerate().filter(everywhere).filter_map(conflict).collect()
}

fn route_conflict(path: &str) -> Error {
    Error::new(Kind::InvalidParameter, format!("route {path} cannot stand beside the others"))
}

/// The names between braces, in the order of the path.
fn parameter_names(path: &'static str) -> Vec<&'static str> {
    let names: Vec<_> = path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
    debug_assert!(names.len() <= NAMES_MAX, "{path} has too many parameters");
    names.into_iter().map(|name| name.trim_start_matches('*')).collect()
}

/// Route names of the configuration live as long as the program: they label metrics. Each distinct one is kept once, so
/// reloading the same file a thousand times costs nothing.
fn interned(name: &str) -> &'static str {
    static NAMES: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let kept: &'static str = Box::leak(name.into());
    names.insert(kept);
    kept
}
