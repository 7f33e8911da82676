//! `cargo xtask package`: an AppImage, a Debian package and an archive, from registries only.
//!
//! All three hold the same tree: programs, the NPU's shim, the demo model, and what desktops and shells read. The AppImage adds
//! WebKitGTK and whatever it needs. The same commit, built at the same place with the same tools, gives the same bytes.

mod appdir;
mod appimage;
mod archive;
mod build;
mod components;
mod deb;
mod libraries;
mod prove;
mod release;
mod tree;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::process;
use crate::setup::{self, Consent, Purpose};
use crate::workspace;

use release::Release;

/// What is made.
#[derive(Args)]
pub struct Options {
    /// The cargo profile that the programs are built with.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Put everything together a second time, and fail where the bytes differ.
    #[arg(long)]
    twice: bool,
    /// Take the packages of an earlier run into bare Debian systems, and use them there. Wants to be root.
    #[arg(long)]
    prove: bool,
    /// Install what is missing without asking.
    #[arg(long)]
    yes: bool,
}

/// Where packages lie when they are made.
fn folder() -> anyhow::Result<PathBuf> {
    Ok(workspace::Metadata::read()?.target_directory.join("package"))
}

/// Makes the packages, or proves that they run. Returns whether all is well.
///
/// *Errors*: the machine could not be prepared, something could not be built, or a package is larger than it may be.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    let consent = Consent::from_flag(options.yes);
    if options.prove {
        return prove::run(&setup::prepare(Purpose::Prove, consent)?, &folder()?);
    }
    let tools = setup::prepare(Purpose::Package, consent)?;
    setup::build_ui(&tools)?;
    let release = Release::of_checkout()?;
    let built = build::all(&release, &options.profile)?;
    let to = folder()?;
    let packages = put_together(&built, &release, &to)?;
    if options.twice {
        process::heading("the same again");
        let again = to.with_file_name("package-again");
        for (one, other) in packages.iter().zip(put_together(&built, &release, &again)?) {
            let same = std::fs::read(one)? == std::fs::read(&other)?;
            ensure!(
                same,
                "{} and {} differ: something in them depends on more than the commit",
                one.display(),
                other.display()
            );
            println!("{}: the same bytes", name(one));
        }
        std::fs::remove_dir_all(again)?;
    }
    process::heading(&format!("packages in {}", to.display()));
    for package in &packages {
        println!("{:>7.1} MB  {}", megabytes(package)?, name(package));
    }
    Ok(true)
}

/// Everything that follows the compiler. Returns the files that were made.
fn put_together(built: &build::Built, release: &Release, to: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if to.exists() {
        std::fs::remove_dir_all(to).context("cannot remove earlier packages")?;
    }
    std::fs::create_dir_all(to).context("cannot make the folder for packages")?;
    let work = to.join("work");
    let components = components::shipped()?;
    process::heading("tree");
    let tree = work.join("tree");
    tree::lay_out(built, release, &components, &tree)?;
    process::heading("archive");
    let mut packages = vec![archive::make(&tree, release, to)?];
    process::heading("AppImage");
    let (appimage, system) = appimage::make(&tree, &built.runtime, release, &work, to)?;
    packages.push(appimage);
    process::heading("Debian package");
    packages.push(deb::make(&tree, release, &work, to)?);
    let bill = to.join(format!("{}.cdx.json", release.stem()));
    std::fs::write(&bill, components::bill(release, &components, &system)?)?;
    packages.push(bill);
    std::fs::remove_dir_all(&work).context("cannot clear up")?;
    packages.push(sum(&packages, to)?);
    Ok(packages)
}

/// `SHA256SUMS`, as `sha256sum --check` reads it.
fn sum(packages: &[PathBuf], to: &Path) -> anyhow::Result<PathBuf> {
    let mut command = Command::new("sha256sum");
    let sums = process::output(command.current_dir(to).arg("--").args(packages.iter().map(|package| name(package))))?;
    let file = to.join("SHA256SUMS");
    std::fs::write(&file, sums).context("cannot write SHA256SUMS")?;
    Ok(file)
}

/// Fails if `package` has more than `most` megabytes: a package grows unnoticed otherwise.
fn limit(package: &Path, most: f64) -> anyhow::Result<()> {
    let size = megabytes(package)?;
    if size > most {
        bail!("{} has {size:.1} MB and may have {most}; find out what grew, or raise the limit", name(package));
    }
    Ok(())
}

fn megabytes(file: &Path) -> anyhow::Result<f64> {
    Ok(file.metadata().with_context(|| format!("cannot read {}", file.display()))?.len() as f64 / 1e6)
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Copies one file, with the folders above it and the permissions that files of packages have.
fn install(from: &Path, to: &Path, mode: u32) -> anyhow::Result<()> {
    let doing = || format!("cannot copy {} to {}", from.display(), to.display());
    write(to, &std::fs::read(from).with_context(doing)?, mode)
}

/// Writes one file, in the same way.
fn write(to: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let doing = || format!("cannot write {}", to.display());
    std::fs::create_dir_all(to.parent().unwrap_or(to)).with_context(doing)?;
    std::fs::write(to, bytes).with_context(doing)?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode)).with_context(doing)
}

/// Every file and link below `folder`, in the order of their names.
fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { &mut folders } else { &mut files }.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_too_large_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("package");
        std::fs::write(&file, vec![0; 2_000_000]).unwrap();
        assert!(limit(&file, 2.0).is_ok());
        assert!(limit(&file, 1.9).unwrap_err().to_string().contains("2.0 MB"));
    }

    /// The files that desktops read, by the programs with which distributions check them.
    #[test]
    fn desktops_can_read_what_we_tell_them() {
        let linux = workspace::root().join("packaging/linux");
        let id = linux.join(tree::ID);
        let checks: [(&str, &[&str], &str); 2] =
            [("desktop-file-validate", &[], "desktop"), ("appstreamcli", &["validate", "--no-net"], "metainfo.xml")];
        for (program, words, ending) in checks {
            let file = format!("{}.{ending}", id.display());
            match Command::new(program).args(words).arg(&file).output() {
                Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
                Err(_) => println!("skipped: {program} is not installed"),
            }
        }
    }

    #[test]
    fn the_newest_release_is_the_one_that_is_packed() {
        let text =
            std::fs::read_to_string(workspace::root().join("packaging/linux/org.amanuensis.Amanuensis.metainfo.xml"));
        let text = text.unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        let newest = document.descendants().find(|node| node.has_tag_name("release")).unwrap();
        assert_eq!(newest.attribute("version"), Some(env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn the_book_has_every_page_and_its_links_lead_somewhere() {
        let docs = workspace::root().join("docs");
        let contents = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
        for page in
            files_below(&docs).unwrap().iter().filter(|file| file.extension().is_some_and(|ending| ending == "md"))
        {
            assert!(page.ends_with("SUMMARY.md") || contents.contains(&format!("]({})", name(page))), "{}", name(page));
            let text = std::fs::read_to_string(page).unwrap();
            let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
            for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
                assert!(docs.join(link).exists(), "{} links to {link}", name(page));
            }
        }
    }
}
