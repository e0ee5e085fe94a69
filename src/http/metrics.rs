//! `/metrics`: what the relay holds right now, for Prometheus.

use std::fmt::Write as _;

use http::{HeaderValue, header};
use warp::reply::Response;

use super::context::Relay;

/// Prometheus's text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn render(relay: &Relay) -> Response {
    let hearing = relay.listener.status();
    let log = relay.log.size();
    let (classes, keeps) = relay.classes.in_use();
    let gauges: [(&str, &str, i128); 12] = [
        (
            "relay_connections",
            "TCP connections, those of sessions included",
            relay.gate.connections() as i128,
        ),
        ("relay_sessions", "Subscribers", relay.drain.sessions().len() as i128),
        (
            "relay_tasks",
            "Tasks of the runtime",
            tokio::runtime::Handle::current().metrics().num_alive_tasks() as i128,
        ),
        (
            "relay_queued_events",
            "Events that wait to be written or are being written",
            relay.writer.queued() as i128,
        ),
        ("relay_log_bytes", "Bytes of the log in memory", log.bytes as i128),
        ("relay_log_head", "The id up to which events were read", i128::from(log.head)),
        ("relay_log_floor", "The id after which events are in memory", i128::from(log.floor)),
        ("relay_classes", "Classes whose state is in memory", classes as i128),
        (
            "relay_state_keeper",
            "Whether this replica keeps the snapshots of class state",
            i128::from(keeps),
        ),
        (
            "relay_writer_connected",
            "Whether there is a connection to write on",
            i128::from(relay.writer.is_connected()),
        ),
        (
            "relay_listener_proven",
            "Whether notifications are heard",
            i128::from(hearing.deaf.is_none()),
        ),
        (
            "relay_draining",
            "Whether the relay is going away",
            i128::from(relay.drain.is_draining()),
        ),
    ];
    let mut text = String::new();
    for (name, help, value) in gauges {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}");
    }
    let rejected = "relay_rejected_events_total";
    let _ = writeln!(
        text,
        "# HELP {rejected} Events that were rejected, by the field at fault; body: requests \
             refused as a whole.\n\
         # TYPE {rejected} counter"
    );
    for (field, count) in relay.refusals.counts() {
        let _ = writeln!(text, "{rejected}{{field=\"{field}\"}} {count}");
    }
    let _ = writeln!(
        text,
        "# HELP relay_server_info The host and port that a part's connection leads to; always 1.\n\
         # TYPE relay_server_info gauge"
    );
    for (part, server) in relay.agreement.servers() {
        let server = server.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = writeln!(text, "relay_server_info{{part=\"{part}\",server=\"{server}\"}} 1");
    }
    let mut response = Response::new(text.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}
