//! The formats and rules of the HTTP and WebSocket interfaces.

// The reading API; every answer is compared with its description in `openapi.json`.
mod api;
// Requests that real clients sent, replayed.
mod captures;
// Every rule of the interface, at its bound and one step over it.
mod edges;
// A batch: one bad event is rejected, and the others are stored.
mod ingest;
// `fields` and `max`: clients that limit the size of a frame can follow a class of large events.
mod limits;
// What WebSocket and SSE libraries of other languages expect of streams, handshakes and frames.
mod stream;
// What clients in the field send is stored; what is refused is logged.
mod tolerance;
