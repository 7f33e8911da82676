//! Proof that packages run where nothing of ours, of GTK or of WebKit is: in bare systems of Debian, by the tests of the window.
//!
//! Display, microphone and message bus are this machine's; the bare system has what belongs to a graphics driver and to fonts, as
//! every desktop does. The tests are told to start a script instead of the program that they were built with, and the script
//! goes into the bare system.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::{files_below, name, write};
use crate::setup::Tools;
use crate::{process, workspace};

/// Which Debian.
const SYSTEMS: &[&str] = &["bookworm", "trixie"];

/// What the AppImage leaves to the system, and fonts to draw with.
const OF_EVERY_DESKTOP: &str = "ca-certificates,dbus,fontconfig,fonts-dejavu-core,libasound2,libegl1,libfribidi0,libgbm1,libgl1,libgles2,\
                                libgl1-mesa-dri,libharfbuzz0b,libwayland-client0,libwayland-egl1,libwayland-server0,libx11-xcb1";

/// Tests of the window that a package has to pass: it draws, listens, takes a dropped file, and a second start finds the first.
const TESTS: &[&str] = &[
    "the_window_is_drawn_and_ends_when_it_is_closed",
    "what_is_said_is_in_the_window_after_the_stop",
    "a_dropped_file_is_written_out_and_one_that_runs_can_be_cancelled",
    "a_second_start_tells_the_first_one_what_to_do",
];

/// A way to use the AppImage.
struct Case {
    name: &'static str,
    /// Whether there is FUSE.
    fuse: bool,
    /// The home, instead of the test's own; it cannot be written to.
    home: Option<&'static str>,
    tests: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case { name: "mounted", fuse: true, home: None, tests: TESTS },
    Case {
        name: "without FUSE",
        fuse: false,
        home: None,
        tests: TESTS.first_chunk::<2>().expect("BUG: there are two").as_slice(),
    },
    Case {
        name: "home that is read-only and not ASCII",
        fuse: true,
        home: Some("/home/Zoë Плюшкин"),
        tests: TESTS.first_chunk::<2>().expect("BUG: there are two").as_slice(),
    },
];

/// Tries the packages in `folder`. Returns whether all tests passed.
///
/// *Errors*: this is not root, there are no packages, or a bare system cannot be made.
pub fn run(tools: &Tools, folder: &Path) -> anyhow::Result<bool> {
    let user = process::output(Command::new("id").arg("-u"))?;
    ensure!(user.trim() == "0", "only root can make bare systems and go into them: start this with sudo");
    let packages = files_below(folder)?;
    let ending = |ending: &str| {
        let found = packages.iter().find(|file| file.extension().is_some_and(|known| known == ending)).cloned();
        found.with_context(|| format!("there is no {ending} in {}: run `cargo xtask package` first", folder.display()))
    };
    let (appimage, deb) = (ending("AppImage")?, ending("deb")?);
    process::heading("lintian");
    // It has opinions, too, which end with another status.
    let _ = process::run(
        Command::new("lintian").args(["--tag-display-limit=0", "--suppress-tags"]).arg(TOLERATED).arg(&deb),
    );
    let mut well = true;
    for system in SYSTEMS {
        let root = bare_system(system)?;
        for case in CASES {
            process::heading(&format!("AppImage on {system}, {}", case.name));
            let inside = format!("/mnt/{}", name(&appimage));
            well &= test(tools, &enter(&root, folder, &inside, case)?, case.tests)?;
        }
        process::heading(&format!("Debian package on {system}"));
        well &= try_deb(tools, &root, folder, &deb)?;
    }
    Ok(well)
}

/// What lintian says of packages that are not in Debian's archive, or that are not built by its helpers.
const TOLERATED: &str = "no-changelog,initial-upload-closes-no-bugs,bogus-mail-host-in-debian-changelog";

/// A Debian of which only the essential is there, and what [`OF_EVERY_DESKTOP`] names. It is made once, and kept in the cache.
fn bare_system(suite: &str) -> anyhow::Result<PathBuf> {
    let root = workspace::cache()?.join("roots").join(suite);
    if root.join("usr/bin/apt-get").exists() {
        return Ok(root);
    }
    process::heading(&format!("a bare {suite} in {}", root.display()));
    std::fs::create_dir_all(&root).context("cannot make a folder for a bare system")?;
    let mut make = Command::new("mmdebstrap");
    make.args(["--mode=root", "--variant=minbase", "--include", OF_EVERY_DESKTOP, suite]).arg(&root);
    process::run(make.arg("http://deb.debian.org/debian"))?;
    Ok(root)
}

/// Writes the script that starts `program` in the system at `root`, where `packages` lie in `/mnt`. Returns the script.
fn enter(root: &Path, packages: &Path, program: &str, case: &Case) -> anyhow::Result<PathBuf> {
    let mut devices = vec!["null", "zero", "full", "random", "urandom", "tty"];
    if case.fuse {
        devices.push("fuse");
    }
    let place = |path: &str| quoted(&format!("{}{path}", root.display()));
    let mut inside = String::new();
    // None of this is seen outside, and all of it ends with the program.
    writeln!(inside, "set -e")?;
    writeln!(inside, "mount -t tmpfs tmpfs {}", place("/dev"))?;
    writeln!(inside, "mkdir {}", place("/dev/shm"))?;
    for device in devices {
        let inner = place(&format!("/dev/{device}"));
        writeln!(inside, "touch {inner}; mount --bind /dev/{device} {inner}")?;
    }
    writeln!(inside, "ln -s /proc/self/fd {}", place("/dev/fd"))?;
    for folder in ["/proc", "/sys", "/tmp"] {
        writeln!(inside, "mount --rbind {folder} {}", place(folder))?;
    }
    writeln!(inside, "mount --bind {} {}", quoted(&packages.display().to_string()), place("/mnt"))?;
    let mut environment = String::new();
    if let Some(home) = case.home {
        writeln!(inside, "mkdir -p {}", place(home))?;
        // With the test's settings, which say that the guide was gone through: it would lie over the window.
        writeln!(inside, "mount -t tmpfs tmpfs {}", place(home))?;
        writeln!(inside, "cp -r \"$XDG_CONFIG_HOME\" {}", place(&format!("{home}/config")))?;
        writeln!(inside, "mount -o remount,ro {}", place(home))?;
        for (variable, below) in
            [("HOME", ""), ("XDG_DATA_HOME", "/data"), ("XDG_CONFIG_HOME", "/config"), ("XDG_CACHE_HOME", "/cache")]
        {
            write!(environment, " {}", quoted(&format!("{variable}={home}{below}")))?;
        }
    }
    writeln!(inside, "exec chroot {} /usr/bin/env{environment} {} \"$@\"", place(""), quoted(program))?;
    let file = packages.join("work/enter.sh");
    let script =
        format!("#!/bin/sh\nexec unshare --mount --propagation slave /bin/sh -c {} sh \"$@\"\n", quoted(&inside));
    write(&file, script.as_bytes(), 0o755)?;
    Ok(file)
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Lets the tests of the window use `program`. Returns whether they passed.
fn test(tools: &Tools, program: &Path, tests: &[&str]) -> anyhow::Result<bool> {
    let filter = tests.iter().map(|test| format!("test(={test})")).collect::<Vec<_>>().join(" | ");
    let mut cargo = workspace::cargo();
    tools.equip(&mut cargo).env("AMANUENSIS_TEST_APP", program);
    // The whole workspace, as `cargo xtask test` builds it: another choice of packages would build GTK and tauri anew.
    cargo.args(["nextest", "run", "--locked", "--workspace", "--test", "desktop", "-E", &filter]);
    process::watch(&mut cargo, |_| ())
}

/// Installs the package with apt, uses it, installs a later version over it, and removes it without a trace.
fn try_deb(tools: &Tools, root: &Path, folder: &Path, deb: &Path) -> anyhow::Result<bool> {
    // A copy, which is thrown away: what is installed would be there the next time.
    let copy = root.with_extension("deb");
    let _ = std::fs::remove_dir_all(&copy);
    process::run(Command::new("cp").args(["--archive", "--reflink=auto"]).args([root, &copy]))?;
    let outcome = use_deb(tools, &copy, folder, deb);
    std::fs::remove_dir_all(&copy).context("cannot remove the copy of the bare system")?;
    outcome
}

fn use_deb(tools: &Tools, root: &Path, folder: &Path, deb: &Path) -> anyhow::Result<bool> {
    let later = later_version(deb, folder)?;
    let inside = |words: &[&str]| {
        let mut command = Command::new("chroot");
        command.arg(root).args(["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"]).args(words);
        process::output(&mut command)
    };
    for package in [deb, &later] {
        std::fs::copy(package, root.join("tmp").join(name(package))).context("cannot copy the package")?;
    }
    inside(&["apt-get", "update"])?;
    let install = |package: &Path| {
        let path = format!("/tmp/{}", name(package));
        inside(&["apt-get", "install", "--yes", "--no-install-recommends", &path])
    };
    install(deb)?;
    let first = inside(&["amanuensis", "--version"])?;
    println!("installed: {}", first.trim());
    let case = Case { name: "", fuse: false, home: None, tests: TESTS };
    let passed = test(tools, &enter(root, folder, "/usr/bin/amanuensis-app", &case)?, case.tests)?;

    let owned = inside(&["dpkg-query", "--listfiles", "amanuensis"])?;
    install(&later)?;
    let version = inside(&["dpkg-query", "--show", "--showformat=${Version}", "amanuensis"])?;
    println!("upgraded to {version}");
    inside(&["apt-get", "purge", "--yes", "amanuensis"])?;
    let left =
        owned.lines().filter(|file| file.contains("manuensis")).map(|file| root.join(file.trim_start_matches('/')));
    let left: Vec<_> = left.filter(|file| file.symlink_metadata().is_ok()).collect();
    if !left.is_empty() {
        bail!("the package left behind {left:?}");
    }
    println!("removed, and nothing of it is left");
    Ok(passed)
}

/// The same package with a higher version.
fn later_version(deb: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let work = folder.join("work/later");
    let _ = std::fs::remove_dir_all(&work);
    process::run(Command::new("dpkg-deb").arg("--raw-extract").args([deb, &work]))?;
    let control = work.join("DEBIAN/control");
    let text = std::fs::read_to_string(&control).context("cannot read the package's control file")?;
    let raised = text
        .lines()
        .map(|line| if line.starts_with("Version: ") { format!("{line}+later\n") } else { format!("{line}\n") });
    std::fs::write(&control, raised.collect::<String>()).context("cannot write the package's control file")?;
    let package = folder.join("work/later.deb");
    process::run(
        Command::new("dpkg-deb").args(["--root-owner-group", "-Zxz", "-z0", "--build"]).args([&work, &package]),
    )?;
    Ok(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_into_a_bare_system_is_one_that_a_shell_reads() {
        let folder = tempfile::tempdir().unwrap();
        for case in CASES {
            let script = enter(Path::new("/roots/it's bare"), folder.path(), "/mnt/Some.AppImage", case).unwrap();
            process::output(Command::new("sh").arg("-n").arg(&script)).unwrap();
            let text = std::fs::read_to_string(&script).unwrap();
            assert_eq!(text.contains("/dev/fuse"), case.fuse);
        }
    }
}
