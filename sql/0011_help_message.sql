-- oldest-release: 0.2.0
--
-- What a student wrote with a raised hand becomes part of the state.

-- The snapshots lack it: all of them are void, and are made again from the events.
DELETE FROM class_state;
DELETE FROM student_state;
DELETE FROM cell_state;
DELETE FROM student_cell_state;
DELETE FROM activity_state;
DELETE FROM lesson_state;
UPDATE state_through SET through_id = 0, nonce = '';

ALTER TABLE student_state
    -- The beginning of it; null while no hand is up, and for a hand without words.
    ADD COLUMN help_message text;
