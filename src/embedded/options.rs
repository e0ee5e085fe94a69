//! The folder, the durability and the settings that a caller asks for.

use std::path::PathBuf;

/// How durable a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It survives a power cut. The relay itself uses no other.
    Durable,
    /// It survives the server's end, not the machine's: for tests.
    Throwaway,
}

/// Where the private PostgreSQL is, and how it runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder; made if missing. The cluster is in its `postgresql`.
    pub data_dir: PathBuf,
    /// Whether commits survive a power cut.
    pub durability: Durability,
    /// Further settings of the server, name and value; they prevail over the relay's own. An
    /// adopted server keeps those it was started with.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// A private PostgreSQL in this folder, as durable as a database should be.
    pub fn durable(data_dir: PathBuf) -> Self {
        Self { data_dir, durability: Durability::Durable, settings: Vec::new() }
    }
}
