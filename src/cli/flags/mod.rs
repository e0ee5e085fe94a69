//! Groups of flags that commands flatten into their arguments. A flag is one block: its name, its
//! environment variable, its default, its bounds and its help. The error of a value that is out of
//! bounds, `--help`, and docs/configuration.md are all made from that block.
//!
//! - `database`: which database; `access`: who may connect; `identity`: who calls; `hub`: the
//!   JupyterHub whose users call; `groups`: which groups make whom; `edge`: proxies, and the page's
//!   place; `rates`: limits of rates; `limits`: bounds on requests, queues, memory and connections;
//!   `lifecycle`: start and stop; `logging`: the program's log; `retention`: what is kept, and for
//!   how long
//! - `token`: the token that a command sends to a relay
//! - `units`: sizes and durations as people write them, and the bounds of a value

pub(super) mod access;
pub(super) mod database;
pub(super) mod edge;
pub(super) mod groups;
pub(super) mod hub;
pub(super) mod identity;
pub(super) mod lifecycle;
pub(super) mod limits;
pub(super) mod logging;
pub(super) mod rates;
pub(super) mod retention;
pub(super) mod token;
pub(super) mod units;
