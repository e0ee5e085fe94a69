//! One running replica of the relay: the only place that knows every part.
//!
//! - `config`: one field for each part
//! - `start` constructs the parts in the order in which they need each other, connects them to the
//!   database, and waits until each has worked once
//! - `stop` takes them apart in the opposite order, each with a deadline
//! - `postgres` runs the private PostgreSQL, if that is the database
//! - [`signals`] receives SIGTERM and SIGINT, for every command, and SIGHUP

mod config;
mod postgres;
pub mod signals;
mod start;
mod stop;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::access::Access;
use crate::error::Failure;
use crate::{http, migrate};
use postgres::PostgresSupervisor;
use signals::{Hangups, Signals};

pub(crate) use config::{Config, StartConfig, StopConfig};
pub(crate) use postgres::DatabaseSource;

/// Runs a replica until a signal ends it. `listening` is called with the address once connections
/// are accepted; from then on `/healthz` answers 200, and `/readyz` names the parts that do not
/// work yet.
///
/// # Errors
/// If the replica cannot start (the port, the database, the migrations), if a critical task
/// panicked, or if a second signal ended the drain.
pub(crate) async fn run(
    config: Config,
    listening: impl FnOnce(SocketAddr) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let hangups = Hangups::new()?;
    // The port comes first: a second relay that was started by mistake must fail before it touches
    // a database.
    let listener = TcpListener::bind(config.bind).await.map_err(|error| {
        Failure::new(format!(
            "cannot listen on {}: {error}; is another relay running? Choose another port with \
             --bind",
            config.bind
        ))
    })?;
    let address = listener.local_addr()?;
    // A private PostgreSQL may take long to start, if it recovers from a crash: a signal ends the
    // wait at any time.
    let parts = tokio::select! {
        parts = start::construct(&config, address) => parts?,
        () = signals.next() => return Ok(()),
    };
    let start::Parts { relay, tasks, private, migrated, connector, supervisor, access } = parts;
    let _rereading = supervisor.spawn("rereading of keys", reread_forever(hangups, access));
    let accepting = supervisor.spawn("accept loop", http::serve(listener, Arc::clone(&relay)));
    let private = private.map(PostgresSupervisor::start);
    listening(address)?;
    let mut started = AbortOnDropHandle::new(tokio::spawn(start::connect(
        connector,
        config.start,
        Arc::clone(&relay),
        migrated,
    )));
    let has_started = tokio::select! {
        started = &mut started => match started? {
            Ok(()) => true,
            Err(failure) => {
                drop((relay, tasks));
                if let Some(private) = private {
                    private.stop().await?;
                }
                return Err(failure);
            }
        },
        () = signals.next() => false,
    };
    let mut has_failed = false;
    if has_started {
        tracing::info!(%address, release = migrate::RELEASE, "the relay serves");
        has_failed = tokio::select! {
            () = signals.next() => false,
            () = supervisor.failed() => true,
        };
    }
    let ended_at_once =
        stop::stop(config.stop, relay, tasks, accepting, private, &mut signals).await?;
    tracing::info!(at_once = ended_at_once, "the relay has ended");
    match (ended_at_once, has_failed) {
        (true, _) => Err(Failure::new("ended at once, by a second signal")),
        (_, true) => Err(Failure::new("ended, since a critical task had panicked (see the log)")),
        _ => Ok(()),
    }
}

/// Reads keys and revocations again whenever SIGHUP arrives.
async fn reread_forever(mut hangups: Hangups, access: Access) {
    loop {
        hangups.next().await;
        tracing::info!("SIGHUP: keys and revocations are read again");
        access.reread();
    }
}
