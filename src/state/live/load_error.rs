//! Why a class cannot be read now.

use std::sync::Arc;

use crate::database::PageError;

/// Why a class's state cannot be read now. Trying again may help in every case.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum LoadError {
    /// The tail has not read the table yet.
    #[error("the relay is starting")]
    NotStarted,
    /// The snapshot or the events after it cannot be read.
    #[error("{0}")]
    Read(Arc<PageError>),
    /// Events after the snapshot are no longer in the table.
    #[error("the events after its snapshot were pruned")]
    Pruned,
    /// The classes in memory take up all the bytes that they may.
    #[error("the classes in use take up all the memory that they may have")]
    NoRoom,
    /// An earlier lesson has too many events to be folded in time.
    #[error("the lesson's events take too long to read")]
    TooLong,
    /// The class is still being read, or waits for its turn.
    #[error("the class is still being read")]
    Late,
    /// The class's settings changed while it joined the tail, so that its lesson has to be folded
    /// again.
    #[error("the class's settings changed while it was read")]
    SettingsChanged,
    /// The log's version changed, or the class was evicted, while it was read.
    #[error("it changed while it was read")]
    Restarted,
}

impl From<PageError> for LoadError {
    fn from(error: PageError) -> Self {
        Self::Read(Arc::new(error))
    }
}
