//! TLS to PostgreSQL, as libpq has it.
//!
//! How a connection is made:
//!
//! 1. [`TlsFiles`] holds the settings of a connection string for as long as the relay runs.
//!    [`TlsFiles::plan`] returns a `TlsPlan`; it reads the certificates again when a file has
//!    changed, since certificates are renewed while a relay runs.
//! 2. `TlsPlan::attempts` returns the attempts for one host, in order. Each has the `ssl_mode`
//!    and the `ssl_negotiation` for the `Config` of tokio-postgres, and a [`TlsConnector`] for
//!    `Config::connect`. An attempt is for one connection: it notes whether that connection is
//!    encrypted. Requests to cancel and further connections of a pool take a clone of the
//!    connector and the same `ssl_mode`: a server that accepts TLS only refuses others.
//! 3. If an attempt fails, `Attempt::leads_to_next` tells whether libpq would make the next one.
//!    `prefer` goes on without TLS when the handshake fails, or when `pg_hba.conf` refuses the
//!    encrypted connection (28000); when the server does not speak TLS, tokio-postgres itself goes
//!    on without TLS on the same connection. `allow` goes on with TLS when the server refuses the
//!    connection.
//! 4. `Attempt::explain` explains the error of a handshake to an operator, and tells whether
//!    another attempt fails as well.
//! 5. Once connected, [`TlsConnector::is_encrypted`] tells whether the connection is encrypted, and
//!    `TlsPlan::verification` by whom the server was verified.
//!
//! A host that is given by its address alone (`hostaddr` without `host`) needs that address as the
//! `host` of the `Config` too: tokio-postgres begins no handshake without a host.
//!
//! - `renewal`: the plan by the files as they are now; `plan`: the attempts, and the rustls
//!   configuration; `files`: reads certificates, keys and lists of revoked certificates; `roots`:
//!   the authorities
//! - `verifier`: verifies the server's certificate; `direct`: the certificates that OpenSSL accepts
//!   and webpki does not; `name`: libpq's rules for the host's name; `certificate`: the fields of a
//!   certificate
//! - `connector`: the handshake; `failure`: explains its errors

mod certificate;
mod connector;
mod direct;
mod failure;
mod files;
mod name;
mod plan;
mod renewal;
mod roots;
mod verifier;

pub(super) use connector::{TlsConnector, TlsStream};
pub use plan::Verification;

pub(super) use renewal::TlsFiles;

#[cfg(test)]
mod files_tests;
#[cfg(test)]
mod tests;
