//! Files of folders that each test makes for itself, and carried ones.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Request;
use http_body::Body as _;
use yunzhan_base::Clock;

use super::*;

/// When the files of a test were written: 2001-09-09T01:46:40Z.
const WRITTEN: Duration = Duration::from_secs(1_000_000_000);

/// Files of a folder of its own.
struct Site {
    root: tempfile::TempDir,
    files: Files,
}

impl Site {
    fn with(files: &[(&str, &[u8])]) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("site")).unwrap();
        let site = Self { files: Files::folder(&root.path().join("site")).unwrap(), root };
        for (path, bytes) in files {
            site.write(path, bytes);
        }
        site
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.root.path().join("site").join(path)
    }

    /// Writes a file, long ago.
    fn write(&self, path: &str, bytes: &[u8]) {
        self.write_at(path, bytes, UNIX_EPOCH + WRITTEN);
    }

    fn write_at(&self, path: &str, bytes: &[u8], modified: SystemTime) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::create(path).unwrap();
        file.write_all(bytes).unwrap();
        file.set_modified(modified).unwrap();
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Response<Body>> {
        self.ask(Method::GET, path, headers).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response<Body>> {
        ask(&self.files, method, path, headers).await
    }
}

async fn ask(
    files: &Files,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Response<Body>> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    files.answer(&request.body(()).unwrap().into_parts().0).await
}

/// Status and body, or the kind of the refusal.
async fn said(answer: Result<Response<Body>>) -> String {
    match answer {
        Ok(answer) => {
            let status = answer.status().as_u16();
            format!(
                "{status} {}",
                String::from_utf8(all(answer.into_body()).await.unwrap()).unwrap()
            )
        }
        Err(error) => error.kind().name().to_owned(),
    }
}

async fn all(mut body: Body) -> Result<Vec<u8>, yunzhan_base::body::BodyError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

/// Bytes of which no two stretches are alike.
fn large(length: u64) -> Vec<u8> {
    (0..length.div_ceil(8)).flat_map(u64::to_le_bytes).take(length as usize).collect()
}

#[tokio::test]
async fn a_folder_shows_its_files_and_nothing_else() {
    let site = Site::with(&[
        ("index.html", b"home"),
        ("sub/a.js", b"script"),
        ("sub/index.html", b"page"),
        ("empty/b.js", b"other"),
        (".env", b"secret"),
        (".git/config", b"secret"),
        (".well-known/assetlinks.json", b"[]"),
        ("sub/.well-known/a", b"secret"),
    ]);
    fs::write(site.root.path().join("secret"), "secret").unwrap();
    symlink(site.root.path(), site.at("up")).unwrap();
    symlink("../secret", site.at("link")).unwrap();
    symlink("sub/a.js", site.at("inner")).unwrap();
    for (path, expected) in [
        ("/", "200 home"),
        ("/index.html", "200 home"),
        ("/sub/a.js", "200 script"),
        ("//sub//a.js?v=1", "200 script"),
        ("/sub/", "200 page"),
        ("/inner", "200 script"),
        ("/.well-known/assetlinks.json", "200 []"),
        ("/empty", "not_found"),
        ("/empty/", "not_found"),
        ("/.env", "not_found"),
        ("/.git/config", "not_found"),
        ("/%2egit/config", "not_found"),
        ("/sub/.well-known/a", "not_found"),
        ("/link", "not_found"),
        ("/up/secret", "not_found"),
        ("/../secret", "not_found"),
        ("/sub/../../secret", "not_found"),
        ("/sub%2fa.js", "not_found"),
        ("/sub/a.js/", "not_found"),
        ("/sub/a.js/b", "not_found"),
        ("/none", "not_found"),
        ("/a%00b", "malformed"),
    ] {
        assert_eq!(said(site.get(path, &[]).await).await, expected, "{path}");
    }
    let long = format!("/{}", "a".repeat(300));
    assert_eq!(said(site.get(&long, &[]).await).await, "not_found", "a name that cannot exist");
}

#[tokio::test]
async fn a_pipe_is_no_file() {
    let site = Site::with(&[]);
    let status = std::process::Command::new("mkfifo").arg(site.at("pipe")).status().unwrap();
    assert!(status.success());
    assert_eq!(said(site.get("/pipe", &[]).await).await, "not_found");
}

#[tokio::test]
async fn a_folder_without_its_slash_leads_to_the_one_with_it() {
    let site = Site::with(&[("sub/index.html", b"page"), ("a b/c:d/index.html", b"page")]);
    symlink("/", site.at("out")).unwrap();
    for (path, location) in [
        ("/sub", "./sub/"),
        ("/sub?a=b&c", "./sub/?a=b&c"),
        ("//sub", "./sub/"),
        ("/a%20b/c:d", "./c:d/"),
    ] {
        let answer = site.get(path, &[]).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["location"]),
            (301, &location.parse().unwrap())
        );
    }
    assert_eq!(said(site.get("/out", &[]).await).await, "not_found");
    let carried = Files::carried(&[Asset { path: "sub/index.html", bytes: b"page" }]);
    assert_eq!(said(ask(&carried, Method::GET, "/sub", &[]).await).await, "301 ");
    assert_eq!(said(ask(&carried, Method::GET, "/sub/", &[]).await).await, "200 page");
    assert_eq!(said(ask(&carried, Method::GET, "/su", &[]).await).await, "not_found");
}

#[tokio::test]
async fn another_method_is_told_whether_there_is_a_file() {
    let site = Site::with(&[("index.html", b"home"), ("sub/index.html", b"page")]);
    for (path, expected) in [
        ("/", "method_not_allowed"),
        ("/index.html", "method_not_allowed"),
        ("/sub", "method_not_allowed"),
        ("/nosuch", "not_found"),
        ("/.env", "not_found"),
    ] {
        assert_eq!(said(site.ask(Method::POST, path, &[]).await).await, expected, "{path}");
    }
}

#[tokio::test]
async fn a_site_has_no_policy_of_ours_and_a_page_of_ours_has_one() {
    let site = Site::with(&[("index.html", b"home")]);
    let carried = Files::carried(&[Asset { path: "index.html", bytes: b"home" }]);
    for (files, has_policy) in [(&site.files, false), (&carried, true)] {
        let answer = ask(files, Method::GET, "/", &[]).await.unwrap();
        assert_eq!(answer.headers().contains_key(header::CONTENT_SECURITY_POLICY), has_policy);
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    }
}

#[tokio::test]
async fn conditions_and_ranges_hold_for_both_sources() {
    let site = Site::with(&[("a.txt", b"0123456789")]);
    let carried = Files::carried(&[Asset { path: "a.txt", bytes: b"0123456789" }]);
    for files in [&site.files, &carried] {
        let answer = ask(files, Method::HEAD, "/a.txt", &[]).await.unwrap();
        assert_eq!(answer.headers()[header::CONTENT_LENGTH], "10");
        assert!(answer.body().is_end_stream(), "HEAD has no body");
        let tag = answer.headers()[header::ETAG].to_str().unwrap().to_owned();
        for (lines, expected) in [
            (vec![("range", "bytes=2-4")], "206 234"),
            (vec![("range", "bytes=-3")], "206 789"),
            (vec![("range", "bytes=10-")], "416 "),
            (vec![("if-none-match", tag.as_str())], "304 "),
            (vec![("if-match", "\"x\"")], "412 "),
            (vec![("range", "bytes=0-0"), ("if-range", tag.as_str())], "206 0"),
            (vec![("range", "bytes=0-0"), ("if-range", "\"x\"")], "200 0123456789"),
            (vec![("range", "bytes=0-0"), ("if-none-match", "\"x\"")], "206 0"),
        ] {
            assert_eq!(
                said(ask(files, Method::GET, "/a.txt", &lines).await).await,
                expected,
                "{lines:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_large_file_streams_in_chunks() {
    let length = 9 << 20;
    let bytes = large(length);
    let site = Site::with(&[("film.mp4", &bytes)]);
    let answer = site.get("/film.mp4", &[]).await.unwrap();
    assert_eq!(answer.headers()[header::CONTENT_LENGTH], length.to_string().as_str());
    assert_eq!(answer.body().size_hint().exact(), Some(length));
    let mut body = answer.into_body();
    let mut read = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.unwrap();
        assert!(chunk.len() <= 64 << 10);
        read.extend_from_slice(&chunk);
    }
    assert!(read == bytes);
    let (start, end) = (70_000, 300_000);
    let range = format!("bytes={start}-{}", end - 1);
    let answer = site.get("/film.mp4", &[("range", &range)]).await.unwrap();
    assert_eq!(answer.headers()[header::CONTENT_RANGE], format!("bytes 70000-299999/{length}"));
    assert!(all(answer.into_body()).await.unwrap() == bytes[start..end]);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_ends_with_an_error() {
    let bytes = large(1 << 20);
    let truncate = |file: &File| file.set_len(200_000).unwrap();
    let overwrite = |file: &File| file.write_all_at(&[0; 1024], 900_000).unwrap();
    let append = |file: &File| file.set_len(2 << 20).unwrap();
    for change in [truncate as fn(&File), overwrite, append] {
        let site = Site::with(&[("a.bin", &bytes)]);
        let mut body = site.get("/a.bin", &[]).await.unwrap().into_body();
        assert!(body.next().await.unwrap().unwrap() == bytes[..64 << 10]);
        change(&File::options().write(true).open(site.at("a.bin")).unwrap());
        assert!(all(body).await.is_err());
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_while_it_is_sent_is_sent_as_it_was() {
    let bytes = large(1 << 20);
    let site = Site::with(&[("a.bin", &bytes), ("b.bin", b"new")]);
    let body = site.get("/a.bin", &[]).await.unwrap().into_body();
    fs::rename(site.at("b.bin"), site.at("a.bin")).unwrap();
    assert!(all(body).await.unwrap() == bytes);
    assert_eq!(said(site.get("/a.bin", &[]).await).await, "200 new");
}

#[tokio::test]
async fn a_tag_tells_states_apart_although_date_and_length_are_the_same() {
    let site = Site::with(&[("a.txt", b"old")]);
    let tag = |answer: Response<Body>| answer.headers()[header::ETAG].clone();
    let old = tag(site.get("/a.txt", &[]).await.unwrap());
    assert_eq!(tag(site.get("/a.txt", &[]).await.unwrap()), old);
    fs::remove_file(site.at("a.txt")).unwrap();
    site.write("a.txt", b"new");
    assert_ne!(tag(site.get("/a.txt", &[]).await.unwrap()), old);
}

/// Tag and date of a file that was modified so many milliseconds before it is asked for.
async fn validators(age_ms: i64, modified: Duration) -> (bool, Option<HeaderValue>) {
    let mut site = Site::with(&[]);
    site.write_at("a.txt", b"a", UNIX_EPOCH + modified);
    let now_ms = i64::try_from(modified.as_millis()).unwrap() + age_ms;
    let mut folder = Folder::open(&site.at("")).unwrap();
    folder.clock = Clock::manual(now_ms);
    site.files = Files(Source::Folder(Arc::new(folder)));
    let answer = site.get("/a.txt", &[]).await.unwrap();
    let is_weak = answer.headers()[header::ETAG].as_bytes().starts_with(b"W/");
    (is_weak, answer.headers().get(header::LAST_MODIFIED).cloned())
}

#[tokio::test]
async fn validators_are_strong_once_the_file_has_settled() {
    let dated = Some(HeaderValue::from_static("Sun, 09 Sep 2001 01:46:40 GMT"));
    assert_eq!(validators(0, WRITTEN).await, (true, None));
    assert_eq!(validators(999, WRITTEN).await, (true, None));
    assert_eq!(validators(1000, WRITTEN).await, (false, dated));
    assert_eq!(validators(-60_000, WRITTEN).await, (false, None), "a date in the future");
    assert_eq!(validators(60_000, Duration::ZERO).await, (false, None), "no date at all");
    assert_eq!(validators(60_000, Duration::from_secs(1)).await, (false, None));
}

#[tokio::test]
async fn a_release_that_a_link_is_moved_to_is_served_at_once() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    for release in ["1", "2"] {
        fs::create_dir(at(release)).unwrap();
        fs::write(at(release).join("a.txt"), release).unwrap();
    }
    symlink("1", at("current")).unwrap();
    let files = Files::folder(&at("current")).unwrap();
    assert_eq!(said(ask(&files, Method::GET, "/a.txt", &[]).await).await, "200 1");
    symlink("2", at("next")).unwrap();
    fs::rename(at("next"), at("current")).unwrap();
    assert_eq!(said(ask(&files, Method::GET, "/a.txt", &[]).await).await, "200 2");
    fs::remove_file(at("current")).unwrap();
    assert_eq!(said(ask(&files, Method::GET, "/a.txt", &[]).await).await, "unavailable");
    assert!(Files::folder(&at("current")).is_err());
}
