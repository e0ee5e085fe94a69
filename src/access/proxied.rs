//! The source "a trusted proxy's header": the proxy has signed the user in, and names the user's
//! groups.

use std::time::{Duration, SystemTime};

use super::caller::{Caller, Role};
use super::groups::{GroupRules, Precedence};
use super::scope::Scope;

/// How long a live connection of such a user lasts. The proxy tells nobody that a user has left a
/// group, or signed out: the page connects again after this time, and the proxy decides anew.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// Who the users of a trusted proxy are.
#[derive(Debug, Clone)]
pub(crate) struct ProxiedUsers {
    rules: GroupRules,
}

impl ProxiedUsers {
    /// Users whose groups make them what these rules say.
    pub(crate) fn new(rules: GroupRules) -> Self {
        Self { rules }
    }

    /// The caller that a user is. One that no group makes anything is known, and has no class.
    pub(super) fn caller(&self, user: &str, groups: &[String], name: Option<&str>) -> Caller {
        let groups = groups.iter().map(String::as_str);
        let (role, scope) = self
            .rules
            .role(groups, Precedence::Highest)
            .unwrap_or((Role::Student, Scope::default()));
        Caller {
            subject: user.to_owned(),
            name: name.map(str::to_owned),
            role,
            scope,
            expires_at: SystemTime::now().checked_add(LIFETIME),
            credential_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::groups::GroupPattern;
    use super::*;

    #[test]
    fn groups_make_a_caller() {
        let pattern = |text| vec![GroupPattern::parse(text).expect("a pattern")];
        let users = ProxiedUsers::new(GroupRules::new(
            ["staff".to_owned()],
            pattern("instructors-{class}"),
            pattern("{class}"),
        ));
        let role = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
            let caller = users.caller("alice", &groups, None);
            assert!(caller.expires_at.is_some() && caller.subject == "alice");
            (caller.role, caller.scope.texts())
        };
        assert_eq!(role(&["staff"]), (Role::Operator, vec!["*".to_owned()]));
        assert_eq!(role(&["algebra", "b"]).1, ["algebra", "b"]);
        let both = role(&["physics", "instructors-algebra"]);
        assert_eq!(both, (Role::Instructor, vec!["algebra".to_owned()]));
        assert_eq!(role(&[]), (Role::Student, vec![]));
    }
}
