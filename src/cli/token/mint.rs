//! `progress-relay token mint`: signs a token with the relay's secret.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;

use super::links::links;
use crate::access::{Role, Secret};
use crate::cli::flags::units::parse_life;
use crate::cli::output::print;
use crate::error::Failure;
use crate::event::StudentId;

/// Make a token, and print it. With --url, print too what is to be pasted into each client.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file of the secret that the relay was given
    #[arg(long, env = "RELAY_JWT_SECRET_FILE", value_name = "FILE")]
    jwt_secret_file: PathBuf,
    /// What the caller may do: writer, POST into its classes as any student; student, POST as
    /// itself and read its own; instructor, read and act; operator, everything
    #[arg(long, env = "RELAY_TOKEN_ROLE", value_name = "ROLE")]
    role: Role,
    /// The caller: a student's id, or the name of a person or program
    #[arg(long, env = "RELAY_TOKEN_SUBJECT", value_name = "TEXT")]
    subject: Option<String>,
    /// A class of the caller's: a name, `prefix*` or `*`; may be given several times
    #[arg(long = "class", env = "RELAY_TOKEN_CLASS", value_name = "CLASS", value_delimiter = ',')]
    classes: Vec<String>,
    /// The caller's name for people
    #[arg(long, env = "RELAY_TOKEN_NAME", value_name = "TEXT")]
    name: Option<String>,
    /// How long the token is good: 45m, 12h, 90d
    #[arg(long, env = "RELAY_TOKEN_EXPIRES", value_name = "TIME", default_value = "12h",
          value_parser = parse_life)]
    expires: Duration,
    /// The token's id, by which it can be revoked [default: random]
    #[arg(long, env = "RELAY_TOKEN_ID", value_name = "TEXT")]
    id: Option<String>,
    /// The issuer that the relay demands
    #[arg(long, env = "RELAY_JWT_ISSUER", value_name = "TEXT")]
    jwt_issuer: Option<String>,
    /// The audience that the relay demands; of several, the first
    #[arg(long, env = "RELAY_JWT_AUDIENCE", value_name = "TEXT", value_delimiter = ',')]
    jwt_audience: Vec<String>,
    /// The relay's URL, as clients reach it: what each client needs is printed
    #[arg(long, env = "RELAY_URL", value_name = "URL")]
    url: Option<Url>,
}

/// Prints the token on stdout, and what it is on stderr.
///
/// # Errors
/// If the flags do not fit together, or the secret cannot be read.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let id = args.id.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let claims = claims(args, &id)?;
    let secret = Secret::read(&args.jwt_secret_file).map_err(Failure::usage)?;
    let token = secret.mint(&claims).map_err(Failure::new)?;
    // A closed stderr is ignored.
    let _ = writeln!(
        std::io::stderr(),
        "a token of the role {}; to revoke it, write its id into the list of --revoked: {id}",
        args.role
    );
    print(&token)?;
    match &args.url {
        Some(url) => print(&format!("\n{}", links(url, args.role, &args.classes, &token))),
        None => Ok(()),
    }
}

fn claims(args: &Args, id: &str) -> Result<Map<String, Value>, Failure> {
    if args.role == Role::Student && args.subject.is_none() {
        return Err(Failure::usage("--role student needs --subject, the student's id"));
    }
    if args.role != Role::Operator && args.classes.is_empty() {
        return Err(Failure::usage(format!(
            "--role {} needs --class: without one, the token is good for no class",
            args.role
        )));
    }
    if let Some(subject) = &args.subject {
        let wrong = |error| Failure::usage(format!("--subject {error}"));
        StudentId::of_client(subject).map_err(wrong)?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut claims = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            claims.insert(name.to_owned(), value);
        }
    };
    put("iss", args.jwt_issuer.clone().map(Value::from));
    put("aud", args.jwt_audience.first().cloned().map(Value::from));
    put("sub", args.subject.clone().map(Value::from));
    put("name", args.name.clone().map(Value::from));
    put("role", Some(args.role.to_string().into()));
    put("classes", (!args.classes.is_empty()).then(|| args.classes.clone().into()));
    put("iat", Some(now.as_secs().into()));
    put("exp", Some((now + args.expires).as_secs().into()));
    put("jti", Some(id.into()));
    Ok(claims)
}
