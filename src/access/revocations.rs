//! The list of what is revoked: credentials by their id, and callers by their subject.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::caller::Caller;
use super::files;

/// The bytes of the list.
const MAX_LIST: usize = 16 << 20;
/// Before a subject.
const SUBJECT: &str = "sub:";

/// What is revoked, by a file: a token's id (`jti`) or `sub:SUBJECT` a line; `#` begins a comment.
#[derive(Debug)]
pub(super) struct Revocations {
    file: PathBuf,
    lines: ArcSwap<HashSet<String>>,
}

impl Revocations {
    /// The file's.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let lines = ArcSwap::from_pointee(read(file)?);
        Ok(Self { file: file.to_owned(), lines })
    }

    /// Reads the file again. If it cannot be read, the list stays as it is.
    pub(super) fn reread(&self) {
        match read(&self.file) {
            Ok(lines) => self.lines.store(Arc::new(lines)),
            Err(error) => tracing::error!("{error}; what was revoked stays revoked"),
        }
    }

    /// Whether the caller, or its credential, is revoked.
    pub(super) fn name(&self, caller: &Caller) -> bool {
        let lines = self.lines.load();
        if lines.is_empty() {
            return false;
        }
        let by_id = caller.credential_id.as_ref().is_some_and(|id| lines.contains(id));
        by_id || lines.contains(&format!("{SUBJECT}{}", caller.subject))
    }
}

fn read(file: &Path) -> Result<HashSet<String>, String> {
    let failed = |error: String| format!("--revoked {}: {error}", file.display());
    let text = String::from_utf8(files::read(file, MAX_LIST).map_err(failed)?)
        .map_err(|_| failed("it is not UTF-8".to_owned()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.filter(|line| !line.starts_with('#')).map(str::to_owned).collect())
}
