//! The messages between a session and its transport.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::access::Credential;
use crate::event::Cursor;

/// The kind of a frame. Every kind but a reset can be sent once more, from the cursor before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum FrameKind {
    /// Events, which the log gives once more.
    Events,
    /// `live`
    Live,
    /// `mark`
    Mark,
    /// `pong`
    Pong,
    /// `reset`. It must arrive: without it the subscriber would not learn of the gap.
    Reset,
}

/// To the peer.
#[derive(Debug)]
pub(in crate::http) enum Outgoing {
    /// A frame's text, in UTF-8.
    Text {
        /// `{"type":…}`
        text: Bytes,
        /// The subscriber's cursor after this frame.
        cursor: Cursor,
        /// The frame's kind.
        kind: FrameKind,
    },
    /// Asks the peer for a sign of life.
    Ping,
}

/// From the peer, as far as a session needs it.
#[derive(Debug)]
pub(in crate::http) enum Incoming {
    /// `{"type":"ping"}`
    Ping,
    /// `{"type":"auth"}` with a token: the first message of a peer that could not put a credential
    /// into its handshake.
    Auth(Credential),
    /// The session is over.
    Close(Close),
}

impl Incoming {
    /// The message that a text is; `None` for one that another release may understand.
    pub(in crate::http) fn of_text(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Message {
            r#type: String,
            #[serde(default)]
            token: Value,
        }
        // serde takes an array for an object.
        let object = text.trim_start().starts_with('{').then_some(text)?;
        let message: Message = serde_json::from_str(object).ok()?;
        match (&*message.r#type, message.token) {
            ("ping", _) => Some(Self::Ping),
            ("auth", Value::String(token)) => Some(Self::Auth(Credential::Token(token))),
            _ => None,
        }
    }
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Close {
    /// The peer's connection broke: no close frame would arrive.
    Gone,
    /// The peer sent a close frame, which is answered.
    ByPeer,
    /// The peer gave no sign of life for too long.
    Silent,
    /// The relay drains.
    GoingAway,
    /// The peer broke the protocol.
    Protocol,
    /// The peer sent a binary message.
    Binary,
    /// The peer sent text that is not UTF-8.
    NotUtf8,
    /// The peer sent a message over the bound.
    TooLarge,
    /// The peer may not subscribe.
    NotAllowed,
    /// It is not known who the peer is, or its credential was revoked.
    Unauthorized,
    /// The peer's credential has expired.
    Expired,
    /// The relay has no room, or its database is away.
    TryAgainLater,
}

impl Close {
    /// The WebSocket's close code (RFC 6455, section 7.4.1) and a reason; `None` where no close
    /// frame would arrive.
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
            Self::Unauthorized => (1008, "unauthorized: sign in, or send a token"),
            Self::Expired => (1008, "expired: sign in again, and go on from the last cursor"),
            Self::TooLarge => (1009, "a message may have 64 KiB"),
            Self::TryAgainLater => (1013, "try again later"),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_known_by_its_type_however_it_is_written() {
        let is_ping = |text| matches!(Incoming::of_text(text), Some(Incoming::Ping));
        for text in [
            r#"{"type":"ping"}"#,
            r#" { "n": [1], "type" : "p\u0069ng" } "#,
            r#"{"type":"ping","token":5}"#,
            r#"{"token":null,"type":"ping"}"#,
        ] {
            assert!(is_ping(text), "{text}");
        }
        for text in [
            r#"["ping"]"#,
            r#"["auth","t"]"#,
            "\"ping\"",
            r#"{"type":"auth","token":5}"#,
            "",
            "null",
        ] {
            assert!(Incoming::of_text(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_first_message_panics(pieces in proptest::collection::vec(prop_oneof![
            proptest::sample::select(vec![
                "{", "}", "[", "\"", ":", ",", "\"type\":", "\"auth\"", "\"token\":", "\"ping\"",
                "\"x\"", "null", "\\u0000", "\\ud800", "1e999",
                "{\"type\":\"auth\",\"token\":\"a\"",
            ]).prop_map(str::to_owned),
            any::<String>(),
        ], 0..16)) {
            let text = pieces.concat();
            if let Some(Incoming::Auth(Credential::Token(token))) = Incoming::of_text(&text) {
                prop_assert!(text.contains("auth"), "{}", text);
                prop_assert!(token.len() <= text.len());
            }
        }
    }
}
