//! The claims of a token whose signature is good: what they must be, and the caller that they name.
//!
//! A claim that is not as it must be refuses the token. The reason names the claim, and repeats
//! nothing of the token but a role that is none.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::access::caller::{Caller, Role};
use crate::access::config::{ClaimPointers, Pointer};
use crate::access::denial::Denial;
use crate::access::scope::Scope;
use crate::event::StudentId;

/// How far the clocks of the relay and of the issuer may be apart.
pub(super) const LEEWAY: Duration = Duration::from_secs(30);
/// The most classes, and the most roles beside the relay's own, that a token may name.
const MAX_LIST: usize = 1_000;
/// The longest name for people, and the longest id of a token, in bytes.
const MAX_TEXT: usize = 256;
/// The latest moment that counts as an end: the year 9999. A later one is taken as this.
const LATEST: f64 = 253_402_300_799.0;

/// The claims of a token.
pub(super) struct Claims(Value);

impl Claims {
    /// Reads the claims from JSON.
    ///
    /// # Errors
    /// If they are no object, or a name stands twice in an object: programs differ in which of the
    /// two values they take.
    pub(super) fn parse(text: &str) -> Result<Self, Denial> {
        match serde_json::from_str(text) {
            Ok(Strict(claims @ Value::Object(_))) => Ok(Self(claims)),
            Ok(_) => Err(invalid("its claims are no JSON object")),
            Err(_) => Err(invalid("a claim stands twice in it, or its claims are not JSON")),
        }
    }

    /// The caller that the claims name at this moment.
    ///
    /// # Errors
    /// [`Denial::Expired`], or [`Denial::Invalid`] with the claim that is not as it must be.
    pub(super) fn caller(
        &self,
        pointers: &ClaimPointers,
        now: SystemTime,
    ) -> Result<Caller, Denial> {
        let expires_at = self.lifetime(now)?;
        let role = self.role(&pointers.role)?;
        let patterns = self.texts(&pointers.classes)?;
        let scope = match role {
            Role::Operator => Scope::all(),
            _ => Scope::of(patterns.iter().copied()),
        };
        Ok(Caller {
            subject: self.subject(&pointers.subject, role)?,
            name: self.text(&pointers.name)?.filter(|name| name.len() <= MAX_TEXT),
            role,
            scope,
            expires_at: Some(expires_at),
            credential_id: self.id()?,
        })
    }

    /// Checks the times, and returns the moment from which the token is refused.
    fn lifetime(&self, now: SystemTime) -> Result<SystemTime, Denial> {
        let Some(end) = self.moment("exp")? else {
            return Err(invalid("claim exp is missing: a token must have an end"));
        };
        let end = end + LEEWAY;
        if end <= now {
            return Err(Denial::Expired);
        }
        for (name, reason) in [("nbf", "it is not valid yet"), ("iat", "it is of the future")] {
            if self.moment(name)?.is_some_and(|begin| begin > now + LEEWAY) {
                return Err(invalid(&format!("claim {name}: {reason}")));
            }
        }
        Ok(end)
    }

    /// A claim that is a time: seconds since 1970, with a fraction or without.
    fn moment(&self, name: &str) -> Result<Option<SystemTime>, Denial> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0);
        let seconds = seconds.and_then(|s| Duration::try_from_secs_f64(s.min(LATEST)).ok());
        match seconds {
            Some(since) => Ok(Some(UNIX_EPOCH + since)),
            None => Err(invalid(&format!("claim {name} is not a time in seconds since 1970"))),
        }
    }

    /// The role: a text, or the one of a list that is a role of the relay's. Identity providers
    /// give each user several roles, most of them other programs'.
    fn role(&self, pointer: &Pointer) -> Result<Role, Denial> {
        if let Some(Value::String(text)) = self.at(pointer) {
            let wrong = |error| invalid(&format!("claim {pointer}: {error}"));
            return match text.len() <= MAX_TEXT {
                true => text.parse().map_err(wrong),
                false => Err(invalid(&format!("claim {pointer} is too long"))),
            };
        }
        let roles: Vec<Role> =
            self.texts(pointer)?.iter().filter_map(|text| text.parse().ok()).collect();
        match *roles {
            [role] => Ok(role),
            [] => Err(invalid(&format!(
                "claim {pointer} names no role: writer, student, instructor or operator"
            ))),
            _ => Err(invalid(&format!("claim {pointer} names several roles of the relay's"))),
        }
    }

    /// The subject. A student must have one, since it posts and reads under this name; another
    /// caller without one is named after its role.
    fn subject(&self, pointer: &Pointer, role: Role) -> Result<String, Denial> {
        let Some(text) = self.text(pointer)? else {
            return match role {
                Role::Student => {
                    Err(invalid(&format!("claim {pointer} is missing: a student must have one")))
                }
                _ => Ok(role.to_string()),
            };
        };
        // The bounds of a student's id are good ones for every name.
        let student = StudentId::of_client(&text);
        let student = student.map_err(|error| invalid(&format!("claim {pointer} {error}")))?;
        Ok(if role == Role::Student { student.as_str().to_owned() } else { text })
    }

    /// The token's id.
    fn id(&self) -> Result<Option<String>, Denial> {
        match self.0.get("jti") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(id)) if id.len() <= MAX_TEXT => Ok(Some(id.clone())),
            Some(_) => Err(invalid("claim jti is not a text, or too long")),
        }
    }

    fn at(&self, pointer: &Pointer) -> Option<&Value> {
        self.0.pointer(pointer.as_str()).filter(|value| !value.is_null())
    }

    /// A claim that is a text, if it is there.
    fn text(&self, pointer: &Pointer) -> Result<Option<String>, Denial> {
        match self.at(pointer) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(invalid(&format!("claim {pointer} is not a text"))),
        }
    }

    /// A claim that is a text or a list of texts; no texts if it is missing.
    fn texts(&self, pointer: &Pointer) -> Result<Vec<&str>, Denial> {
        let wrong = || invalid(&format!("claim {pointer} is neither a text nor a list of texts"));
        match self.at(pointer) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(list)) if list.len() > MAX_LIST => {
                Err(invalid(&format!("claim {pointer} has more than {MAX_LIST} entries")))
            }
            Some(Value::Array(list)) => {
                list.iter().map(|value| value.as_str().ok_or_else(wrong)).collect()
            }
            Some(_) => Err(wrong()),
        }
    }
}

pub(super) fn invalid(reason: &str) -> Denial {
    Denial::Invalid(reason.to_owned())
}

/// A JSON value in whose objects no name stands twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("a name stands twice"));
            }
        }
        Ok(object.into())
    }
}
