//! The servers: `host`, `hostaddr` and `port`, each a list with commas.

use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::UrlError;
use super::values::{Value, Values};
use crate::database::target::{DEFAULT_PORT, Place};

/// Where PostgreSQL puts its sockets: Debian's folder, then that of a build from source.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];
/// The folder whose lines in the password file are those of localhost, by its other name.
const SOCKET_FOLDER_ALIAS: &str = "/run/postgresql";

/// Each server and its port, in the order of the string. There is at least one.
pub(super) fn parse(
    values: &Values,
    environment: &Environment,
) -> Result<Vec<(Place, u16)>, UrlError> {
    let list = |name| -> Vec<&str> {
        values.text(name).map(|text| text.split(',').map(str::trim).collect()).unwrap_or_default()
    };
    let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = hosts.len().max(addresses.len()).max(1);
    let label = |name| values.get(name).map_or(name, Value::label);
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return Err(UrlError::new(format!(
            "{} names {} hosts and {} {} addresses; write one address for each host",
            label("host"),
            hosts.len(),
            label("hostaddr"),
            addresses.len()
        )));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(UrlError::new(format!(
            "{} names {} ports for {count} hosts; write one port, or one for each host",
            label("port"),
            ports.len()
        )));
    }
    (0..count)
        .map(|index| {
            let port = ports.get(index).or(ports.first()).copied().unwrap_or_default();
            let port = parse_port(port, values.get("port"))?;
            let host = hosts.get(index).copied().unwrap_or_default();
            let address = addresses.get(index).copied().unwrap_or_default();
            let address = parse_address(address, values.get("hostaddr"))?;
            Ok((parse_place(host, address, port, values.get("host"), environment)?, port))
        })
        .collect()
}

/// The names under which the password file may list a server. A socket in the usual folder counts
/// as localhost, as in libpq.
pub(super) fn names_in_password_file(place: &Place) -> Vec<String> {
    match place {
        Place::Tcp { name: Some(name), .. } => vec![name.clone()],
        Place::Tcp { name: None, address } => address.iter().map(IpAddr::to_string).collect(),
        Place::Unix(folder) => {
            let usual = SOCKET_FOLDERS.iter().chain([&SOCKET_FOLDER_ALIAS]);
            let local = usual.into_iter().any(|usual| folder == Path::new(usual));
            let localhost = local.then(|| "localhost".to_owned());
            localhost.into_iter().chain([folder.display().to_string()]).collect()
        }
    }
}

fn parse_port(text: &str, value: Option<&Value>) -> Result<u16, UrlError> {
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    let digits = text.chars().all(|letter| letter.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(wrong(value, "the port is no number from 1 to 65535")),
    }
}

fn parse_address(text: &str, value: Option<&Value>) -> Result<Option<IpAddr>, UrlError> {
    if text.is_empty() {
        return Ok(None);
    }
    let sentence = "it is no IP address; write a name, or an address with a zone, as host";
    text.parse().map(Some).map_err(|_| wrong(value, sentence))
}

fn parse_place(
    host: &str,
    address: Option<IpAddr>,
    port: u16,
    value: Option<&Value>,
    environment: &Environment,
) -> Result<Place, UrlError> {
    // An IPv6 address in brackets is a habit from URLs.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.starts_with('@') {
        let sentence = "abstract Unix sockets (@) are not supported; name the socket's folder";
        return Err(wrong(value, sentence));
    }
    if host.starts_with('/') {
        return Ok(match address {
            Some(_) => Place::Tcp { name: None, address },
            None => Place::Unix(PathBuf::from(host)),
        });
    }
    let sentence = if host.is_empty() {
        None
    } else if host.contains(':') {
        let plain = host.split('%').next().unwrap_or_default();
        let is_address = plain.parse::<Ipv6Addr>().is_ok();
        (!is_address).then_some("it holds a colon and is no IPv6 address; a port is written port=")
    } else if host.contains('/') {
        Some("the folder of a Unix socket begins with /")
    } else {
        let strange = |letter: char| {
            letter.is_whitespace() || letter.is_control() || "@?#[]\\%\"'=&".contains(letter)
        };
        host.contains(strange).then_some(
            "it is no name of a host; in a URL @ : / ? # of the user and the password are written \
             %40 %3A %2F %3F %23",
        )
    };
    match (sentence, address) {
        (Some(sentence), _) => Err(wrong(value, sentence)),
        (None, None) if host.is_empty() => Ok(default_place(port, environment)),
        (None, address) => {
            let name = Some(host).filter(|host| !host.is_empty()).map(str::to_owned);
            Ok(Place::Tcp { name, address })
        }
    }
}

/// The server of a string without a host: the socket that is there; or Debian's folder, in which a
/// server that is just starting will make one; or localhost.
fn default_place(port: u16, environment: &Environment) -> Place {
    let socket = format!(".s.PGSQL.{port}");
    let has_socket = |folder: &&str| environment.exists(&Path::new(folder).join(&socket));
    let by_socket = SOCKET_FOLDERS.iter().copied().find(has_socket);
    let by_folder =
        SOCKET_FOLDERS.first().copied().filter(|folder| environment.exists(Path::new(folder)));
    match by_socket.or(by_folder) {
        Some(folder) => Place::Unix(PathBuf::from(folder)),
        None => Place::Tcp { name: Some("localhost".to_owned()), address: None },
    }
}

fn wrong(value: Option<&Value>, sentence: &str) -> UrlError {
    value.map_or_else(|| UrlError::new(sentence), |value| value.wrong(sentence))
}
