//! A disk without room: nothing is lost, reads go on, and whoever should know is told.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::Place;

/// A small file system of its own, while this lives.
struct Disk(PathBuf);

impl Disk {
    /// None where this process may not mount; that is said by name.
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "none"]).arg(&at).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(at));
        }
        // Written past the test harness, which hides what passing tests print.
        let _ = std::io::stderr().write_all(b"skipped: a full disk (needs the right to mount)\n");
        None
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let filler = self.0.join("filler");
        let mut file = fs::File::create(&filler).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        filler
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn data(disk: &Disk) -> String {
    Path::new(&disk.0).join("data").display().to_string()
}

#[test]
fn a_full_disk_is_told_reads_go_on_and_it_ends_by_itself() {
    let place = Place::new();
    let Some(disk) = Disk::mount(place.path("disk"), "24m") else { return };
    let data = data(&disk);
    let with = ["--data", data.as_str()];
    let add = |name: String| place.run(&[&with[..], &["env", "add", &name]].concat());
    let mut serving = place.serve(&with);
    assert_eq!(serving.control("/readyz"), (200, "ready\n".into()));
    let filler = disk.fill();
    // What is open already may have a little room left.
    // Logins, which write and are no acts: those would be refused by the audit, which lies on the same disk.
    let refused = (0..500).map(|_| serving.visit()).find(|(status, _)| *status != 200);
    let (_, complaint) = refused.expect("a refusal");
    assert!(complaint.contains("takes no writes now: its disk is full"), "{complaint}");
    assert_eq!(serving.control("/readyz"), (503, "database (sqlite): disk full\n".into()));
    assert_eq!(serving.control("/healthz").0, 200);
    let gauge = r#"yunzhan_storage_refuses_writes{engine="sqlite",reason="disk_full"}"#;
    assert!(serving.control("/metrics").1.contains(&format!("{gauge} 1")));
    assert!(place.good(&[&with[..], &["env", "list"]].concat()).contains("demo"));
    add("another".into());
    let told = serving.notices_until("storage_refuses_writes");
    let text = told.last().unwrap()["text"].as_str().unwrap().to_owned();
    assert!(text.contains("the database (sqlite) takes no writes: disk full"), "{text}");

    fs::remove_file(filler).unwrap();
    let told = serving.notices_until("storage_takes_writes");
    let again = told.iter().filter(|notice| notice["notice"] == "storage_refuses_writes").count();
    assert_eq!(again, 0, "it is told once: {told:?}");
    assert_eq!(serving.control("/readyz"), (200, "ready\n".into()));
    assert!(serving.control("/metrics").1.contains(&format!("{gauge} 0")));
    assert_eq!(add("after".into()).0, 0);
    assert_eq!(serving.stop().0, 0);
}

#[test]
fn a_database_file_that_is_gone_is_told_and_never_made_anew() {
    let place = Place::new();
    let mut serving = place.serve(&[]);
    let file = place.path("yunzhan-data/system.db");
    fs::rename(&file, place.path("aside.db")).unwrap();
    let complaint = place.bad(&["env", "add", "shop"]);
    assert!(complaint.contains("takes no writes now: its file is gone"), "{complaint}");
    let told = serving.notices_until("storage_refuses_writes");
    assert!(told.last().unwrap()["text"].as_str().unwrap().contains("put the file back"));
    let gone = "database (sqlite): file moved, removed or replaced\n";
    assert_eq!(serving.control("/readyz"), (503, gone.into()));
    assert!(!file.exists());
    fs::rename(place.path("aside.db"), &file).unwrap();
    serving.notices_until("storage_takes_writes");
    place.good(&["env", "add", "shop"]);
    assert_eq!(serving.control("/readyz"), (200, "ready\n".into()));
}
