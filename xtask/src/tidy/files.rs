//! The files of the repository: their sizes, their words, and the code map that lists the crates.

use std::path::Path;

use anyhow::Context;

use crate::workspace::{self, Metadata};

/// A source file longer than this does more than one thing.
const MOST_LINES: usize = 1_000;

/// No file may be larger than this, the demo model aside.
const MOST_BYTES: u64 = 300_000;

/// What may be larger: a program wrote it, or it is the model.
const LARGE: &[&str] = &["Cargo.lock", "ui/package-lock.json", "models/demo/"];

/// Endings of the files that people write.
const SOURCES: &[&str] = &["rs", "ts", "svelte", "js", "css", "html", "py", "sh", "cc", "cpp", "h", "toml", "yml"];

/// Words that promise work instead of doing it. Written in two halves, or this file would complain of itself.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("#[ig", "nore"), concat!("#![allow(", "warnings")];

/// Complains about files that are too large or hold a forbidden word, and about crates that the code map leaves out.
///
/// *Errors*: git cannot list the files, or one cannot be read.
pub fn check(metadata: &Metadata) -> anyhow::Result<Vec<String>> {
    let mut complaints = Vec::new();
    for file in workspace::files()? {
        let name = file.to_string_lossy().into_owned();
        let path = workspace::root().join(&file);
        let bytes = path.metadata().with_context(|| format!("cannot read {name}"))?.len();
        if bytes > MOST_BYTES && !LARGE.iter().any(|large| name.starts_with(large)) {
            complaints.push(format!("{name} has {bytes} bytes; at most {MOST_BYTES} are allowed"));
        } else if is_source(&file) {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
            complaints.extend(judge_source(&text).into_iter().map(|complaint| format!("{name}{complaint}")));
        }
    }
    let map = std::fs::read_to_string(workspace::root().join("ARCHITECTURE.md")).unwrap_or_default();
    let folders = metadata.members().map(|package| package.folder());
    complaints.extend(missing_from_map(&map, folders));
    Ok(complaints)
}

fn is_source(file: &Path) -> bool {
    file.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| SOURCES.contains(&ending))
}

fn judge_source(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = text.lines().count();
    if lines > MOST_LINES {
        complaints.push(format!(" has {lines} lines; split it, {MOST_LINES} are the limit"));
    }
    for (index, line) in text.lines().enumerate() {
        for word in UNFINISHED.iter().filter(|word| has_word(line, word)) {
            complaints.push(format!(":{}: {word}: finish it or open an issue", index + 1));
        }
    }
    complaints
}

/// Whether `word` stands in `line` on its own, not as a part of a longer word.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        [before, after].into_iter().flatten().all(|neighbour| !neighbour.is_alphanumeric() && neighbour != '_')
    })
}

fn missing_from_map(map: &str, folders: impl Iterator<Item = String>) -> Vec<String> {
    let missing = folders.filter(|folder| !map.contains(&format!("`{folder}`")));
    missing.map(|folder| format!("ARCHITECTURE.md does not mention `{folder}`")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_words_are_found_where_they_stand_alone() {
        let word = UNFINISHED[0];
        assert_eq!(judge_source(&format!("fine\n// {word}: later")).len(), 1);
        assert_eq!(judge_source(&format!("let mas{word} = 1; // num{word}Tests")), Vec::<String>::new());
        assert_eq!(judge_source(&format!("    {}]\n", UNFINISHED[2])).len(), 1);
    }

    #[test]
    fn long_files_are_found() {
        assert!(judge_source(&"x\n".repeat(MOST_LINES)).is_empty());
        assert_eq!(judge_source(&"x\n".repeat(MOST_LINES + 1)).len(), 1);
    }

    #[test]
    fn the_map_names_folders_in_backquotes() {
        let folders = ["crates/mel", "xtask"].map(str::to_owned).into_iter();
        assert_eq!(missing_from_map("see `crates/mel`", folders).len(), 1);
    }
}
