-- oldest-release: 0.2.0
--
-- The state of a class becomes that of its current lesson, by the class's settings.

-- The snapshots were made by other rules: all of them are void, and are made again from the events.
-- A replica of an earlier release that is still running can neither read nor write them from here
-- on, since its columns are gone.
DELETE FROM class_state;
DELETE FROM student_state;
DELETE FROM cell_state;
DELETE FROM student_cell_state;
DELETE FROM activity_state;
UPDATE state_through SET through_id = 0, nonce = '';

ALTER TABLE class_state
    -- The current lesson, by its first event; null before the class's first event.
    ADD COLUMN lesson_first_event_id bigint,
    ADD COLUMN lesson_started_at     timestamptz,
    -- The class's events before it.
    ADD COLUMN lesson_events_before  bigint,
    ADD COLUMN lesson_title          text,
    -- The settings as the last event settings_changed has them, and that event; 0 if there is none.
    ADD COLUMN settings              json NOT NULL,
    ADD COLUMN settings_event_id     bigint NOT NULL;

ALTER TABLE student_state
    -- Whether an event of the student's was received in the current lesson. Of others only the
    -- names and last_received_at count.
    ADD COLUMN is_here         boolean NOT NULL,
    -- Whether the student's client has not been told who its student is.
    ADD COLUMN is_unconfigured boolean NOT NULL,
    -- [[notebook, cell, index, failures, "time of the last failure"], …], the last to fail last.
    ADD COLUMN streaks         json NOT NULL,
    ADD COLUMN help_until_stop boolean NOT NULL,
    ADD COLUMN claimed_by      text,
    ADD COLUMN claimed_at      timestamptz,
    DROP COLUMN consecutive_errors,
    DROP COLUMN streak_cell;

ALTER TABLE student_cell_state
    -- Of the latest run; the time is the client's.
    ADD COLUMN last_run_event_id        bigint NOT NULL,
    ADD COLUMN last_run_time            timestamptz NOT NULL,
    ADD COLUMN last_run_execution_count bigint,
    ADD COLUMN last_run_session_id      text;

-- The lessons that have ended.
CREATE TABLE lesson_state (
    class_id       text COLLATE "C" NOT NULL,
    first_event_id bigint NOT NULL,
    last_event_id  bigint NOT NULL,
    started_at     timestamptz NOT NULL,
    ended_at       timestamptz NOT NULL,
    students       bigint NOT NULL,
    runs           bigint NOT NULL,
    title          text,
    PRIMARY KEY (class_id, first_event_id)
);
