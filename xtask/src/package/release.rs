//! What is released: a version of a commit.

use std::process::Command;

use crate::{process, workspace};

/// A version, and the commit it is made of.
pub struct Release {
    /// The version in Cargo.toml.
    pub version: String,
    /// The commit, shortened; with a sign behind it where files were changed since.
    pub commit: String,
    /// The day of the commit.
    day: String,
    /// The second of the commit, since 1970. Every date in a package is this one.
    pub epoch: String,
    /// The same, as mails and Debian write it.
    pub mail_date: String,
}

impl Release {
    /// What is checked out.
    ///
    /// *Errors*: this is no checkout, or git is missing.
    pub fn of_checkout() -> anyhow::Result<Self> {
        let git = |words: &[&str]| process::output(Command::new("git").args(words).current_dir(workspace::root()));
        let log = git(&["log", "-1", "--format=%h %cs %ct", "--abbrev=10"])?;
        let mut words = log.split_whitespace().map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        let (mut commit, day, epoch) = (next(), next(), next());
        if !git(&["status", "--porcelain"])?.is_empty() {
            commit.push('+');
        }
        let mail_date = git(&["log", "-1", "--format=%cD"])?.trim().to_owned();
        Ok(Self { version: env!("CARGO_PKG_VERSION").to_owned(), commit, day, epoch, mail_date })
    }

    /// What `--version` says.
    pub fn line(&self) -> String {
        format!("{} ({}, {})", self.version, self.commit, self.day)
    }

    /// How the names of files begin.
    pub fn stem(&self) -> String {
        format!("Amanuensis-{}-{}", self.version, std::env::consts::ARCH)
    }
}
