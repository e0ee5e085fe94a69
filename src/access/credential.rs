//! What a request brings to prove who calls.

use std::fmt;

/// A credential. Its `Debug` shows no secret, so that no log line can.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// A token: from `Authorization`, from the URL, or from a WebSocket's first message.
    Token(String),
    /// The session of a browser that has signed in: the value of the relay's cookie.
    Session(String),
    /// A user of a proxy that is trusted, and the user's groups.
    Proxied {
        /// The user's name.
        user: String,
        /// The user's groups.
        groups: Vec<String>,
        /// The user's name for people, if the proxy knows one.
        name: Option<String>,
    },
}

impl Credential {
    /// How the caller is known, by a word for people.
    pub(crate) fn source(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Session(_) => "session",
            Self::Proxied { .. } => "proxy",
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token",
            Self::Session(_) => "Session",
            Self::Proxied { .. } => "Proxied",
        })
    }
}
