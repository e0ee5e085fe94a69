//! The tables of snapshots, and the statements that all of them have in common.

/// Columns and their types; the keys come first.
type Columns = &'static [(&'static str, &'static str)];

const STUDENT: Columns = &[
    ("student_id", "text"),
    ("last_event_id", "bigint"),
    ("user_name", "text"),
    ("team_name", "text"),
    ("notebook_path", "text"),
    ("cell_id", "text"),
    ("cell_index", "bigint"),
    ("last_event_type", "text"),
    ("last_event_time", "timestamptz"),
    ("last_received_at", "timestamptz"),
    ("cells_executed", "bigint"),
    ("error_count", "bigint"),
    ("streaks", "json"),
    ("last_run_session_id", "text"),
    ("last_run_notebook_path", "text"),
    ("last_run_cell_id", "text"),
    ("last_run_execution_count", "bigint"),
    ("last_run_at", "timestamptz"),
    ("last_run_received_at", "timestamptz"),
    ("help_since", "timestamptz"),
    ("last_help_at", "timestamptz"),
    ("hand_closed", "boolean"),
    ("hand_lowered_at", "timestamptz"),
    ("is_here", "boolean"),
    ("is_unconfigured", "boolean"),
    ("help_until_stop", "boolean"),
    ("claimed_by", "text"),
    ("claimed_at", "timestamptz"),
    ("help_message", "text"),
];
const CELL: Columns = &[
    ("notebook_path", "text"),
    ("cell_id", "text"),
    ("last_event_id", "bigint"),
    ("cell_index", "bigint"),
    ("runs", "bigint"),
    ("failed_runs", "bigint"),
    ("students", "bigint"),
    ("failing_students", "bigint"),
    ("top_errors", "json"),
];
const STUDENT_CELL: Columns = &[
    ("student_id", "text"),
    ("notebook_path", "text"),
    ("cell_id", "text"),
    ("last_event_id", "bigint"),
    ("runs", "bigint"),
    ("failed_runs", "bigint"),
    ("failed", "boolean"),
    ("last_run_at", "timestamptz"),
    ("last_run_time", "timestamptz"),
    ("last_run_execution_count", "bigint"),
    ("last_run_session_id", "text"),
    ("last_run_event_id", "bigint"),
];
const MINUTE: Columns =
    &[("start", "timestamptz"), ("runs", "bigint"), ("errors", "bigint"), ("help", "bigint")];

const LESSON: Columns = &[
    ("first_event_id", "bigint"),
    ("last_event_id", "bigint"),
    ("started_at", "timestamptz"),
    ("ended_at", "timestamptz"),
    ("students", "bigint"),
    ("runs", "bigint"),
    ("title", "text"),
];

/// A table of snapshots.
pub(super) struct Table {
    pub(super) name: &'static str,
    keys: usize,
    columns: Columns,
}

pub(super) const STUDENTS: Table = Table { name: "student_state", keys: 1, columns: STUDENT };
pub(super) const CELLS: Table = Table { name: "cell_state", keys: 2, columns: CELL };
pub(super) const STUDENT_CELLS: Table =
    Table { name: "student_cell_state", keys: 3, columns: STUDENT_CELL };
pub(super) const MINUTES: Table = Table { name: "activity_state", keys: 1, columns: MINUTE };
pub(super) const LESSONS: Table = Table { name: "lesson_state", keys: 1, columns: LESSON };
pub(super) const TABLES: [&Table; 5] = [&STUDENTS, &CELLS, &STUDENT_CELLS, &MINUTES, &LESSONS];
/// Their names.
pub(in crate::database) const STATE_TABLES: [&str; 5] =
    [STUDENTS.name, CELLS.name, STUDENT_CELLS.name, MINUTES.name, LESSONS.name];

impl Table {
    fn names(&self, prefix: &str) -> String {
        let names: Vec<String> =
            self.columns.iter().map(|(name, _)| format!("{prefix}{name}")).collect();
        names.join(", ")
    }

    /// `$1` the class.
    pub(super) fn select(&self) -> String {
        format!("SELECT {} FROM {} WHERE class_id = $1", self.names(""), self.name)
    }

    /// `$1` the class, then an array a column.
    pub(super) fn upsert(&self) -> String {
        let arrays: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, (_, kind))| format!("${}::{kind}[]", at + 2))
            .collect();
        let keys: Vec<&str> = self.columns[..self.keys].iter().map(|&(name, _)| name).collect();
        let values: Vec<&str> = self.columns[self.keys..].iter().map(|&(name, _)| name).collect();
        format!(
            "INSERT INTO {table} (class_id, {columns}) SELECT $1, * FROM unnest({arrays}) \
             ON CONFLICT (class_id, {keys}) DO UPDATE SET ({values}) = ROW(EXCLUDED.{excluded})",
            table = self.name,
            columns = self.names(""),
            arrays = arrays.join(", "),
            keys = keys.join(", "),
            values = values.join(", "),
            excluded = values.join(", EXCLUDED."),
        )
    }

    /// `$1` the class, then an array a key.
    pub(super) fn delete(&self) -> String {
        let keys = &self.columns[..self.keys];
        let arrays: Vec<String> = keys
            .iter()
            .enumerate()
            .map(|(at, (_, kind))| format!("${}::{kind}[]", at + 2))
            .collect();
        let names: Vec<&str> = keys.iter().map(|&(name, _)| name).collect();
        let same: Vec<String> =
            names.iter().map(|name| format!("stored.{name} = deleted.{name}")).collect();
        format!(
            "DELETE FROM {} AS stored USING unnest({}) AS deleted({}) WHERE stored.class_id = $1 \
                 AND {}",
            self.name,
            arrays.join(", "),
            names.join(", "),
            same.join(" AND ")
        )
    }
}
