//! Work that takes long and may wait: a large class is rendered and compressed on a thread that
//! gives way to all others.
//!
//! On the runtime's own threads it would hold up the requests that share them. On any thread of the
//! same priority it takes turns with them, each turn some milliseconds: on two processors an event
//! would wait that long for every other step it takes.

use tokio::sync::{Semaphore, oneshot};

/// How much this work gives way: to a thread of the usual priority it leaves nine tenths of a
/// processor.
const NICENESS: i32 = 10;
/// Works that are done at once; the others take turns.
static TURNS: Semaphore = Semaphore::const_new(1);

/// Does some work, which goes on if nobody waits for it any more. `None` if there is no thread for
/// it.
pub(super) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let turn = TURNS.acquire().await.ok()?;
    let (done, outcome) = oneshot::channel();
    let working = move || {
        // Where it cannot be had, it is done all the same.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        let _ = done.send(work());
        drop(turn);
    };
    std::thread::Builder::new().name("background".to_owned()).spawn(working).ok()?;
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
