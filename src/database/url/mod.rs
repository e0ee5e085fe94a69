//! Connection strings, read as libpq reads them.
//!
//! A value is looked for in the string, then in the service that the string or `PGSERVICE` names,
//! then in PostgreSQL's variables, then in the files of the home folder. Each parameter that libpq
//! or a well-known driver has is taken, ignored, or refused by a sentence: a parameter that is
//! silently without effect (`require_auth`, `sslcrldir`) would be a promise that is not kept.
//!
//! - `uri`, `keywords`: the two forms of the string; `service_file`, `password_file`: the files
//! - `parameters`: all parameters and what is done with each; `values`: the values that were found
//! - `hosts`, `encryption`: the parts of a [`Target`] that have rules of their own
//! - `environment`: variables, home folder and files; `error`: why a string cannot be used

mod encryption;
mod environment;
#[cfg(test)]
mod environment_tests;
mod error;
mod hosts;
mod keywords;
#[cfg(test)]
mod libpq_tests;
mod parameters;
mod password_file;
mod service_file;
#[cfg(test)]
mod tests;
mod uri;
mod values;

use std::time::Duration;

use tokio_postgres::config::ChannelBinding;

pub use self::environment::Environment;
pub use self::error::UrlError;
use self::parameters::PARAMETERS;
use self::password_file::PasswordFile;
use self::values::{Source, Values};
use super::target::{Place, Target, TargetHost};

/// The longest name of a schema, in bytes.
const LONGEST_NAME: usize = 63;

impl Target {
    /// Parses a URL or a list of `NAME=VALUE`, and completes it from the environment.
    ///
    /// # Errors
    /// A sentence that names the parameter, the variable or the file, and repeats no value.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(UrlError::form("it is empty"));
        }
        if text.contains('\0') {
            return Err(UrlError::form("it holds a NUL character"));
        }
        let mut values = match uri::after_scheme(text)? {
            Some(rest) => uri::parse(rest)?,
            None => keywords::parse(text)?,
        };
        service_file::fill(&mut values, environment)?;
        for known in PARAMETERS {
            if let Some((variable, name)) = known.variable.map(|variable| (variable, known.name))
                && let Some(value) = environment.variable(variable)
            {
                values.fill(name, value.to_owned(), Source::Variable);
            }
        }
        values.check()?;
        complete(&values, environment)
    }
}

/// Makes a target of the values.
fn complete(values: &Values, environment: &Environment) -> Result<Target, UrlError> {
    let user = values.text("user").or(environment.account.as_deref()).ok_or_else(|| {
        UrlError::new(
            "there is no user, and the account of this process has no name; write \
             postgres://USER@…, or set PGUSER",
        )
    })?;
    let database = values.text("dbname").unwrap_or(user);
    let password = values.text("password").map(|password| password.as_bytes().to_vec());
    let file = match password {
        Some(_) => PasswordFile::default(),
        None => PasswordFile::read(values, environment),
    };
    let hosts = hosts::parse(values, environment)?.into_iter().map(|(place, port)| {
        let from_file = || {
            let names = hosts::names_in_password_file(&place);
            file.find(&names, port, database, user).filter(|password| !password.is_empty())
        };
        let password = password.clone().or_else(from_file);
        TargetHost { place, port, password }
    });
    let hosts: Vec<TargetHost> = hosts.collect();
    let by_sockets = hosts.iter().all(|host| matches!(host.place, Place::Unix(_)));
    Ok(Target {
        hosts,
        user: user.to_owned(),
        database: database.to_owned(),
        options: values.text("options").map(str::to_owned),
        schema: schema(values)?,
        connect_timeout: connect_timeout(values)?,
        tls: encryption::parse(values, by_sockets, environment)?,
        channel_binding: match values.word("channel_binding").as_deref() {
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            _ => ChannelBinding::Prefer,
        },
        is_pooled: values.word("pgbouncer").as_deref() == Some("true"),
        warnings: file.warning.into_iter().collect(),
    })
}

/// The schema, in the words of three drivers.
fn schema(values: &Values) -> Result<Option<String>, UrlError> {
    let mut schema: Option<&str> = None;
    for value in ["schema", "currentSchema", "search_path", "schema_search_path"]
        .iter()
        .filter_map(|name| values.get(name))
    {
        let name = value.text.as_str();
        if name.contains([',', '"', '$']) || name.len() > LONGEST_NAME {
            return Err(value.wrong(
                "name one schema, that of the relay's tables, by at most 63 bytes without quotes",
            ));
        }
        if schema.is_some_and(|other| other != name) {
            return Err(value.wrong("another parameter names another schema; leave one out"));
        }
        schema = Some(name);
    }
    Ok(schema.map(str::to_owned))
}

/// `connect_timeout`, in seconds. As in libpq, zero and less mean no limit.
fn connect_timeout(values: &Values) -> Result<Option<Duration>, UrlError> {
    let Some(value) = values.get("connect_timeout") else { return Ok(None) };
    let seconds: i32 =
        value.text.trim().parse().map_err(|_| value.wrong("it is no whole number of seconds"))?;
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}
