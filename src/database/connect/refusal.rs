//! Why a host was not connected to, and whether another attempt may succeed.
//!
//! A start waits for a database that is away, and must not wait for what only an operator can
//! mend: a wrong password, an unknown host name, a certificate of another authority, a port on
//! which something else listens. The last one shows as a connection that ends or stays silent in
//! the middle of the handshake, as that of a server that is restarting. So the port is then asked
//! once more with bytes that PostgreSQL answers in one way only.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::Error;
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::error::SqlState;

use crate::database::errors::explain;
use crate::database::room::ESSENTIAL_SESSIONS;

/// How long the look at a port waits for an answer, twice.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// The request for TLS (PostgreSQL's manual, "Message Formats", SSLRequest).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// The bytes of a foreign answer that are shown.
const SHOWN_BYTES: usize = 40;

/// Why one host was not connected to.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The server's or the system's reason.
    pub(super) reason: String,
    /// Whether another attempt will fail as well.
    pub(super) permanent: bool,
    /// The SQLSTATE, if the server gave one.
    pub(super) code: Option<SqlState>,
}

impl Refusal {
    /// A refusal that may end by itself.
    pub(super) fn passing(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), permanent: false, code: None }
    }

    /// A refusal that an operator has to end.
    pub(super) fn lasting(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), permanent: true, code: None }
    }

    /// Nothing was answered within this time.
    pub(super) fn silent(patience: Duration) -> Self {
        Self::passing(format!("no answer within {} s", patience.as_secs_f32()))
    }

    /// A session was made, and its statements were not answered in time.
    pub(super) fn unanswered() -> Self {
        Self::passing(format!(
            "it let the relay in, and then did not answer in time: the server hangs, or it is a \
             pooler that has no connection to the server left (a relay takes {ESSENTIAL_SESSIONS} \
             to write and to listen)"
        ))
    }

    /// The same refusal with the reason of the attempt before it, which had the other mode.
    pub(super) fn after(self, before: &Self, mode: SslMode) -> Self {
        let (first, second) = match mode {
            SslMode::Disable => ("with TLS", "without"),
            _ => ("without TLS", "with"),
        };
        let reason = format!("{first}: {}; {second}: {}", before.reason, self.reason);
        Self { reason, ..self }
    }

    /// The refusal by an error of the driver. The TLS errors are told apart by the caller.
    pub(super) fn of(error: &Error, has_password: bool, binding: ChannelBinding) -> Self {
        let mut reason = explain(error);
        if let Some(state) = error.code() {
            if *state == SqlState::TOO_MANY_CONNECTIONS {
                reason.push_str(&format!(
                    "; a relay takes {ESSENTIAL_SESSIONS} connections to write and to listen, and \
                     some more to read"
                ));
            }
            return Self {
                permanent: is_permanent(state),
                code: Some(state.clone()),
                ..Self::passing(reason)
            };
        }
        let io = std::error::Error::source(error)
            .and_then(|cause| cause.downcast_ref::<std::io::Error>());
        match io.map(std::io::Error::kind) {
            // The folder of a Unix socket that this account may not enter.
            Some(ErrorKind::PermissionDenied) => Self::lasting(reason),
            Some(_) => Self::passing(reason),
            None if error.is_closed() => Self::passing(reason),
            // The driver itself gives up: it lacks a password, or does not know the method, or the
            // server has asked for none where the exchange was to be bound to TLS.
            None if binding == ChannelBinding::Require => Self::lasting(format!(
                "channel_binding=require demands a password, a server that asks for it by \
                 scram-sha-256 (pg_hba.conf), and a connection by TLS: {reason}"
            )),
            None if !has_password => Self::lasting(format!(
                "the server asks for a password, or for a login that the relay cannot do, and no \
                 password is given: put it into the URL, into PGPASSWORD or into the password file \
                 (PGPASSFILE, ~/.pgpass): {reason}"
            )),
            None => Self::lasting(reason),
        }
    }
}

/// Whether a server's refusal lasts until an operator has acted: wrong user, password or
/// `pg_hba.conf` (class 28), no such database (3D000), no right to connect (42501), a protocol or
/// `options` that this server does not take.
fn is_permanent(state: &SqlState) -> bool {
    let code = state.code();
    code.starts_with("28")
        || [
            SqlState::UNDEFINED_DATABASE,
            SqlState::INSUFFICIENT_PRIVILEGE,
            SqlState::FEATURE_NOT_SUPPORTED,
            SqlState::UNDEFINED_OBJECT,
            SqlState::INVALID_PARAMETER_VALUE,
            SqlState::SYNTAX_ERROR,
            SqlState::CANT_CHANGE_RUNTIME_PARAM,
        ]
        .contains(state)
}

/// Looks at what listens at an address. Returns its words if it is not PostgreSQL.
pub(super) async fn foreign_answer(address: IpAddr, port: u16) -> Option<String> {
    let look = async {
        let mut stream = TcpStream::connect(SocketAddr::new(address, port)).await.ok()?;
        let mut answer = [0; SHOWN_BYTES];
        stream.write_all(&SSL_REQUEST).await.ok()?;
        let mut length = timeout(LOOK_TIMEOUT, stream.read(&mut answer)).await;
        if length.is_err() {
            // A server that reads lines answers a line.
            stream.write_all(b"\r\n\r\n").await.ok()?;
            length = timeout(LOOK_TIMEOUT, stream.read(&mut answer)).await;
        }
        let answer = &answer[..length.ok()?.ok()?];
        match answer {
            // S: TLS, N: no TLS, E: an error of a server that knows no TLS.
            [] | [b'S' | b'N' | b'E'] | [b'E', 0, ..] => None,
            _ => Some(String::from_utf8_lossy(answer).escape_debug().to_string()),
        }
    };
    timeout(4 * LOOK_TIMEOUT, look).await.ok().flatten()
}
