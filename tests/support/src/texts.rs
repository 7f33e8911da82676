//! Texts that are hard to type, and whether they arrived.

use std::path::Path;
use std::time::{Duration, Instant};

/// How long a text may take to arrive. It bounds a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// Accents, Greek, Cyrillic, Chinese, Japanese, Korean, Hebrew, emoji, also composed ones, combining marks, quotes.
pub const MIXED: &str = "Ça va, naïve façade? Ελληνικά, Привет; 漢字かな交じり文, 한국어, שלום — “emoji”: 😀👩‍👩‍👧 e\u{301}ṩ €5 ~^`´\"'\\|<>{}[]";

/// 2,000 characters, more different ones than a keyboard has keys.
pub fn long_text() -> String {
    let words = ["Überraschung ", "naïve ", "Ελλάδα ", "Привет, ", "漢字 ", "plain words 123; ", "😀 "];
    let cjk = (0x4e00..).filter_map(char::from_u32).step_by(7);
    let text = words.iter().cycle().flat_map(|word| word.chars());
    text.zip(cjk)
        .flat_map(|(letter, rare)| if letter == ' ' { vec![rare, ' '] } else { vec![letter] })
        .take(2000)
        .collect()
}

/// What is in a file once it is `expected`, or after a long wait.
pub fn contents(file: &Path, expected: &str) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if text == expected || Instant::now() > until {
            return text;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
