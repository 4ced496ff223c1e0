//! Static files: a folder of the machine, or assets that the program carries.
//!
//! `path.rs` decides what a path may name, `folder.rs` opens it below the folder, `content.rs` streams it, `media_type.rs`
//! names its type. Conditions and ranges are [`yunzhan_base::representation`]'s.

mod content;
mod folder;
mod media_type;
mod path;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode, request};
use yunzhan_base::representation::Representation;
use yunzhan_base::{Body, Error, Kind, Result};

use folder::Folder;
use path::FilePath;

/// The methods that files answer.
pub(crate) const METHODS: [Method; 2] = [Method::GET, Method::HEAD];

/// What a browser may do with the program's own pages: load from here, run no inline script, be framed by nobody. An
/// operator's site has a policy of its own, or none: each page inside WeChat loads a script from WeChat's host.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self'; frame-ancestors 'none'";

/// One file that the program carries.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Path below the root, without a leading `/`.
    pub path: &'static str,
    /// Content.
    pub bytes: &'static [u8],
}

/// Where files come from.
#[derive(Debug)]
pub struct Files(Source);

#[derive(Debug)]
enum Source {
    Folder(Arc<Folder>),
    /// Assets by path.
    Carried(HashMap<&'static str, Carried>),
}

/// An asset as it is served.
#[derive(Debug)]
struct Carried {
    bytes: Bytes,
    representation: Representation,
}

/// What a path names.
enum Found<F> {
    File(F),
    /// A folder with a page, named without the slash at its end.
    Folder,
}

impl Files {
    /// Serves assets that the program carries.
    pub fn carried(assets: &[Asset]) -> Self {
        let carried = |asset: &Asset| (asset.path, Carried::new(asset));
        Self(Source::Carried(assets.iter().map(carried).collect()))
    }

    /// Serves a folder, which is looked up anew for each request: a link may lead to another release meanwhile. Refuses one
    /// that does not exist.
    pub fn folder(path: &Path) -> Result<Self> {
        Folder::open(path).map(|folder| Self(Source::Folder(Arc::new(folder))))
    }

    /// Answers GET and HEAD. A folder's path answers with its `index.html`, and without the slash at its end with the way
    /// there: relative addresses in the page would lead elsewhere.
    pub(crate) async fn answer(&self, head: &request::Parts) -> Result<Response<Body>> {
        if !METHODS.contains(&head.method) {
            return Err(self.refusal(head.uri.path()).await);
        }
        let path = FilePath::read(head.uri.path())?;
        let mut response = match &self.0 {
            Source::Carried(assets) => match find_carried(assets, &path)? {
                Found::Folder => redirect(&path, head.uri.query())?,
                Found::File(Carried { bytes, representation }) => {
                    let open = |range: std::ops::Range<u64>| {
                        let [start, end] = [range.start, range.end].map(|at| at as usize);
                        Ok(Body::from(bytes.slice(start..end)))
                    };
                    let mut response = representation.respond(&head.method, &head.headers, open)?;
                    let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
                    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
                    response
                }
            },
            Source::Folder(folder) => {
                // Who has a copy already is most likely told so; then nothing needs to be read.
                let is_read = head.method == Method::GET
                    && !head.headers.contains_key(header::IF_NONE_MATCH)
                    && !head.headers.contains_key(header::IF_MODIFIED_SINCE);
                match find_in(folder, &path, is_read).await? {
                    Found::Folder => redirect(&path, head.uri.query())?,
                    Found::File(file) => {
                        let representation = file.representation.clone();
                        representation
                            .respond(&head.method, &head.headers, |range| Ok(file.body(range)))?
                    }
                }
            }
        };
        let fields = response.headers_mut();
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(response)
    }

    /// Why another method than GET and HEAD is refused at this path: the method is wrong, or there is nothing.
    pub(crate) async fn refusal(&self, path: &str) -> Error {
        let found = match FilePath::read(path) {
            Err(error) => Err(error),
            Ok(path) => match &self.0 {
                Source::Carried(assets) => find_carried(assets, &path).map(drop),
                Source::Folder(folder) => find_in(folder, &path, false).await.map(drop),
            },
        };
        let wrong_method =
            || Error::new(Kind::MethodNotAllowed, "this path answers GET, HEAD only");
        found.map_or_else(|error| error, |()| wrong_method())
    }
}

fn find_carried<'a>(
    assets: &'a HashMap<&'static str, Carried>,
    path: &FilePath,
) -> Result<Found<&'a Carried>> {
    if let Some(found) = assets.get(path.file().as_ref()) {
        return Ok(Found::File(found));
    }
    match assets.contains_key(path.index().as_str()) {
        true => Ok(Found::Folder),
        false => Err(missing()),
    }
}

/// Looks for a file on a thread where waiting for a disk hurts nobody.
async fn find_in(
    folder: &Arc<Folder>,
    path: &FilePath,
    is_read: bool,
) -> Result<Found<content::OpenFile>> {
    let (folder, path) = (Arc::clone(folder), path.clone());
    let finding = tokio::task::spawn_blocking(move || folder.find(&path, is_read));
    finding.await.map_err(|error| Error::internal("opening a file").because(error))?
}

fn missing() -> Error {
    Error::new(Kind::NotFound, "there is no such file")
}

/// The way to a folder's page. It is relative, so that it also leads there behind a proxy that takes a prefix away, and
/// so that a path with two slashes never becomes another host.
fn redirect(path: &FilePath, query: Option<&str>) -> Result<Response<Body>> {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::try_from(format!("./{}/{query}", path.last_escaped()))
        .map_err(|error| Error::new(Kind::Malformed, "the address is malformed").because(error))?;
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    Ok(response)
}

// === impl Carried ===

impl Carried {
    /// The same bytes have the same tag on every replica.
    fn new(asset: &Asset) -> Self {
        let media_type = media_type::of(asset.path);
        let representation = Representation {
            etag: Some(entity_tag("", asset.bytes.len() as u64, asset.bytes)),
            last_modified: None,
            media_type,
            length: asset.bytes.len() as u64,
        };
        Self { bytes: Bytes::from_static(asset.bytes), representation }
    }
}

/// A tag made of the length and a hash (FNV-1a) of what tells two states apart: the content, or what a folder says of it.
fn entity_tag(prefix: &str, length: u64, identity: &[u8]) -> HeaderValue {
    let hash = identity.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    HeaderValue::from_str(&format!("{prefix}\"{length:x}-{hash:016x}\""))
        .expect("hexadecimal digits and quotes")
}

#[cfg(test)]
mod tests;
