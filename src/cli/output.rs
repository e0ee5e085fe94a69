//! Output for the caller, on stdout.

use std::io::Write;

use crate::error::Failure;

/// Prints a line on stdout.
///
/// # Errors
/// If stdout cannot be written to.
pub(super) fn print(line: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new(format!("cannot write to stdout: {error}")))
}
