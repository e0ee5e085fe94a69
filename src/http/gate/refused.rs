//! The refusals that the audit records.

use std::net::IpAddr;

use crate::access::{Caller, Credential, Denial};
use crate::audit::{Action, Audit, Entry};
use crate::http::query::Query;

/// Notes a credential that was refused. A request without one is none, nor is one about which
/// nobody could be asked.
pub(in crate::http) fn note_denial(
    audit: &Audit,
    action: Action,
    denial: &Denial,
    address: IpAddr,
) {
    let detail = match denial {
        Denial::Missing | Denial::Unavailable { .. } => return,
        Denial::Invalid(_) => "invalid",
        Denial::Expired => "expired",
        Denial::Revoked => "revoked",
    };
    audit.note(Entry::new(action, address).detail(detail));
}

/// Notes a caller that tried what it has no right to, in the class at fault if one is.
pub(super) fn note_not_allowed(
    audit: &Audit,
    caller: &Caller,
    credential: Option<&Credential>,
    query: &Query<'_>,
    address: IpAddr,
) {
    let source = credential.map_or("none", Credential::source);
    let mut entry = Entry::new(Action::NotAllowed, address).by(caller, source);
    let classes = query.classes().unwrap_or_default();
    if let Some(class) = classes.iter().find(|class| !caller.scope.contains(class)) {
        entry = entry.class(class.as_str());
    }
    audit.note(entry);
}
