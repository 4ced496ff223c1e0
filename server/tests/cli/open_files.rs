//! A server that runs out of file descriptors: clients are refused, operators are not, and one line says so.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::program::{Place, Serving};

/// Connections of clients, more than any limit below lets in.
const CLIENTS: usize = 200;

fn address(serving: &Serving, listener: &str) -> String {
    serving.ready[listener].as_str().unwrap().strip_prefix("http://").unwrap().to_owned()
}

/// What a listener answers, or nothing when it closes.
fn get(address: &str, path: &str) -> String {
    let mut answer = String::new();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    // A connection that is closed at once may be reset before it is read.
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn count(metrics: &str, reason: &str) -> u64 {
    let label = format!("yunzhan_connections_failed_total{{reason=\"{reason}\"}} ");
    let count = metrics.lines().find_map(|line| line.strip_prefix(&label));
    count.map_or(0, |count| count.trim().parse().unwrap())
}

#[test]
fn clients_that_take_every_descriptor_leave_some_to_operators() {
    let place = Place::new().with_open_files(100, 100);
    let mut serving = place.serve(&[]);
    let (http, control) = (address(&serving, "http"), address(&serving, "control"));
    let low = serving.notices_until("open_files_low").pop().unwrap();
    assert!(low["text"].as_str().unwrap().contains("may open 100 files"), "{low}");

    let clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(&http).unwrap()).collect();
    let said = serving.notices_until("descriptors_exhausted").pop().unwrap();
    assert!(said["text"].as_str().unwrap().contains("limit of open files, which is 100"), "{said}");
    assert!(get(&control, "/healthz").ends_with("\r\n\r\nok\n"));
    assert!(get(&control, "/readyz").ends_with("\r\n\r\nready\n"));
    let metrics = get(&control, "/metrics");
    assert!(count(&metrics, "no_descriptor") > 50, "{metrics}");

    drop(clients);
    // Descriptors are free as soon as the server has seen the connections end.
    while !get(&http, "/").starts_with("HTTP/1.1 200") {}
    let (code, rest) = serving.stop();
    assert_eq!(code, 0, "{rest}");
    assert!(!rest.contains("descriptors_exhausted"), "one notice for {CLIENTS} clients: {rest}");
}

#[test]
#[cfg(target_os = "linux")]
fn operators_are_answered_when_there_is_no_descriptor_at_all() {
    let place = Place::new();
    let mut serving = place.serve(&[]);
    let (http, control) = (address(&serving, "http"), address(&serving, "control"));
    let _kept: Vec<_> = (0..8).map(|_| keep_open(&http)).collect();
    // Every number below is taken now, so that nobody gets a new one.
    set_limit(&serving, first_free(&serving));
    let waiting = TcpStream::connect(&http).unwrap();
    serving.notices_until("descriptors_exhausted");
    for _ in 0..10 {
        assert!(get(&control, "/healthz").ends_with("\r\n\r\nok\n"));
    }
    set_limit(&serving, 1024);
    assert!(get(&http, "/").starts_with("HTTP/1.1 200"));
    drop(waiting);
}

/// A connection that was answered, so that it surely has its descriptor.
#[cfg(target_os = "linux")]
fn keep_open(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream
}

/// The lowest number that no descriptor of the process has.
#[cfg(target_os = "linux")]
fn first_free(serving: &Serving) -> u64 {
    let folder = format!("/proc/{}/fd", serving.process());
    (0..).find(|number| !std::path::Path::new(&format!("{folder}/{number}")).is_symlink()).unwrap()
}

#[cfg(target_os = "linux")]
fn set_limit(serving: &Serving, files: u64) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let process = Pid::from_raw(i32::try_from(serving.process()).unwrap());
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    prlimit(process, Resource::Nofile, Rlimit { current: Some(files), maximum }).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn the_soft_limit_is_raised_to_the_hard_one() {
    let place = Place::new().with_open_files(64, 512);
    let serving = place.serve(&[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", serving.process())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[3..5], ["512", "512"]);
}
