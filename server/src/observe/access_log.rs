//! The access log: one line of JSON for each request and each failed connection.
//!
//! A request formats its line into a shared buffer under a short lock; a thread of its own writes the buffer out every
//! 200 ms or when it is full, and starts a new file when the present one has reached its bound. When the disk does not
//! keep up, lines are dropped and counted: a log never stops the traffic it tells of.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use yunzhan_base::event::{
    AttackSuspected, ConnectionFailed, Event, Observe, Outcome, RequestEnded,
};
use yunzhan_base::{Clock, mask};

use super::line::Line;

/// A reader of the log sees a line after this time at the latest.
const WRITE_PERIOD: Duration = Duration::from_millis(200);

/// A buffer of this size is worth a write of its own.
const WRITE_BYTES: usize = 64 << 10;

/// What waits for a slow disk at the most; about 16,000 lines.
const BUFFER_BYTES_MAX: usize = 4 << 20;

/// Paths longer than this are cut: they are attacks, not addresses.
const PATH_CHARS_MAX: usize = 512;

/// Causes are long when sources chain.
const DETAIL_CHARS_MAX: usize = 512;

/// Rules that matched one request and that its line tells of.
const MATCHES_MAX: usize = 50;

/// Routes that machines ask all day.
const PROBES: [&str; 3] = ["server.healthz", "server.readyz", "server.metrics"];

/// How much log is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// Bytes of one file.
    pub(crate) file_bytes_max: u64,
    /// Older files beside the present one.
    pub(crate) files: u32,
}

/// Takes events and writes lines. Dropping it writes what waits.
pub(crate) struct AccessLog {
    shared: Arc<Shared>,
    clock: Clock,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
}

#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    dropped: u64,
    ended: bool,
}

// === impl AccessLog ===

impl AccessLog {
    /// Opens the file at the end and starts the writer.
    pub(crate) fn open(path: &Path, keep: Keep, clock: Clock) -> io::Result<Self> {
        let mut output = Output::open(path, keep)?;
        let shared = Arc::new(Shared { pending: Mutex::default(), wake: Condvar::new() });
        let taken = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || while taken.write_pending(&mut output) {})?;
        Ok(Self { shared, clock, writer: Mutex::new(Some(writer)) })
    }

    /// Writes what waits and ends the writer; lines of events that come later are lost.
    pub(crate) fn end(&self) {
        self.shared.lock().ended = true;
        self.shared.wake.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }

    fn append(&self, format: impl FnOnce(&mut Vec<u8>)) {
        let mut pending = self.shared.lock();
        if pending.lines.len() >= BUFFER_BYTES_MAX {
            pending.dropped += 1;
            return;
        }
        let before = pending.lines.len();
        format(&mut pending.lines);
        let filled = before < WRITE_BYTES && pending.lines.len() >= WRITE_BYTES;
        drop(pending);
        if filled {
            self.shared.wake.notify_one();
        }
    }
}

impl Observe for AccessLog {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::RequestEnded(request) if is_probe(request) => {}
            Event::RequestEnded(request) => {
                self.append(|lines| request_line(lines, self.clock.now_ms(), request));
            }
            Event::AttackSuspected(attack) => {
                self.append(|lines| attack_line(lines, self.clock.now_ms(), attack));
            }
            Event::ConnectionFailed(failed) => {
                self.append(|lines| connection_line(lines, self.clock.now_ms(), failed));
            }
            Event::SqlEnded(_) | Event::TaskEnded(_) | Event::Notice(_) => {}
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.end();
    }
}

// === impl Shared ===

impl Shared {
    /// Every section under this lock leaves whole lines, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines, writes them, and says whether there may be more.
    fn write_pending(&self, output: &mut Output) -> bool {
        let idle = |pending: &mut Pending| pending.lines.len() < WRITE_BYTES && !pending.ended;
        let waited = self.wake.wait_timeout_while(self.lock(), WRITE_PERIOD, idle);
        let (mut pending, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::replace(&mut pending.lines, std::mem::take(&mut output.spare));
        let (dropped, ended) = (std::mem::take(&mut pending.dropped), pending.ended);
        drop(pending);
        output.write(lines, dropped);
        !ended
    }
}

/// Probes of an orchestrator come every few seconds and say nothing while all is well.
fn is_probe(request: &RequestEnded<'_>) -> bool {
    request.status.is_success() && PROBES.contains(&request.route)
}

fn request_line(lines: &mut Vec<u8>, now_ms: i64, request: &RequestEnded<'_>) {
    let mut line = Line::begin(lines);
    let id = request.request_id.hex();
    line.word("at", Timestamp(now_ms).text(&mut [0; 24]))
        .word("request_id", std::str::from_utf8(&id).unwrap_or_default())
        .text("method", request.method.as_str(), 32)
        .text("path", request.path, PATH_CHARS_MAX)
        .number("status", u64::from(request.status.as_u16()))
        .number("duration_us", request.duration_us)
        .number("body_bytes", request.body_bytes_sent)
        .text("route", request.route, 128)
        .address("remote", request.remote)
        .word("protocol", request.protocol)
        .plain("tls", false, request.tls);
    if let Some(env) = request.env {
        line.word("env", env.as_str());
    }
    if let Some(user) = request.user {
        line.text("user", &mask::identifier(user), 16);
    }
    if request.outcome != Outcome::Complete {
        line.plain("outcome", true, outcome_name(request.outcome));
    }
    if let Some(error) = request.error {
        line.plain("error", true, error.kind().name()).text(
            "detail",
            &error.log_text(),
            DETAIL_CHARS_MAX,
        );
    }
    line.end();
}

/// One line for a request, and each rule that matched in the order of matching.
fn attack_line(lines: &mut Vec<u8>, now_ms: i64, attack: &AttackSuspected<'_>) {
    let mut line = Line::begin(lines);
    let id = attack.request_id.hex();
    line.word("at", Timestamp(now_ms).text(&mut [0; 24]))
        .word("attack", attack.matches.first().map_or("none", |first| first.attack.name()))
        .word("request_id", std::str::from_utf8(&id).unwrap_or_default())
        .text("method", attack.method.as_str(), 32)
        .text("path", attack.path, PATH_CHARS_MAX)
        .text("route", attack.route, 128)
        .address("remote", attack.remote)
        .plain("refused", false, attack.is_refused);
    if attack.is_exhausted {
        line.plain("exhausted", false, true);
    }
    if let Some(score) = attack.score {
        line.plain("score", false, score);
    }
    if let Some(env) = attack.env {
        line.word("env", env.as_str());
    }
    if let Some(user) = attack.user {
        line.text("user", &mask::identifier(user), 16);
    }
    line.list("matches", attack.matches.iter().take(MATCHES_MAX), |line, matched| {
        if let Some(rule) = matched.rule {
            line.number("rule", rule);
        }
        line.word("attack", matched.attack.name())
            .text("message", matched.message, DETAIL_CHARS_MAX)
            .text("variable", matched.variable, 128)
            .text("value", &matched.value, DETAIL_CHARS_MAX)
            .text("data", &matched.data, DETAIL_CHARS_MAX);
    });
    line.end();
}

fn connection_line(lines: &mut Vec<u8>, now_ms: i64, failed: &ConnectionFailed<'_>) {
    Line::begin(lines)
        .plain("at", true, Timestamp(now_ms))
        .plain("connection_failed", true, failed.reason)
        .plain("remote", true, failed.remote)
        .plain("tls", false, failed.tls)
        .text("detail", failed.detail, DETAIL_CHARS_MAX)
        .end();
}

const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Complete => "complete",
        Outcome::ClientGone => "client_gone",
        Outcome::BodyBroke => "body_broke",
    }
}

/// Milliseconds since 1970 as `2026-01-31T12:00:00.123Z`, without a calendar library on the path of a request.
pub(crate) struct Timestamp(pub(crate) i64);

impl Timestamp {
    /// The text, written into `room` digit by digit: a request must not pay for the formatting machinery.
    pub(crate) fn text(self, room: &mut [u8; 24]) -> &str {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil(days);
        room.copy_from_slice(b"0000-00-00T00:00:00.000Z");
        for (place, width, value) in [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, ms / 3_600_000),
            (14, 2, ms / 60_000 % 60),
            (17, 2, ms / 1000 % 60),
            (20, 3, ms % 1000),
        ] {
            write_digits(&mut room[place..place + width], value);
        }
        std::str::from_utf8(room).expect("digits and separators")
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Self(self.0).text(&mut [0; 24]))
    }
}

/// The last digits of a number that is not negative, as many as there is room for.
fn write_digits(room: &mut [u8], mut value: i64) {
    for digit in room.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value.rem_euclid(10)).expect("one digit");
        value = value.div_euclid(10);
    }
}

/// Year, month and day of a count of days since 1970, counting years from March so that the leap day comes last.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

// === impl Output ===

/// The file, and how it is replaced when it is full.
struct Output {
    path: PathBuf,
    keep: Keep,
    file: File,
    written: u64,
    /// The buffer of the round before, to be filled in the next.
    spare: Vec<u8>,
}

impl Output {
    fn open(path: &Path, keep: Keep) -> io::Result<Self> {
        let file = open_at_end(path)?;
        let written = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), keep, file, written, spare: Vec::new() })
    }

    /// Writes the lines. A disk that refuses loses them: the next round tries again with the next ones.
    fn write(&mut self, mut lines: Vec<u8>, dropped: u64) {
        if dropped > 0 {
            Line::begin(&mut lines).plain("lines_dropped", false, dropped).end();
        }
        if !lines.is_empty() {
            if self.written >= self.keep.file_bytes_max && self.rotate().is_err() {
                self.written = 0;
            }
            if self.file.write_all(&lines).is_ok() {
                self.written += lines.len() as u64;
            }
            lines.clear();
            lines.shrink_to(2 * WRITE_BYTES);
        }
        self.spare = lines;
    }

    /// `access.log` becomes `access.log.1`, that one `.2`; the last is dropped.
    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..self.keep.files).rev() {
            ignore_absent(fs::rename(numbered(number), numbered(number + 1)))?;
        }
        if self.keep.files > 0 {
            fs::rename(&self.path, numbered(1))?;
        } else {
            fs::remove_file(&self.path)?;
        }
        self.file = open_at_end(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

fn open_at_end(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn ignore_absent(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use expect_test::expect;
    use http::{Method, StatusCode};
    use yunzhan_base::{Error, RequestId};

    use super::*;

    const KEEP: Keep = Keep { file_bytes_max: 1 << 20, files: 2 };

    fn request<'a>(path: &'a str, error: Option<&'a Error>) -> Event<'a> {
        Event::RequestEnded(RequestEnded {
            request_id: RequestId::NONE,
            route: "identity.user_me",
            env: None,
            user: Some("user-0123456789"),
            method: &Method::GET,
            path,
            status: StatusCode::OK,
            body_bytes_sent: 12,
            duration_us: 345,
            remote: ([127, 0, 0, 1], 4000).into(),
            protocol: "h2",
            tls: true,
            error,
            outcome: Outcome::Complete,
        })
    }

    fn logged(keep: Keep, events: &[Event<'_>]) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = AccessLog::open(&path, keep, Clock::manual(1_767_225_600_123)).unwrap();
        for event in events {
            log.observe(event);
        }
        drop(log);
        let text = fs::read_to_string(&path).unwrap();
        (folder, text)
    }

    #[test]
    fn a_request_is_one_line_that_names_nobody() {
        let error = Error::internal("the disk is on fire");
        let (_folder, text) = logged(KEEP, &[request("/auth/\"x\"", Some(&error))]);
        expect![[r#"
            {"at":"2026-01-01T00:00:00.123Z","request_id":"00000000000000000000000000000000","method":"GET","path":"/auth/\"x\"","status":200,"duration_us":345,"body_bytes":12,"route":"identity.user_me","remote":"127.0.0.1:4000","protocol":"h2","tls":true,"user":"user-0***","error":"internal","detail":"an internal error: the disk is on fire"}
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn a_full_file_makes_room_for_the_next_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let keep = Keep { file_bytes_max: 1, files: 2 };
        for round in ["/1", "/2", "/3", "/4"] {
            let log = AccessLog::open(&path, keep, Clock::manual(0)).unwrap();
            log.observe(&request(round, None));
        }
        let holds = |name: &str, round: &str| {
            fs::read_to_string(folder.path().join(name)).unwrap().contains(round)
        };
        assert!(
            holds("access.log", "/4") && holds("access.log.1", "/3") && holds("access.log.2", "/2")
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn days_become_dates() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), text);
        }
    }
}
