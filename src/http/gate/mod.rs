//! The gate: every check that a request passes before its handler, in one place and in one order.
//!
//! The router's table names the checks that a route wants; [`ORDER`] is the order in which they are
//! made. A new check is a variant of [`Check`], a line in `ORDER`, an arm in [`Gate::admit`], and a
//! file of this folder. The caller is checked after `Origin`, since a foreign page must not learn
//! whether a credential is good; the limit of the caller's requests comes last, since it is counted
//! by caller.
//!
//! The gate decides, and the route answers: most routes answer a refusal with a problem, a
//! WebSocket with a close code, Server-Sent Events with a stream that ends.

pub(super) mod caller;
pub(super) mod client;
pub(super) mod connections;
pub(super) mod cors;
pub(super) mod network;
pub(super) mod origin;
pub(super) mod proxied;
pub(super) mod rates;
pub(super) mod refused;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use self::caller::{CallerCheck, CredentialRules, Unknown};
use self::client::{Client, TrustedProxies};
use self::connections::{ConnectionLimiter, ConnectionPermit};
use self::cors::Cors;
use self::origin::OriginPolicy;
use self::proxied::UserHeaders;
use self::rates::{Limited, Rates};
use self::refused::{note_denial, note_not_allowed};
use super::policy::{Check, Policy};
use super::problem::Problem;
use super::query::Query;
use super::request::{Door, Inbound, Request};
use super::server::drain::Drain;
use crate::access::{Access, Caller, Credential, Denial, Right};
use crate::audit::{Action, Audit};
use crate::metrics::Registry;

/// How long a client is told to wait when there are too many connections, or the relay goes away.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Most connections to the listener for operators.
const ADMIN_CONNECTIONS: usize = 64;

/// All checks, in the order in which they are made: the cheapest first, and none before a check on
/// which it relies.
pub(super) const ORDER: [Check; 5] =
    [Check::Connections, Check::Draining, Check::Rates, Check::Origin, Check::OwnPage];

/// The gate's decision about a request.
#[derive(Debug)]
pub(super) enum Admission {
    /// The handler may answer this caller.
    Admitted(Admitted),
    /// There are too many connections.
    TooMany,
    /// The relay is going away.
    Draining,
    /// The host or the origin is not allowed, or the caller has no right.
    Forbidden(Problem),
    /// It is not known who calls.
    Denied(Denial),
    /// The address or the caller makes too many requests.
    Limited(Problem),
}

/// A caller that was admitted, with the credential by which it is known.
#[derive(Debug, Clone)]
pub(super) struct Admitted {
    /// `None` on a route that anyone may ask.
    pub(super) caller: Option<Arc<Caller>>,
    /// `None` where no source of callers is configured.
    pub(super) credential: Option<Credential>,
}

impl Admission {
    /// The caller of a request that is admitted.
    ///
    /// # Errors
    /// The refusal, as a problem.
    pub(super) fn caller(self) -> Result<Arc<Caller>, Problem> {
        Err(match self {
            Self::Admitted(admitted) => {
                return Ok(admitted.caller.unwrap_or_else(|| Arc::new(Caller::unknown())));
            }
            Self::TooMany => Problem::unavailable(
                "too-many-connections",
                "the relay has too many connections",
                "try again later, or raise --max-connections",
                RETRY_AFTER,
            ),
            Self::Draining => Problem::unavailable(
                "going-away",
                "the relay is going away",
                "connect again: another relay, or this one once it is back, answers",
                RETRY_AFTER,
            ),
            Self::Forbidden(problem) | Self::Limited(problem) => problem,
            Self::Denied(denial) => caller::denied(&denial),
        })
    }
}

/// The state that the checks use.
#[derive(Debug)]
pub(crate) struct Gate {
    connections: Arc<ConnectionLimiter>,
    admin_connections: Arc<ConnectionLimiter>,
    origins: OriginPolicy,
    proxies: ProxyRules,
    access: Access,
    rates: Arc<Rates>,
    audit: Audit,
    drain: Drain,
}

/// The proxies that are trusted, and what they are trusted to say.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProxyRules {
    /// Whose forwarded addresses, schemes and hosts are believed.
    pub trusted: TrustedProxies,
    /// The headers in which they name a user, if they do.
    pub user_headers: Option<UserHeaders>,
}

impl Gate {
    /// A gate with these limits and rules, of a relay that goes away by `drain`.
    pub(crate) fn new(
        connections: Arc<ConnectionLimiter>,
        origins: OriginPolicy,
        proxies: ProxyRules,
        access: Access,
        rates: Arc<Rates>,
        audit: Audit,
        drain: Drain,
    ) -> Self {
        let admin_connections = ConnectionLimiter::new(ADMIN_CONNECTIONS, ADMIN_CONNECTIONS);
        Self { connections, admin_connections, origins, proxies, access, rates, audit, drain }
    }

    /// Counts a new connection: see [`ConnectionLimiter`]. Those of operators are counted apart:
    /// they must come through when there are too many others.
    pub(super) fn permit(&self, remote: SocketAddr, door: Door) -> Option<ConnectionPermit> {
        match door {
            Door::Main => self.connections.permit(remote, self.proxies.trusted.has(remote.ip())),
            Door::Admin => self.admin_connections.permit(remote, false),
        }
    }

    /// The sender of a request that came on this connection with these headers.
    pub(super) fn client(&self, inbound: &Inbound, headers: &HeaderMap) -> Client {
        self.proxies.trusted.client(inbound.remote, inbound.is_tls, headers)
    }

    /// Registers the gate's metrics.
    pub(super) fn register(&self, registry: &mut Registry) {
        let connections = Arc::clone(&self.connections);
        registry.gauge(
            "relay_connections",
            "TCP connections, those of sessions included.",
            move || connections.count() as i64,
        );
        self.rates.register(registry);
    }

    /// Which origins may read.
    pub(super) fn origins(&self) -> &OriginPolicy {
        &self.origins
    }

    /// The sources of callers.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// Makes the checks of a route; the first that fails decides.
    pub(super) async fn admit(&self, policy: &Policy, request: &Request) -> Admission {
        let credential = match policy.right {
            Some(_) => self.credential(policy.cors != Cors::AnyOrigin, request),
            None => Ok(None),
        };
        for check in ORDER.iter().filter(|check| policy.checks.contains(check)) {
            match check {
                Check::Connections if !request.permit.is_admitted() => return Admission::TooMany,
                Check::Draining if self.drain.is_closed() => return Admission::Draining,
                Check::Origin => {
                    if let Err(problem) = self.origins.check(&request.headers, &request.client) {
                        return Admission::Forbidden(problem);
                    }
                }
                Check::Rates => {
                    let known = credential.as_ref().ok().and_then(Option::as_ref);
                    if let Err(limited) = self.rates.check_address(request.client.address, known) {
                        return Admission::Limited(too_many(limited, request.method.as_ref()));
                    }
                }
                Check::OwnPage => {
                    if let Err(problem) = caller::from_own_page(request) {
                        return Admission::Forbidden(problem);
                    }
                }
                Check::Connections | Check::Draining => {}
            }
        }
        // A browser asks without a credential whether its page may send one.
        let right = policy.right.filter(|_| request.method != Method::OPTIONS);
        let Some(right) = right else {
            return Admission::Admitted(Admitted { caller: None, credential: None });
        };
        let limit = |limited| Admission::Limited(too_many(limited, request.method.as_ref()));
        match self.check_caller(right, request, credential).await {
            CallerCheck::Limited(limited) => limit(limited),
            CallerCheck::Admitted(caller, credential) => {
                let address = request.client.address;
                if policy.checks.contains(&Check::Rates)
                    && let Err(limited) = self.rates.check_caller(&caller, address)
                {
                    return limit(limited);
                }
                Admission::Admitted(Admitted { caller: Some(caller), credential })
            }
            CallerCheck::Denied(denial) => self.deny(denial, request.client.address),
            CallerCheck::Forbidden(problem) => Admission::Forbidden(problem),
            CallerCheck::NotAllowed(caller, credential, problem) => {
                let query = Query::parse(&request.query);
                let address = request.client.address;
                note_not_allowed(&self.audit, &caller, credential.as_ref(), &query, address);
                Admission::Forbidden(problem)
            }
        }
    }

    /// Looks by `proving` whether the credential of a sign-in is good, unless too many from the
    /// same address were wrong.
    ///
    /// # Errors
    /// The refusal, as a problem.
    pub(super) async fn sign_in<T>(
        &self,
        request: &Request,
        credential: &Credential,
        proving: impl Future<Output = Result<T, Denial>>,
    ) -> Result<T, Problem> {
        let address = request.client.address;
        let proven = caller::attempt(&self.rates, address, credential, proving);
        proven.await.map_err(|unknown| match unknown {
            Unknown::Denied(denial) => {
                note_denial(&self.audit, Action::SignInRefused, &denial, address);
                caller::denied(&denial)
            }
            Unknown::Limited(limited) => too_many(limited, request.method.as_ref()),
        })
    }

    /// Whether the sender of a request may see the relay itself: by the listener for operators, or
    /// as one.
    pub(super) async fn sees_relay(&self, request: &Request) -> bool {
        let credential = self.credential(true, request);
        request.door == Door::Admin
            || matches!(
                self.check_caller(Right::Operate, request, credential).await,
                CallerCheck::Admitted(..)
            )
    }

    /// The credential of a request; none where everyone may do everything.
    fn credential(
        &self,
        reads_cookie: bool,
        request: &Request,
    ) -> Result<Option<Credential>, Denial> {
        if self.access.is_open() {
            return Ok(None);
        }
        let user_headers = self.proxies.user_headers.as_ref();
        caller::credential(request, CredentialRules { reads_cookie, user_headers })
    }

    async fn check_caller(
        &self,
        right: Right,
        request: &Request,
        credential: Result<Option<Credential>, Denial>,
    ) -> CallerCheck {
        caller::check(&self.access, &self.rates, &self.origins, right, request, credential).await
    }

    /// Admits a subscriber by the credential of its first message. The other checks were made when
    /// its connection came.
    pub(super) async fn admit_subscriber(
        &self,
        credential: Credential,
        query: &Query<'_>,
        address: IpAddr,
    ) -> Admission {
        match caller::known(&self.access, &self.rates, address, Some(&credential)).await {
            Err(Unknown::Denied(denial)) => self.deny(denial, address),
            Err(Unknown::Limited(limited)) => Admission::Limited(too_many(limited, "GET")),
            Ok(caller) => match caller::permit(&caller, Right::ReadOwn, query) {
                Err(problem) => {
                    note_not_allowed(&self.audit, &caller, Some(&credential), query, address);
                    Admission::Forbidden(problem)
                }
                Ok(()) => match self.rates.check_caller(&caller, address) {
                    Err(limited) => Admission::Limited(too_many(limited, "GET")),
                    Ok(()) => Admission::Admitted(Admitted {
                        caller: Some(caller),
                        credential: Some(credential),
                    }),
                },
            },
        }
    }

    fn deny(&self, denial: Denial, address: IpAddr) -> Admission {
        note_denial(&self.audit, Action::CredentialRefused, &denial, address);
        Admission::Denied(denial)
    }
}

/// The problem of too many requests. A POST is told 503: clients in the field take any status below
/// 500 for success, and would drop the event.
fn too_many(limited: Limited, method: &str) -> Problem {
    const TITLE: &str = "there are too many requests";
    let detail = "this caller or this address makes more requests than the relay's limits allow; \
                  wait, and send the same request again (--rate-limit-caller, \
                  --rate-limit-address, --rate-limit-wrong-credentials)";
    let retry_after = limited.retry_after();
    if method == "POST" {
        return Problem::unavailable("rate-limited", TITLE, detail, retry_after);
    }
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", TITLE, detail)
        .with_header(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs()))
}
