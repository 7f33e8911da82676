//! From what was heard to what is written: fillers, names, spoken punctuation, replacements, capitals.
//!
//! Everything here works on words: what stands between spaces, as a core with punctuation around it.

mod languages;
mod words;

use languages::{Mark, fillers, marks};
use words::{Word, letters, nearness};

/// What becomes of the words. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextRules {
    /// Code of the language, for fillers and the names of punctuation marks ("en"). A session goes by what it hears.
    pub language: String,
    /// Leave out sounds of hesitation, as "um".
    pub without_fillers: bool,
    /// Names and terms as they are to be spelt; what sounds nearly like one becomes it.
    pub vocabulary: Vec<String>,
    /// The vocabulary only prepares the model; what it writes is left as it is.
    pub without_correction: bool,
    /// Write "comma" as a comma, "new line" as one, and so on.
    pub spoken_punctuation: bool,
    /// Phrases that stand for something else: corrections and snippets.
    pub replacements: Vec<Replacement>,
    /// Which words begin with a capital.
    pub capitals: Capitals,
    /// End a dictation with a space, so that the next can follow.
    pub trailing_space: bool,
}

/// A phrase, and what is written for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// What is said; case and punctuation do not count.
    pub from: String,
    /// What is written, as it stands; several lines if need be.
    pub to: String,
}

/// Which words begin with a capital.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Capitals {
    /// Those that the model has begun so.
    #[default]
    AsHeard,
    /// Those that begin a sentence, too.
    Sentences,
}

impl TextRules {
    /// The vocabulary as text that could have come before: a model that has read a name is likelier to hear it.
    pub fn prompt(&self) -> Option<String> {
        (!self.vocabulary.is_empty()).then(|| format!("{}.", self.vocabulary.join(", ")))
    }

    /// A stretch of text as it is to be written.
    pub fn apply(&self, heard: &str) -> String {
        let mut words: Vec<Word> = heard.split_whitespace().map(Word::new).collect();
        if self.without_fillers {
            remove_fillers(&mut words, fillers(&self.language));
        }
        if !self.without_correction {
            correct(&mut words, &self.vocabulary);
        }
        self.replace(&mut words);
        if self.spoken_punctuation {
            punctuate(&mut words, marks(&self.language));
        }
        let text = join(&words);
        match self.capitals {
            Capitals::AsHeard => text,
            Capitals::Sentences => capitalise(&text),
        }
    }

    /// A whole dictation, of which every stretch was [applied](Self::apply).
    pub fn finish(&self, mut text: String) -> String {
        if self.trailing_space && !text.is_empty() && !text.ends_with(char::is_whitespace) {
            text.push(' ');
        }
        text
    }

    /// Writes what stands for a phrase. The longest phrase counts, and what was written is not looked at again.
    fn replace(&self, words: &mut Vec<Word>) {
        let mut phrases: Vec<(Vec<String>, &str)> = self
            .replacements
            .iter()
            .map(|replacement| (replacement.from.split_whitespace().map(letters).collect(), replacement.to.as_str()))
            .filter(|(phrase, _): &(Vec<String>, &str)| phrase.iter().any(|word| !word.is_empty()))
            .collect();
        phrases.sort_by_key(|(phrase, _)| std::cmp::Reverse(phrase.len()));
        substitute(words, |rest| {
            let (phrase, to) = phrases.iter().find(|(phrase, _)| begins_with(rest, phrase))?;
            Some((phrase.len(), (*to).to_owned()))
        });
    }
}

/// Puts the text that `find` names in the place of as many words, and keeps the punctuation around them.
fn substitute(words: &mut Vec<Word>, find: impl Fn(&[Word]) -> Option<(usize, String)>) {
    let mut at = 0;
    while at < words.len() {
        if let Some((count, core)) = find(&words[at..]) {
            let before = std::mem::take(&mut words[at].before);
            let after = std::mem::take(&mut words[at + count - 1].after);
            words.splice(at..at + count, [Word { before, core, after, ..Word::default() }]);
        }
        at += 1;
    }
}

/// Whether these words begin with the phrase, given as letters. Only its end may be followed by punctuation.
fn begins_with(words: &[Word], phrase: &[String]) -> bool {
    words.len() >= phrase.len() && words.iter().zip(phrase).all(|(word, wanted)| letters(&word.core) == *wanted)
}

fn remove_fillers(words: &mut Vec<Word>, fillers: &[&str]) {
    let mut kept: Vec<Word> = Vec::with_capacity(words.len());
    let mut capital = false;
    for mut word in words.drain(..) {
        let is_filler = fillers.contains(&letters(&word.core).as_str());
        if is_filler {
            // The next word begins the sentence instead.
            capital |= word.core.starts_with(char::is_uppercase);
            if let Some(last) = kept.last_mut().filter(|last| !last.ends_sentence() && word.ends_sentence()) {
                last.after = word.after;
            }
        } else {
            if std::mem::take(&mut capital) {
                word.core = capitalised(&word.core);
            }
            kept.push(word);
        }
    }
    *words = kept;
}

/// Spells what sounds nearly like a term as the term. A term may have been heard as up to three words.
fn correct(words: &mut Vec<Word>, vocabulary: &[String]) {
    let terms: Vec<(String, &str)> =
        vocabulary.iter().map(|term| (letters(term), term.trim())).filter(|(term, _)| !term.is_empty()).collect();
    let heard = |words: &[Word]| -> String { words.iter().map(|word| letters(&word.core)).collect() };
    substitute(words, |rest| {
        let near = (1..=rest.len().min(3))
            // A term does not go across a comma.
            .take_while(|count| rest[..count - 1].iter().all(|word| word.after.is_empty()))
            .flat_map(|count| terms.iter().map(move |(term, spelt)| (count, term, *spelt)))
            .filter_map(|(count, term, spelt)| Some((nearness(&heard(&rest[..count]), term)?, count, term, spelt)));
        // The nearest; of equals the shortest, which leaves its neighbours alone.
        let (distance, count, term, spelt) = near.min_by_key(|(distance, count, ..)| (*distance, *count))?;
        // A word before the term is no part of it.
        let later = (1..count).filter_map(|from| nearness(&heard(&rest[from..count]), term)).min();
        later.is_none_or(|later| later >= distance).then(|| (count, spelt.to_owned()))
    });
}

/// Turns names of marks into marks, which take the place of the punctuation that the model has put there.
fn punctuate(words: &mut Vec<Word>, marks: &[(&[&str], Mark)]) {
    let mut written: Vec<Word> = Vec::with_capacity(words.len());
    let mut capital = false;
    let mut at = 0;
    while at < words.len() {
        let found = marks.iter().filter(|(name, _)| {
            words.len() - at >= name.len()
                && name.iter().zip(&words[at..]).all(|(name, word)| letters(&word.core) == *name)
        });
        let Some((name, mark)) = found.max_by_key(|(name, _)| name.len()) else {
            let mut word = words[at].clone();
            if std::mem::take(&mut capital) {
                word.core = capitalised(&word.core);
            }
            written.push(word);
            at += 1;
            continue;
        };
        at += name.len();
        if let Some(last) = written.last_mut()
            && !matches!(mark, Mark::Opening(_))
        {
            last.after.clear();
        }
        capital |= mark.ends_sentence();
        written.push(mark.as_word());
    }
    *words = written;
}

fn join(words: &[Word]) -> String {
    let mut text = String::new();
    let mut glue = true;
    for word in words {
        if !glue && !word.glued_before {
            text.push(' ');
        }
        text.push_str(&word.before);
        text.push_str(&word.core);
        text.push_str(&word.after);
        glue = word.glued_after;
    }
    text
}

/// Begins every sentence with a capital.
fn capitalise(text: &str) -> String {
    let mut begins = true;
    let mut ended = false;
    text.chars()
        .flat_map(|c| {
            let upper = begins && c.is_lowercase();
            begins = (begins && !c.is_alphanumeric()) || c == '\n' || (ended && c.is_whitespace());
            // Quotation marks and brackets may close after the full stop.
            ended = matches!(c, '.' | '!' | '?') || (ended && matches!(c, '"' | '\'' | ')' | '\u{201d}' | '\u{2019}'));
            let (upper, same) = if upper { (Some(c.to_uppercase()), None) } else { (None, Some(c)) };
            upper.into_iter().flatten().chain(same)
        })
        .collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests;
