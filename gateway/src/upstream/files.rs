//! Static files: a folder of the machine, or assets that the program carries.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode, request};
use yunzhan_base::{Body, Error, Kind, Result, call};

/// Files larger than this are not served from a folder: they belong into the file service, which streams.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// What a browser may do with our pages: load from here, run no inline script, be framed by nobody.
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
pub enum Files {
    /// A folder; links that lead out of it are not followed.
    Folder(PathBuf),
    /// Assets by path.
    Carried(HashMap<&'static str, Content>),
}

/// What is sent for one file.
#[derive(Clone, Debug)]
pub struct Content {
    bytes: Bytes,
    tag: HeaderValue,
    media_type: HeaderValue,
}

impl Content {
    fn new(path: &str, bytes: Bytes) -> Self {
        let media_type = HeaderValue::from_static(media_type(path));
        Self { tag: entity_tag(&bytes), media_type, bytes }
    }
}

impl Files {
    /// Serves assets that the program carries.
    pub fn carried(assets: &[Asset]) -> Self {
        let content = |asset: &Asset| Content::new(asset.path, Bytes::from_static(asset.bytes));
        Self::Carried(assets.iter().map(|asset| (asset.path, content(asset))).collect())
    }

    /// Serves a folder. Refuses one that does not exist.
    pub fn folder(path: &Path) -> Result<Self> {
        let canonical = path.canonicalize().map_err(|error| {
            Error::new(
                Kind::InvalidParameter,
                format!("cannot open static folder {}", path.display()),
            )
            .because(error)
        })?;
        Ok(Self::Folder(canonical))
    }

    /// Answers GET and HEAD. A folder's path answers with its `index.html`.
    pub(crate) async fn answer(&self, head: &request::Parts) -> Result<Response<Body>> {
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return Err(Error::new(Kind::MethodNotAllowed, "files answer GET and HEAD only"));
        }
        let decoded = call::decode(head.uri.path(), false)?;
        let mut path = decoded.trim_start_matches('/').to_owned();
        if path.is_empty() || path.ends_with('/') {
            path.push_str("index.html");
        }
        let Content { bytes, tag, media_type } = self.read(path).await?;
        let unchanged = head.headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag);
        let mut answer = Response::new(if unchanged { Body::Empty } else { bytes.into() });
        if unchanged {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = answer.headers_mut();
        headers.insert(header::ETAG, tag);
        headers.insert(header::CONTENT_TYPE, media_type);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(CONTENT_SECURITY_POLICY),
        );
        Ok(answer)
    }

    async fn read(&self, path: String) -> Result<Content> {
        match self {
            Self::Carried(assets) => assets.get(path.as_str()).cloned().ok_or_else(missing),
            Self::Folder(root) => {
                let root = root.clone();
                let reading = tokio::task::spawn_blocking(move || read_below(&root, &path));
                reading.await.map_err(|error| Error::internal("reading a file").because(error))?
            }
        }
    }
}

fn missing() -> Error {
    Error::new(Kind::NotFound, "there is no such file")
}

/// Reads a file below `root`. Hidden ones, and links that lead out, are not there.
fn read_below(root: &Path, path: &str) -> Result<Content> {
    let relative = Path::new(path);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain || path.split('/').any(|part| part.starts_with('.')) {
        return Err(missing());
    }
    let real = root.join(relative).canonicalize().map_err(|_| missing())?;
    let facts = real.metadata().map_err(|_| missing())?;
    if !real.starts_with(root) || !facts.is_file() || facts.len() > FILE_BYTES_MAX {
        return Err(missing());
    }
    let bytes = std::fs::read(&real).map_err(|_| missing())?;
    Ok(Content::new(path, bytes.into()))
}

/// A strong validator made of the content (FNV-1a): the same bytes have the same tag on every replica.
fn entity_tag(bytes: &[u8]) -> HeaderValue {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    HeaderValue::from_str(&format!("\"{:x}-{hash:016x}\"", bytes.len()))
        .expect("hexadecimal digits and quotes")
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json; charset=utf-8",
        "txt" | "md" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_shows_its_files_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("site");
        std::fs::create_dir_all(folder.join("sub")).unwrap();
        for file in ["site/index.html", "site/sub/a.js", "site/.hidden", "secret"] {
            std::fs::write(root.path().join(file), file).unwrap();
        }
        std::os::unix::fs::symlink(root.path().join("secret"), folder.join("link")).unwrap();
        let folder = folder.canonicalize().unwrap();
        let read = |path| read_below(&folder, path).map(|content| content.media_type);
        assert_eq!(read("index.html").unwrap(), "text/html; charset=utf-8");
        assert_eq!(read("sub/a.js").unwrap(), "text/javascript; charset=utf-8");
        for unseen in
            [".hidden", "link", "../secret", "sub/../../secret", "sub", "none", "/etc/passwd"]
        {
            assert!(read(unseen).is_err(), "{unseen}");
        }
    }
}
