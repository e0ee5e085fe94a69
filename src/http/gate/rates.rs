//! The check of rates: how many requests a caller, and an address, may make.
//!
//! - An **address** is counted before the credential is verified, so that a flood costs little.
//!   The limit is far above what a class behind one address makes. Requests with a credential that
//!   was good lately are counted apart: a flood of others from the same address, as of wrong tokens
//!   behind a school's one address, takes nothing of the class's share.
//! - A **caller** is counted once it is known. Students and instructors are persons: a limit that
//!   no person reaches stops a program that runs wild. Writers' tokens are shared by a class, and
//!   operators are programs: the limit of their address is theirs.
//! - **Wrong credentials** are counted by address. Beyond that limit, only credentials that were
//!   good lately are looked at from there: a class at work goes on beside whoever tries tokens from
//!   the same address, and the tries cost no signature.
//!
//! Each limit counts in a fixed number of buckets, into which keys fall by a hash that is different
//! in every process. Memory is bounded so by construction; two keys that share a bucket share its
//! limit, which neither comes near.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::network::Network;
use crate::access::{Caller, Credential, Role};
use crate::metrics::{CounterBy, Registry};

/// Credentials that were good lately, in each of two generations.
const MAX_ACCEPTED: usize = 16_384;
/// How often buckets that are full again are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);
/// The shortest and the longest wait that a client is told.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Requests a second, and how many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is not a rate: write it as 20:60 (20 a second, 60 at once) or off")
        };
        let (per_second, burst) = text.trim().split_once(':').ok_or_else(wrong)?;
        let number = |text: &str| text.trim().parse::<NonZeroU32>().map_err(|_| wrong());
        Ok(Self { per_second: number(per_second)?, burst: number(burst)? })
    }
}

/// The limits of rates; `None` is no limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateConfig {
    /// Of one student or instructor.
    pub caller: Option<Rate>,
    /// Of one address.
    pub address: Option<Rate>,
    /// Of wrong credentials from one address.
    pub wrong_credentials: Option<Rate>,
    /// Addresses without any limit.
    pub trusted: Vec<Network>,
}

/// How long a client has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct Limited(pub(in crate::http) Duration);

/// Counts requests, and knows the limits.
#[derive(Debug)]
pub(crate) struct Rates {
    caller: Option<Buckets>,
    address: Option<Buckets>,
    wrong: Option<WrongCredentials>,
    trusted: Vec<Network>,
    limited: CounterBy,
}

impl Rates {
    /// Limits by a configuration.
    pub(crate) fn new(config: &RateConfig) -> Arc<Self> {
        let limits = &["caller", "address", "wrong-credentials"];
        Arc::new(Self {
            caller: config.caller.map(Buckets::new),
            address: config.address.map(Buckets::new),
            wrong: config.wrong_credentials.map(WrongCredentials::new),
            trusted: config.trusted.clone(),
            limited: CounterBy::new("limit", limits),
        })
    }

    /// Registers the metrics.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.counter_by(
            "relay_rate_limited_requests_total",
            "Requests beyond a limit of rates.",
            &self.limited,
        );
    }

    /// Forgets buckets that are full again, for as long as the relay runs.
    pub(crate) async fn forget_forever(self: Arc<Self>) {
        loop {
            tokio::time::sleep(FORGET_INTERVAL).await;
            for buckets in [&self.caller, &self.address].into_iter().flatten() {
                buckets.limiter.retain_recent();
            }
            if let Some(wrong) = &self.wrong {
                wrong.forget();
            }
        }
    }

    /// Whether an address has no limit. Loopback has none: its clients are this machine's own, or
    /// all those of a proxy that is not trusted.
    fn is_trusted(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.trusted.iter().any(|network| network.contains(address))
    }

    /// Counts a request of an address, with the credential that it brings.
    pub(super) fn check_address(
        &self,
        address: IpAddr,
        credential: Option<&Credential>,
    ) -> Result<(), Limited> {
        match &self.address {
            Some(buckets) if !self.is_trusted(address) => {
                let key = (network_of(address), self.was_good(credential));
                buckets.check(&key).inspect_err(|_| self.limited.inc("address"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a credential was good lately.
    fn was_good(&self, credential: Option<&Credential>) -> bool {
        match (&self.wrong, credential.and_then(secret)) {
            (Some(wrong), Some(secret)) => wrong.was_good(secret),
            _ => false,
        }
    }

    /// Counts a request of a known caller, wherever it comes from.
    pub(super) fn check_caller(&self, caller: &Caller, address: IpAddr) -> Result<(), Limited> {
        let is_person = matches!(caller.role, Role::Student | Role::Instructor);
        let is_free = self.trusted.iter().any(|network| network.contains(address));
        match &self.caller {
            Some(buckets) if is_person && !is_free => {
                buckets.check(&caller.subject).inspect_err(|_| self.limited.inc("caller"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a credential from this address may be looked at.
    pub(super) fn check_credential(
        &self,
        address: IpAddr,
        credential: &Credential,
    ) -> Result<(), Limited> {
        let (Some(wrong), Some(secret)) = (&self.wrong, secret(credential)) else { return Ok(()) };
        if self.is_trusted(address) {
            return Ok(());
        }
        wrong.check(address, secret).inspect_err(|_| self.limited.inc("wrong-credentials"))
    }

    /// A credential was good.
    pub(super) fn accepted(&self, credential: &Credential) {
        if let (Some(wrong), Some(secret)) = (&self.wrong, secret(credential)) {
            wrong.accepted(secret);
        }
    }

    /// A credential was wrong.
    pub(super) fn refused(&self, address: IpAddr, credential: &Credential) {
        if let (Some(wrong), Some(_)) = (&self.wrong, secret(credential))
            && !self.is_trusted(address)
        {
            wrong.refused(address);
        }
    }
}

/// What somebody may guess; a trusted proxy guesses nothing.
fn secret(credential: &Credential) -> Option<&str> {
    match credential {
        Credential::Token(secret) | Credential::Session(secret) => Some(secret),
        Credential::Proxied { .. } => None,
    }
}

/// The address by which a client is counted: one of IPv6 has at least 2^64 of them.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        v4 => v4,
    }
}

/// A limit, counted in 65,536 buckets.
#[derive(Debug)]
struct Buckets {
    limiter: DefaultKeyedRateLimiter<u16>,
    hasher: RandomState,
}

impl Buckets {
    fn new(rate: Rate) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self { limiter: RateLimiter::keyed(quota), hasher: RandomState::new() }
    }

    fn bucket(&self, key: &impl Hash) -> u16 {
        (self.hasher.hash_one(key) & u64::from(u16::MAX)) as u16
    }

    fn check(&self, key: &impl Hash) -> Result<(), Limited> {
        self.check_bucket(self.bucket(key))
    }

    fn check_bucket(&self, bucket: u16) -> Result<(), Limited> {
        self.limiter
            .check_key(&bucket)
            .map_err(|until| Limited(until.wait_time_from(DefaultClock::default().now())))
    }
}

/// Counts wrong credentials by address, and knows which were good lately.
#[derive(Debug)]
struct WrongCredentials {
    buckets: Buckets,
    /// Until when only good credentials are looked at, by bucket.
    blocked: Mutex<HashMap<u16, Instant>>,
    /// Hashes of good credentials, the newer generation first.
    good: Mutex<[HashSet<u64>; 2]>,
}

impl WrongCredentials {
    fn new(rate: Rate) -> Self {
        let buckets = Buckets::new(rate);
        Self { buckets, blocked: Mutex::default(), good: Mutex::default() }
    }

    fn check(&self, address: IpAddr, secret: &str) -> Result<(), Limited> {
        let bucket = self.buckets.bucket(&network_of(address));
        let Some(until) = lock(&self.blocked).get(&bucket).copied() else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || self.was_good(secret) {
            return Ok(());
        }
        Err(Limited(left))
    }

    fn was_good(&self, secret: &str) -> bool {
        let hash = self.buckets.hasher.hash_one(secret);
        lock(&self.good).iter().any(|good| good.contains(&hash))
    }

    fn accepted(&self, secret: &str) {
        let hash = self.buckets.hasher.hash_one(secret);
        let mut good = lock(&self.good);
        if good[0].insert(hash) && good[0].len() >= MAX_ACCEPTED {
            good.swap(0, 1);
            good[0].clear();
        }
    }

    fn refused(&self, address: IpAddr) {
        let bucket = self.buckets.bucket(&network_of(address));
        if let Err(Limited(wait)) = self.buckets.check_bucket(bucket) {
            // At most one entry a bucket.
            lock(&self.blocked).insert(bucket, Instant::now() + wait);
        }
    }

    fn forget(&self) {
        self.buckets.limiter.retain_recent();
        let now = Instant::now();
        lock(&self.blocked).retain(|_, until| *until > now);
    }
}

/// Held for a few lines.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Limited {
    /// How long a client is told to wait.
    pub(in crate::http) fn retry_after(self) -> Duration {
        self.0.clamp(RETRY_AFTER.0, RETRY_AFTER.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;

    fn rates(caller: &str, address: &str, wrong: &str) -> Arc<Rates> {
        let rate = |text: &str| text.parse().ok();
        Rates::new(&RateConfig {
            caller: rate(caller),
            address: rate(address),
            wrong_credentials: rate(wrong),
            trusted: vec!["10.0.0.0/8".parse().expect("a network")],
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn caller(subject: &str, role: Role) -> Caller {
        let scope = Scope::all();
        Caller { subject: subject.to_owned(), role, scope, ..Caller::anyone() }
    }

    #[test]
    fn rates_are_written_as_two_numbers() {
        assert!("20:60".parse::<Rate>().is_ok());
        for text in ["", "20", "0:1", "1:0", "-1:2", "1:2:3", "a:b"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_has_a_limit_and_others_have_theirs() {
        let rates = rates("off", "1:3", "off");
        let admitted = |text: &str| {
            (0..10).take_while(|_| rates.check_address(address(text), None).is_ok()).count()
        };
        assert_eq!(admitted("192.0.2.1"), 3);
        assert_eq!(admitted("192.0.2.2"), 3, "another bucket, but for one time in 65,536");
        assert_eq!(admitted("2001:db8::1"), 3);
        assert_eq!(admitted("2001:db8::2"), 0, "one network of a client's");
        assert_eq!(admitted("127.0.0.1"), 10);
        assert_eq!(admitted("10.1.2.3"), 10, "trusted");
        let wait = rates.check_address(address("192.0.2.1"), None).expect_err("a wait");
        assert!(wait.0 <= Duration::from_secs(1) && wait.retry_after() == Duration::from_secs(1));
    }

    #[test]
    fn a_flood_takes_nothing_from_good_credentials_of_its_address() {
        let rates = rates("off", "1:5", "1:5");
        let token = |text: &str| Credential::Token(text.to_owned());
        let here = address("192.0.2.1");
        rates.accepted(&token("good"));
        let admitted = |text: &str| {
            let token = token(text);
            let check = |_: &i32| rates.check_address(here, Some(&token)).is_ok();
            (0..10).take_while(check).count()
        };
        assert_eq!(admitted("a guess"), 5);
        assert_eq!(admitted("another"), 0, "guesses share one limit");
        assert_eq!(admitted("good"), 5, "and it has a limit too");
    }

    #[test]
    fn persons_are_limited_and_shared_tokens_are_not() {
        let rates = rates("1:2", "off", "off");
        let admitted = |role, from: &str| {
            let caller = caller(&format!("{role} {from}"), role);
            let check = |_: &i32| rates.check_caller(&caller, address(from)).is_ok();
            (0..10).take_while(check).count()
        };
        assert_eq!(admitted(Role::Student, "192.0.2.1"), 2);
        assert_eq!(admitted(Role::Instructor, "192.0.2.1"), 2);
        assert_eq!(admitted(Role::Writer, "192.0.2.1"), 10);
        assert_eq!(admitted(Role::Operator, "192.0.2.1"), 10);
        assert_eq!(admitted(Role::Student, "10.0.0.1"), 10, "trusted");
    }

    #[test]
    fn good_credentials_pass_beside_wrong_ones() {
        let rates = rates("off", "off", "1:5");
        let token = |text: &str| Credential::Token(text.to_owned());
        let here = address("192.0.2.1");
        rates.accepted(&token("good"));
        for n in 0..5 {
            let wrong = token(&n.to_string());
            assert!(rates.check_credential(here, &wrong).is_ok());
            rates.refused(here, &wrong);
        }
        rates.refused(here, &token("one too many"));
        assert!(rates.check_credential(here, &token("another")).is_err());
        assert!(rates.check_credential(here, &token("good")).is_ok());
        assert!(rates.check_credential(address("192.0.2.9"), &token("another")).is_ok());
        assert!(rates.check_credential(address("10.0.0.1"), &token("another")).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let rates = rates("off", "1:1", "1:1");
        let token = |n: u32| Credential::Token(n.to_string());
        for n in 0..200_000_u32 {
            let from = IpAddr::from((0x0c00_0000 + n).to_be_bytes());
            let _ = rates.check_address(from, None);
            rates.refused(from, &token(n));
            rates.accepted(&token(n));
        }
        let most = usize::from(u16::MAX) + 1;
        assert!(rates.address.as_ref().is_some_and(|buckets| buckets.limiter.len() <= most));
        let wrong = rates.wrong.as_ref().expect("a limit");
        assert!(wrong.buckets.limiter.len() <= most && lock(&wrong.blocked).len() <= most);
        let good: usize = lock(&wrong.good).iter().map(HashSet::len).sum();
        assert!(good <= 2 * MAX_ACCEPTED, "{good}");
    }
}
