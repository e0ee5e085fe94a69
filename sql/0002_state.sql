-- oldest-release: 0.1.0
--
-- Snapshots of class state: the state that is derived from the events of a class up to an id. They
-- are a cache of progress_event that any SQL client may read. One replica writes them, each class's
-- rows and its id in one transaction; `progress-relay rebuild-state` makes them again from the
-- events. Times are the database's clock unless a comment says otherwise.

-- A class, and how far its snapshot goes.
CREATE TABLE class_state (
    class_id         text COLLATE "C" PRIMARY KEY,
    -- The rows of this class in all tables here hold its events up to this id.
    through_id       bigint NOT NULL,
    -- The generation of ids that it belongs to. Under another nonce the snapshot is void.
    nonce            text NOT NULL,
    events           bigint NOT NULL,
    students         bigint NOT NULL,
    last_received_at timestamptz,
    -- The last event of the class; through_id may lie beyond it.
    last_event_id    bigint NOT NULL,
    updated_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Every event up to this id is in its class's snapshot, also where that has not been touched for
-- long, and no class without a row has any; one row.
CREATE TABLE state_through (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    through_id bigint NOT NULL,
    nonce      text NOT NULL
);
INSERT INTO state_through (through_id, nonce) VALUES (0, '');

-- Rows are updated in place, all the time: room on the page keeps the indexes out of it.
CREATE TABLE student_state (
    class_id                 text COLLATE "C" NOT NULL,
    student_id               text COLLATE "C" NOT NULL,
    user_name                text,
    team_name                text,
    notebook_path            text,
    cell_id                  text,
    cell_index               bigint,
    last_event_type          text,
    -- The client's clock.
    last_event_time          timestamptz NOT NULL,
    last_received_at         timestamptz NOT NULL,
    last_event_id            bigint NOT NULL,
    cells_executed           bigint NOT NULL,
    error_count              bigint NOT NULL,
    consecutive_errors       bigint NOT NULL,
    streak_cell              text,
    last_run_session_id      text,
    last_run_notebook_path   text,
    last_run_cell_id         text,
    last_run_execution_count bigint,
    -- The client's clock.
    last_run_at              timestamptz,
    last_run_received_at     timestamptz,
    help_since               timestamptz,
    last_help_at             timestamptz,
    hand_closed              boolean NOT NULL,
    hand_lowered_at          timestamptz,
    PRIMARY KEY (class_id, student_id)
) WITH (fillfactor = 70);

CREATE TABLE cell_state (
    class_id         text COLLATE "C" NOT NULL,
    -- Empty for a cell of no notebook.
    notebook_path    text COLLATE "C" NOT NULL,
    cell_id          text COLLATE "C" NOT NULL,
    cell_index       bigint,
    runs             bigint NOT NULL,
    failed_runs      bigint NOT NULL,
    students         bigint NOT NULL,
    failing_students bigint NOT NULL,
    -- [["message", count], …], the commonest first.
    top_errors       json NOT NULL,
    last_event_id    bigint NOT NULL,
    PRIMARY KEY (class_id, notebook_path, cell_id)
) WITH (fillfactor = 70);

-- A student's runs of a cell.
CREATE TABLE student_cell_state (
    class_id      text COLLATE "C" NOT NULL,
    student_id    text COLLATE "C" NOT NULL,
    notebook_path text COLLATE "C" NOT NULL,
    cell_id       text COLLATE "C" NOT NULL,
    runs          bigint NOT NULL,
    failed_runs   bigint NOT NULL,
    -- Whether the latest one failed, and when that was.
    failed        boolean NOT NULL,
    last_run_at   timestamptz NOT NULL,
    last_event_id bigint NOT NULL,
    PRIMARY KEY (class_id, student_id, notebook_path, cell_id)
) WITH (fillfactor = 70);

-- Minute by minute, a day back from the newest.
CREATE TABLE activity_state (
    class_id text COLLATE "C" NOT NULL,
    start    timestamptz NOT NULL,
    runs     bigint NOT NULL,
    errors   bigint NOT NULL,
    help     bigint NOT NULL,
    PRIMARY KEY (class_id, start)
) WITH (fillfactor = 70);
