//! A student of a JupyterHub, who has configured nothing.

use serde_json::json;

use super::{each, runs};
use crate::support::hub::Hub;
use crate::support::kernel::Home;
use crate::support::{Database, until};

#[tokio::test]
async fn a_students_kernel_is_the_hubs_user_in_the_groups_class() {
    let database = Database::new().await;
    let hub = Hub::start("6.1", &database).await;
    let variable = hub.server_of("ada").await;
    let names = ["JUPYTERHUB_USER", "JUPYTERHUB_API_TOKEN", "PROGRESS_RELAY_URL"];
    let values = names.map(&variable);
    let mut variables: Vec<_> =
        names.into_iter().zip(&values).map(|(name, value)| (name, &**value)).collect();
    variables.extend([("RELAY_URL", ""), ("RELAY_USER", ""), ("RELAY_CLASS", "")]);
    let home = Home::new();
    let mut kernel = home.kernel("", &variables).await;
    kernel.run("6 * 7").await;
    runs(&database, 1).await;
    // Who the student is, the hub says.
    kernel.run("import os; os.environ['JUPYTERHUB_USER'] = 'isaac'").await;
    kernel.run(&format!("%progress to {} user=isaac", values[2])).await;
    kernel.run("'as somebody else'").await;
    let rows = runs(&database, 3).await;
    let codes = each(&rows, "code");
    assert_eq!((codes[0], codes[2]), (&json!("6 * 7"), &json!("'as somebody else'")));
    let client = database.client().await;
    let query = "SELECT DISTINCT class_id, student_id FROM progress_event";
    let stored = client.query(query, &[]).await.expect("rows");
    let stored: Vec<(&str, &str)> = stored.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(stored, [("algebra", "ada")]);
    // Once the relay has said whom it takes the client for.
    let mut report = String::new();
    for _ in 0..100 {
        report = kernel.progress().await;
        if report.contains("as          ada (JUPYTERHUB_API_TOKEN)") {
            break;
        }
    }
    assert!(report.contains("as          ada (JUPYTERHUB_API_TOKEN)"), "{report}");
    assert!(report.contains("class algebra"), "{report}");
    assert!(!report.contains(&values[1]), "no token is shown");
    let outputs = kernel.run("%hand").await;
    let shown = "Your hand is up in class algebra. %hand_down takes it down.";
    assert_eq!(outputs[0]["data"]["text/plain"], shown);
    until("the hand", || async {
        (!super::stored(&database, "help").await.is_empty()).then_some(())
    })
    .await;
    kernel.shut_down().await;
}
