-- oldest-release: 0.1.0
--
-- The sessions of browsers that have signed out. A session is a text that its browser keeps, and no
-- relay: so a sign-out is remembered until the session would have ended by itself, and every
-- replica refuses a copy of it.

CREATE TABLE sign_out (
    -- The session's SHA-256: a reader of this table cannot use the session.
    session_hash bytea PRIMARY KEY CHECK (octet_length(session_hash) = 32),
    -- The session's own end. Later the row is of no use, and is deleted with the next sign-out.
    expires_at   timestamptz NOT NULL
);
CREATE INDEX sign_out_age ON sign_out (expires_at);
