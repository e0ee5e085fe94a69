//! The rules that some paths share: the checks before the handler, the right that a caller needs,
//! and which pages may read.

use super::gate::cors::Cors;
use crate::access::Right;

/// A check before a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// The connection is within the limits.
    Connections,
    /// The relay is not closing: a request that begins now would be ended at once.
    Draining,
    /// The address, and the caller once it is known, make no more requests than they may.
    Rates,
    /// The host is a name of this relay, and the page that asks is the relay's own or allowed.
    Origin,
    /// A request that changes something comes from the relay's own page: a form on another site's
    /// page would sign a browser in as somebody else.
    OwnPage,
}

/// Rules that some paths share.
#[derive(Debug)]
pub(super) struct Policy {
    /// The checks before the handler; the gate knows their order.
    pub(super) checks: &'static [Check],
    /// The right that the caller needs, in every class that the URL names; `None` if anyone may
    /// ask.
    pub(super) right: Option<Right>,
    /// Which pages of other origins may read the answers.
    pub(super) cors: Cors,
    /// Whether clients send bodies there. The rest of a body that a handler has not read is read
    /// and dropped before the answer, within bounds.
    pub(super) has_body: bool,
}

impl Policy {
    /// Events in, from any page. There is no check of the origin: clients run on pages of any host.
    pub(super) const INGEST: Self = Self {
        checks: &[Check::Connections, Check::Rates],
        right: Some(Right::Post),
        cors: Cors::AnyOrigin,
        has_body: true,
    };
    /// Paths that take POSTs and store nothing.
    pub(super) const NOT_STORED: Self =
        Self { checks: &[], right: None, cors: Cors::AnyOrigin, has_body: true };
    /// Sockets and streams. A student follows its own part.
    pub(super) const SUBSCRIBE: Self = Self {
        checks: &[Check::Connections, Check::Draining, Check::Rates, Check::Origin],
        right: Some(Right::ReadOwn),
        cors: Cors::AllowedOrigins { expose: None },
        has_body: false,
    };
    /// The reading API: a class as its instructors see it.
    pub(super) const READ: Self = Self {
        checks: &[Check::Connections, Check::Rates, Check::Origin],
        right: Some(Right::Read),
        cors: Cors::AllowedOrigins { expose: Some("ETag, Retry-After") },
        has_body: false,
    };
    /// What a student may read too: its own part of it.
    pub(super) const READ_OWN: Self = Self { right: Some(Right::ReadOwn), ..Self::READ };
    /// What instructors do.
    pub(super) const ACT: Self = Self { right: Some(Right::Act), has_body: true, ..Self::READ };
    /// What describes the relay, and nothing of a class.
    pub(super) const DESCRIBE: Self = Self { right: None, ..Self::READ };
    /// The dashboard's files: they hold no data.
    pub(super) const PAGE: Self =
        Self { checks: &[Check::Origin], right: None, cors: Cors::SameOrigin, has_body: false };
    /// What an instructor's dashboard asks for that is in no class.
    pub(super) const BROWSE: Self = Self { right: Some(Right::Browse), ..Self::READ };
    /// Who calls.
    pub(super) const IDENTIFY: Self = Self { right: Some(Right::Identify), ..Self::READ };
    /// The sign-in page and its form. There is no caller before it.
    pub(super) const SIGN_IN: Self = Self {
        checks: &[Check::Connections, Check::Rates, Check::Origin, Check::OwnPage],
        right: None,
        cors: Cors::SameOrigin,
        has_body: true,
    };
    /// A one-time link to sign in with.
    pub(super) const SIGN_IN_LINK: Self = Self { right: Some(Right::Browse), ..Self::SIGN_IN };
    /// For probes: under any host name, and also when there are too many connections.
    pub(super) const PROBE: Self = Self {
        checks: &[],
        right: None,
        cors: Cors::AllowedOrigins { expose: None },
        has_body: false,
    };
    /// For operators, as probes.
    pub(super) const OPERATE: Self = Self { right: Some(Right::Operate), ..Self::PROBE };
    /// The audit: it tells about people, so the checks are those of reading.
    pub(super) const AUDIT: Self = Self { right: Some(Right::Operate), ..Self::READ };
    /// A path without a row.
    pub(super) const NOTHING: Self =
        Self { checks: &[], right: None, cors: Cors::SameOrigin, has_body: false };
}
