//! What happens to the one PostgreSQL: it is killed, restarted, full, read-only. Under load, with dashboards; judged by the checker.

use std::time::Duration;

use crate::support::checker::Promise;
use crate::support::stage::{Cluster, Outcome, Play, Scale};

/// From the fault's end to the first acknowledgement and the last dashboard's first frame.
pub const RECOVERY: Duration = Duration::from_secs(5);

pub async fn killed(scale: Scale) -> Outcome {
    let mut primary = Cluster::primary("primary").await;
    let play = Play::begin("kill -9 of PostgreSQL", scale, Promise::Durable, &primary.url()).await;
    play.cause("kill -9");
    primary.kill();
    primary.start().await;
    play.ends();
    play.finish(&primary).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_killed() {
    killed(Scale::SMALL).await.assert_good(RECOVERY);
}
