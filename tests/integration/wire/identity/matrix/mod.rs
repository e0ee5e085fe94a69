//! Every route, by every caller, by every way on which a credential travels: only the intended
//! ones pass, and a refusal tells nothing.
//!
//! What is intended stands in two places, which know nothing of the relay's own rules: `routes`
//! says which roles may use a route, `callers` says who a credential belongs to. The list of the
//! routes is the router's: docs/access.md has it, and a test of the router compares the two. So a
//! new route fails here until somebody has said who may use it.

// Who calls: wrong credentials of every kind, and good ones of every role.
mod callers;
// Sockets and streams end with their credential, whichever way it came.
mod endings;
// Two credentials in one request.
mod mixed;
// Requests and their answers.
mod requests;
// Who may use which route.
mod routes;
// WebSockets and streams: one class and several, new events and old ones.
mod subscriptions;

use progress_relay::client::query;
use serde_json::json;

use self::callers::{Caller, Issuing};
use crate::support::tokens::Keys;
use crate::support::{Database, Relay};

/// Stands in all that the other students of `algebra` have sent.
const OF_ALGEBRA: &str = "only-algebra-may-see-this";
/// The same of `physics`.
const OF_PHYSICS: &str = "only-physics-may-see-this";

/// How a credential reaches the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Bearer,
    TokenScheme,
    Query,
    Cookie,
    /// Of a WebSocket alone.
    FirstMessage,
}

impl Way {
    /// The path with the credential, if it travels there.
    fn target(self, path: &str, caller: &Caller) -> String {
        match &caller.token {
            Some(token) if self == Self::Query => {
                let separator = if path.contains('?') { '&' } else { '?' };
                format!("{path}{separator}{}", query([("token", token.as_str())]))
            }
            _ => path.to_owned(),
        }
    }

    /// The header with the credential, if it travels there.
    fn header(self, caller: &Caller) -> Option<(&'static str, String)> {
        let (token, session) = (caller.token.as_ref()?, caller.session.as_ref()?);
        match self {
            Self::Bearer => Some(("authorization", format!("Bearer {token}"))),
            Self::TokenScheme => Some(("authorization", format!("token {token}"))),
            Self::Cookie => Some(("cookie", format!("theme=dark; progress-relay={session}"))),
            Self::Query | Self::FirstMessage => None,
        }
    }
}

/// A relay whose classes `algebra` and `physics` have an event of a student each, and the callers.
struct Scene {
    relay: Relay,
    callers: Vec<Caller>,
    database: Database,
    keys: Keys,
    issuing: Issuing,
}

impl Scene {
    async fn new() -> Self {
        let database = Database::new().await;
        let keys = Keys::new();
        let mut issuing = Issuing::new(&keys);
        let flags = issuing.flags(&keys);
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let relay = Relay::start(&database, &flags).await;
        for (class, mark) in [("algebra", OF_ALGEBRA), ("physics", OF_PHYSICS)] {
            let token = issuing.token("writer", "seed", &["*"]);
            let target = format!("/student-progress?{}", query([("token", token.as_str())]));
            let event = json!({
                "eventId": uuid::Uuid::new_v4().to_string(),
                "eventType": "cell_executed",
                "eventTime": "2026-11-23T15:36:11Z",
                "classId": class, "studentId": "s1", "userName": mark, "teamName": mark,
                "notebookPath": mark, "cellId": mark, "code": mark, "hasError": true,
                "errorMessage": mark,
            });
            let mut connection = relay.connection().await;
            let posted = connection.post_json(&target, event.to_string()).await;
            assert_eq!(posted.expect("an answer").status, 200);
        }
        let callers = issuing.callers(&relay, &database).await;
        Self { relay, callers, database, keys, issuing }
    }

    /// The caller of this name.
    fn caller(&self, name: &str) -> &Caller {
        self.callers.iter().find(|caller| caller.name == name).expect("a caller of the list")
    }
}
