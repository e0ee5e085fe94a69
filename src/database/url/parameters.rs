//! Every parameter that is known: those of libpq, and those that drivers of other languages add.
//! Each is taken, ignored, or refused by a sentence.

use self::Treatment::{Ignored, OneOf, Refused, Setting, Taken};

/// A parameter of a connection string.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// The variable that holds its value where the string is silent.
    pub(super) variable: Option<&'static str>,
    pub(super) treatment: Treatment,
}

/// What is done with a parameter.
#[derive(Debug)]
pub(super) enum Treatment {
    /// Its value is read, and checked where it is read.
    Taken,
    /// It has one of these values; the sentence refuses others.
    OneOf(&'static [&'static str], &'static str),
    /// The relay has its own setting, or the parameter is about something that the relay does not
    /// do.
    Ignored,
    /// A setting of the server's sessions. The relay's sessions have their own value. As at the
    /// server, the name may be in either case.
    Setting,
    /// The sentence says why, and what to do.
    Refused(&'static str),
}

const MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const MODES_SENTENCE: &str = "write disable, allow, prefer, require, verify-ca or verify-full \
                              (no-verify of Node is require)";
const NO_SCRAM_KEYS: Treatment = Refused("the relay logs in with a password; write password");
const NO_SOCKET_FILE: &str = "write host, which names the folder of the socket";
const NO_OAUTH: Treatment = Refused("the relay does not log in by OAuth; use a password");

const fn of(name: &'static str, variable: &'static str, treatment: Treatment) -> Parameter {
    Parameter { name, variable: Some(variable), treatment }
}

const fn only(name: &'static str, treatment: Treatment) -> Parameter {
    Parameter { name, variable: None, treatment }
}

/// All of them.
pub(super) const PARAMETERS: &[Parameter] = &[
    // Where.
    of("host", "PGHOST", Taken),
    of("hostaddr", "PGHOSTADDR", Taken),
    of("port", "PGPORT", Taken),
    of("dbname", "PGDATABASE", Taken),
    of("service", "PGSERVICE", Taken),
    of("servicefile", "PGSERVICEFILE", Taken),
    of(
        "target_session_attrs",
        "PGTARGETSESSIONATTRS",
        OneOf(
            &["any", "read-write", "primary"],
            "the relay writes, and goes to the primary; write read-write, or leave it out",
        ),
    ),
    of(
        "load_balance_hosts",
        "PGLOADBALANCEHOSTS",
        OneOf(&["disable", "random"], "write disable, or leave it out"),
    ),
    // Who.
    of("user", "PGUSER", Taken),
    of("password", "PGPASSWORD", Taken),
    of("passfile", "PGPASSFILE", Taken),
    of(
        "channel_binding",
        "PGCHANNELBINDING",
        OneOf(&["disable", "prefer", "require"], "write disable, prefer or require"),
    ),
    of(
        "require_auth",
        "PGREQUIREAUTH",
        Refused(
            "the relay cannot keep the server to a way of logging in; channel_binding=require \
             keeps it to SCRAM",
        ),
    ),
    of(
        "requirepeer",
        "PGREQUIREPEER",
        Refused("the relay does not look at the account of the server's process; leave it out"),
    ),
    only("scram_client_key", NO_SCRAM_KEYS),
    only("scram_server_key", NO_SCRAM_KEYS),
    only("oauth_issuer", NO_OAUTH),
    only("oauth_client_id", NO_OAUTH),
    only("oauth_client_secret", NO_OAUTH),
    only("oauth_scope", NO_OAUTH),
    // The session.
    of("connect_timeout", "PGCONNECT_TIMEOUT", Taken),
    of("options", "PGOPTIONS", Taken),
    of(
        "client_encoding",
        "PGCLIENTENCODING",
        OneOf(
            &["utf8", "utf-8", "unicode", "auto"],
            "the relay reads and writes UTF8; leave it out",
        ),
    ),
    of("application_name", "PGAPPNAME", Ignored),
    only("fallback_application_name", Ignored),
    only("keepalives", Ignored),
    only("keepalives_idle", Ignored),
    only("keepalives_interval", Ignored),
    only("keepalives_count", Ignored),
    only("tcp_user_timeout", Ignored),
    only(
        "replication",
        OneOf(
            &["false", "off", "no", "0"],
            "the relay's sessions are not for replication; leave it out",
        ),
    ),
    of(
        "min_protocol_version",
        "PGMINPROTOCOLVERSION",
        OneOf(&["3.0"], "the relay speaks version 3.0 of the protocol; leave it out"),
    ),
    of("max_protocol_version", "PGMAXPROTOCOLVERSION", Ignored),
    // TLS.
    of("sslmode", "PGSSLMODE", OneOf(MODES, MODES_SENTENCE)),
    of("requiressl", "PGREQUIRESSL", OneOf(&["0", "1"], "write sslmode=require instead")),
    only(
        "ssl",
        OneOf(
            &[
                "true",
                "1",
                "on",
                "false",
                "0",
                "off",
                "disable",
                "allow",
                "prefer",
                "require",
                "verify-ca",
                "verify-full",
            ],
            "write sslmode instead: disable, allow, prefer, require, verify-ca or verify-full",
        ),
    ),
    of("sslrootcert", "PGSSLROOTCERT", Taken),
    of("sslcert", "PGSSLCERT", Taken),
    of("sslkey", "PGSSLKEY", Taken),
    only(
        "sslpassword",
        Refused("the relay reads keys that are not encrypted; decrypt it with openssl pkey"),
    ),
    of(
        "sslcertmode",
        "PGSSLCERTMODE",
        OneOf(
            &["disable", "allow"],
            "the relay cannot tell whether the server asked for its certificate; write allow, and \
             let pg_hba.conf ask (clientcert=verify-full)",
        ),
    ),
    of("sslcrl", "PGSSLCRL", Taken),
    of(
        "sslcrldir",
        "PGSSLCRLDIR",
        Refused("the relay reads one file of revoked certificates; join them, and write sslcrl"),
    ),
    of("sslsni", "PGSSLSNI", OneOf(&["0", "1"], "write 0 or 1")),
    of("sslcompression", "PGSSLCOMPRESSION", Ignored),
    of(
        "ssl_min_protocol_version",
        "PGSSLMINPROTOCOLVERSION",
        OneOf(&["tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3"], "write TLSv1.2 or TLSv1.3"),
    ),
    of(
        "ssl_max_protocol_version",
        "PGSSLMAXPROTOCOLVERSION",
        OneOf(
            &["tlsv1.2", "tlsv1.3"],
            "the relay speaks TLS 1.2 and 1.3; write TLSv1.2 or TLSv1.3",
        ),
    ),
    of(
        "sslnegotiation",
        "PGSSLNEGOTIATION",
        OneOf(&["postgres", "direct"], "write postgres or direct"),
    ),
    only("sslkeylogfile", Refused("the relay does not write its keys to a file; leave it out")),
    // Kerberos, which the relay does not speak.
    of(
        "gssencmode",
        "PGGSSENCMODE",
        OneOf(
            &["disable", "prefer"],
            "the relay does not encrypt by GSSAPI; write sslmode=verify-full instead",
        ),
    ),
    of("krbsrvname", "PGKRBSRVNAME", Ignored),
    of("gsslib", "PGGSSLIB", Ignored),
    of("gssdelegation", "PGGSSDELEGATION", Ignored),
    // The drivers of other languages.
    only("pgbouncer", OneOf(&["true", "false"], "write true or false")),
    only("schema", Taken),
    only("currentSchema", Taken),
    only("search_path", Taken),
    only("schema_search_path", Taken),
    only(
        "encoding",
        OneOf(&["utf8", "utf-8", "unicode"], "the relay reads and writes UTF8; leave it out"),
    ),
    only("unix_sock", Refused(NO_SOCKET_FILE)),
    only("unixSocketPath", Refused(NO_SOCKET_FILE)),
    only(
        "sslaccept",
        OneOf(&["accept_invalid_certs"], "the relay has libpq's word for it: sslmode=verify-full"),
    ),
    only(
        "sslidentity",
        Refused("the relay reads PEM; write the certificate as sslcert and its key as sslkey"),
    ),
    only("uselibpqcompat", Ignored),
    only("supa", Ignored),
    // Their pools.
    only("connection_limit", Ignored),
    only("pool", Ignored),
    only("pool_size", Ignored),
    only("pool_timeout", Ignored),
    only("pool_mode", Ignored),
    only("pool_recycle", Ignored),
    only("pool_pre_ping", Ignored),
    only("max_overflow", Ignored),
    only("pool_max_conns", Ignored),
    only("pool_min_conns", Ignored),
    only("pool_min_idle_conns", Ignored),
    only("pool_max_conn_lifetime", Ignored),
    only("pool_max_conn_lifetime_jitter", Ignored),
    only("pool_max_conn_idle_time", Ignored),
    only("pool_health_check_period", Ignored),
    only("single_use_connections", Ignored),
    only("conn_max_age", Ignored),
    only("conn_health_checks", Ignored),
    only("checkout_timeout", Ignored),
    only("reaping_frequency", Ignored),
    only("idle_timeout", Ignored),
    // Their statements.
    only("socket_timeout", Ignored),
    only("command_timeout", Ignored),
    only("statement_cache_size", Ignored),
    only("statement_cache_capacity", Ignored),
    only("statement_limit", Ignored),
    only("description_cache_capacity", Ignored),
    only("prepared_statement_cache_size", Ignored),
    only("prepared_statement_name_func", Ignored),
    only("prepared_statements", Ignored),
    only("prepare_threshold", Ignored),
    only("default_query_exec_mode", Ignored),
    only("binary_parameters", Ignored),
    only("advisory_locks", Ignored),
    // Settings of the server, which drivers of Go take from the string.
    only("TimeZone", Setting),
    only("DateStyle", Setting),
    only("client_min_messages", Setting),
    only("extra_float_digits", Setting),
    only("idle_in_transaction_session_timeout", Setting),
    only("idle_session_timeout", Setting),
    only("jit", Setting),
    only("lock_timeout", Setting),
    only("standard_conforming_strings", Setting),
    only("statement_timeout", Setting),
];

/// The parameter of this name.
pub(super) fn find(name: &str) -> Option<&'static Parameter> {
    let is_setting = |parameter: &&Parameter| {
        matches!(parameter.treatment, Setting) && parameter.name.eq_ignore_ascii_case(name)
    };
    let exact = PARAMETERS.iter().find(|parameter| parameter.name == name);
    exact.or_else(|| PARAMETERS.iter().find(is_setting))
}

/// The known name that is most like this one, if one is much like it.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    /// The longest name that is compared: the comparison takes time by its square.
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let plain = |name: &str| name.to_ascii_lowercase().replace(['_', '-'], "");
    let name = plain(name);
    PARAMETERS
        .iter()
        .map(|parameter| (distance(&name, &plain(parameter.name)), parameter.name))
        .min()
        .filter(|(distance, _)| *distance * 3 <= name.len())
        .map(|(_, nearest)| nearest)
}

/// The number of letters to insert, remove or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, left) in a.chars().enumerate() {
        let mut diagonal = line;
        row[0] = line + 1;
        for (column, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[b.len()]
}
