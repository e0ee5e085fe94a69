//! The parameters of TLS, completed by the files in `~/.postgresql`, which libpq uses if they are
//! there.

use std::path::{Path, PathBuf};

use super::environment::{Environment, FileStatus};
use super::error::UrlError;
use super::values::{Value, Values};
use crate::database::key_file;
use crate::database::target::{Roots, TlsMode, TlsSettings};

/// libpq's folder below the home folder.
const FOLDER: &str = ".postgresql";
/// The value of `sslrootcert` for the authorities that the system trusts.
const SYSTEM: &str = "system";

/// The settings of TLS. `by_sockets` says that every host is a Unix socket, which is never
/// encrypted: as in libpq, a mode that is set for other programs then needs no certificates.
pub(super) fn parse(
    values: &Values,
    by_sockets: bool,
    environment: &Environment,
) -> Result<TlsSettings, UrlError> {
    let mode = mode(values)?;
    let least = values.word("ssl_min_protocol_version");
    let most = values.word("ssl_max_protocol_version");
    let settings = TlsSettings {
        mode,
        roots: Roots::None,
        client: None,
        revoked: None,
        only_tls13: least.as_deref() == Some("tlsv1.3"),
        only_tls12: most.as_deref() == Some("tlsv1.2"),
        send_name: values.text("sslsni") != Some("0"),
        direct: values.word("sslnegotiation").as_deref() == Some("direct"),
    };
    if settings.only_tls13 && settings.only_tls12 {
        return Err(UrlError::new(
            "ssl_min_protocol_version is above ssl_max_protocol_version; leave one of them out",
        ));
    }
    if settings.direct && mode < TlsMode::Require {
        return Err(UrlError::new(
            "sslnegotiation=direct never goes without TLS; write sslmode=require, verify-ca or \
             verify-full with it",
        ));
    }
    // No file is looked at in vain.
    if mode == TlsMode::Disable || by_sockets {
        return Ok(TlsSettings { mode: TlsMode::Disable, ..settings });
    }
    Ok(TlsSettings {
        roots: roots(mode, values, environment)?,
        client: client(values, environment)?,
        revoked: revoked(values, environment)?,
        ..settings
    })
}

/// `sslmode`; or `ssl=true`, which libpq takes as `sslmode=require`; or the old `requiressl=1`. The
/// string's `ssl=true` wins over `PGSSLMODE`.
fn mode(values: &Values) -> Result<TlsMode, UrlError> {
    let (sslmode, ssl) = (values.get("sslmode"), values.get("ssl"));
    if let (Some(sslmode), Some(ssl)) = (sslmode, ssl)
        && sslmode.source == ssl.source
        && (mode_of(sslmode) == "disable") != (mode_of(ssl) == "disable")
    {
        return Err(ssl.wrong("it contradicts sslmode; leave it out"));
    }
    let old = values.get("requiressl").filter(|value| value.text == "1");
    let explicit = [sslmode, ssl, old].into_iter().flatten().min_by_key(|value| value.source);
    let wants_system = values.text("sslrootcert") == Some(SYSTEM);
    let default = if wants_system { "verify-full" } else { "prefer" };
    let mode = explicit.map_or_else(|| default.to_owned(), mode_of);
    if wants_system && mode != "verify-full" {
        return Err(UrlError::new(
            "sslrootcert=system needs sslmode=verify-full: anyone can get a certificate from one \
             of the system's authorities for a name of their own",
        ));
    }
    Ok(match mode.as_str() {
        "disable" => TlsMode::Disable,
        "allow" => TlsMode::Allow,
        "require" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" => TlsMode::VerifyFull,
        _ => TlsMode::Prefer,
    })
}

/// The mode that a value of `sslmode`, `ssl` or `requiressl` means.
fn mode_of(value: &Value) -> String {
    match value.word().as_str() {
        "true" | "1" | "on" => "require".to_owned(),
        "false" | "0" | "off" => "disable".to_owned(),
        word => word.to_owned(),
    }
}

/// `sslrootcert`, or `root.crt` in libpq's folder. As in libpq, a file that is not there is an
/// error only where the certificate must be verified.
fn roots(mode: TlsMode, values: &Values, environment: &Environment) -> Result<Roots, UrlError> {
    let explicit = values.get("sslrootcert");
    if explicit.is_some_and(|value| value.text == SYSTEM) {
        return Ok(Roots::System);
    }
    let path = match explicit {
        Some(value) => Some(PathBuf::from(&value.text)),
        None => in_folder(environment, "root.crt"),
    };
    if let Some(path) = path.filter(|path| environment.exists(path)) {
        return Ok(Roots::File(path));
    }
    match explicit {
        _ if mode < TlsMode::VerifyCa => Ok(Roots::None),
        Some(value) => Err(value.wrong("the file is not there, or cannot be seen")),
        None => Err(UrlError::new(
            "sslmode=verify-ca and verify-full need the authority's certificate: write \
             sslrootcert=FILE, or sslrootcert=system for those that the system trusts, or put it \
             into ~/.postgresql/root.crt",
        )),
    }
}

/// `sslcert` and `sslkey`, or `postgresql.crt` and `postgresql.key` in libpq's folder.
fn client(
    values: &Values,
    environment: &Environment,
) -> Result<Option<(PathBuf, PathBuf)>, UrlError> {
    if values.word("sslcertmode").as_deref() == Some("disable") {
        return Ok(None);
    }
    let certificate = match values.get("sslcert") {
        Some(value) if !environment.exists(Path::new(&value.text)) => {
            return Err(value.wrong("the file is not there, or cannot be seen"));
        }
        Some(value) => PathBuf::from(&value.text),
        None => match in_folder(environment, "postgresql.crt") {
            Some(path) if environment.exists(&path) => path,
            _ => return Ok(None),
        },
    };
    let key = match values.get("sslkey") {
        Some(value) => Some(PathBuf::from(&value.text)),
        None => in_folder(environment, "postgresql.key"),
    };
    let key = key.ok_or_else(|| UrlError::new("sslcert needs its key: write sslkey=FILE"))?;
    let name = values.get("sslkey").map_or("~/.postgresql/postgresql.key", |_| "sslkey");
    let Some(status) = environment.status(&key) else {
        return Err(UrlError::new(format!(
            "{name}: the certificate's key is not there, or cannot be seen; write sslkey=FILE"
        )));
    };
    check_key(name, status)?;
    Ok(Some((certificate, key)))
}

fn check_key(name: &str, status: FileStatus) -> Result<(), UrlError> {
    if !status.is_file {
        return Err(UrlError::new(format!("{name}: the certificate's key is no plain file")));
    }
    if key_file::is_open(status.owner, status.mode) {
        return Err(UrlError::new(format!(
            "{name}: others may read the certificate's key; run chmod 600 on it (640 if root owns \
             it)"
        )));
    }
    Ok(())
}

/// `sslcrl`, or `root.crl` in libpq's folder.
fn revoked(values: &Values, environment: &Environment) -> Result<Option<PathBuf>, UrlError> {
    match values.get("sslcrl") {
        Some(value) if !environment.exists(Path::new(&value.text)) => {
            Err(value.wrong("the file is not there, or cannot be seen"))
        }
        Some(value) => Ok(Some(PathBuf::from(&value.text))),
        None => Ok(in_folder(environment, "root.crl").filter(|path| environment.exists(path))),
    }
}

fn in_folder(environment: &Environment, name: &str) -> Option<PathBuf> {
    environment.in_home(FOLDER).map(|folder| folder.join(name))
}
