//! The configuration of the sources of callers, validated.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::{Host, Url};

use super::groups::GroupRules;
use super::hub::HubConfig;

/// The sources of callers: one field for each. Any of them can be configured together; with none,
/// everyone is an operator.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// Tokens that are signed with a secret, or by the keys of an identity provider.
    pub jwt: Option<JwtConfig>,
    /// A JupyterHub, whose users call.
    pub hub: Option<HubConfig>,
    /// Whether a trusted proxy names its users.
    pub proxied: bool,
    /// Which groups of a hub's or a proxy's user make whom.
    pub groups: GroupRules,
    /// The file of revoked credentials and callers.
    pub revoked: Option<PathBuf>,
}

impl Config {
    /// Whether a source of callers is configured.
    pub(crate) fn has_source(&self) -> bool {
        self.jwt.is_some() || self.hub.is_some() || self.proxied
    }
}

/// How tokens are verified, and which of their claims are read.
#[derive(Debug, Clone, Default)]
pub(crate) struct JwtConfig {
    /// The file of the secret for HS256.
    pub secret_file: Option<PathBuf>,
    /// Where the public keys are.
    pub keys: Option<KeysLocation>,
    /// Authorities beside the system's that may sign the certificate of the keys' URL.
    pub keys_authorities: Option<PathBuf>,
    /// The issuer that a token must name; `None` if any may have issued it.
    pub issuer: Option<String>,
    /// The audiences of which a token must name one; none if its audience does not matter.
    pub audiences: Vec<String>,
    /// Where the claims are.
    pub claims: ClaimPointers,
}

/// Where a JWKS is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeysLocation {
    /// A file, read at the start and on SIGHUP.
    File(PathBuf),
    /// A URL, read again every few minutes.
    Url(Url),
}

impl FromStr for KeysLocation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("the URL has a user name or password: keys are public".to_owned());
        }
        match url.scheme() {
            "https" => Ok(Self::Url(url)),
            "http" if is_loopback(&url) => Ok(Self::Url(url)),
            "http" => Err("over http, everyone on the way can put in keys: use https (http is \
                           accepted for loopback alone)"
                .to_owned()),
            other => Err(format!("the scheme is {other:?}: it must be https")),
        }
    }
}

/// Whether the URL's host is this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Where each claim is in a token.
#[derive(Debug, Clone)]
pub(crate) struct ClaimPointers {
    /// The subject.
    pub subject: Pointer,
    /// The role.
    pub role: Pointer,
    /// The classes.
    pub classes: Pointer,
    /// The name for people.
    pub name: Pointer,
}

impl Default for ClaimPointers {
    fn default() -> Self {
        let pointer = |text: &str| Pointer(text.to_owned());
        Self {
            subject: pointer("/sub"),
            role: pointer("/role"),
            classes: pointer("/classes"),
            name: pointer("/name"),
        }
    }
}

/// A JSON pointer (RFC 6901) to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointer(String);

impl Pointer {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Pointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = "write a JSON pointer, such as /role or /realm_access/roles; in a name, ~1 \
                     stands for / and ~0 for ~";
        let is_escaped = |part: &str| part.starts_with(['0', '1']);
        if !text.starts_with('/') || !text.split('~').skip(1).all(is_escaped) {
            return Err(wrong.to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for url in ["https://id.example/jwks", "http://127.0.0.1:9/j", "http://localhost/j"] {
            assert!(matches!(url.parse(), Ok(KeysLocation::Url(_))), "{url}");
        }
        for url in
            ["http://id.example/jwks", "ftp://id.example/", "https://u:p@id.example/", "x://"]
        {
            assert!(url.parse::<KeysLocation>().is_err(), "{url}");
        }
        assert_eq!("/etc/jwks.json".parse(), Ok(KeysLocation::File("/etc/jwks.json".into())));
    }

    #[test]
    fn pointers() {
        for text in ["/role", "/a/b", "/https:~1~1school.example~1role", "/a~0b", "/"] {
            assert!(text.parse::<Pointer>().is_ok(), "{text}");
        }
        for text in ["", "role", "/a~", "/a~2"] {
            assert!(text.parse::<Pointer>().is_err(), "{text}");
        }
    }
}
