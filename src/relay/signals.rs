//! SIGTERM and SIGINT, for every command that runs until it is told to end; SIGHUP, by which a
//! relay is told to read its files again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Receives SIGTERM and SIGINT. From the moment it exists they no longer end the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to receive the signals.
    ///
    /// # Errors
    /// The system's, if a handler cannot be installed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Resolves when either signal arrives; one that came since the last call counts.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Receives SIGHUP. From the moment it exists, it no longer ends the process.
#[derive(Debug)]
pub(super) struct Hangups(Signal);

impl Hangups {
    /// Begins to receive the signal.
    ///
    /// # Errors
    /// The system's, if a handler cannot be installed.
    pub(super) fn new() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Resolves when the signal arrives; one that came since the last call counts.
    pub(super) async fn next(&mut self) {
        self.0.recv().await;
    }
}
