//! LocalAgreement-2: words are committed once two looks in a row agree on them.
//!
//! *Source*: Macháček, Dabre, Bojar, "Turning Whisper into Real-Time Transcription System", 2023,
//! <https://arxiv.org/abs/2307.14743>, section 2.

/// The text of a growing segment, in two parts.
///
/// Committed words are never taken back; tentative ones are what the last look added to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agreement {
    words: Vec<String>,
    committed: usize,
}

impl Agreement {
    /// Takes the text of the newest look.
    pub fn look(&mut self, text: &str) {
        let newest: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let agreed = self.words.iter().zip(&newest).take_while(|(old, new)| same(old, new)).count();
        // A look that contradicts committed words only supplies what follows them: by position, the best guess there is.
        self.words.truncate(self.committed);
        self.words.extend(newest.into_iter().skip(self.committed));
        self.committed = self.committed.max(agreed.min(self.words.len()));
    }

    /// Words that two looks in a row agreed on.
    pub fn committed(&self) -> String {
        self.words[..self.committed].join(" ")
    }

    /// Words that the next look may change.
    pub fn tentative(&self) -> String {
        self.words[self.committed..].join(" ")
    }
}

/// Whether two words differ in nothing but case and punctuation, which change while a sentence grows.
fn same(one: &str, other: &str) -> bool {
    let letters = |word: &str| -> Vec<char> {
        word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let (left, right) = (letters(one), letters(other));
    left == right && (!left.is_empty() || one == other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Agreement;

    #[test]
    fn a_word_is_committed_by_the_second_look_that_has_it() {
        let mut agreement = Agreement::default();
        agreement.look("Ask not");
        assert_eq!((agreement.committed().as_str(), agreement.tentative().as_str()), ("", "Ask not"));
        agreement.look("ask not, what");
        assert_eq!((agreement.committed().as_str(), agreement.tentative().as_str()), ("ask not,", "what"));
        agreement.look("ask not wet your");
        assert_eq!((agreement.committed().as_str(), agreement.tentative().as_str()), ("ask not,", "wet your"));
    }

    proptest! {
        #[test]
        fn committed_words_are_never_taken_back(looks in prop::collection::vec("([ab] ){0,6}", 0..12)) {
            let mut agreement = Agreement::default();
            let mut before = String::new();
            for look in looks {
                agreement.look(&look);
                let committed = agreement.committed();
                prop_assert!(committed.starts_with(&before), "{before:?} became {committed:?}");
                before = committed;
            }
        }

        #[test]
        fn the_same_look_twice_is_committed_whole(look in "([a-z]{1,4} ){0,8}") {
            let mut agreement = Agreement::default();
            agreement.look(&look);
            agreement.look(&look);
            prop_assert_eq!(agreement.committed(), look.split_whitespace().collect::<Vec<_>>().join(" "));
            prop_assert_eq!(agreement.tentative(), "");
        }
    }
}
