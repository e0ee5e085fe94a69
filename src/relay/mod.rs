//! One running replica of the relay: the only place that knows every part.
//!
//! - `config`: one field for each part
//! - `start` constructs the parts in the order in which they need each other, connects them to the
//!   database, and waits until each has worked once
//! - `stop` takes them apart in the opposite order, each with a deadline
//! - `postgres` runs the private PostgreSQL, if that is the database
//! - `service`: what the service manager is told
//! - [`signals`] receives SIGTERM and SIGINT, for every command, and SIGHUP

mod config;
mod postgres;
mod service;
pub mod signals;
mod start;
mod stop;

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::OptionFuture;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::access::Access;
use crate::error::Failure;
use crate::http::{Door, Entrance, Relay, Tls};
use crate::{http, migrate};
use postgres::PostgresSupervisor;
use signals::{Hangups, Signals};

pub(crate) use config::{Config, StartConfig, StopConfig};
pub(crate) use postgres::DatabaseSource;

/// Runs a replica until a signal ends it. `listening` is called with the URL once connections
/// are accepted; from then on `/healthz` answers 200, and `/readyz` names the parts that do not
/// work yet.
///
/// # Errors
/// If the replica cannot start (the port, the database, the migrations), if a critical task
/// panicked, or if a second signal ended the drain.
pub(crate) async fn run(
    config: Config,
    listening: impl FnOnce(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let hangups = Hangups::new()?;
    // The port comes first: a second relay that was started by mistake must fail before it touches
    // a database.
    let Entrances { main, admin, tls } = entrances(&config).await?;
    let address = main.listener.local_addr()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}");
    // A private PostgreSQL may take long to start, if it recovers from a crash: a signal ends the
    // wait at any time.
    let parts = tokio::select! {
        parts = start::construct(&config, &url) => parts?,
        () = signals.next() => return Ok(()),
    };
    let start::Parts { relay, tasks, private, migrated, connector, supervisor, access } = parts;
    let _rereading = supervisor.spawn("rereading of keys", reread_forever(hangups, access, tls));
    let _watched = AbortOnDropHandle::new(tokio::spawn(service::be_watched()));
    let accepting = supervisor.spawn("accept loops", accept(main, admin, Arc::clone(&relay)));
    let private = private.map(PostgresSupervisor::start);
    listening(&url)?;
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
        service::is_ready();
        tracing::info!(%address, release = migrate::RELEASE, "the relay serves");
        has_failed = tokio::select! {
            () = signals.next() => false,
            () = supervisor.failed() => true,
        };
    }
    service::stops();
    let ended_at_once =
        stop::stop(config.stop, relay, tasks, accepting, private, &mut signals).await?;
    tracing::info!(at_once = ended_at_once, "the relay has ended");
    match (ended_at_once, has_failed) {
        (true, _) => Err(Failure::new("ended at once, by a second signal")),
        (_, true) => Err(Failure::new("ended, since a critical task had panicked (see the log)")),
        _ => Ok(()),
    }
}

/// The listeners of a replica.
struct Entrances {
    main: Entrance,
    admin: Option<Entrance>,
    tls: Option<Tls>,
}

async fn entrances(config: &Config) -> Result<Entrances, Failure> {
    let tls = config.tls.clone().map(Tls::read).transpose().map_err(Failure::usage)?;
    let listener = listen(config.bind, "--bind").await?;
    let main = Entrance { listener, door: Door::Main, tls: tls.clone() };
    let admin = match config.admin_bind {
        Some(address) => {
            let listener = listen(address, "--admin-bind").await?;
            let address = listener.local_addr()?;
            tracing::info!("metrics and health for operators are at http://{address}");
            Some(Entrance { listener, door: Door::Admin, tls: None })
        }
        None => None,
    };
    Ok(Entrances { main, admin, tls })
}

/// Serves by the listeners until the relay drains.
async fn accept(main: Entrance, admin: Option<Entrance>, relay: Arc<Relay>) {
    let admin = admin.map(|admin| http::serve(admin, Arc::clone(&relay)));
    let admin = OptionFuture::from(admin);
    tokio::join!(http::serve(main, Arc::clone(&relay)), admin);
}

async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(format!(
            "cannot listen on {address}: {error}; is another relay running? Choose another port \
             with {flag}"
        ))
    })
}

/// Reads certificates, keys and revocations again whenever SIGHUP arrives.
async fn reread_forever(mut hangups: Hangups, access: Access, tls: Option<Tls>) {
    loop {
        hangups.next().await;
        tracing::info!("SIGHUP: certificates, keys and revocations are read again");
        if let Some(tls) = &tls {
            tls.reread();
        }
        access.reread().await;
    }
}
