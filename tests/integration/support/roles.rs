//! Roles of the server, and schemas that belong to them.

use super::Database;

/// A new name for a role. Roles belong to the server, which the tests share.
pub fn role(name: &str) -> String {
    format!("{name}_{}", uuid::Uuid::new_v4().simple())
}

/// A name as SQL has it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Creates a role whose `search_path` is `path`, and a schema that belongs to it. Returns the value
/// of `--database-url` for the role.
pub async fn installation(database: &Database, role: &str, schema: &str, path: &str) -> String {
    let (client, schema) = (database.client().await, quoted(schema));
    let sql = format!(
        "CREATE ROLE {role} LOGIN; CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {role}; \
         ALTER ROLE {role} SET search_path = {path}"
    );
    client.batch_execute(&sql).await.expect("a role and a schema");
    login(database, role)
}

/// The value of `--database-url` for a role.
pub fn login(database: &Database, role: &str) -> String {
    database.url().replace("user=postgres", &format!("user={role}"))
}
