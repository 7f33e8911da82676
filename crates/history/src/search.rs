//! From what a person types to what the database looks for.

/// How entries are looked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// All are shown.
    All,
    /// By the index: each word begins with one of these, which is a full-text query of SQLite.
    Words(String),
    /// By going through all: a script that is written without spaces has no words to index. A pattern for LIKE.
    Anywhere(String),
}

/// Reads what was typed. There is no syntax to learn, and none to stumble over.
pub(crate) fn read(typed: &str) -> Search {
    let words: Vec<&str> =
        typed.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return if typed.trim().is_empty() { Search::All } else { anywhere(typed.trim()) };
    }
    if typed.chars().any(is_written_without_spaces) {
        return anywhere(typed.trim());
    }
    // Quoted, a word is never taken for an operator.
    let query: Vec<String> = words.iter().map(|word| format!("\"{word}\"*")).collect();
    Search::Words(query.join(" "))
}

fn anywhere(typed: &str) -> Search {
    let escaped = typed.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    Search::Anywhere(format!("%{escaped}%"))
}

/// Thai to Khmer, and from the Chinese radicals to the compatibility ideographs; Hangul, which has spaces, among them.
fn is_written_without_spaces(letter: char) -> bool {
    matches!(letter, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_looked_for_by_their_beginning_and_nothing_is_syntax() {
        assert_eq!(read("  "), Search::All);
        assert_eq!(read("send the rep"), Search::Words("\"send\"* \"the\"* \"rep\"*".into()));
        assert_eq!(read("NEAR(a) OR \"b"), Search::Words("\"NEAR\"* \"a\"* \"OR\"* \"b\"*".into()));
        assert_eq!(read("don't"), Search::Words("\"don\"* \"t\"*".into()));
        assert_eq!(read("100%"), Search::Words("\"100\"*".into()));
        assert_eq!(read("%"), Search::Anywhere("%\\%%".into()));
        assert_eq!(read("会議"), Search::Anywhere("%会議%".into()));
    }
}
