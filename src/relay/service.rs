//! What the service manager is told (systemd's `Type=notify`): when the replica is ready, that it
//! stops, and that it is alive. Without a service manager nothing is told to anyone.

use std::time::Duration;

use sd_notify::NotifyState;

/// The replica serves: units that are ordered after it may start.
pub(super) fn is_ready() {
    tell(&[NotifyState::Ready]);
}

/// The replica drains.
pub(super) fn stops() {
    tell(&[NotifyState::Stopping]);
}

/// Says as often as the service manager asks (`WatchdogSec`) that the replica is alive; it is
/// killed and started again where it does not. The runtime has to run a task for this: what hangs
/// all of its threads is noticed.
pub(super) async fn be_watched() {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    let interval = (within / 2).max(Duration::from_millis(1));
    loop {
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(interval).await;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("the service manager cannot be told about the relay: {error}");
    }
}
