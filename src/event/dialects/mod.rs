//! Bodies of other clients, and the events that they become.
//!
//! Each client has a file, which maps one of its bodies to one of the relay's events and knows
//! nothing else. It copies the members that it names: everything else that the client sends, a
//! whole notebook or a process's environment with its tokens, is neither stored nor logged. The
//! event that comes of it then passes every rule of an event, as if the client had sent it.
//!
//! A mapping does not guess. It takes the student from where an administrator has put it, and an
//! event without one is rejected.

mod outputs;
mod pioneer;
mod translated;
mod unianalytics;
mod value;

use self::translated::Translated;
use self::value::Value;

/// The event that a body of another client becomes.
pub(super) enum Foreign {
    /// The JSON text of an event. A rejection for want of a student gives the reason.
    Event { text: String, no_student: &'static str },
    /// The body says nothing that is stored.
    Ignored,
}

/// Translates a body of another client. `None` if it is of none that is known.
///
/// Every event of the relay's own has these two members, and no body of another client has one of
/// them: so the caller asks for a body without them only.
pub(super) fn translate(body: &str) -> Option<Foreign> {
    let body = Value::of(body);
    let dialects = [
        (pioneer::translate as fn(Value<'_>) -> Option<Translated>, pioneer::NO_STUDENT),
        (unianalytics::translate, unianalytics::NO_STUDENT),
    ];
    dialects.into_iter().find_map(|(translate, no_student)| {
        Some(match translate(body)? {
            Translated::Event(text) => Foreign::Event { text, no_student },
            Translated::Ignored => Foreign::Ignored,
        })
    })
}

#[cfg(test)]
mod tests;
