//! The connection service file: `.pg_service.conf` in the home folder, then `pg_service.conf` of
//! the system. A section `[NAME]` holds the parameters of the service NAME.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::UrlError;
use super::values::{Source, Values, known};

/// The folder of the system's file, unless `PGSYSCONFDIR` names another: that of Debian.
const SYSTEM_FOLDER: &str = "/etc/postgresql-common";

/// Fills in what the service says, if the string or `PGSERVICE` names one. The string's own
/// parameters win.
pub(super) fn fill(values: &mut Values, environment: &Environment) -> Result<(), UrlError> {
    let named = |name, variable| {
        values.text(name).or_else(|| environment.variable(variable)).map(str::to_owned)
    };
    let Some(service) = named("service", "PGSERVICE") else { return Ok(()) };
    let explicit = named("servicefile", "PGSERVICEFILE").map(PathBuf::from);
    if let Some(file) = &explicit
        && !environment.exists(file)
    {
        return Err(UrlError::new(
            "the service file that servicefile (PGSERVICEFILE) names is not there",
        ));
    }
    let system = environment.variable("PGSYSCONFDIR").unwrap_or(SYSTEM_FOLDER);
    let files = [
        explicit.or_else(|| environment.in_home(".pg_service.conf")),
        Some(Path::new(system).join("pg_service.conf")),
    ];
    for file in files.into_iter().flatten().filter(|file| environment.exists(file)) {
        let content = environment.read(&file).map_err(|error| {
            UrlError::new(format!("the service file {} cannot be read: {error}", file.display()))
        })?;
        if fill_from(values, &String::from_utf8_lossy(&content), &service, &file)? {
            return Ok(());
        }
    }
    Err(UrlError::new(
        "no service file has the service that service (PGSERVICE) names; it is looked for in \
         PGSERVICEFILE or ~/.pg_service.conf, then in pg_service.conf in PGSYSCONFDIR",
    ))
}

/// Fills in the section of this service. Returns whether it is there.
fn fill_from(
    values: &mut Values,
    content: &str,
    service: &str,
    file: &Path,
) -> Result<bool, UrlError> {
    let mut found = false;
    for (index, line) in content.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            if found {
                return Ok(true);
            }
            found = section.strip_suffix(']') == Some(service);
            continue;
        }
        if !found {
            continue;
        }
        let wrong = |sentence: &str| {
            let (file, line) = (file.display(), index + 1);
            UrlError::new(format!("line {line} of the service file {file} {sentence}"))
        };
        let (name, value) = line.split_once('=').ok_or_else(|| wrong("is not NAME=VALUE"))?;
        // The name is content of a file: it is not repeated.
        let name = known(name, true).map_err(|_| wrong("names a parameter that is not known"))?;
        if ["service", "servicefile"].contains(&name) {
            return Err(wrong("names another service, which libpq does not allow"));
        }
        values.fill(name, value.to_owned(), Source::Service);
    }
    Ok(found)
}
