//! An entry of the audit. It has names and fixed words alone: no token, no cookie, no link's code.

use std::net::IpAddr;
use std::time::Duration;

use super::action::Action;
use crate::access::Caller;
use crate::database::NewAuditEntry;

/// The longest subject, in bytes.
const MAX_SUBJECT: usize = 256;

/// An entry: what was done, from where, and by whom, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(super) action: Action,
    address: IpAddr,
    who: Option<Who>,
    class: Option<String>,
    student: Option<String>,
    detail: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    subject: String,
    role: String,
    source: &'static str,
}

impl Entry {
    /// An entry about an action that came from this address.
    pub(crate) fn new(action: Action, address: IpAddr) -> Self {
        Self {
            action,
            address: address.to_canonical(),
            who: None,
            class: None,
            student: None,
            detail: None,
        }
    }

    /// It was done by this caller, who is known by `source`.
    pub(crate) fn by(mut self, caller: &Caller, source: &'static str) -> Self {
        // PostgreSQL stores no U+0000; an identity provider may name its users as it likes.
        let mut subject = caller.subject.replace('\0', "\u{FFFD}");
        subject.truncate(subject.floor_char_boundary(MAX_SUBJECT));
        self.who = Some(Who { subject, role: caller.role.to_string(), source });
        self
    }

    /// It concerns this class, whose name was checked.
    pub(crate) fn class(mut self, class: &str) -> Self {
        self.class = Some(class.to_owned());
        self
    }

    /// It concerns this student, whose name was checked.
    pub(crate) fn student(mut self, student: &str) -> Self {
        self.student = Some(student.to_owned());
        self
    }

    /// More about it, by a fixed word.
    pub(crate) fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// The row of the table, written so long after it was noted.
    pub(super) fn row(&self, age: Duration) -> NewAuditEntry {
        let who = self.who.as_ref();
        NewAuditEntry {
            age,
            action: self.action.as_str(),
            subject: who.map(|who| who.subject.clone()),
            role: who.map(|who| who.role.clone()),
            source: who.map(|who| who.source),
            class: self.class.clone(),
            student: self.student.clone(),
            address: self.address,
            detail: self.detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_made_storable() {
        let address = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        let subject = format!("a\0{}", "é".repeat(MAX_SUBJECT));
        let caller = Caller { subject, ..Caller::anyone() };
        let who = Entry::new(Action::SignedIn, address).by(&caller, "token").who.expect("a caller");
        assert!(who.subject.starts_with("a\u{FFFD}é") && who.subject.len() <= MAX_SUBJECT);
    }
}
