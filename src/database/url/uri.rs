//! Parses `postgres://USER:PASSWORD@HOST:PORT/DATABASE?NAME=VALUE`, as libpq does, and the schemes
//! of other drivers (`postgresql+asyncpg://`).
//!
//! An error here never repeats the text. Where a password has an unescaped character, its rest
//! stands where a host, a port or a parameter is expected.

use std::net::Ipv6Addr;

use super::error::UrlError;
use super::values::{Values, known};

/// The text after `postgres://`, if it is a URL of PostgreSQL.
///
/// # Errors
/// If it is a URL of something else.
pub(super) fn after_scheme(text: &str) -> Result<Option<&str>, UrlError> {
    let begins =
        |word: &str| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    if ["jdbc:", "r2dbc:"].into_iter().any(begins) {
        return Err(UrlError::form(
            "it is a URL of Java, whose ssl=true means another thing than elsewhere; leave out \
             jdbc: or r2dbc:, put user and password before the host, and write sslmode for ssl",
        ));
    }
    // As it is copied from a vendor's page, or from a file that is not read by a shell.
    if text.starts_with(['"', '\'', '`']) || begins("psql ") {
        return Err(UrlError::form("leave out the quotes around it, and the word psql before it"));
    }
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(None) };
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "+-._".contains(letter);
    if !scheme.chars().all(is_word) {
        return Ok(None);
    }
    // The name of a driver follows the plus sign.
    let protocol = scheme.split('+').next().unwrap_or_default().to_ascii_lowercase();
    if ["postgres", "postgresql"].contains(&protocol.as_str()) {
        return Ok(Some(rest));
    }
    Err(UrlError::form("it is no URL of PostgreSQL"))
}

/// Parses the text after `postgres://`.
pub(super) fn parse(text: &str) -> Result<Values, UrlError> {
    let mut values = Values::default();
    let (credentials, rest) = split_credentials(text);
    if let Some(credentials) = credentials {
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        if !user.is_empty() {
            values.set("user", decode(user, "user")?);
        }
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            values.set("password", decode(password, "password")?);
        }
    }
    let hosts_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (hosts, rest) = rest.split_at(hosts_end);
    parse_hosts(hosts, &mut values)?;
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    if path.contains('@') {
        return Err(UrlError::form(
            "there is an @ after the first /; in the user and the password / is written %2F, in \
             the database's name @ is written %40",
        ));
    }
    let database = decode(path.strip_prefix('/').unwrap_or(path), "database's name")?;
    if !database.is_empty() {
        values.set("dbname", database);
    }
    if let Some(query) = query {
        // A password with / and ? continues here, up to the @ before its host.
        parse_query(query, query.contains('@'), &mut values)?;
    }
    Ok(values)
}

/// Splits at the @ that ends user and password: the last one before the first /, so that the
/// password may contain an @. An @ in the parameters of a URL without a path does not count, unless
/// no other is there: then the ? is taken as a part of the password, as libpq takes it.
fn split_credentials(text: &str) -> (Option<&str>, &str) {
    let authority = &text[..text.find('/').unwrap_or(text.len())];
    let before_query = &authority[..authority.find('?').unwrap_or(authority.len())];
    match before_query.rfind('@').or_else(|| authority.rfind('@')) {
        Some(at) => (Some(&text[..at]), &text[at + 1..]),
        None => (None, text),
    }
}

/// Parses `HOST:PORT,HOST:PORT`.
fn parse_hosts(text: &str, values: &mut Values) -> Result<(), UrlError> {
    let mut hosts = Vec::new();
    let mut ports = Vec::new();
    for server in text.split(',') {
        let (host, port) = parse_host(server)?;
        hosts.push(host);
        ports.push(port);
    }
    let joined = hosts.join(",");
    if !joined.is_empty() {
        values.set("host", joined);
    }
    if ports.iter().any(|port| !port.is_empty()) {
        values.set("port", ports.join(","));
    }
    Ok(())
}

fn parse_host(server: &str) -> Result<(String, String), UrlError> {
    if let Some(rest) = server.strip_prefix('[') {
        let wrong = || {
            UrlError::form(
                "in brackets there is no IPv6 address; an address is written [::1], one with a \
                 zone [fe80::1%25eth0]",
            )
        };
        let (address, port) = rest.split_once(']').ok_or_else(wrong)?;
        let address = decode(address, "host").map_err(|_| wrong())?;
        let plain = address.split('%').next().unwrap_or_default();
        plain.parse::<Ipv6Addr>().map_err(|_| wrong())?;
        let port = match port.strip_prefix(':') {
            Some(port) => port,
            None if port.is_empty() => "",
            None => return Err(wrong()),
        };
        return Ok((address, decode(port, "port")?));
    }
    let (host, port) = server.split_once(':').unwrap_or((server, ""));
    let port = decode(port, "port")?;
    if !port.chars().all(|letter| letter.is_ascii_digit()) {
        return Err(UrlError::form(
            "the port is no number; in the user and the password : is written %3A, / is written \
             %2F, ? is written %3F and @ is written %40, and an IPv6 address stands in brackets",
        ));
    }
    let host = decode(host, "host")?;
    if host.contains(',') {
        return Err(UrlError::form("the name of a host has a comma"));
    }
    Ok((host, port))
}

/// Parses `NAME=VALUE&NAME=VALUE`.
fn parse_query(text: &str, may_be_secret: bool, values: &mut Values) -> Result<(), UrlError> {
    let mut after_password = false;
    for piece in text.split('&').filter(|piece| !piece.is_empty()) {
        let Some((name, value)) = piece.split_once('=') else {
            return Err(UrlError::form(
                "a parameter has no value; after ? parameters are written NAME=VALUE with & \
                 between them, and in a password ? is written %3F and & is written %26",
            ));
        };
        let name = decode(name, "parameters")?;
        let name = known(&name, may_be_secret || after_password)?;
        after_password = ["password", "sslpassword"].contains(&name);
        values.set(name, decode(value, "parameters")?);
    }
    Ok(())
}

/// Replaces `%XX` by its byte. Unlike in a form, `+` is a plus sign.
fn decode(text: &str, part: &str) -> Result<String, UrlError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || {
            let digit = char::from(bytes.next()?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        let value = digit().and_then(|high| Some(high * 16 + digit()?));
        match value {
            Some(0) => return Err(UrlError::form(format!("the {part} has %00"))),
            Some(value) => decoded.push(value),
            None => {
                return Err(UrlError::form(format!(
                    "the {part} has a % without two hexadecimal digits; a % is written %25"
                )));
            }
        }
    }
    String::from_utf8(decoded).map_err(|_| {
        UrlError::form(format!("the {part} has escapes that are not UTF-8, as ä is %C3%A4"))
    })
}
