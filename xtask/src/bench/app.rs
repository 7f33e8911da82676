//! `cargo xtask bench --app`: how long the window takes to come, and what it costs while nothing happens.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat};

use crate::setup::{self, Tools};
use crate::{process, workspace};

/// Starts that are measured. One more comes before, to warm the disk's cache.
const STARTS: usize = 5;
/// A page with letters has more colours than this; a blank window has fewer.
const COLOURS_OF_TEXT: usize = 60;
/// One pixel of so many is looked at, this often: looking must not take the time of the app, which has two cores.
const LOOKED_AT: usize = 7;
const GLANCE: Duration = Duration::from_millis(20);
/// How long a window may take. It bounds a hang.
const PATIENCE: Duration = Duration::from_secs(60);
/// How the names of our processes begin: the window, WebKit's, and what keeps the files of an AppImage.
const OURS: &[&str] = &["amanuensis", "WebKit", "exe"];
/// Until everything that follows a start is done.
const SETTLE: Duration = Duration::from_secs(10);
/// How long idleness is watched.
const IDLE: Duration = Duration::from_secs(20);
/// In which unit the kernel counts what a process has computed: hundredths of a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Measures `program`, or else the app, which is built for it.
///
/// *Errors*: it cannot be built or started, or shows no window.
pub fn run(tools: &Tools, program: Option<&Path>, json: bool) -> anyhow::Result<()> {
    let program = program.map_or_else(|| build(tools), |program| Ok(program.to_owned()))?;
    let mut starts = Vec::new();
    let mut idle = None;
    for number in 0..=STARTS {
        let stage = Stage::open()?;
        let began = Instant::now();
        let _app = stage.start(&program)?;
        stage.wait_for_window(began)?;
        if number > 0 {
            starts.push(began.elapsed().as_secs_f64());
        }
        if number == STARTS {
            idle = Some(stage.idle()?);
        }
    }
    let idle = idle.context("BUG: the last start is the one that is watched")?;
    starts.sort_by(f64::total_cmp);
    let (median, worst) = (starts[STARTS / 2], starts[STARTS - 1]);
    if json {
        println!(
            "{}",
            serde_json::json!({
                "window_s": { "median": median, "worst": worst },
                "idle": { "rss_mb": idle.rss_mb, "pss_mb": idle.pss_mb, "cpu_percent": idle.cpu_percent, "processes": idle.processes },
            })
        );
        return Ok(());
    }
    process::heading(&program.display().to_string());
    println!("window drawn after      {median:6.2} s, {worst:.2} s at worst of {STARTS} (goal: 1.0 s)");
    println!("memory while idle       {:6.0} MB in {} processes (goal: 300 MB)", idle.pss_mb, idle.processes);
    println!("  shared parts in each  {:6.0} MB (an empty page of WebKitGTK alone: more than 300)", idle.rss_mb);
    println!("processor while idle    {:6.2} % of one core (goal: 0.5 %)", idle.cpu_percent);
    Ok(())
}

/// Builds the app, optimised.
pub fn build(tools: &Tools) -> anyhow::Result<PathBuf> {
    setup::build_ui(tools)?;
    let mut cargo = workspace::cargo();
    process::run(tools.equip(&mut cargo).args(["build", "--release", "--locked", "--package", "amanuensis-app"]))?;
    Ok(workspace::Metadata::read()?.target_directory.join("release/amanuensis-app"))
}

/// A program that ends with the value.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // Either it runs and can be ended, or it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A display and a home of their own.
struct Stage {
    _display: Program,
    name: String,
    home: tempfile::TempDir,
}

/// What an app costs that does nothing.
struct Idle {
    rss_mb: f64,
    pss_mb: f64,
    cpu_percent: f64,
    processes: usize,
}

impl Stage {
    fn open() -> anyhow::Result<Self> {
        let mut xvfb = Command::new("Xvfb");
        xvfb.args(["-displayfd", "1", "-screen", "0", "800x800x24", "-nolisten", "tcp"]);
        let display = xvfb.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut display = Program(display.context("cannot start Xvfb")?);
        let mut number = String::new();
        let output = display.0.stdout.take().context("BUG: it was given a pipe")?;
        BufReader::new(output).read_line(&mut number)?;
        ensure!(!number.trim().is_empty(), "Xvfb did not start");
        let home = tempfile::tempdir().context("cannot make a temporary folder")?;
        Ok(Self { _display: display, name: format!(":{}", number.trim()), home })
    }

    fn start(&self, program: &Path) -> anyhow::Result<Program> {
        let mut app = Command::new("dbus-run-session");
        app.arg("--").arg(program).env("DISPLAY", &self.name).env_remove("WAYLAND_DISPLAY").env("GDK_BACKEND", "x11");
        for variable in ["HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
            app.env(variable, self.home.path());
        }
        app.env("LIBGL_ALWAYS_SOFTWARE", "1").env("NO_AT_BRIDGE", "1");
        let started = app.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Program(started.with_context(|| format!("cannot start {}", program.display()))?))
    }

    /// Returns when there are letters on the display.
    fn wait_for_window(&self, began: Instant) -> anyhow::Result<()> {
        let (display, screen) = x11rb::connect(Some(&self.name)).context("cannot look at the display")?;
        let screen = &display.setup().roots[screen];
        let (width, height) = (screen.width_in_pixels, screen.height_in_pixels);
        loop {
            let picture = display.get_image(ImageFormat::Z_PIXMAP, screen.root, 0, 0, width, height, !0)?.reply()?;
            let colours: HashSet<&[u8]> = picture.data.chunks_exact(4).step_by(LOOKED_AT).collect();
            if colours.len() > COLOURS_OF_TEXT {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                bail!("no window was drawn within {PATIENCE:?}");
            }
            std::thread::sleep(GLANCE);
        }
    }

    fn idle(&self) -> anyhow::Result<Idle> {
        std::thread::sleep(SETTLE);
        let processes = self.processes();
        let computed = || processes.iter().filter_map(|process| ticks(process)).sum::<u64>();
        let before = computed();
        std::thread::sleep(IDLE);
        let seconds = (computed() - before) as f64 / TICKS_PER_SECOND;
        let sum =
            |field: &str| processes.iter().filter_map(|process| kilobytes(process, field)).sum::<u64>() as f64 / 1e3;
        Ok(Idle {
            rss_mb: sum("Rss:"),
            pss_mb: sum("Pss:"),
            cpu_percent: 100.0 * seconds / IDLE.as_secs_f64(),
            processes: processes.len(),
        })
    }

    /// The app's processes. What the bus started beside them, for readers of the screen for example, is the desktop's.
    fn processes(&self) -> Vec<PathBuf> {
        let here = format!("DISPLAY={}\0", self.name).into_bytes();
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
        let ours = all.filter(|process| {
            let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
            let environment = std::fs::read(process.join("environ")).unwrap_or_default();
            OURS.iter().any(|ours| name.starts_with(ours)) && environment.windows(here.len()).any(|part| part == here)
        });
        ours.collect()
    }
}

/// What a process has computed so far, in the kernel's unit.
fn ticks(process: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(process.join("stat")).ok()?;
    // The name, in brackets, may hold anything.
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// A figure of a process's memory.
fn kilobytes(process: &Path, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(process.join("smaps_rollup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(field))?.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_a_process_costs() {
        let own = Path::new("/proc/self");
        assert!(kilobytes(own, "Rss:").unwrap() >= kilobytes(own, "Pss:").unwrap());
        let before = ticks(own).unwrap();
        let began = Instant::now();
        // Many of the kernel's units, however busy the machine is.
        while ticks(own).unwrap() < before + 5 {
            assert!(began.elapsed() < PATIENCE, "nothing was counted");
        }
    }
}
