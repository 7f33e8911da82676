use std::time::Duration;

use amanuensis_whisper::{Segment, Word};
use unicode_width::UnicodeWidthStr as _;

/// A text so much longer than what is spoken in half a minute is another text, and keeps no times.
const MOST_COMPARED: usize = 1_000_000;

/// The segment with another text.
///
/// Words that are in both texts keep their times. What was written between them shares the time of what was there before,
/// the longer words more of it.
pub fn edited(segment: &Segment, text: &str) -> Segment {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let lead = if segment.text.starts_with(char::is_whitespace) && !text.is_empty() { " " } else { "" };
    let words = if segment.words.is_empty() { Vec::new() } else { timed(segment, &text) };
    // The tokens were those of the old text.
    Segment { text: format!("{lead}{text}"), tokens: Vec::new(), words, ..segment.clone() }
}

fn timed(segment: &Segment, text: &str) -> Vec<Word> {
    let old = &segment.words;
    let new = pieces(old, text);
    let mut words: Vec<Word> = Vec::with_capacity(new.len());
    let (mut read, mut written) = (0, 0);
    // What follows the last word that both have is one more gap.
    for (next_old, next_new) in common(old, &new).into_iter().chain([(old.len(), new.len())]) {
        let replaced = &old[read..next_old];
        let before = words.last().map_or(segment.start, |word| word.end);
        let after = old.get(next_old).map_or(segment.end, |word| word.start);
        let start = replaced.first().map_or(before, |word| word.start);
        let end = replaced.last().map_or(after, |word| word.end).max(start);
        words.extend(spread(&new[written..next_new], start, end).map(|(text, start, end)| Word {
            start,
            end,
            text: text.to_owned(),
            // A person wrote it.
            probability: 1.0,
        }));
        words.extend(old.get(next_old).cloned());
        (read, written) = (next_old + 1, next_new + 1);
    }
    words
}

/// Indices of the words that both have, in order and as many as possible: the longest common subsequence.
fn common(old: &[Word], new: &[&str]) -> Vec<(usize, usize)> {
    if old.len() * new.len() > MOST_COMPARED {
        return Vec::new();
    }
    let same = |row: usize, column: usize| old[row].text.trim() == new[column].trim();
    // `[old + 1, new + 1]`: how many words there are in common from here on.
    let width = new.len() + 1;
    let mut count = vec![0_u16; (old.len() + 1) * width];
    for row in (0..old.len()).rev() {
        for column in (0..new.len()).rev() {
            count[row * width + column] = if same(row, column) {
                count[(row + 1) * width + column + 1] + 1
            } else {
                count[(row + 1) * width + column].max(count[row * width + column + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut found = Vec::new();
    while row < old.len() && column < new.len() {
        if same(row, column) {
            found.push((row, column));
            (row, column) = (row + 1, column + 1);
        } else if count[(row + 1) * width + column] >= count[row * width + column + 1] {
            row += 1;
        } else {
            column += 1;
        }
    }
    found
}

/// Pieces over a stretch of time, each for as long as it is wide.
pub fn spread<'a>(
    pieces: &[&'a str],
    start: Duration,
    end: Duration,
) -> impl Iterator<Item = (&'a str, Duration, Duration)> {
    let width = |piece: &str| piece.trim().width().max(1) as f64;
    let whole: f64 = pieces.iter().map(|piece| width(piece)).sum();
    let span = end.saturating_sub(start).as_secs_f64();
    let mut passed = 0.0;
    pieces
        .iter()
        .map(move |piece| {
            let from = start + Duration::from_secs_f64(span * (passed / whole));
            passed += width(piece);
            (*piece, from, start + Duration::from_secs_f64(span * (passed / whole).min(1.0)))
        })
        .collect::<Vec<_>>()
        .into_iter()
}

/// The new text cut into words, each with the space before it. Where the old words have no spaces between them (Chinese,
/// Japanese, Thai), those that still stand at the beginning and the end are cut out as they were.
fn pieces<'a>(old: &[Word], text: &'a str) -> Vec<&'a str> {
    let spaced = old.iter().skip(1).all(|word| word.text.starts_with(char::is_whitespace));
    let mut rest = text;
    let (mut front, mut back) = (Vec::new(), Vec::new());
    if !spaced {
        for word in old {
            let trimmed = rest.trim_start();
            let Some(after) = trimmed.strip_prefix(word.text.trim()) else { break };
            front.push(&rest[..rest.len() - after.len()]);
            rest = after;
        }
        for word in old.iter().skip(front.len()).rev() {
            let Some(before) = rest.trim_end().strip_suffix(word.text.trim()) else { break };
            back.push(&rest[before.len()..]);
            rest = before;
        }
        back.reverse();
    }
    front.extend(spaced_words(rest));
    front.extend(back);
    front
}

/// Words with the space before each.
pub fn spaced_words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut within = false;
    for (at, letter) in text.char_indices() {
        match (letter.is_whitespace(), within) {
            (true, true) => {
                words.push(&text[start..at]);
                (start, within) = (at, false);
            }
            (false, false) => within = true,
            _ => {}
        }
    }
    if within {
        words.push(&text[start..]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subtitles::tests::{segment, word};
    use proptest::prelude::*;

    fn spoken() -> Segment {
        let words =
            vec![word(0, 400, " Send"), word(400, 500, " it"), word(500, 1500, " to"), word(1500, 2000, " Alise.")];
        Segment { words, ..segment(0, 2000, " Send it to Alise.") }
    }

    fn times(segment: &Segment) -> Vec<(String, u128, u128)> {
        segment.words.iter().map(|word| (word.text.clone(), word.start.as_millis(), word.end.as_millis())).collect()
    }

    #[test]
    fn a_corrected_word_keeps_its_time() {
        let segment = edited(&spoken(), "Send it to  Alice.\n");
        assert_eq!(segment.text, " Send it to Alice.");
        assert_eq!(times(&segment)[..3], times(&spoken())[..3]);
        assert_eq!(times(&segment)[3], (" Alice.".to_owned(), 1500, 2000));
    }

    #[test]
    fn words_between_two_corrections_keep_their_times() {
        let segment = edited(&spoken(), "Post it to Alice.");
        assert_eq!(times(&segment)[1..3], times(&spoken())[1..3]);
        assert_eq!((segment.words[0].text.as_str(), segment.words[0].end), ("Post", Duration::from_millis(400)));
    }

    #[test]
    fn new_words_share_the_time_between_their_neighbours() {
        let segment = edited(&spoken(), "Send four five to Alise.");
        let expected = [("Send", 0, 400), (" four", 400, 450), (" five", 450, 500), (" to", 500, 1500)];
        let found = times(&segment);
        for ((text, start, end), found) in expected.into_iter().zip(&found) {
            assert_eq!((text.trim(), start, end), (found.0.trim(), found.1, found.2));
        }
        assert_eq!(edited(&spoken(), "").words, []);
        assert_eq!(edited(&spoken(), "").text, "");
    }

    #[test]
    fn a_script_without_spaces_is_cut_as_before() {
        let words = vec![word(0, 500, "你好"), word(500, 1000, "世界"), word(1000, 2000, "。")];
        let segment = edited(&Segment { words, ..segment(0, 2000, "你好世界。") }, "你好朋友。");
        let expected = [("你好", 0, 500), ("朋友", 500, 1000), ("。", 1000, 2000)];
        assert_eq!(times(&segment), expected.map(|(text, start, end)| (text.to_owned(), start, end)));
    }

    proptest! {
        #[test]
        fn the_words_are_the_text_and_in_order(text in "[a-d ]{0,12}") {
            let segment = edited(&spoken(), &text);
            let joined: String = segment.words.iter().map(|word| word.text.as_str()).collect();
            prop_assert_eq!(joined.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
            let mut before = Duration::ZERO;
            for word in &segment.words {
                prop_assert!(before <= word.start && word.start <= word.end, "{:?}", segment.words);
                before = word.start;
            }
        }
    }
}
