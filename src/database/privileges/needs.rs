//! The list of what a running relay needs, and on which objects it needs nothing.

/// An object of the database. Every one but the database itself is in the relay's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// The database.
    Database,
    /// The schema of the tables.
    Schema,
    /// A table.
    Table(&'static str),
    /// A sequence.
    Sequence(&'static str),
    /// A function, with the types of its arguments.
    Function(&'static str),
}

/// A privilege, on the whole object, or on some columns of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privilege {
    /// Its name in GRANT.
    pub name: &'static str,
    /// The columns; empty for the whole object.
    pub columns: &'static [&'static str],
}

/// The privileges that a running relay needs on one object.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// The object.
    pub object: Object,
    /// The privileges.
    pub privileges: &'static [Privilege],
    /// The work that needs them.
    pub why: &'static str,
}

const fn whole(name: &'static str) -> Privilege {
    Privilege { name, columns: &[] }
}

const fn some(name: &'static str, columns: &'static [&'static str]) -> Privilege {
    Privilege { name, columns }
}

const fn need(object: Object, privileges: &'static [Privilege], why: &'static str) -> Need {
    Need { object, privileges, why }
}

/// A table that the relay derives from the events, or keeps by itself.
const KEPT: &[Privilege] = &[whole("SELECT"), whole("INSERT"), whole("UPDATE"), whole("DELETE")];
const EXECUTE: &[Privilege] = &[whole("EXECUTE")];

/// All that a running relay needs. A migration that adds a table or a function adds it here, or to
/// [`LEFT_OUT`].
pub const NEEDS: &[Need] = &[
    need(Object::Database, &[whole("CONNECT")], "every connection; PUBLIC has it by default"),
    need(Object::Schema, &[whole("USAGE")], "every statement"),
    need(Object::Table("relay_migration"), &[whole("SELECT")], "the look at the migrations"),
    need(
        Object::Table("progress_event"),
        &[
            whole("SELECT"),
            some("INSERT", &["event_id", "class_id", "student_id", "occurred_at", "body"]),
        ],
        "storing and reading events; ids and times of receipt are the database's",
    ),
    need(
        Object::Sequence("progress_event_id_seq"),
        &[whole("SELECT"), whole("UPDATE")],
        "the last id; raising it above restored events",
    ),
    need(
        Object::Table("progress_log"),
        &[
            whole("SELECT"),
            some("UPDATE", &["nonce", "deletions", "home", "home_table", "timeline"]),
        ],
        "the epoch, its renewal after a restore or a promotion, and rebuilt classes",
    ),
    need(
        Object::Table("progress_deletion"),
        &[whole("SELECT"), whole("INSERT"), whole("DELETE")],
        "deletions, and the announcement of rebuilt classes",
    ),
    need(Object::Table("class_state"), KEPT, "snapshots of class state"),
    need(
        Object::Table("state_through"),
        &[whole("SELECT"), some("UPDATE", &["through_id", "nonce"])],
        "the id up to which snapshots are complete",
    ),
    need(Object::Table("student_state"), KEPT, "snapshots of class state"),
    need(Object::Table("cell_state"), KEPT, "snapshots of class state"),
    need(Object::Table("student_cell_state"), KEPT, "snapshots of class state"),
    need(Object::Table("activity_state"), KEPT, "snapshots of class state"),
    need(
        Object::Table("refused_event"),
        &[
            whole("SELECT"),
            whole("INSERT"),
            some("UPDATE", &["count", "first_at", "last_at"]),
            whole("DELETE"),
        ],
        "the counts of rejected events",
    ),
    need(
        Object::Table("sign_in_key"),
        &[whole("SELECT"), whole("INSERT")],
        "the key that signs the sessions of browsers",
    ),
    need(
        Object::Table("sign_in_link"),
        &[whole("SELECT"), whole("INSERT"), whole("DELETE")],
        "one-time links for projectors and phones",
    ),
    need(
        Object::Table("sign_out"),
        &[whole("SELECT"), whole("INSERT"), whole("DELETE")],
        "the sessions that were signed out",
    ),
    need(
        Object::Table("audit_entry"),
        &[
            whole("SELECT"),
            some(
                "INSERT",
                &[
                    "at",
                    "action",
                    "subject",
                    "role",
                    "source",
                    "class_id",
                    "student_id",
                    "address",
                    "detail",
                ],
            ),
        ],
        "the audit; entries are never changed",
    ),
    need(
        Object::Function("progress_audit_prune(bigint, integer)"),
        EXECUTE,
        "deleting old entries of the audit",
    ),
    need(Object::Function("progress_epoch()"), EXECUTE, "the epoch"),
    need(Object::Function("progress_epoch(text)"), EXECUTE, "the epoch"),
    need(Object::Function("progress_timeline()"), EXECUTE, "the epoch"),
    need(Object::Function("progress_channel()"), EXECUTE, "ringing, and listening"),
    need(Object::Function("progress_home()"), EXECUTE, "the place in which the log was begun"),
    need(Object::Function("progress_event_lock()"), EXECUTE, "stopping the log for a moment"),
];

/// The objects of the schema on which a relay needs nothing, and why.
pub const LEFT_OUT: &[(&str, &str)] = &[
    ("progress_event_order()", TRIGGER),
    ("progress_event_ring()", TRIGGER),
    ("progress_event_deleted()", TRIGGER),
    ("progress_event_truncated()", TRIGGER),
    ("audit_entry_id_seq", "an INSERT takes the ids of an identity column without a right on it"),
];

const TRIGGER: &str =
    "a trigger's function: EXECUTE is looked at when the trigger is created, not when it fires";
