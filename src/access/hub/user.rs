//! The hub's answer to "whose token is this".

use std::sync::Arc;

use serde::Deserialize;

use crate::access::caller::{Caller, Role};
use crate::access::groups::{GroupRules, Precedence};
use crate::access::scope::Scope;

/// A user that the hub knows and lets use the relay: the caller by each way in which it comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HubUser {
    /// By the token of its server.
    pub(super) by_token: Arc<Caller>,
    /// By signing in.
    pub(super) by_sign_in: Arc<Caller>,
}

/// Why the hub's user may not use the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HubRefusal {
    /// The hub does not know the token.
    #[error("the hub does not know this token: it may have ended, or been revoked")]
    Unknown,
    /// The token is a service's.
    #[error("the token is a service's of the hub, and not a user's")]
    NotAUser,
    /// The token's scopes do not let it use the relay.
    #[error(
        "the token may not use this service of the hub: in the hub's configuration, its role needs \
         the scope access:services!service=NAME"
    )]
    NoAccess,
}

/// The members of the hub's answer that count. Each must be there and have its type: an answer of
/// another shape is not understood, and nothing is concluded from it.
#[derive(Deserialize)]
struct Model {
    kind: String,
    name: String,
    #[serde(default)]
    groups: Option<Vec<String>>,
    scopes: Vec<String>,
}

/// Reads the hub's answer.
///
/// # Errors
/// If it is not the hub's model of a user or a service.
pub(super) fn read(
    body: &[u8],
    access_scopes: &[String],
    rules: &GroupRules,
) -> Result<Result<HubUser, HubRefusal>, String> {
    let model: Model = serde_json::from_slice(body)
        // The error's text repeats parts of the body, which may hold a name.
        .map_err(|error| format!("at byte {} it is not a user of the hub", error.column()))?;
    if model.kind != "user" {
        return Ok(Err(HubRefusal::NotAUser));
    }
    if !has_access(access_scopes, &model.scopes) {
        return Ok(Err(HubRefusal::NoAccess));
    }
    let groups = model.groups.ok_or("it has no groups")?;
    if model.name.trim().is_empty() {
        return Err("the user has no name".to_owned());
    }
    let caller = |precedence| {
        // A user without a role is known, and has no right in any class.
        let (role, scope) = rules
            .role(groups.iter().map(String::as_str), precedence)
            .unwrap_or((Role::Student, Scope::default()));
        Arc::new(Caller {
            subject: model.name.clone(),
            name: None,
            role,
            scope,
            expires_at: None,
            credential_id: None,
        })
    };
    Ok(Ok(HubUser {
        by_token: caller(Precedence::Student),
        by_sign_in: caller(Precedence::Highest),
    }))
}

/// Whether one of the scopes lets its owner use the service, as JupyterHub's own `check_scopes`
/// decides: a scope without a filter stands for every service.
fn has_access(required: &[String], scopes: &[String]) -> bool {
    required.iter().any(|required| {
        let unfiltered = required.split('!').next().unwrap_or(required);
        scopes.iter().any(|scope| scope == required || scope == unfiltered)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::access::groups::GroupPattern;

    fn rules() -> GroupRules {
        let pattern = |text| vec![GroupPattern::parse(text).expect("a pattern")];
        GroupRules::new([], pattern("instructors-{class}"), pattern("{class}"))
    }

    fn read_json(model: &Value) -> Result<Result<HubUser, HubRefusal>, String> {
        read(model.to_string().as_bytes(), &["access:services!service=relay".to_owned()], &rules())
    }

    fn model() -> Value {
        json!({
            "kind": "user", "name": "ada", "groups": ["algebra", "instructors-physics"],
            "scopes": ["access:services!service=relay", "read:users!user=ada"],
            "admin": false, "session_id": null, "token_id": "a1",
        })
    }

    #[test]
    fn a_user_has_a_caller_for_each_way_in() {
        let user = read_json(&model()).expect("understood").expect("a user");
        let shown = |caller: &Caller| (caller.subject.clone(), caller.role, caller.scope.texts());
        assert_eq!(
            shown(&user.by_token),
            ("ada".to_owned(), Role::Student, vec!["algebra".to_owned()])
        );
        assert_eq!(
            shown(&user.by_sign_in),
            ("ada".to_owned(), Role::Instructor, vec!["physics".to_owned()])
        );
    }

    #[test]
    fn the_scope_decides_as_it_does_for_the_hubs_own_services() {
        let with = |scopes: &[&str]| {
            let mut model = model();
            model["scopes"] = json!(scopes);
            read_json(&model).expect("understood").map(|_| ())
        };
        assert_eq!(with(&["access:services"]), Ok(()));
        assert_eq!(with(&["x", "access:services!service=relay"]), Ok(()));
        for scopes in [
            &[][..],
            &["access:services!service=other"],
            &["access:services!service=relay2"],
            &["access:servers"],
            &["access:services!group=algebra"],
        ] {
            assert_eq!(with(scopes), Err(HubRefusal::NoAccess), "{scopes:?}");
        }
    }

    #[test]
    fn an_answer_of_another_shape_is_not_understood() {
        for (member, value) in [
            ("name", json!(["ada"])),
            ("name", json!("  ")),
            ("name", Value::Null),
            ("groups", json!("algebra")),
            ("groups", json!([{"name": "algebra"}])),
            ("groups", Value::Null),
            ("scopes", json!({"access:services": true})),
            ("scopes", json!("access:services")),
            ("kind", Value::Null),
        ] {
            let mut wrong = model();
            wrong[member] = value.clone();
            let error = read_json(&wrong).expect_err(&format!("{member}: {value}"));
            assert!(!error.contains("ada") && !error.contains("algebra"), "{error}");
        }
        let error = read(b"<html>", &[], &rules()).expect_err("a page");
        assert!(!error.contains("html"), "{error}");
        let mut service = model();
        service["kind"] = json!("service");
        assert_eq!(read_json(&service).expect("understood"), Err(HubRefusal::NotAUser));
    }
}
