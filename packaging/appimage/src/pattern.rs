//! Patterns as a shell has them: `*` and `?`, within one part of a path.

use std::path::Path;

/// Whether `path`, or a folder that it is in, fits `pattern`.
pub fn fits(pattern: &str, path: &Path) -> bool {
    let mut parts = path.iter();
    pattern
        .split('/')
        .filter(|part| !part.is_empty())
        .all(|pattern| parts.next().is_some_and(|part| part_fits(pattern.as_bytes(), part.as_encoded_bytes())))
}

fn part_fits(pattern: &[u8], part: &[u8]) -> bool {
    match (pattern, part) {
        ([], []) => true,
        ([b'*', pattern @ ..], _) => (0..=part.len()).any(|taken| part_fits(pattern, &part[taken..])),
        ([b'?', pattern @ ..], [_, part @ ..]) => part_fits(pattern, part),
        ([first, pattern @ ..], [other, part @ ..]) => first == other && part_fits(pattern, part),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_chooses_files_and_whole_folders() {
        let fits = |pattern, path| fits(pattern, Path::new(path));
        assert!(fits("usr/bin/app", "usr/bin/app"));
        assert!(fits("/usr/bin/", "usr/bin/app"));
        assert!(fits("*.desktop", "org.example.App.desktop"));
        assert!(fits("usr/*/a?p", "usr/bin/app"));
        assert!(!fits("*.desktop", "usr/share/applications/app.desktop"));
        assert!(!fits("usr/bin/app", "usr/bin"));
        assert!(!fits("usr/bi", "usr/bin/app"));
        assert!(!fits("a?p", "ap"));
    }
}
