//! The password file: lines of `HOST:PORT:DATABASE:USER:PASSWORD`. `*` stands for any value; `\:`
//! is a colon, `\\` a backslash. The first line that matches counts.

use std::path::PathBuf;

use super::environment::Environment;
use super::values::{Value, Values};

/// The content of a password file.
#[derive(Default)]
pub(super) struct PasswordFile {
    content: Vec<u8>,
    /// Why the file is not used, for a warning.
    pub(super) warning: Option<String>,
}

impl PasswordFile {
    /// Reads the file that the string, `PGPASSFILE` or the home folder names. One that others may
    /// read is not used, as in libpq: the password in it is no secret any more.
    pub(super) fn read(values: &Values, environment: &Environment) -> Self {
        let explicit = values.get("passfile");
        let path = match explicit {
            Some(value) => Some(PathBuf::from(&value.text)),
            None => environment.in_home(".pgpass"),
        };
        let Some(path) = path else { return Self::default() };
        let name = explicit.map_or("~/.pgpass", Value::label);
        let unused = |reason: &str| Self {
            content: Vec::new(),
            warning: Some(format!("{name}: the password file is not used: {reason}")),
        };
        let Some(status) = environment.status(&path) else {
            return if explicit.is_some() { unused("it is not there") } else { Self::default() };
        };
        if !status.is_file {
            return unused("it is no plain file");
        }
        if status.is_open_to_others() {
            return unused("its group or others may read it; run chmod 600 on it");
        }
        match environment.read(&path) {
            Ok(content) => Self { content, warning: None },
            Err(error) => unused(&error.to_string()),
        }
    }

    /// The password of the first line that matches one of `hosts` and the other values.
    pub(super) fn find(
        &self,
        hosts: &[String],
        port: u16,
        database: &str,
        user: &str,
    ) -> Option<Vec<u8>> {
        let port = port.to_string();
        self.content.split(|byte| *byte == b'\n').find_map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.starts_with(b"#") {
                return None;
            }
            let fields = split(line);
            let [host_field, port_field, database_field, user_field, password, ..] = &fields[..]
            else {
                return None;
            };
            let matches =
                |field: &[u8], text: &str| field == b"*" || unescape(field) == text.as_bytes();
            let is_it = hosts.iter().any(|host| matches(host_field, host))
                && matches(port_field, &port)
                && matches(database_field, database)
                && matches(user_field, user);
            is_it.then(|| unescape(password))
        })
    }
}

/// Splits at the colons that have no backslash before them.
fn split(line: &[u8]) -> Vec<&[u8]> {
    let mut escaped = false;
    line.split(|byte| {
        let ends = *byte == b':' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })
    .collect()
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => text.push(*bytes.next().unwrap_or(byte)),
            byte => text.push(*byte),
        }
    }
    text
}
