//! The check of the caller: takes the credential out of a request, has it resolved, and compares
//! the caller's rights with what the route needs.
//!
//! A credential that a request names itself (`Authorization`, then `?token=`) counts before the
//! user that a trusted proxy names and before the cookie, and a wrong one is never replaced by one
//! of these: the request says who it means to be.
//! Ingest never reads a cookie, since pages of any origin may POST there with the browser's
//! credentials. With a cookie, a request that changes something must come from the relay's own
//! page. A proxy knows its user by a cookie too: a page of another origin that posts through the
//! proxy must be one that may read.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::origin::OriginPolicy;
use super::proxied::UserHeaders;
use super::rates::{Limited, Rates};

use crate::access::{Access, Caller, Credential, Denial, Right};
use crate::event::{ClassId, StudentId};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::request::Request;

/// The longest credential that is looked at, in bytes.
const MAX_CREDENTIAL: usize = 8 * 1024;
/// The cookie of a browser that has signed in.
pub(in crate::http) const COOKIE: &str = "progress-relay";
/// Its name behind TLS: browsers accept it from this host and for the path `/` alone.
pub(in crate::http) const HOST_COOKIE: &str = "__Host-progress-relay";
/// Its name behind TLS and below a path.
pub(in crate::http) const SECURE_COOKIE: &str = "__Secure-progress-relay";

/// Where a credential is looked for.
#[derive(Clone, Copy)]
pub(super) struct CredentialRules<'a> {
    /// Whether the route reads the relay's cookie.
    pub(super) reads_cookie: bool,
    /// The headers in which a trusted proxy names its user.
    pub(super) user_headers: Option<&'a UserHeaders>,
}

/// The result of the check.
pub(super) enum CallerCheck {
    /// The caller may use the route.
    Admitted(Arc<Caller>, Option<Credential>),
    /// It is not known who calls.
    Denied(Denial),
    /// Another site's page has sent the request.
    Forbidden(Problem),
    /// There were too many wrong credentials from there.
    Limited(Limited),
    /// The caller is known, and may not.
    NotAllowed(Arc<Caller>, Option<Credential>, Problem),
}

/// Who calls with the request's credential, and whether the caller has the right that the route
/// needs in the classes that the URL names. A user that a proxy knows by a cookie acts from the
/// pages of `origins` alone.
pub(super) async fn check(
    access: &Access,
    rates: &Rates,
    origins: &OriginPolicy,
    right: Right,
    request: &Request,
    credential: Result<Option<Credential>, Denial>,
) -> CallerCheck {
    if access.is_open() {
        return CallerCheck::Admitted(Arc::new(Caller::anyone()), None);
    }
    let query = Query::parse(&request.query);
    let credential = match credential {
        Ok(credential) => credential,
        Err(denial) => return CallerCheck::Denied(denial),
    };
    if matches!(credential, Some(Credential::Proxied { .. }))
        && changes_something(request)
        && let Err(problem) = origins.check(&request.headers, &request.client)
    {
        return CallerCheck::Forbidden(problem);
    }
    if matches!(credential, Some(Credential::Session(_)))
        && let Err(problem) = from_own_page(request)
    {
        return CallerCheck::Forbidden(problem);
    }
    match known(access, rates, request.client.address, credential.as_ref()).await {
        Err(Unknown::Denied(denial)) => CallerCheck::Denied(denial),
        Err(Unknown::Limited(limited)) => CallerCheck::Limited(limited),
        Ok(caller) => match permit(&caller, right, &query) {
            Ok(()) => CallerCheck::Admitted(caller, credential),
            Err(problem) => CallerCheck::NotAllowed(caller, credential, problem),
        },
    }
}

/// Why it is not known who calls.
pub(super) enum Unknown {
    /// The credential does not prove it.
    Denied(Denial),
    /// There were too many wrong ones from this address: it was not looked at.
    Limited(Limited),
}

/// Who calls from this address with this credential.
pub(super) async fn known(
    access: &Access,
    rates: &Rates,
    address: IpAddr,
    credential: Option<&Credential>,
) -> Result<Arc<Caller>, Unknown> {
    match credential {
        Some(own) => attempt(rates, address, own, access.resolve(credential)).await,
        None => access.resolve(None).await.map_err(Unknown::Denied),
    }
}

/// Looks by `proving` whether a credential from this address is good, unless too many from there
/// were wrong.
pub(super) async fn attempt<T>(
    rates: &Rates,
    address: IpAddr,
    credential: &Credential,
    proving: impl Future<Output = Result<T, Denial>>,
) -> Result<T, Unknown> {
    rates.check_credential(address, credential).map_err(Unknown::Limited)?;
    let proven = proving.await;
    match &proven {
        Ok(_) => rates.accepted(credential),
        Err(Denial::Invalid(_) | Denial::Revoked) => rates.refused(address, credential),
        Err(_) => {}
    }
    proven.map_err(Unknown::Denied)
}

/// Whether the caller has the right in every class that the URL names.
pub(in crate::http) fn permit(
    caller: &Caller,
    right: Right,
    query: &Query<'_>,
) -> Result<(), Problem> {
    if !caller.role.has(right) {
        return Err(Problem::forbidden(&format!("{} is {}", caller.subject, caller.role)));
    }
    if right == Right::ReadOwn {
        own_student(caller)?;
    }
    let classes = match right {
        // These are in no class.
        Right::Operate | Right::Browse | Right::Identify => return Ok(()),
        // An event may name its class itself: ingest checks it.
        Right::Post => query.class_for_events().map(ClassId::new).into_iter().flatten().collect(),
        // A class that cannot be one is the handler's to refuse.
        Right::ReadOwn | Right::Read | Right::Act => query.classes().unwrap_or_default(),
    };
    match classes.iter().find(|class| !caller.may(right, class)) {
        Some(class) => Err(other_class(class)),
        None => Ok(()),
    }
}

/// The student that the caller is bound to, as events name it; `None` for one that is bound to
/// none.
pub(in crate::http) fn own_student(caller: &Caller) -> Result<Option<StudentId>, Problem> {
    let own = caller.own_student().map(StudentId::of_client).transpose();
    own.map_err(|error| Problem::forbidden(&format!("the credential's subject {error}")))
}

/// The problem of a class that is not one of the caller's.
pub(in crate::http) fn other_class(class: &ClassId) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "class-not-allowed",
        "the caller has no right in that class",
        format!("class {:?} is not one of the caller's classes", class.as_str()),
    )
    .with("field", "class")
}

/// The problem of a caller that is not known.
pub(in crate::http) fn denied(denial: &Denial) -> Problem {
    let detail = denial.to_string();
    let problem = match denial {
        Denial::Unavailable { retry_after, .. } => {
            return Problem::unavailable(
                "sign-in-unavailable",
                "who calls cannot be found out now",
                detail,
                *retry_after,
            );
        }
        Denial::Expired => {
            Problem::new(StatusCode::UNAUTHORIZED, "expired", "the sign-in has ended", detail)
        }
        Denial::Missing | Denial::Invalid(_) | Denial::Revoked => Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the relay does not know who calls",
            detail,
        ),
    };
    let challenge = HeaderValue::from_static("Bearer realm=\"progress-relay\"");
    problem.with_header(header::WWW_AUTHENTICATE, challenge)
}

/// The credential that a request brings.
pub(super) fn credential(
    request: &Request,
    rules: CredentialRules<'_>,
) -> Result<Option<Credential>, Denial> {
    let headers = &request.headers;
    let mut named = headers.get_all(header::AUTHORIZATION).iter();
    let token = match named.next() {
        Some(_) if named.next().is_some() => {
            return Err(Denial::Invalid("Authorization is given twice".to_owned()));
        }
        Some(value) => Some(authorization(value)?),
        None => Query::parse(&request.query).first("token").map(str::to_owned),
    };
    if let Some(token) = token {
        if token.is_empty() || token.len() > MAX_CREDENTIAL {
            return Err(Denial::Invalid("it is empty, or far too long".to_owned()));
        }
        return Ok(Some(Credential::Token(token)));
    }
    if let Some(user_headers) = rules.user_headers.filter(|_| request.client.is_proxied)
        && let Some(proxied) = user_headers.credential(headers)?
    {
        return Ok(Some(proxied));
    }
    let session = if rules.reads_cookie { cookie(request)? } else { None };
    Ok(session.map(|session| Credential::Session(session.to_owned())))
}

/// The token of `Authorization: Bearer TOKEN`, or of `token TOKEN` as JupyterHub writes it.
pub(in crate::http) fn authorization(value: &HeaderValue) -> Result<String, Denial> {
    let wrong = || Denial::Invalid("Authorization is neither Bearer TOKEN nor token TOKEN".into());
    let (scheme, token) =
        value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(wrong)?;
    let is_known = ["bearer", "token"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    is_known.then(|| token.trim().to_owned()).ok_or_else(wrong)
}

/// The value of the relay's cookie. Behind TLS only a name with a prefix counts: a page without TLS
/// cannot have set it, and with `__Host-` no other host of the domain either.
///
/// # Errors
/// If there are two with different values. Another host of the domain can set one beside the
/// relay's, and a browser may send that one first: whoever has signed in would act as whoever
/// planted it.
pub(in crate::http) fn cookie(request: &Request) -> Result<Option<&str>, Denial> {
    cookie_of(&request.headers, request.client.is_https())
}

/// The value of the first cookie of this name.
pub(in crate::http) fn cookie_named<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    cookies_named(headers, wanted).next()
}

fn cookies_named<'a>(headers: &'a HeaderMap, wanted: &str) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(move |(name, value)| (name == wanted).then_some(value))
}

pub(in crate::http) fn cookie_of(
    headers: &HeaderMap,
    is_https: bool,
) -> Result<Option<&str>, Denial> {
    let names: &[&str] = if is_https { &[HOST_COOKIE, SECURE_COOKIE] } else { &[COOKIE] };
    for name in names {
        let mut values = cookies_named(headers, name);
        let Some(value) = values.next() else { continue };
        if values.any(|other| other != value) {
            let reason = "the browser sends two of the relay's cookies: another site of the same \
                          domain has set one. Delete this site's cookies and sign in again";
            return Err(Denial::Invalid(reason.to_owned()));
        }
        let is_usable = !value.is_empty() && value.len() <= MAX_CREDENTIAL;
        return Ok(is_usable.then_some(value));
    }
    Ok(None)
}

fn changes_something(request: &Request) -> bool {
    !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a request that changes something comes from the relay's own page; if not, the problem to
/// answer with. The check of the origin has compared `Origin` already; here it must be there, or
/// the browser must say as much.
pub(super) fn from_own_page(request: &Request) -> Result<(), Problem> {
    let is_own = match request.headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => request.headers.contains_key(header::ORIGIN),
    };
    if is_own || !changes_something(request) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "cross-site",
        "another site's page may not act with this browser's sign-in",
        "a request that changes something must come from the relay's own page",
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A line of a header: parts of lines that mean something, and bytes that mean nothing.
    fn line() -> impl Strategy<Value = Vec<u8>> {
        let known = [
            "Bearer ",
            "bearer",
            "token ",
            " ",
            "; ",
            "=",
            ",",
            "\t",
            "\"",
            "__Host-",
            "__Secure-",
            "progress-relay",
            "progress-relay=",
            "a.b.c",
            "x",
        ];
        let piece = prop_oneof![
            proptest::sample::select(known.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..8),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn of_two_cookies_none_counts() {
        let of = |line: &str, is_https| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_str(line).expect("a header"));
            cookie_of(&headers, is_https).map(|value| value.map(str::to_owned)).map_err(|_| ())
        };
        let good = |value: &str| Ok(Some(value.to_owned()));
        assert_eq!(of("progress-relay=a; progress-relay=b", false), Err(()));
        assert_eq!(of("progress-relay=a; x=y; progress-relay=a", false), good("a"));
        assert_eq!(of("__Secure-progress-relay=a; __Secure-progress-relay=b", true), Err(()));
        // Nobody else can have set this one.
        let lines = "__Secure-progress-relay=a; __Host-progress-relay=b; progress-relay=c";
        assert_eq!(of(lines, true), good("b"));
        assert_eq!(of("progress-relay=c", true), Ok(None));
    }

    proptest! {
        #[test]
        fn no_authorization_panics(line in line()) {
            let Ok(value) = HeaderValue::from_bytes(&line) else { return Ok(()) };
            if let Ok(token) = authorization(&value) {
                prop_assert_eq!(token.trim(), &token);
                prop_assert!(value.to_str().is_ok_and(|text| text.contains(&token)));
            }
        }

        #[test]
        fn no_cookie_panics_and_tls_demands_the_prefix(lines in
            proptest::collection::vec(line(), 0..4), is_https in any::<bool>())
        {
            let mut headers = HeaderMap::new();
            for value in lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()) {
                headers.append(header::COOKIE, value);
            }
            if let Ok(Some(value)) = cookie_of(&headers, is_https) {
                prop_assert!(!value.is_empty() && value.len() <= MAX_CREDENTIAL);
                let prefix = if is_https { "__" } else { "" };
                let is_named = headers.values().any(|line| {
                    line.to_str().is_ok_and(|text| text.contains(prefix) && text.contains(COOKIE))
                });
                prop_assert!(is_named);
            }
        }
    }
}
