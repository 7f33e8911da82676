//! Texts that are hard to type.

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
