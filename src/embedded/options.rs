//! The options of a private PostgreSQL: folder, durability, settings.

use std::path::PathBuf;

/// How durable a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A commit survives a power cut. The relay itself uses only this.
    Durable,
    /// A commit survives the end of the server, but not of the machine. For tests.
    Throwaway,
}

/// The options of a private PostgreSQL.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder, which is created if missing. The cluster is in its folder `postgresql`.
    pub data_dir: PathBuf,
    /// Whether commits survive a power cut.
    pub durability: Durability,
    /// Further settings of the server, name and value, which take precedence over the relay's. An
    /// adopted server keeps the settings with which it was started.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// The options of a durable private PostgreSQL in this folder.
    pub fn durable(data_dir: PathBuf) -> Self {
        Self { data_dir, durability: Durability::Durable, settings: Vec::new() }
    }
}
