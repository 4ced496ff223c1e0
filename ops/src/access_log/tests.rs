//! The log as its readers see it: from events to files.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use expect_test::expect;
use http::{Method, StatusCode};
use yunzhan_base::event::{ConnectionFailed, ConnectionFailureReason, Outcome, RequestFacts};
use yunzhan_base::{Error, RequestId};

use super::*;

const KEEP: Keep = Keep { file_bytes_max: 1 << 20, files: 2, daily: false };

/// 2026-01-01T00:00:00.123Z.
const NOW_MS: i64 = 1_767_225_600_123;

/// Remembers the names of notices.
#[derive(Default)]
struct Told(Mutex<Vec<&'static str>>);

impl Observe for Told {
    fn observe(&self, event: &Event<'_>) {
        if let Event::Notice(notice) = event {
            self.0.lock().unwrap().push(notice.name);
        }
    }
}

/// A file in a folder of its own, which writes when it is told to.
struct Disk {
    folder: tempfile::TempDir,
    clock: Clock,
    told: Arc<Told>,
}

impl Disk {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Clock::manual(NOW_MS),
            told: Arc::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self, keep: Keep) -> LogFile {
        let events = Events::to(vec![Arc::clone(&self.told) as Arc<dyn Observe>]);
        LogFile::open(&self.path("access.log"), keep, self.clock.clone(), events).unwrap()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        let mut names: Vec<_> =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| name(entry).unwrap()).collect();
        names.sort();
        names
    }

    fn told(&self) -> Vec<&'static str> {
        self.told.0.lock().unwrap().clone()
    }
}

fn write(file: &mut LogFile, line: &str) {
    file.write(&mut format!("{line}\n").into_bytes(), 0);
}

fn request<'a>(path: &'a str, error: Option<&'a Error>) -> Event<'a> {
    Event::RequestEnded(RequestEnded {
        facts: RequestFacts {
            request_id: RequestId::NONE,
            route: "identity.user_me",
            env: None,
            user: Some("user-0123456789"),
            method: &Method::GET,
            path,
            remote: ([127, 0, 0, 1], 4000).into(),
        },
        status: StatusCode::OK,
        body_bytes_sent: 12,
        duration_us: 345,
        protocol: "h2",
        tls: true,
        error,
        outcome: Outcome::Complete,
    })
}

#[test]
fn a_request_is_one_line_that_names_nobody() {
    let disk = Disk::new();
    let path = disk.path("access.log");
    let log = AccessLog::open(&path, KEEP, disk.clock.clone(), Events::default()).unwrap();
    log.observe(&request("/auth/\"x\"", Some(&Error::internal("the disk is on fire"))));
    log.observe(&Event::ConnectionFailed(ConnectionFailed {
        remote: ([10, 0, 0, 1], 7).into(),
        tls: true,
        reason: ConnectionFailureReason::TlsHandshake,
        detail: "no shared cipher",
    }));
    drop(log);
    expect![[r#"
        {"at":"2026-01-01T00:00:00.123Z","request_id":"00000000000000000000000000000000","method":"GET","path":"/auth/\"x\"","status":200,"duration_us":345,"body_bytes":12,"route":"identity.user_me","remote":"127.0.0.1:4000","protocol":"h2","tls":true,"user":"user-0***","error":"internal","detail":"an internal error: the disk is on fire"}
        {"at":"2026-01-01T00:00:00.123Z","connection_failed":"tls_handshake","remote":"10.0.0.1:7","tls":true,"detail":"no shared cipher"}
    "#]]
    .assert_eq(&disk.text("access.log"));
}

#[test]
fn a_full_file_makes_room_for_the_next_and_the_oldest_goes() {
    let disk = Disk::new();
    let mut file = disk.open(Keep { file_bytes_max: 1, ..KEEP });
    for line in ["1", "2", "3", "4"] {
        write(&mut file, line);
    }
    let texts = ["access.log", "access.log.1", "access.log.2"].map(|name| disk.text(name));
    assert_eq!(texts, ["4\n", "3\n", "2\n"]);
    assert_eq!(disk.names().len(), 3);
}

#[test]
fn a_restart_goes_on_in_the_same_file_and_keeps_what_it_should() {
    let disk = Disk::new();
    for (name, text) in [("access.log", "0\n"), ("access.log.1", "a\n"), ("access.log.2", "b\n")] {
        fs::write(disk.path(name), text).unwrap();
    }
    write(&mut disk.open(KEEP), "1");
    assert_eq!(disk.text("access.log"), "0\n1\n");
    assert_eq!(disk.names(), ["access.log", "access.log.1", "access.log.2"]);
    disk.open(Keep { files: 1, ..KEEP });
    assert_eq!(disk.names(), ["access.log", "access.log.1"], "fewer are kept from now on");
}

#[test]
fn a_new_day_begins_a_new_file_where_that_is_wanted() {
    let disk = Disk::new();
    let mut file = disk.open(Keep { daily: true, ..KEEP });
    write(&mut file, "monday");
    disk.clock.advance(Duration::from_secs(23 * 3600 + 3599));
    write(&mut file, "late on monday");
    disk.clock.advance(Duration::from_secs(1));
    write(&mut file, "tuesday");
    assert_eq!(disk.text("access.log.1"), "monday\nlate on monday\n");
    assert_eq!(disk.text("access.log"), "tuesday\n");
    let Clock::Manual(now_ms) = &disk.clock else { unreachable!("a manual clock") };
    now_ms.fetch_sub(2000, std::sync::atomic::Ordering::SeqCst);
    write(&mut file, "the clock was corrected");
    disk.clock.advance(Duration::from_secs(2));
    write(&mut file, "tuesday again");
    assert_eq!(disk.names(), ["access.log", "access.log.1"], "a day begins once");
    disk.clock.advance(Duration::from_secs(3 * 24 * 3600));
    file.write(&mut Vec::new(), 0);
    assert_eq!(disk.names(), ["access.log", "access.log.1"], "nothing to write, no file");
}

#[test]
fn a_file_of_yesterday_is_put_aside_after_a_restart() {
    let disk = Disk::new();
    write(&mut disk.open(KEEP), "yesterday");
    let written = fs::File::options().append(true).open(disk.path("access.log")).unwrap();
    let yesterday = std::time::UNIX_EPOCH + Duration::from_millis(1_767_225_600_123 - 1000);
    written.set_modified(yesterday).unwrap();
    write(&mut disk.open(Keep { daily: true, ..KEEP }), "today");
    assert_eq!(disk.text("access.log.1"), "yesterday\n");
    assert_eq!(disk.text("access.log"), "today\n");
}

#[test]
fn a_file_that_is_deleted_or_moved_away_is_made_anew() {
    let disk = Disk::new();
    let mut file = disk.open(KEEP);
    write(&mut file, "1");
    fs::remove_file(disk.path("access.log")).unwrap();
    write(&mut file, "2");
    assert_eq!(disk.text("access.log"), "2\n");
    fs::rename(disk.path("access.log"), disk.path("moved")).unwrap();
    fs::write(disk.path("access.log"), "").unwrap();
    write(&mut file, "3");
    assert_eq!((disk.text("moved"), disk.text("access.log")), ("2\n".into(), "3\n".into()));
    assert_eq!(disk.told(), [""; 0]);
}

#[test]
fn a_file_that_is_truncated_in_place_counts_from_its_new_size() {
    let disk = Disk::new();
    let mut file = disk.open(Keep { file_bytes_max: 8, ..KEEP });
    for _ in 0..4 {
        write(&mut file, "1234567");
        let held = fs::File::options().write(true).open(disk.path("access.log")).unwrap();
        held.set_len(0).unwrap();
    }
    write(&mut file, "last");
    assert_eq!(disk.text("access.log"), "last\n");
    assert_eq!(disk.names(), ["access.log"]);
}

#[test]
fn a_full_disk_loses_lines_tells_once_and_counts_them_when_there_is_room() {
    let disk = Disk::new();
    let full = PathBuf::from("/dev/full");
    if !full.exists() {
        return;
    }
    symlink(full, disk.path("access.log")).unwrap();
    let mut file = disk.open(KEEP);
    file.write(&mut b"1\n2\n".to_vec(), 0);
    file.write(&mut b"3\n".to_vec(), 5);
    file.write(&mut Vec::new(), 0);
    fs::remove_file(disk.path("access.log")).unwrap();
    file.write(&mut b"4\n".to_vec(), 0);
    write(&mut file, "5");
    assert_eq!(disk.text("access.log"), "4\n{\"lines_dropped\":8}\n5\n");
    assert_eq!(disk.told(), ["access_log_failed", "access_log_recovered"]);
}

#[test]
fn a_full_disk_stops_no_request() {
    let disk = Disk::new();
    if !PathBuf::from("/dev/full").exists() {
        return;
    }
    symlink("/dev/full", disk.path("access.log")).unwrap();
    let told = Events::to(vec![Arc::clone(&disk.told) as Arc<dyn Observe>]);
    let path = disk.path("access.log");
    let log = AccessLog::open(&path, KEEP, disk.clock.clone(), told).unwrap();
    for _ in 0..20_000 {
        log.observe(&request("/", None));
    }
    log.end();
    assert_eq!(disk.told(), ["access_log_failed"], "told once, however many lines are lost");
}

#[test]
fn half_a_line_spoils_no_other() {
    let disk = Disk::new();
    fs::write(disk.path("access.log"), "{\"at\":\"2026-01").unwrap();
    write(&mut disk.open(KEEP), "1");
    assert_eq!(disk.text("access.log"), "{\"at\":\"2026-01\n1\n");
}

#[test]
fn a_file_that_cannot_be_put_aside_grows_on() {
    let disk = Disk::new();
    fs::create_dir_all(disk.path("access.log.1/kept")).unwrap();
    let mut file = disk.open(Keep { file_bytes_max: 4, files: 1, daily: false });
    for line in ["1", "2", "3", "4", "5"] {
        write(&mut file, line);
    }
    assert_eq!(disk.text("access.log"), "1\n2\n3\n4\n5\n");
    assert_eq!(disk.told(), ["access_log_not_rotated"; 2], "not at every line");
}
