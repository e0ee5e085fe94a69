//! Parses `host=localhost dbname='my database'`, with libpq's quoting: a value with spaces stands
//! in single quotes; `\` keeps the next character from its meaning.

use super::error::UrlError;
use super::values::{Values, known};

/// Parses the whole string.
pub(super) fn parse(text: &str) -> Result<Values, UrlError> {
    let mut values = Values::default();
    let mut after_password = false;
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|letter: char| letter == '=' || letter.is_whitespace());
        let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
        let Some(after) = after.trim_start().strip_prefix('=') else {
            return Err(UrlError::form(
                "it is neither a URL nor a list of NAME=VALUE, in which a value with spaces stands \
                 in single quotes",
            ));
        };
        let name = known(name, after_password)?;
        after_password = ["password", "sslpassword"].contains(&name);
        let (value, after) = parse_value(after.trim_start())?;
        values.set(name, value);
        rest = after.trim_start();
    }
    Ok(values)
}

/// Parses the value at the begin of the text, and returns the text after it.
fn parse_value(text: &str) -> Result<(String, &str), UrlError> {
    let quoted = text.strip_prefix('\'');
    let body = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut letters = body.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.extend(letters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted.is_some() => return Ok((value, &body[at + 1..])),
            letter if quoted.is_none() && letter.is_whitespace() => {
                return Ok((value, &body[at..]));
            }
            letter => value.push(letter),
        }
    }
    if quoted.is_some() {
        return Err(UrlError::new(
            "a single quote is not closed; inside of a value it is written \\'",
        ));
    }
    Ok((value, ""))
}
