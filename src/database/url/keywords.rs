//! Parses `host=localhost dbname='my database'`, with libpq's quoting: a value with spaces stands
//! in single quotes; `\` keeps the next character from its meaning.

use super::error::UrlError;
use super::values::{Values, known};

/// Parses the whole string.
pub(super) fn parse(text: &str) -> Result<Values, UrlError> {
    if has_semicolons(text) {
        return Err(UrlError::form(
            "it has semicolons between its parameters, as .NET, ODBC and PDO write them",
        ));
    }
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

/// Whether it begins as `Server=db;Database=x;…` of .NET, as Azure's portal shows it, or as
/// `pgsql:host=db;dbname=x` of PDO. To libpq the whole is the value of the first parameter.
fn has_semicolons(text: &str) -> bool {
    const THEIRS: [&str; 6] =
        ["server", "data source", "driver", "user id", "pgsql:host", "pgsql:dbname"];
    const COMMON: [&str; 3] = ["host", "database", "username"];
    let Some((name, rest)) = text.split_once('=') else { return false };
    let name = &*name.trim().to_ascii_lowercase();
    let first = rest.split(char::is_whitespace).next().unwrap_or_default();
    (THEIRS.contains(&name) && rest.contains(';'))
        || (COMMON.contains(&name) && first.contains(';'))
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
