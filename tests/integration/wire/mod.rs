//! The formats and rules of the HTTP and WebSocket interfaces.

// The routes by which an instructor acts: bodies, types, sizes, preflights, spellings.
mod acts;
// The reading API; every answer is compared with its description in `openapi.json`.
mod api;
// Requests that real clients sent, replayed.
mod captures;
// Every rule of the interface, at its bound and one step over it.
mod edges;
// Tokens: who calls, and what ends with them.
mod identity;
// Exports, as spreadsheets and learning record stores read them.
mod export;
// A batch: one bad event is rejected, and the others are stored.
mod ingest;
// `fields` and `max`: clients that limit the size of a frame can follow a class of large events.
mod limits;
// Streams, handshakes and frames as WebSocket and SSE libraries of other languages expect them.
mod stream;
// Events of clients in the field are stored; refused events are logged.
mod tolerance;
