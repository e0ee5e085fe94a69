//! Who calls: tokens, how they travel, and what ends with them.

// Every kind of wrong token, by every way on which a token travels.
mod refused;
