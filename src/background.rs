//! Work that takes long and may wait, such as rendering and compressing a large class: it is done
//! on a thread of low priority.
//!
//! On the runtime's threads it would hold up the requests that share them. On a thread of the same
//! priority it takes turns with them, each turn some milliseconds: on two processors an event would
//! wait that long for every other step it takes.

use tokio::sync::{Semaphore, oneshot};

/// The thread's priority: beside a thread of the usual priority it gets a tenth of a processor.
const NICENESS: i32 = 10;
/// One work at a time; the others wait.
static TURNS: Semaphore = Semaphore::const_new(1);

/// Does some work, which goes on if this future is dropped. `None` if no thread can be started.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let turn = TURNS.acquire().await.ok()?;
    let (done, outcome) = oneshot::channel();
    let working = move || {
        // Where the priority cannot be lowered, the work is done all the same.
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
