//! The flags of the program's log, which goes to stderr, for people or for machines.

use clap::{Args, ValueEnum};
use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::error::Failure;

/// How to log.
#[derive(Debug, Args)]
pub(in crate::cli) struct LoggingFlags {
    /// What is logged: error, warn, info, debug, trace, or by module
    /// (progress_relay::tail=debug,info). Libraries log nothing below info, since they would log
    /// students' code and tokens
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
    let filter = EnvFilter::try_new(&args.log)
        .map_err(|error| Failure::usage(format!("--log {:?}: {error}", args.log)))?;
    let log = fmt::layer().with_writer(std::io::stderr);
    let log = match args.log_format {
        Format::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        Format::Json => log.json().boxed(),
    };
    let harmless = filter_fn(|line| is_harmless(line.target(), *line.level()));
    tracing_subscriber::registry().with(log.with_filter(filter).with_filter(harmless)).init();
    Ok(())
}

/// Whether a line can hold no secret. Below `info`, libraries write what they are given: the
/// parameters of a statement with students' code, the headers and frames of a client with its
/// token. So only the relay's own lines are written there.
fn is_harmless(target: &str, level: Level) -> bool {
    level <= Level::INFO || target.split("::").next() == Some("progress_relay")
}
