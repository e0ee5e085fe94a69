//! `progress-relay token inspect`: what a token says, and whether a relay would accept it.

use std::fmt::Write;
use std::io::{IsTerminal, Read};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::access::{Access, Caller, Credential, Scope, Unverified};
use crate::cli::flags::identity::JwtFlags;
use crate::cli::output::print;
use crate::error::Failure;

/// The longest input, in bytes: longer than any token that a relay looks at.
const MAX_INPUT: u64 = 64 * 1024;

/// Say what a token holds, and whether a relay with these keys would accept it; exit 1 if not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The token; `-`, or none: it is read from stdin, where the others on a machine do not see it
    #[arg(value_name = "TOKEN", default_value = "-", hide_default_value = true)]
    token: String,
    #[command(flatten)]
    jwt: JwtFlags,
}

/// Prints the claims and the verdict.
///
/// # Errors
/// If the token would be refused, or the keys cannot be read.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let config = args.jwt.validate()?;
    let token = if args.token == "-" { read_stdin()? } else { args.token };
    let token = token.trim();
    let Some(parts) = Unverified::of(token) else {
        return Err(Failure::new("this is no token: a JWT has three parts, with dots between"));
    };
    print(&describe(&parts))?;
    if !config.has_source() {
        return Err(Failure::new(
            "not verified: give --jwt-secret-file or --jwt-keys, as the relay has them",
        ));
    }
    let access = Access::with(&config).map_err(Failure::usage)?;
    access.first_look().await;
    match access.resolve(Some(&Credential::Token(token.to_owned()))).await {
        Ok(caller) => print(&format!("accepted: {}", rights(&caller))),
        Err(denial) => Err(Failure::new(format!("refused: {denial}"))),
    }
}

fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    if std::io::stdin().is_terminal() {
        eprint_hint();
    }
    std::io::stdin().lock().take(MAX_INPUT).read_to_string(&mut text)?;
    Ok(text)
}

fn eprint_hint() {
    use std::io::Write;
    // A closed stderr is ignored.
    let _ = writeln!(std::io::stderr(), "paste the token, then press Enter and Ctrl-D");
}

fn describe(parts: &Unverified) -> String {
    let mut text = format!("algorithm: {}", parts.algorithm);
    if let Some(key) = &parts.key {
        let _ = write!(text, "\nkey: {key:?}");
    }
    for (name, value) in &parts.claims {
        let _ = write!(text, "\n{name}: {value}");
        if let Some(moment) = moment(&parts.claims, name) {
            let _ = write!(text, " ({moment})");
        }
    }
    text
}

/// A claim that is a time, in words.
fn moment(claims: &Map<String, Value>, name: &str) -> Option<String> {
    if !["exp", "nbf", "iat"].contains(&name) {
        return None;
    }
    let seconds = claims.get(name)?.as_f64()? as i64;
    let date = OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&Rfc3339).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let away = Duration::from_secs(u64::try_from(seconds).ok()?.abs_diff(now));
    let away = in_words(away);
    Some(match u64::try_from(seconds) {
        Ok(at) if at > now => format!("{date}, in {away}"),
        _ => format!("{date}, {away} ago"),
    })
}

/// The two largest units of a time.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn rights(caller: &Caller) -> String {
    let classes = match &caller.scope {
        scope if *scope == Scope::default() => "no class".to_owned(),
        scope if scope.is_all() => "all classes".to_owned(),
        scope => format!("classes {}", scope.texts().join(", ")),
    };
    format!("{} {:?}, {classes}", caller.role, caller.subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_words() {
        for (seconds, words) in [
            (5, "5 s"),
            (65, "1 min 5 s"),
            (3600 * 11 + 59 * 60, "11 h 59 min"),
            (86_400 * 3 + 3600, "3 d 1 h"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
