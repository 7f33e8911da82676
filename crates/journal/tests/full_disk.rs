//! Disks that are full, or may only be read: real ones, small and in memory, which vanish with the process that sees them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use amanuensis_journal::{Folder, Head, Limits, Reader, Recorder, Report, Warning};

/// Set in the process that sees the small disk: where it is.
const DISK: &str = "AMANUENSIS_TEST_DISK";
/// Bounds a hang; no test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the test of this name again with a disk of 256 KiB, mounted with these options. False where that may not be done.
fn with_small_disk(test: &str, options: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("mount -t tmpfs -o size=256k,{options} none \"$1\" || exit 77; shift; exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(folder.path());
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(DISK, folder.path());
    let output = command.stdin(Stdio::null()).output();
    match output {
        Ok(output)
            if output.status.code() != Some(77) && !String::from_utf8_lossy(&output.stderr).contains("unshare:") =>
        {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            true
        }
        _ => {
            println!("skipped: a file system can be mounted by root only");
            false
        }
    }
}

fn disk() -> Option<PathBuf> {
    std::env::var_os(DISK).map(PathBuf::from)
}

fn record(folder: &Path) -> (Recorder, mpsc::Receiver<Report>) {
    let head = Head { sample_rate: 16_000, started: SystemTime::now(), take: 1 };
    let (sender, reports) = mpsc::channel();
    let path = Folder::new(folder.to_owned()).new_journal(&head);
    let recorder = Recorder::start(path, head, Limits::default(), move |report| _ = sender.send(report)).unwrap();
    (recorder, reports)
}

/// Ten seconds, 320 kB.
fn sound() -> Vec<f32> {
    (0..160_000).map(|index| (index % 30_011) as f32 / 32_768.0).collect()
}

#[test]
fn on_a_full_disk_it_goes_on_in_memory_until_there_is_room() {
    let Some(disk) = disk() else {
        with_small_disk("on_a_full_disk_it_goes_on_in_memory_until_there_is_room", "rw");
        return;
    };
    std::fs::write(disk.join("other"), vec![0; 128 << 10]).unwrap();
    let (mut recorder, reports) = record(&disk.join("journal"));
    // A quarter of it fits, and is not harmed by what does not.
    for second in sound()[..96_000].chunks(16_000) {
        recorder.push(second);
    }
    assert_eq!(reports.recv_timeout(PATIENCE), Ok(Report::Warning(Warning::DiskFull)));
    let saved = Reader::new(std::fs::File::open(recorder.path()).unwrap()).unwrap().read_to_end().unwrap();
    assert!(!saved.is_empty() && saved.iter().enumerate().all(|(index, sample)| *sample as usize == index % 30_011));
    std::fs::remove_file(disk.join("other")).unwrap();
    assert_eq!(reports.recv_timeout(PATIENCE), Ok(Report::Warning(Warning::Mended)));
    recorder.finish();
    let length = Duration::from_secs(6);
    assert_eq!(reports.recv_timeout(PATIENCE), Ok(Report::Closed { saved: length, whole: true }));
    let saved = Reader::new(std::fs::File::open(recorder.path()).unwrap()).unwrap().read_to_end().unwrap();
    assert!(
        saved.len() == 96_000 && saved.iter().enumerate().all(|(index, sample)| *sample as usize == index % 30_011)
    );
}

#[test]
fn in_a_home_that_may_only_be_read_it_says_so_and_the_rest_goes_on() {
    let Some(disk) = disk() else {
        with_small_disk("in_a_home_that_may_only_be_read_it_says_so_and_the_rest_goes_on", "ro");
        return;
    };
    let folder = disk.join("journal");
    let (mut recorder, reports) = record(&folder);
    recorder.push(&sound());
    assert_eq!(reports.recv_timeout(PATIENCE), Ok(Report::Warning(Warning::ReadOnly { folder })));
    recorder.finish();
    assert_eq!(reports.recv_timeout(PATIENCE), Ok(Report::Closed { saved: Duration::ZERO, whole: false }));
}

#[test]
fn what_fits_neither_on_the_disk_nor_in_memory_is_told() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("journal");
    std::fs::write(&folder, "a file in the folder's place").unwrap();
    let head = Head { sample_rate: 16_000, started: SystemTime::now(), take: 1 };
    let (sender, reports) = mpsc::channel();
    let limits = Limits { memory: Duration::from_secs(3), ..Limits::default() };
    let path = Folder::new(folder).new_journal(&head);
    let mut recorder = Recorder::start(path, head, limits, move |report| _ = sender.send(report)).unwrap();
    for second in sound().chunks(16_000) {
        recorder.push(second);
    }
    drop(recorder);
    let told: Vec<Report> = reports.iter().collect();
    assert!(matches!(told[0], Report::Warning(Warning::Failing { .. })), "{told:?}");
    assert!(told.contains(&Report::Warning(Warning::GaveUp { saved: Duration::from_secs(3) })), "{told:?}");
    assert_eq!(told.last(), Some(&Report::Closed { saved: Duration::ZERO, whole: false }));
}
