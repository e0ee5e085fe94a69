//! Certificates that are renewed while a relay runs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::plan::TlsPlan;
use crate::database::target::{Roots, TlsSettings};

/// The settings of a connection string, and the plan that was made of their files.
///
/// A relay runs for months, and certificates are renewed meanwhile. So each connection looks at the
/// files (a few calls of `stat`), and they are read again when one has changed. The system's roots
/// are read once, at the start.
#[derive(Debug)]
pub(in crate::database) struct TlsFiles {
    settings: Arc<TlsSettings>,
    current: Mutex<(Vec<Option<Stamp>>, Arc<TlsPlan>)>,
}

/// The identity of a file's content: device, inode, length and time of the last change.
type Stamp = (u64, u64, u64, Option<SystemTime>);

impl TlsFiles {
    /// Reads the files of `settings`.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub(in crate::database) fn read(settings: TlsSettings) -> Result<Self, String> {
        let settings = Arc::new(settings);
        let stamps = stamps(&settings);
        let plan = Arc::new(TlsPlan::of(&settings)?);
        Ok(Self { settings, current: Mutex::new((stamps, plan)) })
    }

    /// No connection is encrypted.
    pub(in crate::database) fn disabled() -> Self {
        let settings = Arc::new(TlsSettings::DISABLED);
        let plan = Arc::new(TlsPlan::disabled(&settings));
        Self { settings, current: Mutex::new((Vec::new(), plan)) }
    }

    /// The plan by the files as they are now.
    ///
    /// # Errors
    /// If a file has changed and cannot be used now. The next call reads it again.
    pub(in crate::database) fn plan(&self) -> Result<Arc<TlsPlan>, String> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // The stamps are taken before the files are read: a file that changes in between is read
        // once more.
        let stamps = stamps(&self.settings);
        if current.0 != stamps {
            *current = (stamps, Arc::new(TlsPlan::of(&self.settings)?));
        }
        Ok(Arc::clone(&current.1))
    }
}

/// The stamp of each file of `settings`; `None` for one that does not exist.
fn stamps(settings: &TlsSettings) -> Vec<Option<Stamp>> {
    let mut files: Vec<&PathBuf> = Vec::new();
    if let Roots::File(file) = &settings.roots {
        files.push(file);
    }
    files.extend(settings.client.iter().flat_map(|(certificate, key)| [certificate, key]));
    files.extend(&settings.revoked);
    let stamp = |file: &PathBuf| {
        let found = fs::metadata(file).ok()?;
        Some((found.dev(), found.ino(), found.len(), found.modified().ok()))
    };
    files.into_iter().map(stamp).collect()
}
