//! Subscribers as other people's libraries are: with limits, with needs of their own, and many at
//! once in an outage.

mod crowd;
mod limits;
mod load;
mod log;
mod stream;
