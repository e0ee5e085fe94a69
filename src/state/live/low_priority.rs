//! Work that takes long and may wait runs on a thread of low priority.
//!
//! On the runtime's own threads, such work would hold up the requests that share them. On another
//! thread of the same priority it would take turns with them, each turn some milliseconds: on two
//! processors an event would wait that long at every other step on its way.

use tokio::sync::{Semaphore, oneshot};

/// The niceness of the thread: with it, a thread of the usual priority has nine tenths of a
/// processor.
const NICENESS: i32 = 10;
/// One piece of work is done at a time; the others take turns.
static TURNS: Semaphore = Semaphore::const_new(1);

/// Does some work. It is done to its end also if the returned future is dropped. `None` if no
/// thread could be started.
pub(super) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let turn = TURNS.acquire().await.ok()?;
    let (done, outcome) = oneshot::channel();
    let working = move || {
        // If the priority cannot be set, the work is done all the same.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        let _ = done.send(work());
        drop(turn);
    };
    std::thread::Builder::new().name("low-priority".to_owned()).spawn(working).ok()?;
    outcome.await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_thread_keeps_its_priority() {
        let niceness = || rustix::process::getpriority_process(None).expect("a priority");
        let before = niceness();
        let beside = run(niceness).await.expect("a thread");
        assert_eq!(niceness(), before);
        if cfg!(target_os = "linux") {
            assert_eq!(beside, NICENESS);
        }
    }
}
