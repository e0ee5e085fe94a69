//! The privileges that a running relay needs, on which object each; the grant of them to a role,
//! and the look whether a role has them.
//!
//! The role that owns the tables applies the migrations. A relay can run as another role, which
//! may read and append events and keep the derived tables, but can neither change nor delete an
//! event, nor change the schema. [`NEEDS`] is the only list of these privileges: `migrate --grant`
//! grants from it, every start compares the role with it, docs/operations.md shows it, and a test
//! compares it with the statements of a relay at work. Triggers that delete for the relay run with
//! the rights of their owner, so the list has nothing for them.

mod needs;

use std::fmt;
use std::fmt::Write as _;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, GenericClient};

use crate::database::connect::Connector;
use crate::database::errors::{ConnectError, explain, is_connection_lost};
use crate::database::session::Session;
pub use needs::{LEFT_OUT, NEEDS, Object};

/// A message shows the GRANT statements of at most this many objects; for more, the command alone.
const MAX_STATEMENTS: usize = 3;

/// The schema of the tables, `place`, and the role, `grantee`: the one named `$5`, or the
/// session's. A schema on which the role lacks USAGE is none for `to_regclass`, so it is looked for
/// by the names of the search path.
const WHERE: &str = "\
    WITH word AS (\
        SELECT ordinality, coalesce(replace(match[1], '\"\"', '\"'), lower(match[2])) AS name \
        FROM regexp_matches(current_setting('search_path'), \
            '\"((?:[^\"]|\"\")*)\"|([^\",[:space:]]+)', 'g') WITH ORDINALITY AS words (match)), \
    place AS (\
        SELECT schema.oid, schema.nspname, schema.nspacl \
        FROM pg_class JOIN pg_namespace AS schema ON schema.oid = relnamespace \
        LEFT JOIN word ON nspname = CASE name WHEN '$user' THEN current_user ELSE name END \
        WHERE relname = 'progress_event' \
          AND (pg_class.oid = to_regclass('progress_event') OR ordinality IS NOT NULL) \
        ORDER BY pg_class.oid IS NOT DISTINCT FROM to_regclass('progress_event') DESC, ordinality \
        LIMIT 1), \
    grantee AS (\
        SELECT oid, rolname FROM pg_roles WHERE rolname = coalesce($5::text, current_user)), ";

/// The privileges among those of the parameters that the role lacks. An object or a column that
/// does not exist counts as one that the role has: a migration is missing then, which the look at
/// the migrations names.
const LACKING: &str = "\
    needed AS (\
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) \
            WITH ORDINALITY AS needed (kind, name, privilege, col, ordinal)) \
    SELECT ordinal, grantee.rolname, quote_ident(grantee.rolname), quote_ident(place.nspname), \
           quote_ident(current_database()) \
    FROM needed CROSS JOIN place CROSS JOIN grantee \
    LEFT JOIN pg_class AS class ON kind IN ('table', 'sequence') \
      AND class.relname = needed.name AND class.relnamespace = place.oid \
    LEFT JOIN pg_attribute AS attribute ON attribute.attrelid = class.oid AND attname = col \
    LEFT JOIN pg_proc AS proc ON kind = 'function' AND pronamespace = place.oid \
      AND concat(proname, '(', oidvectortypes(proargtypes), ')') = needed.name \
    WHERE NOT coalesce(CASE ";

/// Whether the role has a privilege in any way: by itself, by a group, by PUBLIC, as the owner.
const EFFECTIVE: &str = "\
    WHEN kind = 'database' \
      THEN has_database_privilege(grantee.oid, current_database(), privilege) \
    WHEN kind = 'schema' THEN has_schema_privilege(grantee.oid, place.oid, privilege) \
    WHEN kind = 'table' AND col = '' THEN has_table_privilege(grantee.oid, class.oid, privilege) \
    WHEN kind = 'table' \
      THEN has_column_privilege(grantee.oid, class.oid, attribute.attnum, privilege) \
    WHEN kind = 'sequence' THEN has_sequence_privilege(grantee.oid, class.oid, privilege) \
    WHEN kind = 'function' THEN has_function_privilege(grantee.oid, proc.oid, privilege) \
    END, true) ORDER BY ordinal";

/// Whether a privilege was granted to the role itself: one that it has by PUBLIC alone would be
/// lost when an operator takes it from PUBLIC. CONNECT is granted only where the role lacks it.
const DIRECT: &str = "\
    WHEN kind = 'database' \
      THEN has_database_privilege(grantee.oid, current_database(), privilege) \
    WHEN kind = 'function' AND proc.oid IS NULL OR kind IN ('table', 'sequence') \
      AND (class.oid IS NULL OR col <> '' AND attribute.attnum IS NULL) THEN true \
    ELSE EXISTS (\
        SELECT FROM aclexplode(CASE kind WHEN 'schema' THEN place.nspacl \
            WHEN 'function' THEN proc.proacl ELSE class.relacl END) AS held \
        WHERE held.grantee = grantee.oid AND held.privilege_type = privilege \
        UNION ALL \
        SELECT FROM aclexplode(attribute.attacl) AS held \
        WHERE held.grantee = grantee.oid AND held.privilege_type = privilege) \
    END, true) ORDER BY ordinal";

impl Object {
    fn kind(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Schema => "schema",
            Self::Table(_) => "table",
            Self::Sequence(_) => "sequence",
            Self::Function(_) => "function",
        }
    }

    /// Its name; the schema and the database have none of their own.
    pub fn name(self) -> &'static str {
        match self {
            Self::Database | Self::Schema => "",
            Self::Table(name) | Self::Sequence(name) | Self::Function(name) => name,
        }
    }
}

/// The names for GRANT statements, quoted where they must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The role.
    pub role: String,
    /// The schema of the tables.
    pub schema: String,
    /// The database.
    pub database: String,
}

impl Names {
    /// The object, as GRANT names it.
    fn object(&self, object: Object) -> String {
        let Self { schema, database, .. } = self;
        match object {
            Object::Database => format!("DATABASE {database}"),
            Object::Schema => format!("SCHEMA {schema}"),
            Object::Table(name) => format!("{schema}.{name}"),
            Object::Sequence(name) => format!("SEQUENCE {schema}.{name}"),
            Object::Function(name) => format!("FUNCTION {schema}.{name}"),
        }
    }

    /// The statement that grants these privileges.
    pub fn grant(&self, object: Object, privileges: &str) -> String {
        format!("GRANT {privileges} ON {} TO {}", self.object(object), self.role)
    }
}

/// Privileges as GRANT lists them: `SELECT, INSERT (body)`.
pub fn listed<'a>(privileges: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>) -> String {
    let mut list = String::new();
    for (name, columns) in privileges {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(name);
        if !columns.is_empty() {
            let _ = write!(list, " ({})", columns.join(", "));
        }
    }
    list
}

/// One privilege of [`NEEDS`], on the whole object or on one column.
#[derive(Debug, Clone, Copy)]
struct Item {
    object: Object,
    privilege: &'static str,
    column: &'static str,
}

fn items() -> Vec<Item> {
    let mut items = Vec::new();
    for need in NEEDS {
        for privilege in need.privileges {
            let item = |column| Item { object: need.object, privilege: privilege.name, column };
            match privilege.columns {
                [] => items.push(item("")),
                columns => items.extend(columns.iter().map(|column| item(column))),
            }
        }
    }
    items
}

/// Privileges that a role lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The role as it was given to CREATE ROLE.
    role: String,
    names: Names,
    /// Each object, with the list of its privileges.
    objects: Vec<(Object, String)>,
}

impl Lacking {
    /// The statements that grant them.
    fn grants(&self) -> impl Iterator<Item = String> {
        self.objects.iter().map(|(object, privileges)| self.names.grant(*object, privileges))
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "role {} lacks ", self.names.role)?;
        for (at, (object, privileges)) in self.objects.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            let object = match object {
                Object::Table(name) => (*name).to_owned(),
                Object::Sequence(name) => format!("sequence {name}"),
                Object::Function(name) => format!("function {name}"),
                Object::Schema => format!("schema {}", self.names.schema),
                Object::Database => format!("database {}", self.names.database),
            };
            write!(f, "{separator}{privileges} on {object}")?;
        }
        // A name that SQL need not quote needs no quotes in a shell either.
        let quote = if self.role == self.names.role { "" } else { "'" };
        let role = self.role.replace('\'', "'\\''");
        write!(f, ": run `progress-relay migrate --grant {quote}{role}{quote}` as the owner")?;
        if self.objects.len() <= MAX_STATEMENTS {
            let grants: Vec<String> = self.grants().collect();
            write!(f, ", or: {}", grants.join("; "))?;
        }
        Ok(())
    }
}

/// Why a role cannot run a relay, or cannot be granted what it needs.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// The database cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The role lacks privileges.
    #[error("{0}")]
    Lacking(Lacking),
    /// There is no such role.
    #[error("there is no role {0:?}: correct --grant, or create it first: CREATE ROLE … LOGIN")]
    NoRole(String),
    /// The role that runs the command may not grant.
    #[error(
        "granting to {role:?}: {reason}; run this as the owner of the object. Nothing was kept"
    )]
    NotOwner {
        /// The role that was to be granted to.
        role: String,
        /// The database's reason.
        reason: String,
    },
    /// A statement failed.
    #[error("while looking at the privileges: {}", explain(.0))]
    Database(Error),
}

// #[from] would make the error the source as well, and the message would have its text twice.
impl From<Error> for PrivilegeError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl PrivilegeError {
    /// Whether another attempt may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Connect(error) => !error.is_permanent(),
            Self::Database(error) => is_connection_lost(error),
            Self::Lacking(_) | Self::NoRole(_) | Self::NotOwner { .. } => false,
        }
    }
}

/// Finds the privileges that `role`, or the session's role, lacks; `held` is the condition.
async fn find(
    client: &impl GenericClient,
    role: Option<&str>,
    held: &str,
) -> Result<Option<Lacking>, Error> {
    let items = items();
    let column = |of: fn(&Item) -> &'static str| items.iter().map(of).collect::<Vec<_>>();
    let kinds = column(|item| item.object.kind());
    let names = column(|item| item.object.name());
    let privileges = column(|item| item.privilege);
    let columns = column(|item| item.column);
    let sql = format!("{WHERE}{LACKING}{held}");
    let rows = client.query(&sql, &[&kinds, &names, &privileges, &columns, &role]).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let role = first.try_get(1)?;
    let names =
        Names { role: first.try_get(2)?, schema: first.try_get(3)?, database: first.try_get(4)? };
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let at = usize::try_from(row.try_get::<_, i64>(0)? - 1).unwrap_or(usize::MAX);
        found.extend(items.get(at).copied());
    }
    Ok(Some(Lacking { role, names, objects: by_object(&found) }))
}

/// Joins the columns of a privilege, and the privileges on an object.
fn by_object(items: &[Item]) -> Vec<(Object, String)> {
    let of_object = |items: &[Item]| {
        let privileges = items.chunk_by(|one, next| one.privilege == next.privilege);
        listed(privileges.map(|items| {
            let columns = items.iter().map(|item| item.column);
            (items[0].privilege, columns.filter(|column| !column.is_empty()).collect())
        }))
    };
    let objects = items.chunk_by(|one, next| one.object == next.object);
    objects.map(|items| (items[0].object, of_object(items))).collect()
}

/// The privileges that the session's role lacks, if it lacks any.
///
/// # Errors
/// If the connection is lost.
pub(crate) async fn lacking_privileges(
    client: &impl GenericClient,
) -> Result<Option<Lacking>, Error> {
    find(client, None, EFFECTIVE).await
}

/// Checks that the session's role has the privileges that a running relay needs, on the objects
/// that exist already.
pub(crate) async fn check_privileges(session: &Session) -> Result<(), PrivilegeError> {
    match lacking_privileges(&session.client).await? {
        None => Ok(()),
        Some(lacking) => Err(PrivilegeError::Lacking(lacking)),
    }
}

/// Whether the session's role may apply a migration: create in the schema, and change the tables
/// that are there.
///
/// # Errors
/// If the connection is lost.
pub(crate) async fn may_migrate(client: &impl GenericClient) -> Result<bool, Error> {
    const MAY: &str = "\
        SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) \
          AND NOT EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('progress_event') \
                          AND NOT pg_has_role(relowner, 'USAGE'))";
    client.query_one(MAY, &[]).await?.try_get(0)
}

/// Grants to each role, in one transaction, the privileges that it has not been granted yet, and
/// returns the statements that did. It revokes nothing.
pub(crate) async fn grant_privileges(
    connector: &Connector,
    roles: &[String],
) -> Result<Vec<String>, PrivilegeError> {
    let mut session = connector.connect("migrate").await?;
    let transaction = session.client.transaction().await?;
    let mut granted = Vec::new();
    for role in roles {
        let known = "SELECT FROM pg_roles WHERE rolname = $1";
        if transaction.query_opt(known, &[role]).await?.is_none() {
            return Err(PrivilegeError::NoRole(role.clone()));
        }
        let refused = |error: Error| match error.code() {
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                PrivilegeError::NotOwner { role: role.clone(), reason: explain(&error) }
            }
            _ => PrivilegeError::Database(error),
        };
        // Two GRANTs on one object at the same moment would fail: "tuple concurrently updated".
        let lock = "LOCK TABLE relay_migration IN SHARE ROW EXCLUSIVE MODE";
        transaction.batch_execute(lock).await.map_err(refused)?;
        if let Some(lacking) = find(&transaction, Some(role), DIRECT).await? {
            for grant in lacking.grants() {
                transaction.batch_execute(&grant).await.map_err(refused)?;
                granted.push(grant);
            }
        }
        // A role without the right to grant is answered with a warning for some objects.
        if let Some(lacking) = find(&transaction, Some(role), EFFECTIVE).await? {
            return Err(PrivilegeError::Lacking(lacking));
        }
    }
    transaction.commit().await?;
    Ok(granted)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const BEGIN: &str = "<!-- grants: begin (written by `make docs`) -->\n";
    const END: &str = "<!-- grants: end -->\n";
    /// The longest line, as everywhere in the repository.
    const COLUMNS: usize = 100;

    /// Appends `text` in lines that begin with `first`, and the later ones with `next`.
    fn wrap(out: &mut String, first: &str, next: &str, text: &str) {
        let mut line = first.to_owned();
        for word in text.split_whitespace() {
            if line.len() + 1 + word.len() > COLUMNS {
                let _ = writeln!(out, "{}", line.trim_end());
                line = next.to_owned();
            }
            if !line.is_empty() && !line.ends_with(' ') {
                line.push(' ');
            }
            line.push_str(word);
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }

    #[test]
    fn the_document_has_every_grant_as_it_is() {
        let name = |name: &str| name.to_owned();
        let names = Names { role: name("relay"), schema: name("public"), database: name("app") };
        let mut grants = String::from("```sql\n");
        let mut why = "";
        for need in NEEDS {
            if need.why != why {
                wrap(&mut grants, "--", "--", need.why);
                why = need.why;
            }
            let privileges = listed(need.privileges.iter().map(|p| (p.name, p.columns.to_vec())));
            let grant = names.grant(need.object, &privileges);
            wrap(&mut grants, "", "   ", &format!("{grant};"));
        }
        grants.push_str("```\n");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
        let document = std::fs::read_to_string(&path).expect("docs/operations.md");
        let (before, rest) = document.split_once(BEGIN).expect("the mark before the grants");
        let (_, after) = rest.split_once(END).expect("the mark after the grants");
        let expected = format!("{before}{BEGIN}\n{grants}\n{END}{after}");
        if std::env::var_os("WRITE_DOCS").is_some() {
            std::fs::write(&path, &expected).expect("the document is written");
        } else {
            assert!(document == expected, "docs/operations.md is out of date: run `make docs`");
        }
    }

    #[test]
    fn missing_privileges_are_joined_by_object() {
        let item = |object, privilege, column| Item { object, privilege, column };
        let event = Object::Table("progress_event");
        let items = [
            item(event, "SELECT", ""),
            item(event, "INSERT", "body"),
            item(event, "INSERT", "class_id"),
            item(Object::Function("progress_home()"), "EXECUTE", ""),
        ];
        let names = Names { role: "\"a'b\"".into(), schema: "app".into(), database: "x".into() };
        let lacking = Lacking { role: "a'b".into(), names, objects: by_object(&items) };
        assert_eq!(
            lacking.to_string(),
            "role \"a'b\" lacks SELECT, INSERT (body, class_id) on progress_event; EXECUTE on \
             function progress_home(): run `progress-relay migrate --grant 'a'\\''b'` as the \
             owner, or: GRANT SELECT, INSERT (body, class_id) ON app.progress_event TO \"a'b\"; \
             GRANT EXECUTE ON FUNCTION app.progress_home() TO \"a'b\""
        );
    }
}
