//! How much of what was said was understood.

/// The share of the words of `said` that stand in `written` in the same order, from 0 to 1. Case and punctuation do not count.
pub fn heard(said: &str, written: &str) -> f64 {
    let (said, written) = (words(said), words(written));
    // The longest common subsequence, row by row.
    let mut row = vec![0_usize; written.len() + 1];
    for word in &said {
        let mut diagonal = 0;
        for (index, other) in written.iter().enumerate() {
            let longest = if word == other { diagonal + 1 } else { row[index].max(row[index + 1]) };
            diagonal = std::mem::replace(&mut row[index + 1], longest);
        }
    }
    row[written.len()] as f64 / said.len().max(1) as f64
}

/// The share of a clearly spoken sentence that the demo model has to understand.
const LEAST_UNDERSTOOD: f64 = 0.8;

/// Fails unless something was written, and about the right thing.
///
/// # Panics
/// It was not.
pub fn assert_understood(said: &str, written: &str) {
    let share = heard(said, written);
    println!("{share:.2} of \"{said}\" understood: {}", written.trim());
    assert!(!written.trim().is_empty() && share >= LEAST_UNDERSTOOD, "{share:.2} of \"{said}\" understood: {written}");
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::heard;

    #[test]
    fn words_count_in_order() {
        assert_eq!(heard("Ask not what", "ask, NOT; what?"), 1.0);
        assert_eq!(heard("one two three four", "two one three"), 0.5);
        assert_eq!(heard("one two three four", "and one and two and three and four"), 1.0);
        assert_eq!(heard("one two", ""), 0.0);
        assert_eq!(heard("", "anything"), 0.0);
    }
}
