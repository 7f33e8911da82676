//! Words, and how near two of them are.

/// What stands between two spaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// Punctuation before the word.
    pub before: String,
    /// From its first letter or digit to its last; the whole if it has none.
    pub core: String,
    /// Punctuation after it.
    pub after: String,
    /// No space stands before it.
    pub glued_before: bool,
    /// No space stands after it.
    pub glued_after: bool,
}

impl Word {
    pub(super) fn new(text: &str) -> Self {
        let first = text.find(char::is_alphanumeric);
        let last = text.char_indices().rfind(|(_, c)| c.is_alphanumeric()).map(|(at, c)| at + c.len_utf8());
        let (first, last) = first.zip(last).unwrap_or((0, text.len()));
        Self {
            before: text[..first].to_owned(),
            core: text[first..last].to_owned(),
            after: text[last..].to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn ends_sentence(&self) -> bool {
        self.after.contains(['.', '!', '?', '\u{3002}', '\u{2026}'])
    }
}

/// The letters and digits of a word, small.
pub(super) fn letters(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// How many letters differ, if two words are near enough to be the same one misheard: one in five letters at most.
pub(super) fn nearness(one: &str, other: &str) -> Option<usize> {
    if one == other {
        return Some(0);
    }
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let most = one.len().min(other.len()) / 5;
    if one.len().abs_diff(other.len()) > most {
        return None;
    }
    Some(distance(&one, &other)).filter(|distance| *distance <= most)
}

/// Letters to be inserted, removed, replaced, or exchanged with their neighbours (optimal string alignment).
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before = vec![0; other.len() + 1];
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut least = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && *b == one[i - 1] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_word_is_cut_at_its_letters() {
        let word = Word::new("\u{201c}(don't).");
        assert_eq!((word.before.as_str(), word.core.as_str(), word.after.as_str()), ("\u{201c}(", "don't", ")."));
        assert_eq!(Word::new("--").core, "--");
    }

    #[test]
    fn one_letter_in_five_may_differ() {
        assert_eq!(nearness("amanuensis", "amanuensus"), Some(1));
        assert_eq!(nearness("amanuensis", "ammanuenses"), Some(2));
        assert_eq!(nearness("tauri", "tuari"), Some(1));
        assert_eq!(nearness("anna", "anne"), None);
        assert_eq!(nearness("svelte", "swell"), None);
    }

    proptest! {
        #[test]
        fn distance_is_a_distance(one in "[ab]{0,6}", other in "[ab]{0,6}") {
            let (a, b): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &b) == 0, one == other);
            prop_assert!(distance(&a, &b) <= a.len().max(b.len()) && distance(&a, &b) >= a.len().abs_diff(b.len()));
        }
    }
}
