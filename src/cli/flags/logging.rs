//! The flags of the program's log, which goes to stderr, for people or for machines.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::error::Failure;

/// Libraries that would log messages of peers and parameters of statements: tokens, and what
/// students wrote. They log no more than this, whatever `--log` says.
const RESERVED: [&str; 2] = ["tungstenite=info", "tokio_postgres::query=info"];

/// How to log.
#[derive(Debug, Args)]
pub(in crate::cli) struct LoggingFlags {
    /// What is logged: error, warn, info, debug, trace, or by module
    /// (progress_relay::tail=debug,info)
    #[arg(long, env = "RELAY_LOG", value_name = "FILTER", default_value = "info", global = true)]
    log: String,
    /// How it is written
    #[arg(
        long,
        env = "RELAY_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        global = true
    )]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A line for people
    Text,
    /// A JSON object a line
    Json,
}

/// Starts to log.
///
/// # Errors
/// If the filter is none.
pub(in crate::cli) fn init(args: &LoggingFlags) -> Result<(), Failure> {
    let mut filter = EnvFilter::try_new(&args.log)
        .map_err(|error| Failure::usage(format!("--log {:?}: {error}", args.log)))?;
    for directive in RESERVED {
        filter = filter.add_directive(directive.parse()?);
    }
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        Format::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        Format::Json => log.json().init(),
    }
    Ok(())
}
