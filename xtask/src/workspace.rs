//! Where things are: the checkout, the cache, the packages of the workspace and all they depend on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde::Deserialize;

use crate::process;

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("BUG: xtask lies inside the workspace").to_owned()
}

/// Where downloaded tools live: outside the checkout, so that a clean clone finds them again.
///
/// *Errors*: neither `XDG_CACHE_HOME` nor `HOME` is set.
pub fn cache() -> anyhow::Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(base) => PathBuf::from(base),
        None => PathBuf::from(std::env::var_os("HOME").context("set HOME or XDG_CACHE_HOME: tools are kept there")?)
            .join(".cache"),
    };
    Ok(base.join("amanuensis"))
}

/// `cargo`, as the cargo that started us calls itself.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The files that git knows, relative to the root.
///
/// *Errors*: git is missing, or this is no checkout.
pub fn files() -> anyhow::Result<Vec<PathBuf>> {
    let listed = process::output(Command::new("git").args(["ls-files", "-z"]).current_dir(root()))?;
    let files = listed.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    // A file that was removed and not yet committed is still in the list.
    Ok(files.filter(|file| root().join(file).is_file()).collect())
}

/// What `cargo metadata` says, as far as the tasks need it.
#[derive(Deserialize)]
pub struct Metadata {
    /// Every package of the dependency graph.
    pub packages: Vec<Package>,
    /// The ids of our own packages.
    pub workspace_members: Vec<String>,
    /// Where cargo builds.
    pub target_directory: PathBuf,
}

/// One package.
#[derive(Deserialize)]
pub struct Package {
    /// Its name in Cargo.toml.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Cargo's own identifier.
    pub id: String,
    /// Its SPDX expression.
    pub license: Option<String>,
    /// Its Cargo.toml.
    pub manifest_path: PathBuf,
    /// What it depends on, of every kind.
    pub dependencies: Vec<Dependency>,
}

/// One arrow of the dependency graph.
#[derive(Deserialize)]
pub struct Dependency {
    /// The package that is depended on.
    pub name: String,
    /// `None` for an ordinary dependency, else `dev` or `build`.
    pub kind: Option<String>,
}

impl Metadata {
    /// Asks cargo.
    ///
    /// *Errors*: Cargo.lock does not fit the Cargo.toml files, or a registry cannot be reached.
    pub fn read() -> anyhow::Result<Self> {
        let json = process::output(cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
        serde_json::from_str(&json).context("cannot read what `cargo metadata` printed")
    }

    /// Our own packages.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The packages of others.
    pub fn foreign(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| !self.workspace_members.contains(&package.id))
    }
}

impl Package {
    /// The folder of the package, relative to the root of the checkout, with `/` between its parts.
    pub fn folder(&self) -> String {
        let folder = self.manifest_path.parent().unwrap_or(&self.manifest_path);
        folder.strip_prefix(root()).unwrap_or(folder).to_string_lossy().into_owned()
    }
}
