//! What each client needs to be given, for a token.

use url::Url;

use crate::access::Role;
use crate::client::query;

/// Lines to paste into the clients of a role.
pub(super) fn links(url: &Url, role: Role, classes: &[String], token: &str) -> String {
    let base = url.as_str().trim_end_matches('/');
    // A pattern names no class that could be posted to or read.
    let named = classes.iter().map(|class| class.trim()).find(|class| !class.ends_with('*'));
    let class = named.unwrap_or(if role == Role::Operator { "default" } else { "CLASS" });
    let class = query([("class", class)]);
    let with_token = format!("{class}&{}", query([("token", token)]));
    let post = format!(
        "Cell Monitor, the setting of its endpoint:\n  {base}/student-progress?{with_token}\n\
         curl, one event:\n  curl -H 'Authorization: Bearer {token}' \
         -H 'Content-Type: application/json' -d @event.json '{base}/student-progress?{class}'\n"
    );
    let read = format!(
        "The dashboard, which asks for the token:\n  {base}/?{class}\n\
         curl, the state of the class:\n  curl -H 'Authorization: Bearer {token}' \
         '{base}/api/class/summary?{class}'\n\
         The terminal:\n  RELAY_TOKEN={token} progress-relay tail --url {base}\n\
         A WebSocket of a program:\n  {}/ws/connect?{with_token}\n",
        base.replacen("http", "ws", 1)
    );
    match role {
        Role::Writer | Role::Student => post,
        Role::Instructor => read,
        Role::Operator => format!("{post}{read}"),
    }
    .trim_end()
    .to_owned()
}
