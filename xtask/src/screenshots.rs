//! `cargo xtask screenshots`: pictures of every view, as the tests of the window see them.

use anyhow::ensure;

use crate::setup::{self, Consent, Purpose};
use crate::{process, workspace};

/// The test that walks through all views in both looks.
const WALK: &str = "package(amanuensis-app) and test(every_view)";

/// Writes the pictures into `docs/images`, in the place of those that are there.
///
/// *Errors*: the machine could not be prepared, a view is not as it should be, or the test was skipped.
pub fn run(consent: Consent) -> anyhow::Result<bool> {
    let tools = setup::prepare(Purpose::Test, consent)?;
    setup::build_ui(&tools)?;
    let images = workspace::root().join("docs/images");
    let mut cargo = workspace::cargo();
    // Of the whole workspace, as the tests are: else everything is built anew for the features of one package.
    let run = ["nextest", "run", "--workspace", "--no-capture", "--filterset", WALK];
    tools.equip(&mut cargo).args(run);
    let mut reason = None;
    let well = process::watch(cargo.env("AMANUENSIS_SHOTS", &images), |line| {
        if line.starts_with("skipped: ") {
            reason = Some(line.to_owned());
        }
    })?;
    ensure!(reason.is_none(), "no pictures were taken: {}", reason.unwrap_or_default());
    Ok(well)
}
