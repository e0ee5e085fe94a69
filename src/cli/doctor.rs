//! `progress-relay doctor`: tries a deployment.

use std::io::IsTerminal;

use clap::Args as ClapArgs;
use clap::builder::BoolishValueParser;

use super::flags::database::DatabaseFlags;
use super::flags::token::TokenFlags;
use super::output::print;
use super::relay_url::parse_relay_url;
use crate::database::Connector;
use crate::doctor::{DatabaseUrl, Deployment, examine};
use crate::error::Failure;
use crate::relay::DatabaseSource;

/// Try a deployment: say what is right, what is wrong, and what to do. It changes nothing, also
/// beside running relays, and exits 1 if anything is wrong.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseFlags,
    /// A running relay to ask as well; may be given several times
    #[arg(long, env = "RELAY_URL", value_name = "URL", value_delimiter = ',')]
    url: Vec<String>,
    #[command(flatten)]
    token: TokenFlags,
    /// One JSON object instead of lines
    #[arg(long, env = "RELAY_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

/// Tries the deployment, and prints a line for each finding.
///
/// # Errors
/// If a flag is wrong, or anything was found to be wrong.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let relays = args.url.iter().map(|url| args.token.apply(parse_relay_url(url)?));
    let relays = relays.collect::<Result<Vec<_>, _>>()?;
    let json = args.json;
    let further = args.database.pooled()?;
    let flag = args.database.direct_flag();
    let work = async |connector: &Connector| {
        let direct = DatabaseUrl { flag, connector: connector.clone(), is_direct: true };
        let pooled = further.map(|connector| DatabaseUrl {
            flag: "--database-url",
            connector,
            is_direct: false,
        });
        let databases = pooled.into_iter().chain([direct]).collect();
        report(&Deployment { databases, relays }, json).await
    };
    let source = args.database.validate()?;
    if let DatabaseSource::Private(folder) = &source
        && !folder.join("postgresql").exists()
    {
        return Err(Failure::new(format!(
            "there is no database in {} yet: `progress-relay serve` creates it; or name another \
             database with --database-url",
            folder.display()
        )));
    }
    source.with_connector("doctor", work).await
}

async fn report(deployment: &Deployment, json: bool) -> Result<(), Failure> {
    let report = examine(deployment).await;
    if json {
        print(&report.json())?;
    } else {
        let colour = std::io::stdout().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        print(&report.text(colour))?;
    }
    if report.is_wrong() {
        return Err(Failure::new("the deployment is not in order (see above)"));
    }
    Ok(())
}
