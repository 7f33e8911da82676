//! What every package holds: programs, the demo model, and what desktops and shells read, below `usr`.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::build::Built;
use super::components::{self, Component};
use super::release::Release;
use super::{install, write};
use crate::{process, workspace};

/// What desktops call the app.
pub const ID: &str = "org.amanuensis.Amanuensis";

/// Lays out the tree in the folder `to`, the content of which is `usr`.
///
/// *Errors*: a file cannot be copied, or the command cannot write its man pages.
pub fn lay_out(built: &Built, release: &Release, components: &[Component], to: &Path) -> anyhow::Result<()> {
    let root = workspace::root();
    let usr = to.join("usr");
    for (from, name) in [(&built.app, "amanuensis-app"), (&built.command, "amanuensis")] {
        strip(from, &usr.join("bin").join(name), 0o755)?;
    }
    if let Some(shim) = &built.shim {
        strip(shim, &usr.join("lib/amanuensis/libamanuensis_xrt.so"), 0o644)?;
    }
    install(
        &root.join("models/demo/amanuensis-demo.en.bin"),
        &usr.join("share/amanuensis/amanuensis-demo.en.bin"),
        0o644,
    )?;

    let linux = root.join("packaging/linux");
    for (folder, ending) in [("applications", "desktop"), ("metainfo", "metainfo.xml")] {
        let file = format!("{ID}.{ending}");
        install(&linux.join(&file), &usr.join("share").join(folder).join(&file), 0o644)?;
    }
    let icons = usr.join("share/icons/hicolor");
    for size in [32, 128, 256, 512] {
        let icon = icons.join(format!("{size}x{size}/apps/{ID}.png"));
        install(&root.join(format!("icons/{size}.png")), &icon, 0o644)?;
    }
    install(&root.join("icons/app.svg"), &icons.join(format!("scalable/apps/{ID}.svg")), 0o644)?;

    let generated = tempfile::tempdir().context("cannot make a temporary folder")?;
    process::run(Command::new(&built.command).arg("generate").arg(generated.path()))?;
    install(&linux.join("amanuensis-app.1"), &generated.path().join("amanuensis-app.1"), 0o644)?;
    for page in
        super::files_below(generated.path())?.iter().filter(|file| file.extension().is_some_and(|ending| ending == "1"))
    {
        install_packed(page, &usr.join("share/man/man1").join(super::name(page)))?;
    }
    for (from, shells_own) in [
        ("amanuensis.bash", "bash-completion/completions/amanuensis"),
        ("amanuensis.fish", "fish/vendor_completions.d/amanuensis.fish"),
        ("_amanuensis", "zsh/vendor-completions/_amanuensis"),
    ] {
        install(&generated.path().join(from), &usr.join("share").join(shells_own), 0o644)?;
    }

    let documents = usr.join("share/doc/amanuensis");
    let licence = std::fs::read_to_string(root.join("LICENSE-MIT")).context("cannot read LICENSE-MIT")?;
    let copyright =
        std::fs::read_to_string(linux.join("copyright")).context("cannot read packaging/linux/copyright")?;
    write(&documents.join("copyright"), copyright.replace("@MIT@", &indented(&licence)).as_bytes(), 0o644)?;
    write(&documents.join("BUILD"), format!("{}\n", release.line()).as_bytes(), 0o644)?;
    let licences = generated.path().join("THIRD_PARTY.txt");
    write(&licences, components::licences(components).as_bytes(), 0o644)?;
    install_packed(&licences, &documents.join("THIRD_PARTY.txt"))?;
    install_packed(&root.join("CHANGELOG.md"), &documents.join("changelog"))
}

/// Copies a program without what only debuggers read.
fn strip(from: &Path, to: &Path, mode: u32) -> anyhow::Result<()> {
    install(from, to, mode)?;
    process::run(Command::new("strip").args(["--strip-unneeded", "--remove-section=.comment"]).arg(to))
}

/// Copies a text to `to` with the ending `gz`, packed in a way that tells nothing of when or where.
fn install_packed(from: &Path, to: &Path) -> anyhow::Result<()> {
    install(from, to, 0o644)?;
    process::run(Command::new("gzip").args(["--best", "--no-name", "--force"]).arg(to))
}

/// A licence as Debian's file of copyrights has it: indented, and a dot for an empty line.
fn indented(text: &str) -> String {
    let lines = text.trim().lines().map(|line| if line.is_empty() { " .".to_owned() } else { format!(" {line}") });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_indented_as_debian_wants_it() {
        assert_eq!(indented("MIT\n\nYou may.\n"), " MIT\n .\n You may.");
    }

    #[test]
    fn a_packed_text_does_not_tell_when() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("page");
        let packed = |name: &str| {
            install_packed(&from, &folder.path().join(name)).unwrap();
            std::fs::read(folder.path().join(format!("{name}.gz"))).unwrap()
        };
        std::fs::write(&from, "text").unwrap();
        let first = packed("one");
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(100);
        std::fs::File::options().append(true).open(&from).unwrap().set_modified(later).unwrap();
        assert_eq!(first, packed("two"));
    }
}
