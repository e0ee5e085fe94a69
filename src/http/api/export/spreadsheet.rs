//! Texts and times as spreadsheets read them.
//!
//! A spreadsheet that opens CSV guesses what each field is, and quotes do not keep it from
//! guessing. A text that begins like a formula is run, `0012345` loses its zeros, `73928e05`
//! becomes a number with five zeros, `1-2` the second of January. Students write these texts. An
//! apostrophe before such a text makes it one for every spreadsheet.
//!
//! Where the list separator is a semicolon, Excel splits the rows at semicolons and line feeds
//! inside of quoted fields too, so a formula may also begin there. Blanks and characters that are
//! not shown do not keep a formula from being one.

use std::fmt::Write as _;

use crate::event::Micros;

/// The most UTF-16 code units in a cell of Excel, which refuses or splits a longer field.
pub(super) const MAX_UNITS: usize = 32_767;
/// The most characters of a text that a spreadsheet takes for a date or a time: the longest forms
/// have names of months, era names and time zones.
const MAX_DATE_CHARS: usize = 64;
/// The most digits that a spreadsheet shows as they are in a cell of ordinary width.
const MAX_SHOWN_DIGITS: usize = 11;

/// Words that are part of a date or a time, in English and in Japanese.
const DATE_WORDS: &[&str] = &[
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "mon",
    "tue",
    "wed",
    "thu",
    "fri",
    "sat",
    "sun",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];
const DATE_KANJI: &str = "年月日時分秒元明治大正昭和平成令午前後曜火水木金土";
/// Texts without a digit that become a value.
const VALUE_WORDS: &[&str] =
    &["true", "false", "#n/a", "#ref!", "#value!", "#name?", "#div/0!", "#null!", "#num!"];

/// A character by which a formula begins.
fn begins_formula(c: char) -> bool {
    const WIDE: [char; 4] = ['＝', '＋', '－', '＠'];
    const SMALL: [char; 4] = ['﹦', '﹢', '﹣', '﹫'];
    const MINUS: char = '\u{2212}';
    matches!(c, '=' | '+' | '-' | '@' | MINUS) || WIDE.contains(&c) || SMALL.contains(&c)
}

/// A character that may stand before a formula: a blank, or one that is not shown.
fn is_passed_over(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A character behind which a spreadsheet may begin another cell, although it is quoted.
fn may_end_cell(c: char) -> bool {
    matches!(c, ';' | '"' | '\n' | '\r' | '\t')
}

/// Writes a text as a field of CSV that stays the text that it is. Returns whether it was cut.
pub(super) fn write_text(text: &str, out: &mut String) -> bool {
    let first = text.chars().find(|&c| !is_passed_over(c));
    let mut units = 0;
    let mut field = String::with_capacity(text.len());
    if text.starts_with(['\t', '\r', '\n']) || first.is_some_and(begins_formula) || is_value(text) {
        field.push('\'');
        units += 1;
    }
    let (mut is_quoted, mut is_cut, mut may_begin_cell) = (!field.is_empty(), false, false);
    for c in text.chars() {
        // SQL may have stored a NUL, at which other programs end or fail.
        let c = if c == '\0' { char::REPLACEMENT_CHARACTER } else { c };
        let is_guarded = begins_formula(c) && may_begin_cell;
        units += c.len_utf16() + usize::from(is_guarded);
        if units > MAX_UNITS {
            is_cut = true;
            break;
        }
        if is_guarded {
            field.push('\'');
        }
        if c == '"' {
            field.push('"');
        }
        is_quoted |= may_end_cell(c) || matches!(c, ',' | ' ' | '\u{3000}');
        field.push(c);
        may_begin_cell = may_end_cell(c) || (may_begin_cell && is_passed_over(c));
    }
    if is_quoted {
        out.push('"');
    }
    out.push_str(&field);
    if is_quoted {
        out.push('"');
    }
    is_cut
}

/// Writes a moment in the form that Excel, Numbers and LibreOffice read as a time in English and
/// in Japanese, without a zone, which none of them reads: `offset` (seconds) is added to UTC.
pub(super) fn write_time(moment: Micros, offset: i64, out: &mut String) {
    let local = Micros(moment.in_years().0.saturating_add(offset * 1_000_000)).to_rfc3339();
    out.push_str(&local[..19].replace('T', " "));
}

/// The name of a column of local times. It says which, so that a file can be read later.
pub(super) fn zone_name(offset: i64) -> String {
    if offset == 0 {
        return "UTC".to_owned();
    }
    let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
    let mut name = String::new();
    // Writing into a String cannot fail.
    let _ = write!(name, "UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    name
}

/// A character as it is compared: full-width forms, which Japanese spreadsheets read too, as ASCII.
fn folded(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(c as u32 - 0xfee0).unwrap_or(c).to_ascii_lowercase()
        }
        '\u{3000}' | '\u{a0}' => ' ',
        '￥' => '¥',
        _ => c.to_ascii_lowercase(),
    }
}

/// Whether a spreadsheet reads a text as a number, a date, a time, a truth value or an error, and
/// so shows another text. A short whole number is shown as it is.
fn is_value(text: &str) -> bool {
    let text = text.trim();
    let is_whole_number = !text.is_empty()
        && text.len() <= MAX_SHOWN_DIGITS
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if is_whole_number {
        return false;
    }
    let chars: Vec<char> = text.chars().map(folded).take(MAX_DATE_CHARS + 1).collect();
    if chars.len() > MAX_DATE_CHARS {
        let is_numeral = |c| matches!(c, '0'..='9' | '.' | ',' | '%' | ' ');
        return text.chars().map(folded).all(is_numeral);
    }
    let plain: String = chars.iter().collect();
    if VALUE_WORDS.contains(&&*plain) {
        return true;
    }
    chars.iter().any(char::is_ascii_digit) && consists_of_value_parts(&chars)
}

/// Whether nothing stands in the text but digits, signs and the words of dates and times.
fn consists_of_value_parts(chars: &[char]) -> bool {
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if c.is_alphabetic() {
            let length = chars[at..].iter().take_while(|c| c.is_alphabetic()).count();
            if !is_value_word(chars, at, at + length) {
                return false;
            }
            at += length;
        } else if c.is_ascii_digit() || c == ' ' || "+-.,:/%$¥€£()'".contains(c) {
            at += 1;
        } else {
            return false;
        }
    }
    true
}

/// Whether the letters from `begin` to `end` are part of a number or a date where they stand.
fn is_value_word(chars: &[char], begin: usize, end: usize) -> bool {
    let word: String = chars[begin..end].iter().collect();
    let before = begin.checked_sub(1).map(|at| chars[at]);
    let after = &chars[end..];
    let follows_digit = before.is_some_and(|c| c.is_ascii_digit());
    let precedes_digit = after.first().is_some_and(char::is_ascii_digit);
    match &*word {
        // 73928e05
        "e" => {
            (follows_digit || before == Some('.'))
                && (precedes_digit || matches!(after.first(), Some('+' | '-')))
        }
        // 2026-11-23T09:00:00Z
        "t" if follows_digit => precedes_digit,
        "z" => follows_digit && after.is_empty(),
        // 9 am
        "am" | "pm" => follows_digit || before == Some(' '),
        "a" | "p" => before == Some(' '),
        // The letter of a Japanese era, in R8.11.23; s001 is no date.
        "m" | "t" | "s" | "h" | "r" => {
            let separator = after.iter().find(|c| !c.is_ascii_digit());
            begin == 0 && precedes_digit && matches!(separator, Some('.' | '/' | '-'))
        }
        word => DATE_WORDS.contains(&word) || word.chars().all(|c| DATE_KANJI.contains(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> String {
        let mut out = String::new();
        assert!(!write_text(text, &mut out), "{text}");
        out
    }

    #[test]
    fn fields_are_quoted_as_csv_has_it() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("a;b", "\"a;b\""),
            ("say \"x\"\n", "\"say \"\"x\"\"\n\""),
            ("", ""),
        ] {
            assert_eq!(field(text), expected);
        }
    }

    #[test]
    fn a_formula_is_a_text_wherever_a_cell_may_begin() {
        for text in ["=1+1", "+1", "-1", "@sum", "\tx", "\rx", "\nx", "  =1", "＝1", "－1", "＠x"]
        {
            assert_eq!(field(text), format!("\"'{text}\""));
        }
        for text in ["\u{feff}=1", "\u{200b}+1", "\u{1}@x", "\u{a0}\u{3000}=1", "\u{2212}x", "﹦1"]
        {
            assert_eq!(field(text), format!("\"'{text}\""));
        }
        for (text, expected) in [
            ("a;=1", "\"a;'=1\""),
            ("\n=1", "\"'\n'=1\""),
            ("a\n=1", "\"a\n'=1\""),
            ("a\r\n@x", "\"a\r\n'@x\""),
            ("a\t+x", "\"a\t'+x\""),
            ("a\"=x", "\"a\"\"'=x\""),
            ("a;＋x", "\"a;'＋x\""),
            ("a; =x", "\"a; '=x\""),
            ("a\n \u{200b}\t@x", "\"a\n \u{200b}\t'@x\""),
            ("a;'=x", "\"a;'=x\""),
            ("a \0", "\"a \u{fffd}\""),
            ("x = -1", "\"x = -1\""),
            ("a=b", "a=b"),
        ] {
            assert_eq!(field(text), expected);
        }
    }

    #[test]
    fn texts_that_look_like_values_stay_texts() {
        for text in [
            "0012345",
            "73928e05",
            "1e5",
            "1.5E-3",
            "1.10",
            "1,000",
            "10%",
            "$5",
            "(5)",
            "1/2",
            "1-2",
            "12:30",
            "9 pm",
            "2026-11-23",
            "2026-11-23T09:00:00Z",
            "MAR1",
            "Sept-2",
            "5 May 2026",
            "TRUE",
            "false",
            "#N/A",
            "123456789012",
            "１２３",
            "Ｔｒｕｅ",
            "R8.11.23",
            "令和8年11月23日",
            "午前9時",
            "￥5",
            " 007 ",
        ] {
            let quoted = field(text);
            assert!(quoted.starts_with("\"'"), "{text}: {quoted}");
        }
        for text in [
            "s001",
            "h28001",
            "t-5",
            "12345",
            "0",
            "2026001",
            "lesson1.ipynb",
            "c-7",
            "e5",
            "x1",
            "7f",
            "3p",
            "a1b2",
            "学生1",
            "12人",
            "# 1",
            "1_000",
            "may",
            "print(1)",
            "S1",
        ] {
            let quoted = field(text);
            assert!(!quoted.contains('\''), "{text}: {quoted}");
        }
        assert!(field(&"7".repeat(400)).starts_with("\"'"));
    }

    #[test]
    fn a_field_has_at_most_what_a_cell_holds() {
        for (text, units) in [
            ("x".repeat(MAX_UNITS), MAX_UNITS),
            ("x".repeat(MAX_UNITS + 1), MAX_UNITS),
            ("😀".repeat(MAX_UNITS), MAX_UNITS - 1),
            (format!("={}", "x".repeat(MAX_UNITS)), MAX_UNITS),
            ("\n=".repeat(MAX_UNITS), MAX_UNITS),
        ] {
            let mut out = String::new();
            let is_cut = write_text(&text, &mut out);
            let found = out.trim_matches('"').encode_utf16().count();
            assert_eq!((found, is_cut), (units, text.encode_utf16().count() > MAX_UNITS));
        }
    }

    #[test]
    fn times_are_those_of_the_zone() {
        let mut out = String::new();
        write_time(Micros(1_795_448_163_629_000), 0, &mut out);
        out.push(' ');
        write_time(Micros(1_795_448_163_629_000), 9 * 3600, &mut out);
        assert_eq!(out, "2026-11-23 15:36:03 2026-11-24 00:36:03");
        assert_eq!(
            [0, 9 * 3600, -12_600].map(zone_name),
            ["UTC", "UTC+09:00", "UTC-03:30"].map(str::to_owned)
        );
        // The ends of what can be written.
        for moment in [Micros::MIN, Micros::MAX] {
            write_time(moment, -3600, &mut out);
            write_time(moment, 3600, &mut out);
        }
    }
}
