//! Licences of dependencies, against the list in deny.toml.
//!
//! cargo-deny does the same and more, but no package registry carries a built copy that knows today's licence names,
//! and building it costs a cold run five minutes. So the list is kept in cargo-deny's own file and format, for those
//! who have it, and read here.

use anyhow::Context;
use serde::Deserialize;

use crate::workspace::{self, Metadata};

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

/// Complains about each dependency the licence of which is not allowed.
///
/// *Errors*: deny.toml cannot be read.
pub fn check(metadata: &Metadata) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(workspace::root().join("deny.toml")).context("cannot read deny.toml")?;
    let allowed = parse_allowed(&text)?;
    let judged = metadata.foreign().filter_map(|package| {
        let reason = refuse(package.license.as_deref(), &allowed)?;
        Some(format!("{} {}: {reason}", package.name, package.version))
    });
    Ok(judged.collect())
}

fn parse_allowed(text: &str) -> anyhow::Result<Vec<spdx::Licensee>> {
    let deny: Deny = toml::from_str(text).context("cannot read deny.toml")?;
    let parse =
        |name: &String| spdx::Licensee::parse(name).with_context(|| format!("deny.toml: `{name}` is no licence"));
    deny.licenses.allow.iter().map(parse).collect()
}

/// Why a package with this licence may not be used, if it may not.
fn refuse(license: Option<&str>, allowed: &[spdx::Licensee]) -> Option<String> {
    let Some(license) = license else { return Some("it names no licence".to_owned()) };
    // Old packages write `MIT/Apache-2.0`.
    match spdx::Expression::parse_mode(license, spdx::ParseMode::LAX) {
        Ok(expression) => {
            let fits =
                expression.evaluate(|requirement| allowed.iter().any(|licensee| licensee.satisfies(requirement)));
            (!fits).then(|| format!("its licence, {license}, is not in deny.toml"))
        }
        Err(error) => Some(format!("its licence, {license}, cannot be understood: {}", error.reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_needs_one_allowed_side_and_a_sum_needs_both() {
        let allowed = parse_allowed("[licenses]\nallow = [\"MIT\", \"Apache-2.0 WITH LLVM-exception\"]").unwrap();
        for good in ["MIT", "MIT OR GPL-3.0-only", "MIT/Apache-2.0", "Apache-2.0 WITH LLVM-exception", "GPL-2.0 OR MIT"]
        {
            assert_eq!(refuse(Some(good), &allowed), None, "{good}");
        }
        for bad in ["GPL-3.0-only", "MIT AND AGPL-3.0-or-later", "Apache-2.0", "no licence at all"] {
            assert!(refuse(Some(bad), &allowed).is_some(), "{bad}");
        }
        assert!(refuse(None, &allowed).is_some());
    }

    #[test]
    fn a_misspelt_licence_in_the_list_is_an_error() {
        assert!(parse_allowed("[licenses]\nallow = [\"MITT\"]").is_err());
    }
}
