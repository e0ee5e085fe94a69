//! What a session and its transport tell each other.

use bytes::Bytes;

use super::outbox::Kind;
use crate::event::Cursor;

/// To the peer.
#[derive(Debug)]
pub(in crate::http) enum Outgoing {
    /// A frame's text, in UTF-8.
    Text {
        /// `{"type":…}`
        text: Bytes,
        /// Where the subscriber stands once it has it.
        cursor: Cursor,
        /// What it says.
        kind: Kind,
    },
    /// A sign of life is asked for.
    Ping,
}

/// From the peer, as far as a session cares.
#[derive(Debug)]
pub(in crate::http) enum Incoming {
    /// `{"type":"ping"}`
    Ping,
    /// It is over.
    Close(Close),
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Close {
    /// The peer's connection broke: there is nobody to say anything to.
    Gone,
    /// The peer said goodbye; it is answered.
    ByPeer,
    /// Nothing came from it and nothing was taken by it for [`PEER_TIMEOUT`](crate::http::server::timeouts::PEER_TIMEOUT).
    Silent,
    /// The relay drains.
    GoingAway,
    /// It did not speak the protocol.
    Protocol,
    /// It sent a binary message.
    Binary,
    /// It sent text that is not UTF-8.
    NotUtf8,
    /// It sent a message over the bound.
    TooLarge,
    /// It may not subscribe.
    NotAllowed,
    /// The relay has no room, or its database is away.
    TryAgainLater,
}

impl Close {
    /// The WebSocket's close code (RFC 6455, section 7.4.1) and a reason; `None` when there is
    /// nobody to tell.
    pub(in crate::http) fn code(self) -> Option<(u16, &'static str)> {
        Some(match self {
            Self::Gone | Self::ByPeer | Self::Silent => return None,
            Self::GoingAway => {
                (1001, "the relay is going away: connect again, with the last cursor")
            }
            Self::Protocol => (1002, "protocol error"),
            Self::Binary => (1003, "only text is understood"),
            Self::NotUtf8 => (1007, "the text is not UTF-8"),
            Self::NotAllowed => (1008, "not allowed"),
            Self::TooLarge => (1009, "a message may have 64 KiB"),
            Self::TryAgainLater => (1013, "try again later"),
        })
    }
}
