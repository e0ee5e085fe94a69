//! What an operation came to, as an extension of its answer, for the audit: the URL alone does not
//! say it.

use warp::reply::Response;

use crate::event::StudentId;

/// What an operation came to.
#[derive(Debug, Clone)]
pub(in crate::http) struct Outcome {
    /// The student whom it is about, as stored: a URL may spell the name otherwise.
    pub(in crate::http) student: StudentId,
    /// Whether there was something to do: a hand that is down already is not lowered once more.
    pub(in crate::http) is_done: bool,
}

impl Outcome {
    /// Adds this to an answer.
    pub(super) fn of(student: StudentId, is_done: bool, mut answer: Response) -> Response {
        answer.extensions_mut().insert(Self { student, is_done });
        answer
    }
}
