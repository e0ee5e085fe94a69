//! `progress-relay token`: makes tokens, and looks at them.

mod inspect;
mod links;
mod mint;

use clap::Subcommand;

use crate::error::Failure;

/// Make tokens for clients, and look at them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, Subcommand)]
enum Commands {
    Mint(Box<mint::Args>),
    Inspect(Box<inspect::Args>),
}

/// Runs the command.
///
/// # Errors
/// As its subcommand's.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Commands::Mint(args) => mint::run(&args),
        Commands::Inspect(args) => inspect::run(*args).await,
    }
}
