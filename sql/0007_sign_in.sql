-- oldest-release: 0.1.0
--
-- What the replicas share about browsers that sign in: the key that signs their sessions, so that
-- each replica honours a session that another one began; and the one-time links by which an
-- instructor opens the dashboard on a projector or a phone.

-- One row: the first relay that needs the key makes it. Deleting the row ends every session.
CREATE TABLE sign_in_key (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    key      bytea NOT NULL CHECK (octet_length(key) = 32),
    made_at  timestamptz NOT NULL DEFAULT now()
);

-- A row is deleted when its link is used, and when it is too old.
CREATE TABLE sign_in_link (
    -- The link's code is not stored: a reader of this table cannot use a link.
    code_hash  text COLLATE "C" PRIMARY KEY,
    subject    text COLLATE "C" NOT NULL,
    -- The caller as whom the link signs a browser in, as the relay writes it into a session.
    caller     text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX sign_in_link_subject ON sign_in_link (subject, expires_at);
