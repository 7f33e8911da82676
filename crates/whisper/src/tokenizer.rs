//! Text to tokens and back: byte-pair encoding, and Whisper's special tokens.
//!
//! *Source*: <https://github.com/openai/whisper/blob/v20250625/whisper/tokenizer.py>

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::LazyLock;
use std::time::Duration;

use fancy_regex::Regex;

use crate::languages::LANGUAGES;
use crate::{TokenId, Vocabulary};

/// GPT-2's way of cutting text before bytes are merged.
static PIECES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
        .expect("BUG: a constant pattern")
});

/// Positions of one second, each 20 ms: what a timestamp token counts.
const TIMESTAMP_MS: u64 = 20;

/// The end of a part that does not begin here.
const NO_PART: usize = usize::MAX;

/// Languages that do not put spaces between words.
const WITHOUT_SPACES: [&str; 6] = ["zh", "ja", "th", "lo", "my", "yue"];
/// ASCII's punctuation, in its order.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// The vocabulary does not belong to a Whisper model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VocabularyError {
    /// Its size is none of Whisper's.
    #[error("its vocabulary is {0}, which no Whisper model has")]
    Size(usize),
    /// It has too few tokens of text.
    #[error("its vocabulary has {found} words where {expected} belong to {n_vocab} tokens")]
    Words {
        /// Those that it has.
        found: usize,
        /// Those that it should have.
        expected: usize,
        /// All tokens.
        n_vocab: usize,
    },
}

/// A model's vocabulary.
#[derive(Debug)]
pub struct Tokenizer {
    tokens: Vec<Vec<u8>>,
    ranks: HashMap<Vec<u8>, TokenId>,
    n_vocab: usize,
    vocabulary: Vocabulary,
}

impl Tokenizer {
    /// A vocabulary of byte strings in order of their ids, which is the order of their merges; the special tokens follow from
    /// the size of the whole. A list that goes on with special tokens is cut before them.
    ///
    /// # Errors
    /// [`VocabularyError`] when there are too few, or `n_vocab` is none of Whisper's.
    pub fn new(mut tokens: Vec<Vec<u8>>, n_vocab: usize) -> Result<Self, VocabularyError> {
        let vocabulary = Vocabulary::of(n_vocab).ok_or(VocabularyError::Size(n_vocab))?;
        let expected = vocabulary.text;
        if tokens.len() < expected {
            return Err(VocabularyError::Words { found: tokens.len(), expected, n_vocab });
        }
        tokens.truncate(expected);
        let ranks = tokens.iter().enumerate().map(|(id, bytes)| (bytes.clone(), id as TokenId)).collect();
        Ok(Self { tokens, ranks, n_vocab, vocabulary })
    }

    /// All tokens, special ones included.
    pub fn n_vocab(&self) -> usize {
        self.n_vocab
    }

    /// Whether the model knows languages other than English.
    pub fn is_multilingual(&self) -> bool {
        self.vocabulary.is_multilingual
    }

    /// End of text; the first token that is no text.
    pub fn eot(&self) -> TokenId {
        self.tokens.len() as TokenId
    }

    /// Start of transcript.
    pub fn sot(&self) -> TokenId {
        self.eot() + 1
    }

    /// The language tokens, in the order of [`LANGUAGES`].
    pub fn languages(&self) -> std::ops::Range<TokenId> {
        self.sot() + 1..self.sot() + 1 + self.vocabulary.languages as TokenId
    }

    /// Token of a language by its code, where the model has it.
    pub fn language(&self, code: &str) -> Option<TokenId> {
        let index = LANGUAGES.iter().position(|(known, _)| *known == code)?;
        (self.vocabulary.is_multilingual && index < self.vocabulary.languages)
            .then(|| self.languages().start + index as TokenId)
    }

    /// Code of a language token.
    pub fn language_code(&self, token: TokenId) -> Option<&'static str> {
        let index = token.checked_sub(self.languages().start)? as usize;
        LANGUAGES.get(index).filter(|_| index < self.vocabulary.languages).map(|(code, _)| *code)
    }

    /// Task: translate to English.
    pub fn translate(&self) -> TokenId {
        self.languages().end
    }

    /// Task: transcribe.
    pub fn transcribe(&self) -> TokenId {
        self.translate() + 1
    }

    /// Start of a language model's text; never produced.
    pub fn sot_lm(&self) -> TokenId {
        self.translate() + 2
    }

    /// Start of the text that came before.
    pub fn sot_prev(&self) -> TokenId {
        self.translate() + 3
    }

    /// The window holds no speech.
    pub fn no_speech(&self) -> TokenId {
        self.translate() + 4
    }

    /// No timestamps follow.
    pub fn no_timestamps(&self) -> TokenId {
        self.translate() + 5
    }

    /// The timestamp of 0.00 s; those after it are 20 ms apart.
    pub fn timestamp_begin(&self) -> TokenId {
        self.translate() + 6
    }

    /// Time of a timestamp token, from the start of the window.
    pub fn time(&self, token: TokenId) -> Option<Duration> {
        let steps = token.checked_sub(self.timestamp_begin())?;
        Some(Duration::from_millis(u64::from(steps) * TIMESTAMP_MS))
    }

    /// Text of tokens; special tokens have none, and bytes that are no UTF-8 become replacement characters.
    pub fn decode(&self, tokens: &[TokenId]) -> String {
        String::from_utf8_lossy(&self.bytes(tokens)).into_owned()
    }

    /// Bytes of tokens: a letter may be spread over several.
    pub fn bytes(&self, tokens: &[TokenId]) -> Vec<u8> {
        tokens.iter().filter_map(|token| self.tokens.get(*token as usize)).flatten().copied().collect()
    }

    /// Tokens of text. Special tokens in it are text like any other.
    pub fn encode(&self, text: &str) -> Vec<TokenId> {
        let mut out = Vec::new();
        for piece in PIECES.find_iter(text).filter_map(Result::ok) {
            self.merge(piece.as_str().as_bytes(), &mut out);
        }
        out
    }

    /// Merges the pair of lowest rank again and again. A prompt may be one word of 64 kB: the time is that of a sort.
    fn merge(&self, piece: &[u8], out: &mut Vec<TokenId>) {
        if let Some(token) = self.ranks.get(piece) {
            out.push(*token);
            return;
        }
        // At the beginning of a part: where it ends, and where the part before it begins.
        let mut ends: Vec<usize> = (1..=piece.len()).collect();
        let mut before: Vec<usize> = (0..piece.len()).map(|at| at.saturating_sub(1)).collect();
        let pair_at = |ends: &[usize], at: usize| {
            let end = *ends.get(ends[at])?;
            Some(Reverse((*self.ranks.get(&piece[at..end])?, at, end)))
        };
        let mut pairs: BinaryHeap<_> = (0..piece.len()).filter_map(|at| pair_at(&ends, at)).collect();
        while let Some(Reverse((_, at, end))) = pairs.pop() {
            let middle = ends[at];
            // One of the two may have been merged with its other neighbour meanwhile.
            if ends.get(middle) != Some(&end) {
                continue;
            }
            ends[at] = end;
            ends[middle] = NO_PART;
            if let Some(before) = before.get_mut(end) {
                *before = at;
            }
            pairs.extend(pair_at(&ends, at));
            if at > 0 {
                pairs.extend(pair_at(&ends, before[at]));
            }
        }
        let parts = std::iter::successors(Some(0), |at| ends.get(*at).copied()).take_while(|at| *at < piece.len());
        // Every single byte is a token in every published vocabulary; in another it would be left out.
        out.extend(parts.filter_map(|at| self.ranks.get(&piece[at..ends[at]])));
    }

    /// Text tokens put together to words, each with the number of its tokens. Where a language does not put spaces between words,
    /// every letter is one. Punctuation stands alone.
    pub fn words(&self, language: &str, tokens: &[TokenId]) -> Vec<(String, usize)> {
        let letters = self.letters(tokens);
        if self.vocabulary.is_multilingual && WITHOUT_SPACES.contains(&language) {
            return letters;
        }
        let mut words: Vec<(String, usize)> = Vec::new();
        for (text, tokens) in letters {
            // Several marks count as one where they happen to be neighbours in ASCII, as in OpenAI's code.
            let alone = text.starts_with(' ') || PUNCTUATION.contains(text.trim());
            match words.last_mut() {
                Some(word) if !alone => {
                    word.0.push_str(&text);
                    word.1 += tokens;
                }
                _ => words.push((text, tokens)),
            }
        }
        words
    }

    /// The fewest tokens that are whole letters, again and again.
    fn letters(&self, tokens: &[TokenId]) -> Vec<(String, usize)> {
        let full: Vec<char> = self.decode(tokens).chars().collect();
        let mut out = Vec::new();
        let (mut first, mut offset) = (0, 0);
        for end in 1..=tokens.len() {
            let text = self.decode(&tokens[first..end]);
            // A replacement that the whole text has there too is no half letter.
            let broken = text.chars().position(|letter| letter == char::REPLACEMENT_CHARACTER);
            let whole = broken.is_none_or(|at| full.get(offset + at) == Some(&char::REPLACEMENT_CHARACTER));
            if whole || end == tokens.len() {
                offset += text.chars().count();
                out.push((text, end - first));
                first = end;
            }
        }
        out
    }

    /// Tokens that speech does not contain: brackets, dashes, notes, speaker tags.
    pub fn non_speech_tokens(&self) -> Vec<TokenId> {
        const SINGLE: &str = "\"#()*+/:;<=>@[\\]^_`{|}~「」『』";
        const SEVERAL: &str = "<< >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪";
        const NOTES: &str = "♩♪♫♬♭♮♯";
        let mut tokens: Vec<TokenId> = Vec::new();
        // A hyphen or an apostrophe may stand within a word, but not begin one.
        for text in [" -", " '"] {
            tokens.extend(self.encode(text).first());
        }
        let single = SINGLE.chars().map(|symbol| (symbol.to_string(), false));
        let several = SEVERAL.split(' ').map(|symbol| (symbol.to_owned(), false));
        let notes = NOTES.chars().map(|symbol| (symbol.to_string(), true));
        for (symbol, is_note) in single.chain(several).chain(notes) {
            for text in [symbol.clone(), format!(" {symbol}")] {
                let encoded = self.encode(&text);
                if encoded.len() == 1 || is_note {
                    tokens.extend(encoded.first());
                }
            }
        }
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A vocabulary of the right size whose first 256 tokens are the bytes, then a few merges, then filling.
    pub(crate) fn toy(n_vocab: usize) -> Tokenizer {
        let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        for merge in ["th", "the", " the", "he", " w", "or", "wor", "ld", " wor", " world", "in"] {
            tokens.push(merge.as_bytes().to_vec());
        }
        let mut filling = 0;
        while tokens.len() < 50_300 {
            tokens.push(format!("\u{fffd}filling{filling}").into_bytes());
            filling += 1;
        }
        Tokenizer::new(tokens, n_vocab).expect("a vocabulary of the right size")
    }

    static TOY: LazyLock<Tokenizer> = LazyLock::new(|| toy(51_865));

    #[test]
    fn special_tokens_are_where_openai_has_them() {
        let english = toy(51_864);
        assert_eq!((english.eot(), english.sot(), english.translate()), (50_256, 50_257, 50_357));
        assert_eq!((english.no_speech(), english.no_timestamps(), english.timestamp_begin()), (50_361, 50_362, 50_363));
        let multilingual = toy(51_865);
        assert_eq!((multilingual.eot(), multilingual.translate()), (50_257, 50_358));
        assert_eq!(multilingual.timestamp_begin(), 50_364);
        assert_eq!(multilingual.language("en"), Some(50_259));
        assert_eq!(multilingual.language("yue"), None);
        let third = toy(51_866);
        assert_eq!((third.language("yue"), third.timestamp_begin()), (Some(50_358), 50_365));
        assert_eq!(third.language_code(50_358), Some("yue"));
        assert_eq!(third.timestamp_begin() + 1501, 51_866);
    }

    #[test]
    fn merges_go_by_rank() {
        let tokenizer = toy(51_864);
        let words = |text: &str| -> Vec<String> {
            tokenizer.encode(text).iter().map(|token| tokenizer.decode(&[*token])).collect()
        };
        assert_eq!(words("the world"), ["the", " world"]);
        assert_eq!(words("then words"), ["the", "n", " wor", "d", "s"]);
    }

    /// Merging as it is defined.
    fn merged(tokenizer: &Tokenizer, piece: &[u8]) -> Vec<TokenId> {
        let rank = |bytes: &[u8]| tokenizer.ranks.get(bytes).copied();
        let mut parts: Vec<Vec<u8>> = piece.iter().map(|byte| vec![*byte]).collect();
        loop {
            let pairs = parts.windows(2).enumerate().filter_map(|(at, pair)| Some((rank(&pair.concat())?, at)));
            let Some((_, at)) = pairs.min() else { break };
            let second = parts.remove(at + 1);
            parts[at].extend(second);
        }
        parts.iter().filter_map(|part| rank(part)).collect()
    }

    #[test]
    fn a_word_may_be_long() {
        let word = "worldthe".repeat(8 << 10);
        let tokens = TOY.encode(&word);
        assert!(TOY.decode(&tokens) == word && tokens.len() == 3 * (8 << 10), "{} tokens", tokens.len());
    }

    #[test]
    fn words_are_tokens_from_space_to_space() {
        let tokens = TOY.encode("the worlds, in");
        let words = TOY.words("en", &tokens);
        let texts: Vec<&str> = words.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, ["the", " worlds", ",", " in"]);
        assert_eq!(words.iter().map(|(_, count)| count).sum::<usize>(), tokens.len());
    }

    #[test]
    fn half_letters_stay_together() {
        let words = TOY.words("ja", &TOY.encode("é!"));
        assert_eq!(words, [("é".to_owned(), 2), ("!".to_owned(), 1)]);
    }

    #[test]
    fn too_small_a_vocabulary_is_refused() {
        assert!(Tokenizer::new(vec![vec![0]; 100], 51_864).is_err());
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "\\PC{0,40}") {
            let tokenizer = &*TOY;
            prop_assert_eq!(tokenizer.decode(&tokenizer.encode(&text)), text);
        }

        #[test]
        fn merges_are_those_of_the_definition(
            merges in prop::collection::vec("[ab]{2,6}", 0..40),
            piece in "[abc]{1,60}",
        ) {
            let tokens = ["a", "b", "c"].map(str::to_owned).into_iter().chain(merges);
            let ranks = tokens.zip(0..).map(|(token, id)| (token.into_bytes(), id)).collect();
            let vocabulary = Vocabulary { text: 0, languages: 0, is_multilingual: false };
            let tokenizer = Tokenizer { tokens: Vec::new(), ranks, n_vocab: 0, vocabulary };
            let mut tokens = Vec::new();
            tokenizer.merge(piece.as_bytes(), &mut tokens);
            // What is a token as a whole is not taken apart.
            let whole = tokenizer.ranks.get(piece.as_bytes()).map(|token| vec![*token]);
            prop_assert_eq!(tokens, whole.unwrap_or_else(|| merged(&tokenizer, piece.as_bytes())));
        }

        #[test]
        fn any_tokens_have_text(tokens in prop::collection::vec(any::<u32>(), 0..20)) {
            let _ = TOY.decode(&tokens);
        }
    }
}
