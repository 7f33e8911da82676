//! The Debian package. No script of ours runs when it is installed: what menus and caches need, Debian's triggers do.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::release::Release;
use super::{files_below, write};
use crate::process;

/// How large it may be.
const MOST_MEGABYTES: f64 = 60.0;

/// Which packaging of a version this is.
const REVISION: u32 = 1;

/// Who answers for the package. There is no address yet.
const MAINTAINER: &str = "The Amanuensis developers <packages@amanuensis.invalid>";

/// Writes `amanuensis_VERSION-REVISION_ARCH.deb` into `to`. `work` is for files that nobody needs later.
///
/// The tree gets a file that only this package has: it is to come last.
///
/// *Errors*: Debian's tools fail, or the package is too large.
pub fn make(tree: &Path, release: &Release, work: &Path, to: &Path) -> anyhow::Result<PathBuf> {
    // Debian's own account of changes; ours lies beside it.
    let account = tree.join("usr/share/doc/amanuensis/changelog.Debian");
    write(&account, changes(release).as_bytes(), 0o644)?;
    process::run(Command::new("gzip").args(["--best", "--no-name"]).arg(&account))?;
    let depends = dependencies(tree, work)?;
    println!("depends on {depends}");
    let architecture = process::output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
    let version = format!("{}-{REVISION}", release.version);
    let package = to.join(format!("amanuensis_{version}_{architecture}.deb"));
    pack(tree, &control(&version, &architecture, &depends, kilobytes(tree)?), &release.epoch, &package)?;
    super::limit(&package, MOST_MEGABYTES)?;
    Ok(package)
}

/// The packages that the programs are linked to, by the symbols that they use.
fn dependencies(tree: &Path, work: &Path) -> anyhow::Result<String> {
    // The tool insists on a source package around it. The shim is left out: what it is linked to is AMD's, and asked for when
    // the app runs.
    let source = work.join("source");
    write(&source.join("debian/control"), b"Source: amanuensis\n\nPackage: amanuensis\nArchitecture: any\n", 0o644)?;
    let mut tool = Command::new("dpkg-shlibdeps");
    tool.current_dir(&source).args(["-O", "--ignore-missing-info"]);
    tool.args(["amanuensis", "amanuensis-app"].map(|program| tree.join("usr/bin").join(program)));
    let said = process::output(&mut tool)?;
    let depends = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    Ok(depends.context("dpkg-shlibdeps names no dependency")?.to_owned())
}

fn changes(release: &Release) -> String {
    format!(
        "amanuensis ({}-{REVISION}) stable; urgency=medium\n\n  * Version {}; changelog.gz says what is new.\n\n -- {MAINTAINER}  {}\n",
        release.version,
        release.line(),
        release.mail_date
    )
}

fn control(version: &str, architecture: &str, depends: &str, kilobytes: u64) -> String {
    format!(
        "Package: amanuensis\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: {MAINTAINER}\n\
         Installed-Size: {kilobytes}\n\
         Depends: {depends}\n\
         Recommends: libgtk-layer-shell0\n\
         Suggests: libxrt-npu2\n\
         Section: sound\n\
         Priority: optional\n\
         Description: dictation and transcription on your own machine\n \
         Amanuensis turns speech into text with OpenAI's Whisper models, on this\n \
         machine and nowhere else: no account, no cloud, nothing sent anywhere.\n \
         There is a window, a command line, and a local server that speaks OpenAI's\n \
         API. It works on the processor and on an AMD Ryzen AI NPU, for which it uses\n \
         AMD's XRT if that is installed.\n \
         .\n \
         A small English model for a first try is part of the package.\n"
    )
}

/// Packs `tree` and its control file.
fn pack(tree: &Path, control: &str, epoch: &str, package: &Path) -> anyhow::Result<()> {
    let meta = tree.join("DEBIAN");
    let mut sums = Command::new("md5sum");
    sums.current_dir(tree).args(files_below(&tree.join("usr"))?.iter().filter_map(|file| file.strip_prefix(tree).ok()));
    let sums = process::output(&mut sums)?;
    write(&meta.join("control"), control.as_bytes(), 0o644)?;
    write(&meta.join("md5sums"), sums.as_bytes(), 0o644)?;
    let mut dpkg = Command::new("dpkg-deb");
    // One thread, for how the work was divided shows in what xz writes; and not its best, for half of this is a model, which no
    // effort makes smaller.
    dpkg.env("SOURCE_DATE_EPOCH", epoch).args(["--root-owner-group", "-Zxz", "-z2", "--threads-max=1", "--build"]);
    let packed = process::run(dpkg.arg(tree).arg(package));
    std::fs::remove_dir_all(&meta).context("cannot clear up")?;
    packed
}

/// What it takes when installed, as Debian counts.
fn kilobytes(tree: &Path) -> anyhow::Result<u64> {
    let sizes = files_below(tree)?.into_iter().map(|file| Ok(file.symlink_metadata()?.len().div_ceil(1024)));
    sizes.sum::<anyhow::Result<u64>>().context("cannot measure the tree")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_can_be_read_and_made_again() {
        if Command::new("dpkg-deb").arg("--version").output().is_err() {
            println!("skipped: dpkg-deb is not installed");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        write(&tree.join("usr/bin/thing"), b"#!/bin/sh\n", 0o755).unwrap();
        write(&tree.join("usr/share/thing/data"), &[7; 3000], 0o644).unwrap();
        let pack = |name: &str| {
            let package = folder.path().join(name);
            let control = control("1.2.3", "all", "libc6", kilobytes(&tree).unwrap());
            super::pack(&tree, &control, "1700000000", &package).unwrap();
            package
        };
        let first = pack("one.deb");
        let ask = |words: &[&str]| process::output(Command::new("dpkg-deb").args(words).arg(&first)).unwrap();
        assert!(ask(&["--field"]).contains("Installed-Size: 4\n"));
        let contents = ask(&["--contents"]);
        assert!(contents.contains("-rwxr-xr-x root/root") && contents.contains("2023-11-14"), "{contents}");
        assert!(ask(&["--ctrl-tarfile"]).contains("usr/share/thing/data"));
        write(&tree.join("usr/bin/thing"), b"#!/bin/sh\n", 0o755).unwrap();
        assert!(std::fs::read(&first).unwrap() == std::fs::read(pack("two.deb")).unwrap());
    }
}
