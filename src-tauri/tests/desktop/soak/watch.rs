//! What the app's processes cost while it goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use super::report::{Report, Sample};

const EVERY: Duration = Duration::from_secs(5);

/// Looks at the processes until it is stopped.
pub struct Watch {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Sample>>>,
}

impl Watch {
    /// Begins to look at what runs on this display.
    pub fn start(display: &str) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let (display, ending, began) = (display.to_owned(), Arc::clone(&ends), Instant::now());
        let thread = std::thread::spawn(move || {
            let mut samples = Vec::new();
            let mut next = began;
            while !ending.load(Ordering::SeqCst) {
                if Instant::now() >= next {
                    next += EVERY;
                    samples.extend(sample(&display, began.elapsed()));
                }
                sleep(Duration::from_millis(100));
            }
            samples
        });
        Self { ends, thread: Some(thread) }
    }

    /// Hands over what was seen.
    pub fn stop(&mut self, report: &mut Report) {
        self.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            report.samples = thread.join().expect("looking does not panic");
        }
    }
}

/// A process of the app's.
pub struct Process {
    pub id: u32,
    /// The kernel keeps fifteen letters of it.
    pub name: String,
    folder: PathBuf,
}

/// The app's processes on this display, and WebKit's.
pub fn processes(display: &str) -> Vec<Process> {
    let here = format!("DISPLAY={display}\0").into_bytes();
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ours = all.filter_map(|entry| {
        let folder = entry.path();
        let id = entry.file_name().to_str()?.parse().ok()?;
        let name = std::fs::read_to_string(folder.join("comm")).ok()?.trim().to_owned();
        let environment = std::fs::read(folder.join("environ")).ok()?;
        let is_ours = name.starts_with("amanuensis-app") || name.starts_with("WebKit");
        (is_ours && environment.windows(here.len()).any(|part| part == here)).then_some(Process { id, name, folder })
    });
    ours.collect()
}

fn sample(display: &str, at: Duration) -> Option<Sample> {
    let processes = processes(display);
    let (app, web): (Vec<_>, Vec<_>) = processes.iter().partition(|process| process.name.starts_with("amanuensis-app"));
    let app = app.first()?;
    let mib = |process: &Process| status(&process.folder, "VmRSS:") / 1_024;
    Some(Sample {
        at,
        app: app.id,
        app_mib: mib(app),
        web_mib: web.iter().map(|process| mib(process)).sum(),
        web: web.iter().map(|process| process.id).collect(),
        files: std::fs::read_dir(app.folder.join("fd")).map_or(0, Iterator::count) as u64,
        threads: status(&app.folder, "Threads:"),
    })
}

/// A number that the kernel tells of a process.
fn status(folder: &Path, field: &str) -> u64 {
    let text = std::fs::read_to_string(folder.join("status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
