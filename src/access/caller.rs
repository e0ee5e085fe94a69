//! The caller, its role, and what the role may do.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use super::scope::Scope;
use crate::event::ClassId;

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// POSTs into its classes, as any student: a client that can be given nothing but a URL.
    Writer,
    /// POSTs into its classes as itself, and reads its own events and state.
    Student,
    /// Reads, subscribes to, exports and acts in its classes.
    Instructor,
    /// Everything.
    Operator,
}

/// A right that a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// To store events.
    Post,
    /// To read and follow one's own events and state.
    ReadOwn,
    /// To read classes.
    Read,
    /// To act in a class: lower a hand, begin a lesson, change settings.
    Act,
    /// To use the dashboard, whichever classes it then shows: to sign in, to list one's classes,
    /// to open the dashboard on another screen.
    Browse,
    /// To ask who one is.
    Identify,
    /// To see the relay itself: metrics, the audit.
    Operate,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The student's id, or the name of a person or program.
    pub(crate) subject: String,
    /// The name for people, if the source knows one.
    pub(crate) name: Option<String>,
    /// What the caller may do.
    pub(crate) role: Role,
    /// Where.
    pub(crate) scope: Scope,
    /// When the credential ends; `None` for one without an end.
    pub(crate) expires_at: Option<SystemTime>,
    /// The credential's id (`jti`), by which it can be revoked.
    pub(crate) credential_id: Option<String>,
}

impl Role {
    /// Whether the role has a right, wherever the caller has it.
    pub(crate) fn has(self, right: Right) -> bool {
        match self {
            Self::Writer => matches!(right, Right::Post | Right::Identify),
            Self::Student => matches!(right, Right::Post | Right::ReadOwn | Right::Identify),
            Self::Instructor => matches!(
                right,
                Right::ReadOwn | Right::Read | Right::Act | Right::Browse | Right::Identify
            ),
            Self::Operator => true,
        }
    }
}

impl Caller {
    /// The caller where no source of callers is configured: everyone may do everything.
    pub(crate) fn anyone() -> Self {
        Self {
            subject: "anyone".to_owned(),
            name: None,
            role: Role::Operator,
            scope: Scope::all(),
            expires_at: None,
            credential_id: None,
        }
    }

    /// The caller of a route that anyone may ask: no right depends on it.
    pub(crate) fn unknown() -> Self {
        Self {
            subject: "unknown".to_owned(),
            scope: Scope::default(),
            role: Role::Writer,
            ..Self::anyone()
        }
    }

    /// Whether the caller has a right in a class.
    pub(crate) fn may(&self, right: Right, class: &ClassId) -> bool {
        self.role.has(right) && (self.role == Role::Operator || self.scope.contains(class))
    }

    /// The student that the caller is bound to: it posts and reads as this student alone.
    pub(crate) fn own_student(&self) -> Option<&str> {
        (self.role == Role::Student).then_some(&self.subject)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Writer => "writer",
            Self::Student => "student",
            Self::Instructor => "instructor",
            Self::Operator => "operator",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Writer, Self::Student, Self::Instructor, Self::Operator]
            .into_iter()
            .find(|role| role.to_string() == text)
            .ok_or_else(|| {
                format!("{text:?} is not a role: it is writer, student, instructor or operator")
            })
    }
}
