//! The user that a trusted proxy names: the proxy has signed the user in (oauth2-proxy, Shibboleth,
//! nginx `auth_request`) and writes name and groups into headers.
//!
//! Only a trusted proxy's headers are read, and the proxy must remove what its client sends under
//! these names. A header that is there twice is refused: one of the two would be the client's.

use http::{HeaderMap, HeaderName, header};

use crate::access::{Credential, Denial};

/// The longest name of a user, in bytes.
const MAX_USER: usize = 1024;
/// The most groups that are looked at; further ones are dropped, which only takes rights away.
const MAX_GROUPS: usize = 1_000;

/// The names of the headers.
#[derive(Debug, Clone)]
pub(crate) struct UserHeaders {
    user: HeaderName,
    groups: Option<HeaderName>,
    name: Option<HeaderName>,
}

impl UserHeaders {
    /// Headers of these names: of the user, of its groups, and of its name for people.
    ///
    /// # Errors
    /// If one of them cannot be a header of a proxy's, or stands for two things.
    pub(crate) fn new(
        user: &str,
        groups: Option<&str>,
        name: Option<&str>,
    ) -> Result<Self, String> {
        let (user, groups) = (parse(user)?, groups.map(parse).transpose()?);
        let name = name.map(parse).transpose()?;
        if groups.as_ref() == Some(&user) || (groups.is_some() && groups == name) {
            return Err("a header stands for one thing: name another one".to_owned());
        }
        Ok(Self { user, groups, name })
    }

    /// The user that a trusted proxy's request names, if it names one.
    pub(super) fn credential(&self, headers: &HeaderMap) -> Result<Option<Credential>, Denial> {
        let Some(user) = value(headers, &self.user)?.filter(|user| !user.is_empty()) else {
            return Ok(None);
        };
        // A proxy that joins two headers of one name writes the client's and its own so.
        if user.len() > MAX_USER || user.contains([',', ';']) || user.contains(char::is_control) {
            return Err(wrong(&self.user, "names no user, or more than one"));
        }
        let groups = match &self.groups {
            Some(name) => value(headers, name)?.unwrap_or_default(),
            None => "",
        };
        // oauth2-proxy separates by commas, Shibboleth by semicolons.
        let groups = groups.split([',', ';']).map(str::trim).filter(|group| !group.is_empty());
        let name = self.name.as_ref().and_then(|name| value(headers, name).ok().flatten());
        Ok(Some(Credential::Proxied {
            user: user.to_owned(),
            groups: groups.take(MAX_GROUPS).map(str::to_owned).collect(),
            name: name.filter(|name| !name.is_empty()).map(str::to_owned),
        }))
    }
}

fn parse(text: &str) -> Result<HeaderName, String> {
    let name: HeaderName =
        text.trim().parse().map_err(|_| format!("{text:?} is not the name of a header"))?;
    let is_clients = [header::AUTHORIZATION, header::COOKIE, header::HOST, header::ORIGIN];
    if is_clients.contains(&name) {
        return Err(format!(
            "{name} is a header of clients: a proxy names its user in another one"
        ));
    }
    Ok(name)
}

/// The value of a header that may be there once.
fn value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Denial> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(wrong(name, "is given twice"));
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| wrong(name, "is not UTF-8"))?;
    Ok(Some(text.trim()))
}

fn wrong(name: &HeaderName, what: &str) -> Denial {
    Denial::Invalid(format!("the proxy's header {name} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(lines: &[(&'static str, &str)]) -> Result<Option<Credential>, Denial> {
        let headers = UserHeaders::new("X-Forwarded-User", Some("X-Forwarded-Groups"), None);
        let mut sent = HeaderMap::new();
        for (name, value) in lines {
            sent.append(*name, http::HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        headers.expect("names").credential(&sent)
    }

    #[test]
    fn a_user_and_its_groups() {
        for groups in ["staff, algebra", "staff;algebra", " staff ;; algebra,"] {
            let found = credential(&[("x-forwarded-user", "zoë"), ("x-forwarded-groups", groups)]);
            let expected = Credential::Proxied {
                user: "zoë".to_owned(),
                groups: vec!["staff".to_owned(), "algebra".to_owned()],
                name: None,
            };
            assert!(found == Ok(Some(expected)), "{groups}");
        }
        assert_eq!(credential(&[]), Ok(None));
        assert_eq!(credential(&[("x-forwarded-user", " ")]), Ok(None));
        // A name that only looks like it.
        assert_eq!(credential(&[("x_forwarded_user", "mallory")]), Ok(None));
    }

    #[test]
    fn two_users_are_none() {
        let user = "x-forwarded-user";
        assert!(credential(&[(user, "mallory"), (user, "alice")]).is_err());
        assert!(credential(&[(user, "alice"), (user, "")]).is_err());
        for value in ["mallory, alice", "mallory;alice", "alice\tb", &"x".repeat(1025)] {
            assert!(credential(&[(user, value)]).is_err(), "{value}");
        }
        let groups = "x-forwarded-groups";
        assert!(credential(&[(user, "alice"), (groups, "staff"), (groups, "algebra")]).is_err());
    }

    #[test]
    fn names_of_headers() {
        assert!(UserHeaders::new("REMOTE_USER", None, None).is_ok());
        for (user, groups) in [("", None), ("a b", None), ("Cookie", None), ("X-A", Some("x-a"))] {
            assert!(UserHeaders::new(user, groups, None).is_err(), "{user} {groups:?}");
        }
    }
}
