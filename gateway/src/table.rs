//! The routing table: every method and path that exists, and who answers it. Built whole, swapped whole.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use http::{HeaderValue, Method};
use matchit::InsertError;
use yunzhan_base::call::{self, Params};
use yunzhan_base::route::RenderError;
use yunzhan_base::{Access, Error, Kind, Result, Route, RoutePolicy, RouteSpec};
use yunzhan_net::http::Client;

use crate::config::RemoteRoute;
use crate::respond;
use crate::upstream::files::Files;
use crate::upstream::remote::Remote;

/// Path parameter names of ours are short; more than this is not a route.
const NAMES_MAX: usize = call::PATH_PARAMS_MAX;

/// What the gateway does with the requests of one route.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) access: Access,
    pub(crate) policy: RoutePolicy,
    pub(crate) render_error: RenderError,
    pub(crate) destination: Destination,
    parameter_names: Vec<&'static str>,
}

/// Who answers.
#[derive(Debug)]
pub(crate) enum Destination {
    /// A service of this process.
    Local(Local),
    /// A server elsewhere.
    Remote(Remote),
    /// A folder.
    Files(Arc<Files>),
}

/// A service's route, without a `Debug` of its own.
pub(crate) struct Local(pub(crate) Route);

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.spec.name)
    }
}

/// The rule that a request matched, with its parameters.
#[derive(Debug)]
pub(crate) struct Matched {
    pub(crate) rule: Arc<Rule>,
    pub(crate) params: Params,
}

/// Paths, and behind each the methods it knows.
#[derive(Debug, Default)]
pub(crate) struct Table {
    paths: matchit::Router<usize>,
    methods: Vec<Vec<(Option<Method>, Arc<Rule>)>>,
    path_texts: Vec<String>,
    /// The first segments of the services' paths, and how refusals below them are rendered.
    dialects: Vec<(&'static str, RenderError)>,
}

impl Table {
    /// Every service's routes, then the configured remote ones, then the folder for what is left.
    pub(crate) fn build(
        local: &[Route],
        files: Option<&Arc<Files>>,
        remote: &[RemoteRoute],
        client: &Client,
    ) -> Result<Self> {
        let mut table = Self::default();
        for route in local {
            table.add_dialect(route);
            table.insert(route.spec.path, Some(&route.spec.method), Rule::local(route))?;
        }
        for route in remote {
            table.insert(&route.path, None, Rule::remote(route, client)?)?;
        }
        for path in files.iter().flat_map(|_| ["/", "/{*path}"]) {
            // A configured route may claim either path, whatever it calls the rest; then it, not the folder, answers there.
            let is_same =
                |known: &String| known == path || is_catch_all(known) && is_catch_all(path);
            if !table.path_texts.iter().any(is_same) {
                let files = Arc::clone(files.expect("a path comes from a folder"));
                table.insert(path, None, Rule::files(files))?;
            }
        }
        Ok(table)
    }

    fn insert(&mut self, path: &str, method: Option<&Method>, rule: Rule) -> Result<()> {
        let place = match self.path_texts.iter().position(|known| known == path) {
            Some(place) => place,
            None => self.insert_path(path)?,
        };
        let methods = &mut self.methods[place];
        if methods.iter().any(|(known, _)| known.as_ref() == method) {
            return Err(Error::new(
                Kind::AlreadyExists,
                format!("two routes answer {path}; remove one of them"),
            ));
        }
        methods.push((method.cloned(), Arc::new(rule)));
        Ok(())
    }

    fn insert_path(&mut self, path: &str) -> Result<usize> {
        let place = self.methods.len();
        self.paths.insert(path, place).map_err(|error| beside(path).because(error))?;
        self.methods.push(Vec::new());
        self.path_texts.push(path.to_owned());
        Ok(place)
    }

    fn add_dialect(&mut self, route: &Route) {
        let first = first_segment(route.spec.path);
        if !first.starts_with('{') && !self.dialects.iter().any(|(known, _)| *known == first) {
            self.dialects.push((first, route.spec.render_error));
        }
    }

    /// How a refusal of this path is rendered when no route matches: as its neighbours would.
    pub(crate) fn dialect(&self, path: &str) -> RenderError {
        self.neighbour(path).unwrap_or(respond::plain)
    }

    fn neighbour(&self, path: &str) -> Option<RenderError> {
        let first = first_segment(path);
        self.dialects.iter().find(|(known, _)| *known == first).map(|(_, render)| *render)
    }

    /// The methods that a path knows, for `Allow` (RFC 9110 section 15.5.6).
    pub(crate) fn allowed(&self, path: &str) -> Option<HeaderValue> {
        let found = self.paths.at(path).ok()?;
        HeaderValue::from_str(&names(&self.methods[*found.value])).ok()
    }

    /// The rule for a request, or why there is none.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Result<Matched> {
        let missing = || Error::new(Kind::NotFound, "there is no route for this path");
        let found = self.paths.at(path).map_err(|_| missing())?;
        let methods = &self.methods[*found.value];
        let exact = methods.iter().find(|(known, _)| known.as_ref() == Some(method));
        let any = || methods.iter().find(|(known, _)| known.is_none());
        let Some((_, rule)) = exact.or_else(any) else {
            let message = format!("this path answers {} only", names(methods));
            return Err(Error::new(Kind::MethodNotAllowed, message));
        };
        // The folder answers what is left, but not among the services: a mistyped call is no missing file.
        if matches!(rule.destination, Destination::Files(_)) && self.neighbour(path).is_some() {
            return Err(missing());
        }
        let mut params = Params::default();
        if !rule.parameter_names.is_empty() {
            for (name, (_, raw)) in rule.parameter_names.iter().zip(found.params.iter()) {
                params.push(name, call::decode(raw, false)?.into_owned());
            }
        }
        Ok(Matched { rule: Arc::clone(rule), params })
    }
}

// === impl Rule ===

impl Rule {
    pub(crate) fn body_bytes_max(&self) -> usize {
        usize::try_from(self.policy.accepts.bytes_max()).unwrap_or(usize::MAX)
    }

    fn local(route: &Route) -> Self {
        let spec = route.spec;
        Self {
            name: spec.name,
            access: spec.access,
            policy: spec.policy,
            render_error: spec.render_error,
            parameter_names: parameter_names(spec.path),
            destination: Destination::Local(Local(route.clone())),
        }
    }

    fn remote(route: &RemoteRoute, client: &Client) -> Result<Self> {
        Ok(Self {
            name: interned(&route.name),
            access: route.access,
            policy: route.policy,
            render_error: respond::plain,
            parameter_names: Vec::new(),
            destination: Destination::Remote(Remote::new(route, client)?),
        })
    }

    fn files(files: Arc<Files>) -> Self {
        Self {
            name: "files",
            access: Access::Public,
            policy: RoutePolicy::ORDINARY,
            render_error: respond::plain,
            parameter_names: Vec::new(),
            destination: Destination::Files(files),
        }
    }
}

fn names(methods: &[(Option<Method>, Arc<Rule>)]) -> String {
    let names: Vec<_> =
        methods.iter().filter_map(|(known, _)| Some(known.as_ref()?.as_str())).collect();
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
    let conflict = |(place, route): (usize, &RemoteRoute)| match paths.insert(&route.path, ()) {
        Err(InsertError::Conflict { with }) if own.contains(with.as_str()) => Some((place, with)),
        // Two configured routes that meet were refused when they were read.
        _ => None,
    };
    remote.iter().enumerate().filter_map(conflict).collect()
}

fn beside(path: &str) -> Error {
    Error::new(Kind::InvalidParameter, format!("route {path} cannot stand beside the others"))
}

/// What stands between the first slash and the second.
fn first_segment(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
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
