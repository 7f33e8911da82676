//! The archive: the tree as it is, for any prefix. WebKitGTK has to be there already.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::release::Release;
use crate::process;

/// How large it may be.
const MOST_MEGABYTES: f64 = 60.0;

/// Writes `Amanuensis-VERSION-ARCH.tar.gz` into `to`.
///
/// *Errors*: tar fails, or the archive is too large.
pub fn make(tree: &Path, release: &Release, to: &Path) -> anyhow::Result<PathBuf> {
    let archive = to.join(format!("{}.tar.gz", release.stem()));
    process::run(&mut tar(&tree.join("usr"), &release.stem(), &release.epoch, &archive))?;
    super::limit(&archive, MOST_MEGABYTES)?;
    Ok(archive)
}

/// `tar`, in a way that depends on names, permissions and contents only.
fn tar(folder: &Path, prefix: &str, epoch: &str, archive: &Path) -> Command {
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--use-compress-program=gzip --no-name",
        "--sort=name",
        "--format=gnu",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
    ]);
    tar.arg(format!("--mtime=@{epoch}")).arg(format!("--transform=s,^\\.,{prefix},"));
    tar.arg("--mode=u+rwX,go+rX,go-w").arg("--file").arg(archive).arg("--directory").arg(folder).arg(".");
    tar
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn two_archives_of_equal_trees_are_equal() {
        let folder = tempfile::tempdir().unwrap();
        // Made in another order, at another time, by somebody with other habits.
        let plant = |name: &str, order: [&str; 2], mode: u32| {
            let tree = folder.path().join(name);
            for file in order {
                super::super::write(&tree.join(file), file.as_bytes(), mode).unwrap();
            }
            let late = std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(mode));
            std::fs::File::open(tree.join(order[0])).unwrap().set_modified(late).unwrap();
            std::fs::set_permissions(&tree, std::fs::Permissions::from_mode(mode | 0o100)).unwrap();
            let archive = folder.path().join(format!("{name}.tar.gz"));
            process::run(&mut tar(&tree, "prefix", "1700000000", &archive)).unwrap();
            std::fs::read(archive).unwrap()
        };
        let one = plant("one", ["bin/a", "share/b"], 0o644);
        assert!(one == plant("two", ["share/b", "bin/a"], 0o664));
        assert!(one != plant("three", ["share/b", "bin/c"], 0o644));
        let listed = process::output(Command::new("tar").arg("-tf").arg(folder.path().join("one.tar.gz"))).unwrap();
        assert!(listed.contains("prefix/bin/a\n"), "{listed}");
    }
}
