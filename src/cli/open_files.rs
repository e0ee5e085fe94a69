//! The limit of open files, which bounds the number of dashboards.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files to the most that the system allows. Each dashboard is an open
/// file.
pub(super) fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        tracing::warn!(
            %error,
            "the limit of open files could not be raised: it bounds the number of dashboards"
        );
    }
}
