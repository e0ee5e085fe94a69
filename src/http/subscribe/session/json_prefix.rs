//! The prefix of a JSON string, cut where a character or an escape ends.

/// The prefix of a JSON string, with its opening quote: at most `max` bytes behind that, whole
/// characters and escapes.
pub(super) fn prefix(quoted: &str, max: usize) -> &str {
    let text = quoted.as_bytes();
    let is_surrogate =
        |at: usize| text.get(at..at + 3).is_some_and(|it| it.eq_ignore_ascii_case(b"\\ud"));
    let mut end = 1;
    while let Some(&byte) = text.get(end) {
        let length = match byte {
            // Two escapes that are one character.
            b'\\' if is_surrogate(end) && is_surrogate(end + 6) => 12,
            b'\\' if text.get(end + 1) == Some(&b'u') => 6,
            b'\\' => 2,
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0.. => 4,
        };
        // The last byte is the closing quote.
        if end + length > max + 1 || end + length >= text.len() {
            break;
        }
        end += length;
    }
    &quoted[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_at_a_character() {
        for (quoted, expected) in [
            (r#""abc""#, ["\"", "\"a", "\"ab", "\"abc", "\"abc"]),
            (r#""é\n""#, ["\"", "\"", "\"é", "\"é", "\"é\\n"]),
            (r#""😀""#, ["\"", "\"", "\"", "\"", "\"😀"]),
            (r#""\"\\x""#, ["\"", "\"", "\"\\\"", "\"\\\"", "\"\\\"\\\\"]),
        ] {
            let got: Vec<&str> = (0..5).map(|max| prefix(quoted, max)).collect();
            assert_eq!(got, expected, "{quoted}");
        }
        for max in 0..12 {
            assert_eq!(prefix(r#""\ud83d\ude00!""#, max), "\"");
        }
        assert_eq!(prefix(r#""\ud83d\ude00!""#, 12), r#""\ud83d\ude00"#);
        assert_eq!(prefix(r#""\u001b[0m""#, 7), r#""\u001b["#);
    }
}
