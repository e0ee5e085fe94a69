//! Files of secrets, keys and lists.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The bytes of a file.
///
/// # Errors
/// If it cannot be read, or is longer than `most` bytes.
pub(crate) fn read(file: &Path, most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read = File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() > most => Err(format!("it is longer than {most} bytes")),
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("it cannot be read: {error}")),
    }
}
