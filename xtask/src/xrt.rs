//! `cargo xtask xrt`: AMD's XRT 2.25 in a private folder, for building our shim and for the virtual NPU; and Debian 12's, for the
//! tests of what happens with that.
//!
//! Debian 12 has a version that cannot drive an NPU, so the packages come from a newer suite of the mirror that this machine
//! already uses. They are unpacked, with all they depend on, into the cache; nothing is installed and the system is left as it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::{process, workspace};

/// What is unpacked. The rest is what these need.
const PACKAGES: &[&str] = &["libxrt2", "libxrt-npu2", "libxrt-dev", "libxrt-utils"];
/// Where the packages are, and where what they need is.
const SUITES: [&str; 2] = ["trixie-backports", "trixie"];
/// The version that the shim is written for.
const VERSION: &str = "2.25";
/// Debian 12's: its libraries, and what they need that the newer suite has no more.
const OLD_PACKAGES: &[&str] = &["libxrt1", "libboost-filesystem1.74.0"];
/// Where they are.
const OLD_SUITE: &str = "bookworm";
/// The version that they are.
const OLD_VERSION: &str = "2.13";
/// What the packages are signed with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where mirrors of Debian are found if apt names none.
const MIRROR: &str = "http://deb.debian.org/debian";

/// The folder that holds XRT, whether or not it is there.
///
/// *Errors*: as [`workspace::cache`].
pub fn root() -> anyhow::Result<PathBuf> {
    Ok(workspace::cache()?.join("xrt"))
}

/// The folder that holds Debian 12's XRT, whether or not it is there.
fn old_root() -> anyhow::Result<PathBuf> {
    Ok(workspace::cache()?.join(format!("xrt-{OLD_VERSION}")))
}

/// Unpacks both versions of XRT unless they are there, and says where the one is that we work with.
///
/// *Errors*: this machine has no apt, its mirror lacks the packages, or they cannot be unpacked.
pub fn run() -> anyhow::Result<bool> {
    let old = old_root()?;
    if !has_library(&old, &format!("{OLD_VERSION}.0")) {
        process::heading(&format!("XRT {OLD_VERSION} into {}", old.display()));
        unpack_into(&old, unpack_old, |root| has_library(root, &format!("{OLD_VERSION}.0")))?;
    }
    let root = root()?;
    if is_there(&root) {
        println!("XRT {VERSION} is in {}", root.display());
        return Ok(true);
    }
    process::heading(&format!("XRT {VERSION} into {}", root.display()));
    unpack_into(&root, unpack, is_there)?;
    // The shim is built by a build script that found no headers so far, and runs again when it seems to have changed.
    let script = workspace::root().join("crates/xrt-sys/build.rs");
    let touched = std::fs::File::options().append(true).open(&script);
    touched
        .and_then(|file| file.set_modified(std::time::SystemTime::now()))
        .context("cannot touch the shim's build script")?;
    println!("XRT {VERSION} is in {}", root.display());
    Ok(true)
}

/// Whether both versions were unpacked.
///
/// *Errors*: as [`workspace::cache`].
pub fn are_there() -> anyhow::Result<bool> {
    Ok(is_there(&root()?) && has_library(&old_root()?, &format!("{OLD_VERSION}.0")))
}

/// Whether XRT was unpacked into `root`.
fn is_there(root: &Path) -> bool {
    has_library(root, &format!("{VERSION}.00")) && root.join("usr/include/xrt/xrt_kernel.h").is_file()
}

fn has_library(root: &Path, version: &str) -> bool {
    root.join(format!("usr/lib/x86_64-linux-gnu/libxrt_coreutil.so.{version}")).is_file()
}

/// Has `unpack` fill a folder, which takes the place of `root` if it is `whole`.
fn unpack_into(
    root: &Path,
    unpack: impl Fn(&Path) -> anyhow::Result<()>,
    whole: impl Fn(&Path) -> bool,
) -> anyhow::Result<()> {
    let staging = workspace::cache()?.join("xrt-staging");
    let outcome = prepare(&staging).and_then(|()| unpack(&staging)).and_then(|()| {
        let unpacked = staging.join("root");
        if !whole(&unpacked) {
            bail!("the packages do not hold the XRT that they should");
        }
        if root.exists() {
            std::fs::remove_dir_all(root).context("cannot remove the old XRT")?;
        }
        std::fs::rename(&unpacked, root).context("cannot move XRT to its place")
    });
    // What is half done is of no use to a second attempt.
    let cleared = std::fs::remove_dir_all(&staging);
    outcome?;
    cleared.context("cannot remove the downloaded packages")
}

/// Makes the folders that apt works in.
fn prepare(staging: &Path) -> anyhow::Result<()> {
    if !cfg!(target_arch = "x86_64") {
        bail!("AMD's NPUs are in x86-64 machines only");
    }
    if staging.exists() {
        std::fs::remove_dir_all(staging).context("cannot remove what an earlier attempt left")?;
    }
    for folder in ["lists/partial", "archives/partial", "root"] {
        std::fs::create_dir_all(staging.join(folder)).context("cannot make the folders for packages")?;
    }
    // An empty status: apt then fetches all that XRT needs, the C library included, and believes nothing installed.
    std::fs::write(staging.join("status"), "").context("cannot write apt's status")
}

/// Has apt look at suites of the mirror that this machine uses.
fn look_at(staging: &Path, suites: &[&str]) -> anyhow::Result<()> {
    let mirror = configured_mirror(Path::new("/etc/apt")).unwrap_or_else(|| MIRROR.to_owned());
    let line = |suite: &&str| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
    let sources: String = suites.iter().map(line).collect();
    std::fs::write(staging.join("sources.list"), sources).context("cannot write the list of sources")?;
    process::run(apt(staging).arg("update"))
}

fn unpack(staging: &Path) -> anyhow::Result<()> {
    look_at(staging, &SUITES)?;
    let [backports, _] = SUITES;
    process::run(
        apt(staging)
            .args(["install", "--yes", "--download-only", "--no-install-recommends"])
            .args(["--target-release", backports])
            .args(PACKAGES),
    )
    .context("the mirror lacks XRT: any mirror of Debian has it, for example http://deb.debian.org/debian")?;
    extract(&staging.join("archives"), staging)
}

/// Without what they need that the newer XRT has as well: the libraries come first in a path that ends with those.
fn unpack_old(staging: &Path) -> anyhow::Result<()> {
    look_at(staging, &[OLD_SUITE])?;
    process::run(apt(staging).arg("download").args(OLD_PACKAGES).current_dir(staging))
        .with_context(|| format!("the mirror has no XRT {OLD_VERSION}"))?;
    extract(staging, staging)
}

/// Extracts the packages of `folder`.
fn extract(folder: &Path, staging: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).context("cannot read where apt put the packages")? {
        let package = entry?.path();
        if package.extension().is_some_and(|ending| ending == "deb") {
            process::run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(staging.join("root")))?;
        }
    }
    Ok(())
}

/// `apt-get` that reads and writes below `staging` only.
fn apt(staging: &Path) -> Command {
    let mut command = Command::new("apt-get");
    let mut option = |name: &str, value: &str| {
        command.arg("-o").arg(format!("{name}={value}"));
    };
    let below = |name: &str| staging.join(name).display().to_string();
    option("Dir::State", &below(""));
    option("Dir::State::lists", &below("lists"));
    option("Dir::State::status", &below("status"));
    option("Dir::Cache", &below(""));
    option("Dir::Cache::archives", &below("archives"));
    option("Dir::Etc::sourcelist", &below("sources.list"));
    option("Dir::Etc::sourceparts", "-");
    option("APT::Architecture", "amd64");
    option("APT::Sandbox::User", "root");
    option("Debug::NoLocking", "1");
    command
}

/// The mirror of Debian that apt is set to, if it is.
fn configured_mirror(folder: &Path) -> Option<String> {
    let mut files = vec![folder.join("sources.list")];
    let parts = std::fs::read_dir(folder.join("sources.list.d")).into_iter().flatten().flatten();
    files.extend(parts.map(|entry| entry.path()));
    files.sort();
    files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).find_map(|text| mirror_in(&text))
}

fn mirror_in(text: &str) -> Option<String> {
    let lines = text.lines().filter(|line| line.starts_with("URIs:") || line.starts_with("deb "));
    let words = lines.flat_map(str::split_whitespace);
    words.map(|word| word.trim_end_matches('/')).find(|word| word.ends_with("/debian")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_one_that_apt_uses() {
        let deb822 = "Types: deb\n# URIs: http://old/debian\nURIs: http://mirror.example/debian/\nSuites: bookworm\n";
        assert_eq!(mirror_in(deb822).as_deref(), Some("http://mirror.example/debian"));
        let line = "deb [arch=amd64] https://other.example/debian bookworm main\n";
        assert_eq!(mirror_in(line).as_deref(), Some("https://other.example/debian"));
        assert_eq!(mirror_in("deb http://archive.ubuntu.com/ubuntu noble main\n"), None);
        assert_eq!(mirror_in("URIs: http://deb.debian.org/debian-security\n"), None);
    }
}
