//! A reader and a writer of JSON text that is known to be valid: PostgreSQL's or serde_json's
//! parser has accepted it.
//!
//! They exist because serde_json's values cannot hold every event. Browsers send lone surrogates
//! (`"\ud83d"`), which are an error there; here they become U+FFFD, as U+0000 does, which
//! PostgreSQL cannot store. And a field that the relay does not know must pass through unchanged,
//! so numbers keep their text, however long.
//!
//! - `scanner`: finds members and elements; `string`: decodes and writes strings; `number`: numbers
//!   that are too large; `canonical`: writes a value once more

mod canonical;
mod number;
mod scanner;
mod string;

pub(crate) use canonical::{MAX_DEPTH, TooDeep, canonical};
pub(crate) use number::is_beyond_double;
pub(crate) use scanner::{elements, members, without_nan};
pub(crate) use string::{decode, string_len, write_string};
