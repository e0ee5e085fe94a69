//! The command line. Arguments are parsed and validated here once, before anything runs.
//!
//! - `serve`, `migrate`, `rebuild_state`, `doctor`, `tail`, `simulate`, `token`: one file or
//!   folder for each subcommand
//! - `flags`: the groups of flags that the subcommands share; `reference`: their documentation
//! - `relay_url`: the flag `--url`; `output`: lines on stdout; `open_files`: the limit of open
//!   files

mod doctor;
mod flags;
mod migrate;
mod open_files;
mod output;
mod rebuild_state;
#[cfg(test)]
mod reference;
mod relay_url;
mod serve;
mod simulate;
mod tail;
mod token;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use self::flags::logging::LoggingFlags;
use crate::cryptography::install_token_provider;
use crate::error::Failure;

/// Relays students' JupyterLab progress events through PostgreSQL to every instructor's dashboard.
#[derive(Debug, Parser)]
#[command(name = "progress-relay", version, about, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    logging: LoggingFlags,
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, Subcommand)]
enum Commands {
    Serve(Box<serve::Args>),
    Migrate(migrate::Args),
    RebuildState(rebuild_state::Args),
    Doctor(doctor::Args),
    Tail(tail::Args),
    Simulate(Box<simulate::Args>),
    Token(token::Args),
}

/// Parses `arguments`, runs the command, and chooses the exit code: 0, 1 for a failure, 2 for wrong
/// usage.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = without_empty_variables(Cli::command());
    let parsed =
        command.try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // A closed stdout or stderr does not change the exit code.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "progress-relay: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn execute(cli: Cli) -> Result<(), Failure> {
    flags::logging::init(&cli.logging)?;
    install_token_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        match cli.command {
            Commands::Serve(args) => serve::run(*args).await,
            Commands::Migrate(args) => migrate::run(args).await,
            Commands::RebuildState(args) => rebuild_state::run(args).await,
            Commands::Doctor(args) => doctor::run(args).await,
            Commands::Tail(args) => tail::run(args).await,
            Commands::Simulate(args) => simulate::run(*args).await,
            Commands::Token(args) => token::run(args).await,
        }
    });
    // The lookup of a name, or a blocking write, must not delay the end of the program.
    runtime.shutdown_background();
    outcome
}

/// Treats an environment variable that is empty as one that is not set.
fn without_empty_variables(command: Command) -> Command {
    let command = command.mut_args(|arg| match arg.get_env() {
        Some(name) if std::env::var_os(name).is_some_and(|value| value.is_empty()) => {
            arg.env(Resettable::Reset)
        }
        _ => arg,
    });
    command.mut_subcommands(without_empty_variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
