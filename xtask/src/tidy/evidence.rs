//! Each claim about bad input names the test that shows it: that test has to be there.

use anyhow::Context;

use crate::workspace;

const CLAIMS: &str = "docs/bad-input.md";

/// Complains about rows whose last column names no test, or one that is nowhere.
///
/// *Errors*: git cannot list the files, or one cannot be read.
pub fn check() -> anyhow::Result<Vec<String>> {
    let (root, mut names, mut tests) = (workspace::root(), Vec::new(), String::new());
    for file in workspace::files()? {
        if file.extension().is_some_and(|ending| ending == "rs" || ending == "ts") {
            let text = std::fs::read_to_string(root.join(&file));
            tests += &text.with_context(|| format!("cannot read {}", file.display()))?;
            names.push(file.to_string_lossy().into_owned());
        }
    }
    let claims = std::fs::read_to_string(root.join(CLAIMS)).with_context(|| format!("cannot read {CLAIMS}"))?;
    Ok(judge(&claims, &names, &tests))
}

/// A test is named by its file (`crate/tests/file.rs`), its module (`crate::module::tests`) or its function.
fn judge(claims: &str, files: &[String], tests: &str) -> Vec<String> {
    let is_there = |name: &str| {
        let last = name.rsplit("::").next().unwrap_or(name);
        let module = name.trim_end_matches("::tests").replace("::", "/src/");
        files.iter().any(|file| {
            file.ends_with(name) || file.contains(&format!("{module}.rs")) || file.contains(&format!("{module}/"))
        }) || tests.contains(&format!("fn {last}("))
    };
    let rows = claims.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| What "));
    let mut complaints = Vec::new();
    for row in rows {
        let shown = row.trim_end_matches('|').rsplit(" | ").next().unwrap_or_default();
        let named: Vec<_> = shown.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            complaints.push(format!("{CLAIMS}: no test is named in: {row}"));
        }
        complaints.extend(
            named.into_iter().filter(|name| !is_there(name)).map(|name| format!("{CLAIMS}: there is no test {name}")),
        );
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn tests_that_are_not_there_are_missed() {
        let files = ["crates/journal/tests/killed.rs", "crates/journal/src/format.rs"].map(String::from);
        let claims = "| What is wrong | What happens | Shown by |\n|---|---|---|\n| a | b | `journal/tests/killed.rs` (twice), `it_works` |\n\
                      | c | d | `journal::format::tests` |\n| e | f | |\n| g | h | `it_fails`, `journal/tests/kiled.rs` |";
        let complaints = judge(claims, &files, "fn it_works() {");
        assert_eq!(complaints.len(), 3, "{complaints:?}");
    }
}
