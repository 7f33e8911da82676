//! The AppImage: the folder as a squashfs image, behind our runtime.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::appdir;
use super::components::Component;
use super::release::Release;
use crate::process;

/// How large it may be.
const MOST_MEGABYTES: f64 = 125.0;

/// Where newer versions are found: nowhere, until there is a place to which releases go.
const UPDATE_INFORMATION: &str = "";

/// Writes `Amanuensis-VERSION-ARCH.AppImage` into `to`, and says which packages of Debian are in it.
///
/// *Errors*: as [`appdir::fill`]; or the AppImage is too large.
pub fn make(
    tree: &Path,
    runtime: &Path,
    release: &Release,
    work: &Path,
    to: &Path,
) -> anyhow::Result<(PathBuf, Vec<Component>)> {
    let folder = work.join("AppDir");
    let system = appdir::fill(tree, &folder)?;
    let image = work.join("image.squashfs");
    process::run(&mut squash(&folder, &release.epoch, &image))?;
    let appimage = to.join(format!("{}.AppImage", release.stem()));
    amanuensis_appimage::pack(runtime, &image, UPDATE_INFORMATION, &appimage)?;
    super::limit(&appimage, MOST_MEGABYTES)?;
    Ok((appimage, system))
}

/// `mksquashfs`, in a way that depends on names, permissions and contents only.
fn squash(folder: &Path, epoch: &str, image: &Path) -> Command {
    let mut squash = Command::new("mksquashfs");
    squash.arg(folder).arg(image).args(["-comp", "zstd", "-Xcompression-level", "15", "-noappend", "-root-owned"]);
    squash.args(["-no-xattrs", "-quiet", "-no-progress", "-all-time", epoch, "-mkfs-time", epoch]);
    // It would refuse dates given twice.
    squash.env_remove("SOURCE_DATE_EPOCH");
    squash
}

#[cfg(test)]
mod tests {
    use super::super::{install, write};
    use super::*;

    #[test]
    fn two_images_of_equal_trees_are_equal() {
        if Command::new("mksquashfs").arg("-version").output().is_err() {
            println!("skipped: mksquashfs is not installed");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let image = |name: &str, order: [&str; 2]| {
            let tree = folder.path().join(name);
            for file in order {
                write(&tree.join(file), &file.as_bytes().repeat(100_000), 0o644).unwrap();
            }
            let late = std::time::UNIX_EPOCH + std::time::Duration::from_secs(name.len() as u64);
            std::fs::File::open(tree.join(order[0])).unwrap().set_modified(late).unwrap();
            let image = folder.path().join(format!("{name}.squashfs"));
            process::run(&mut squash(&tree, "1700000000", &image)).unwrap();
            std::fs::read(image).unwrap()
        };
        assert!(image("one", ["usr/a", "usr/b"]) == image("other", ["usr/b", "usr/a"]));
        assert!(image("third", ["usr/a", "usr/c"]) != image("fourth", ["usr/a", "usr/b"]));
    }

    /// What `AppRun` makes of its words, with stand-ins for the programs.
    #[test]
    fn the_front_starts_the_right_program_with_whole_paths() {
        let folder = tempfile::tempdir().unwrap();
        let front = folder.path().join("AppRun");
        install(&crate::workspace::root().join("packaging/linux/AppRun"), &front, 0o755).unwrap();
        for program in ["amanuensis", "amanuensis-app"] {
            let script =
                format!("#!/bin/sh\necho {program} \"$@\"\necho \"in $PWD\"\necho \"path $LD_LIBRARY_PATH\"\n");
            write(&folder.path().join("usr/bin").join(program), script.as_bytes(), 0o755).unwrap();
        }
        let run = |name: &str, words: &[&str]| {
            let mut command = Command::new(&front);
            command.args(words).current_dir("/usr").env("OWD", "/music").env("ARGV0", name).env_remove("APPDIR");
            process::output(command.env("LD_LIBRARY_PATH", "")).unwrap()
        };
        let inside = folder.path().join("usr").canonicalize().unwrap();
        let said = run("Amanuensis.AppImage", &["--toggle", "a b.flac", "/whole.ogg"]);
        assert_eq!(
            said,
            format!("amanuensis-app --toggle /music/a b.flac /whole.ogg\nin {}\npath \n", inside.display())
        );
        assert_eq!(run("/bin/amanuensis", &["devices", "x"]), "amanuensis devices x\nin /usr\npath \n");
        assert_eq!(run("Amanuensis.AppImage", &["cli", "doctor"]), "amanuensis doctor\nin /usr\npath \n");
    }
}
