//! The settings of a session, by which the relay does not depend on what a role or a database has
//! set for other applications.

/// The settings of every session but the pool's. No server-side deadlines; READ COMMITTED, which
/// the order of ids depends on; read-write; and keepalives by which the server detects that this
/// machine is gone. A commit waits for the disk and, where one is configured, for the synchronous
/// standby. No statement is compiled: the estimates of never-analysed tables are so high that the
/// server compiled the renewal of the nonce after a promotion for half a second and more, under the
/// ordering lock.
pub(super) const SESSION_SETTINGS: &str = "\
    SET statement_timeout = 0; SET lock_timeout = 0; SET idle_session_timeout = 0; \
    SET idle_in_transaction_session_timeout = 0; \
    SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; \
    SET default_transaction_deferrable = off; SET client_min_messages = notice; SET jit = off; \
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 2; \
    SET tcp_user_timeout = 20000; \
    SELECT set_config('synchronous_commit', 'on', false) \
        WHERE current_setting('synchronous_commit') IN ('off', 'local'); \
    SELECT set_config('synchronous_commit', current_setting('synchronous_commit'), false)";

/// The settings of a session of the pool that reads history. The server ends a statement soon after
/// the reader's deadline of 30 s. It gives up a lock before the deadline, so that the reader's
/// error names the lock.
pub(super) const POOL_SETTINGS: &str = "\
    SET statement_timeout = '31s'; SET lock_timeout = '20s'; \
    SET idle_in_transaction_session_timeout = '60s'; SET idle_session_timeout = 0; \
    SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = on; \
    SET jit = off";
