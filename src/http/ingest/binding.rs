//! Binds events to the caller that posts them: a student posts as itself and into its classes,
//! whatever the body says.

use crate::access::{Caller, Right};
use crate::event::{Batch, ClassId, Rejection};
use crate::http::gate::caller::{other_class, own_student};
use crate::http::problem::Problem;

/// Gives the events the student and the class that the caller is bound to, and rejects those of
/// classes that are not the caller's.
///
/// # Errors
/// If every event is of such a class, or the caller's subject cannot be a student.
pub(super) fn bind(batch: Batch, caller: &Caller) -> Result<Batch, Problem> {
    let Batch { events, mut rejected, ignored } = batch;
    let own = own_student(caller)?;
    let (mut bound, mut other) = (Vec::with_capacity(events.len()), None);
    for (index, mut event) in events {
        if let Some(student) = &own {
            event.bind(student.clone());
            if let Some(class) = caller.scope.single() {
                event.class = class.clone();
            }
        }
        if caller.may(Right::Post, &event.class) {
            bound.push((index, event));
        } else {
            rejected.push(not_allowed(index, &event.class));
            other = Some(event.class);
        }
    }
    match other {
        Some(class) if bound.is_empty() && rejected.iter().all(is_of_other_class) => {
            Err(other_class(&class))
        }
        _ => Ok(Batch { events: bound, rejected, ignored }),
    }
}

/// The field at fault of an event of another class.
const CLASS: &str = "classId";
const NOT_ALLOWED: &str = "the caller has no right in this class";

fn not_allowed(index: usize, class: &ClassId) -> Rejection {
    Rejection {
        index,
        field: Some(CLASS.to_owned()),
        reason: NOT_ALLOWED.to_owned(),
        class: class.clone(),
    }
}

fn is_of_other_class(rejection: &Rejection) -> bool {
    rejection.field.as_deref() == Some(CLASS) && rejection.reason == NOT_ALLOWED
}
