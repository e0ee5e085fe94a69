//! The program: see [`progress_relay::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    progress_relay::cli::run(std::env::args_os())
}
