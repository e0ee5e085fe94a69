//! A database with an owner and a relay's role, neither of which is a superuser.

use tokio_postgres::Client;

use super::{Database, Finished, Relay, run};

/// A database that PUBLIC has no access to. The tables are in a schema whose name must be quoted,
/// and so must the names of the roles.
pub struct Roles {
    pub database: Database,
    /// Owns the database and the schema.
    pub owner: String,
    /// Has no privilege at first.
    pub relay: String,
}

impl Roles {
    /// Creates the database and the roles, without the relay's tables.
    pub async fn new() -> Self {
        let database = Database::new().await;
        let name = database.name();
        let (owner, relay) = (format!("Owner of {name}"), format!("Relay of {name}"));
        let set_up = format!(
            r#"CREATE ROLE "{owner}" LOGIN; CREATE ROLE "{relay}" LOGIN;
               ALTER DATABASE {name} OWNER TO "{owner}";
               ALTER DATABASE {name} SET search_path = "The app";
               REVOKE ALL ON DATABASE {name} FROM PUBLIC;
               REVOKE ALL ON SCHEMA public FROM PUBLIC;
               CREATE SCHEMA "The app" AUTHORIZATION "{owner}";
               ALTER DEFAULT PRIVILEGES FOR ROLE "{owner}" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC"#
        );
        database.client().await.batch_execute(&set_up).await.expect("roles");
        Self { database, owner, relay }
    }

    /// The same, with the relay's tables and grants.
    pub async fn granted() -> Self {
        let roles = Self::new().await;
        let relay = roles.relay.clone();
        let granted = roles.migrate(&["--grant", &relay]).await;
        assert_eq!(granted.code, Some(0), "{}", granted.stderr);
        roles
    }

    /// Runs `migrate` as the owner.
    pub async fn migrate(&self, flags: &[&str]) -> Finished {
        let url = self.database.url_as(&self.owner);
        run(&[&["migrate", "--database-url", &url], flags].concat(), &[]).await
    }

    /// Runs another command as the relay's role.
    pub async fn run(&self, arguments: &[&str]) -> Finished {
        let url = self.database.url_as(&self.relay);
        run(&[arguments, &["--database-url", &url]].concat(), &[]).await
    }

    /// Starts a relay with the relay's role, and waits until it is ready.
    pub async fn serve(&self, flags: &[&str]) -> Relay {
        let url = self.database.url_as(&self.relay);
        Relay::serve(&[&["--no-migrate", "--database-url", &url], flags].concat()).await
    }

    /// A session of the superuser.
    pub async fn admin(&self) -> Client {
        self.database.client().await
    }
}
