//! Lengths of files as people read them.

/// Bytes in words, by powers of 1000 as file managers show them: "148 MB".
pub fn in_words(bytes: u64) -> String {
    match bytes {
        0..=999_999 => format!("{} kB", bytes.div_ceil(1000)),
        1_000_000..=999_499_999 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn bytes_are_told_in_the_unit_that_suits_them() {
        assert_eq!(in_words(0), "0 kB");
        assert_eq!(in_words(77_691_713), "78 MB");
        assert_eq!(in_words(999_600_000), "1.00 GB");
        assert_eq!(in_words(3_095_033_483), "3.10 GB");
    }
}
