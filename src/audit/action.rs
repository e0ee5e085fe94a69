//! What the audit records, and how often.

use std::time::Duration;

/// How long the same caller is not recorded again for opening the same class or student.
pub(super) const OPENED_AGAIN: Duration = Duration::from_secs(600);
/// How long the same refusal, from the same address, is not recorded again.
pub(super) const REFUSED_AGAIN: Duration = Duration::from_secs(60);

/// What was done. docs/audit.md has a line for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A browser has signed in.
    SignedIn,
    /// A sign-in was refused.
    SignInRefused,
    /// A browser has signed out.
    SignedOut,
    /// A one-time link was made.
    LinkMade,
    /// A one-time link was used.
    LinkUsed,
    /// A class was read or subscribed to.
    ClassOpened,
    /// A student's events were read.
    StudentOpened,
    /// A class was exported.
    Exported,
    /// A hand was lowered.
    HandLowered,
    /// An instructor was on the way to a raised hand, or was not any more.
    HandClaimed,
    /// A lesson was begun.
    LessonBegun,
    /// The settings of a class were changed.
    SettingsChanged,
    /// The audit was read.
    AuditRead,
    /// A token or a session was refused.
    CredentialRefused,
    /// A caller has tried what it has no right to.
    NotAllowed,
}

impl Action {
    /// All of them.
    pub(crate) const ALL: [Self; 15] = [
        Self::SignedIn,
        Self::SignInRefused,
        Self::SignedOut,
        Self::LinkMade,
        Self::LinkUsed,
        Self::ClassOpened,
        Self::StudentOpened,
        Self::Exported,
        Self::HandLowered,
        Self::HandClaimed,
        Self::LessonBegun,
        Self::SettingsChanged,
        Self::AuditRead,
        Self::CredentialRefused,
        Self::NotAllowed,
    ];

    /// Its name in the table and in the API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::SignedIn => "signed-in",
            Self::SignInRefused => "sign-in-refused",
            Self::SignedOut => "signed-out",
            Self::LinkMade => "link-made",
            Self::LinkUsed => "link-used",
            Self::ClassOpened => "class-opened",
            Self::StudentOpened => "student-opened",
            Self::Exported => "exported",
            Self::HandLowered => "hand-lowered",
            Self::HandClaimed => "hand-claimed",
            Self::LessonBegun => "lesson-begun",
            Self::SettingsChanged => "settings-changed",
            Self::AuditRead => "audit-read",
            Self::CredentialRefused => "credential-refused",
            Self::NotAllowed => "not-allowed",
        }
    }

    pub(super) fn is_refusal(self) -> bool {
        matches!(self, Self::SignInRefused | Self::CredentialRefused | Self::NotAllowed)
    }

    /// How long the same entry is not recorded again.
    pub(super) fn pause(self) -> Option<Duration> {
        match self {
            Self::ClassOpened | Self::StudentOpened | Self::AuditRead => Some(OPENED_AGAIN),
            _ if self.is_refusal() => Some(REFUSED_AGAIN),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_action_is_described() {
        let names: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
        let page = include_str!("../../docs/audit.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        assert_eq!(rows.collect::<Vec<_>>(), names, "docs/audit.md");
        let openapi: Value =
            serde_json::from_str(include_str!("../http/api/openapi.json")).expect("openapi.json");
        let parameters = openapi["paths"]["/api/audit"]["get"]["parameters"].as_array();
        let mut parameters = parameters.expect("parameters").iter();
        let asked = parameters.find(|one| one["name"] == "action").expect("action");
        assert_eq!(asked["schema"]["enum"], Value::from(names.clone()));
        let entry = "/components/schemas/Audit/properties/entries/items/properties/action/enum";
        assert_eq!(openapi.pointer(entry), Some(&Value::from(names)));
    }
}
