//! Where `unsafe` is allowed: the threat model lists each place and says what for.

use std::path::Path;

use anyhow::Context;

use crate::workspace;

/// The list, in a table.
const LIST: &str = "docs/threat-model.md";

/// Complains about files and crates that allow `unsafe` and are not listed, and about what is listed and allows none.
///
/// *Errors*: git cannot list the files, or one cannot be read.
pub fn check() -> anyhow::Result<Vec<String>> {
    let root = workspace::root();
    let read = |file: &Path| {
        std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {}", file.display()))
    };
    let mut places = Vec::new();
    for file in workspace::files()? {
        let is = |ending: &str| file.extension().is_some_and(|found| found == ending);
        if (is("rs") || is("toml")) && allows(&read(&file)?) {
            let place = if is("toml") { file.parent().unwrap_or(&file) } else { &file };
            places.push(place.to_string_lossy().into_owned());
        }
    }
    Ok(judge(&places, &read(Path::new(LIST))?))
}

/// Whether this is a crate's settings or a file that lifts the ban. Written in two halves, or this file would be one.
fn allows(text: &str) -> bool {
    text.contains(concat!("allow(unsafe", "_code")) || text.contains(concat!("unsafe_code = \"al", "low\""))
}

fn judge(places: &[String], text: &str) -> Vec<String> {
    let table = text.lines().skip_while(|line| !line.starts_with("## Unsafe")).filter(|line| line.starts_with("| `"));
    let listed: Vec<&str> =
        table.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2)).collect();
    let lies_in = |place: &str, folder: &str| Path::new(place).starts_with(folder);
    let missing = places.iter().filter(|place| !listed.iter().any(|folder| lies_in(place, folder)));
    let idle = listed.iter().filter(|folder| !places.iter().any(|place| lies_in(place, folder)));
    let missing = missing.map(|place| format!("{place} allows unsafe code and is not in the table of {LIST}"));
    missing.chain(idle.map(|folder| format!("{LIST} lists {folder}, which allows no unsafe code"))).collect()
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn places_and_list_have_to_agree() {
        let text = "| `crates/other` | a table before it |\n## Unsafe code\n\n| where | for what |\n|---|---|\n\
                    | `kernels/cpu` | SIMD |\n| `crates/a/src/map.rs`, `crates/b` | files |\n";
        let places = ["kernels/cpu", "crates/a/src/map.rs", "crates/b/src/deep/one.rs"].map(String::from);
        assert!(judge(&places, text).is_empty());
        assert_eq!(judge(&places[..2], text).len(), 1, "one is listed that is none");
        let more = [&places[..], &["crates/a/src/other.rs".to_owned()]].concat();
        assert_eq!(
            judge(&more, text),
            ["crates/a/src/other.rs allows unsafe code and is not in the table of docs/threat-model.md"]
        );
    }
}
