//! Strings as people write them, each with all that was read, or with the error's sentence.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::environment::{FileStatus, Files};
use super::parameters::{PARAMETERS, Treatment, find, nearest};
use super::*;
use crate::database::target::{Place, Roots};

pub(super) const ME: u32 = 1000;
pub(super) const ROOT: u32 = 0;

/// Files that only a test knows, with mode and owner.
#[derive(Debug, Default, Clone)]
struct TestFiles(BTreeMap<PathBuf, (u32, u32, String)>);

impl Files for TestFiles {
    fn status(&self, path: &Path) -> Option<FileStatus> {
        let folder = || self.0.keys().any(|file| file.starts_with(path));
        match self.0.get(path) {
            Some((mode, owner, _)) => {
                Some(FileStatus { is_file: true, mode: *mode, owner: *owner })
            }
            None => folder().then_some(FileStatus { is_file: false, mode: 0o755, owner: ROOT }),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(file.2.clone().into_bytes())
    }
}

/// The environment of a test: account `me`, home `/home/me`.
#[derive(Debug, Default, Clone)]
pub(super) struct Around {
    variables: Vec<(&'static str, &'static str)>,
    files: TestFiles,
}

impl Around {
    pub(super) fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    /// A file that is its owner's alone.
    pub(super) fn file(self, path: &str, content: &str) -> Self {
        self.file_of(path, 0o600, ME, content)
    }

    pub(super) fn file_of(mut self, path: &str, mode: u32, owner: u32, content: &str) -> Self {
        self.files.0.insert(PathBuf::from(path), (mode, owner, content.to_owned()));
        self
    }

    pub(super) fn environment(&self) -> Environment {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Environment {
            variables: self.variables.iter().map(owned).collect(),
            home: Some(PathBuf::from("/home/me")),
            account: Some("me".to_owned()),
            files: Box::new(self.files.clone()),
        }
    }

    /// All that is read from `text`, without what has its default; or the error.
    #[track_caller]
    pub(super) fn read(&self, text: &str) -> String {
        match Target::parse(text, &self.environment()) {
            Ok(target) => summary(&target),
            Err(error) => format!("error: {error}"),
        }
    }

    #[track_caller]
    pub(super) fn reads(&self, text: &str, expected: &str) {
        assert_eq!(self.read(text), expected, "{text}");
    }

    /// The error contains all of `words`.
    #[track_caller]
    pub(super) fn refuses(&self, text: &str, words: &[&str]) {
        let read = self.read(text);
        assert!(read.starts_with("error: "), "{text} is taken: {read}");
        for word in words {
            assert!(read.contains(word), "{text}: {read} does not say {word:?}");
        }
    }
}

pub(super) fn around() -> Around {
    Around::default()
}

/// `USER[:PASSWORD]@HOST:PORT[, …]/DATABASE`, then what is not as by default.
pub(super) fn summary(target: &Target) -> String {
    let mut text = target.user.clone();
    for (index, host) in target.hosts.iter().enumerate() {
        let password = host.password.as_deref().map(String::from_utf8_lossy);
        if let Some(password) = password {
            let _ = write!(text, " password {password}");
        }
        let place = match &host.place {
            Place::Tcp { name: Some(name), address: None } => name.clone(),
            Place::Tcp { name, address } => {
                let name = name.as_deref().unwrap_or_default();
                format!("{name}={}", address.map(|address| address.to_string()).unwrap_or_default())
            }
            Place::Unix(folder) => format!("socket {}", folder.display()),
        };
        let sign = if index == 0 { " @" } else { "," };
        let _ = write!(text, "{sign} {place} {}", host.port);
    }
    let _ = write!(text, " / {}", target.database);
    let mut add = |name: &str, value: String| {
        let _ = write!(text, "; {name} {value}");
    };
    target.options.iter().for_each(|options| add("options", options.clone()));
    target.schema.iter().for_each(|schema| add("schema", schema.clone()));
    target.connect_timeout.iter().for_each(|time| add("timeout", format!("{time:?}")));
    let tls = &target.tls;
    // A Unix socket is never encrypted.
    let by_sockets = target.hosts.iter().all(|host| matches!(host.place, Place::Unix(_)));
    if tls.mode != crate::database::target::TlsMode::Prefer && !by_sockets {
        add("tls", format!("{:?}", tls.mode));
    }
    match &tls.roots {
        Roots::None => {}
        Roots::File(path) => add("roots", path.display().to_string()),
        Roots::System => add("roots", "system".to_owned()),
    }
    if let Some((certificate, key)) = &tls.client {
        add("client", format!("{} {}", certificate.display(), key.display()));
    }
    tls.revoked.iter().for_each(|path| add("revoked", path.display().to_string()));
    for (set, name) in [
        (tls.only_tls13, "TLS 1.3"),
        (tls.only_tls12, "TLS 1.2"),
        (!tls.send_name, "SNI"),
        (tls.direct, "direct"),
    ] {
        if set {
            add("only", name.to_owned());
        }
    }
    if target.channel_binding != ChannelBinding::Prefer {
        add("binding", format!("{:?}", target.channel_binding));
    }
    if target.is_pooled {
        add("is", "pooled".to_owned());
    }
    target.warnings.iter().for_each(|warning| add("warning", warning.clone()));
    text
}

#[test]
fn urls_of_every_dialect() {
    let whole = "ada password pw @ db 6543 / progress";
    for scheme in [
        "postgres",
        "postgresql",
        "postgresql+asyncpg",
        "postgresql+psycopg2",
        "postgres+x",
        "POSTGRES",
    ] {
        around().reads(&format!("{scheme}://ada:pw@db:6543/progress"), whole);
    }
    around().reads("  postgres://ada:pw@db:6543/progress\n", whole);
    around().reads("host=db port=6543 user=ada password=pw dbname=progress", whole);
    around().reads("postgres:///progress?host=db&port=6543&user=ada&password=pw", whole);
    around()
        .reads("postgres://h/other?host=db&port=6543&user=ada&password=pw&dbname=progress", whole);
    around().reads("postgres://db", "me @ db 5432 / me");
    around().reads("postgres://ada@db", "ada @ db 5432 / ada");
    around().reads("postgres://ada:@db/?", "ada @ db 5432 / ada");
    around().reads("postgres://db?&dbname=x&", "me @ db 5432 / x");
    around().refuses("jdbc:postgresql://db/progress", &["jdbc:", "sslmode", "postgres://USER"]);
    around().refuses("r2dbc:pool:postgresql://db/progress", &["r2dbc:", "postgres://USER"]);
    for quoted in ["\"postgres://db/x\"", "'postgres://db/x'", "psql 'postgres://db/x'"] {
        around().refuses(quoted, &["leave out the quotes", "psql"]);
    }
    for semicolons in [
        "Server=db;Database=x;Port=5432;User Id=ada;Password=SECRET;Ssl Mode=Require;",
        "Host=db; Username=ada; Password=SECRET",
        "Driver={PostgreSQL Unicode};Server=db;Uid=ada;Pwd=SECRET;",
        "pgsql:host=db;port=5432;dbname=x;user=ada;password=SECRET",
    ] {
        around().refuses(semicolons, &["semicolons", "postgres://USER"]);
        assert!(!around().read(semicolons).contains("SECRET"));
    }
    around().reads("password=a;b host=db", "me password a;b @ db 5432 / me");
    around().reads("host=db password=a;b", "me password a;b @ db 5432 / me");
    around().refuses("mysql://ada:pw@db/progress", &["no URL of PostgreSQL"]);
    around().refuses("progress", &["neither a URL nor a list of NAME=VALUE"]);
    around().refuses("", &["empty"]);
    around().refuses("host=db\0", &["NUL"]);
}

#[test]
fn escapes_and_passwords() {
    let reads = |text: &str, password: &str| {
        let expected = format!("ada password {password} @ db 5432 / x");
        around().reads(text, &expected);
    };
    reads("postgres://ada:%40%3A%2F%3F%23%25@db/x", "@:/?#%");
    reads("postgres://ada:p@ss@db/x", "p@ss");
    reads("postgres://ada:p@s:s@db:5432/x", "p@s:s");
    reads("postgres://ada:p?s#s@db/x", "p?s#s");
    reads("postgres://ada:p?a=b@db/x", "p?a=b");
    reads("postgres://ada:a+b@db/x", "a+b");
    reads("postgres://ada:%C3%A4@db/x", "ä");
    reads("postgres://ada@db/x?password=%26%3D", "&=");
    reads("postgres://ada@db/x?password=a=b", "a=b");
    around().reads("postgres://a%40b:pw@db/d%20b", "a@b password pw @ db 5432 / d b");
    around().reads("postgres://db/x?user=ada@srv", "ada@srv @ db 5432 / x");
    // As in libpq, the @ ends a password that has a ?.
    around().refuses("postgres://db?user=ada@srv&password=x", &["host: it is no name"]);
}

/// A password that is not escaped is refused with a word on escaping, and without the password.
#[test]
fn a_password_is_never_repeated() {
    for (text, hint) in [
        ("postgres://ada:SECRET/x@db/x", "%2F"),
        ("postgres://ada:12/SECRET@db/x", "%2F"),
        ("postgres://ada:12?SECRET/x@db/x", "%3F"),
        ("postgres://ada:12/x?SECRET=1@db/x", "%3F"),
        ("postgres://ada:12/x?SECRET@db/x", "%3F"),
        ("postgres://ada:SEC%RET@db/x", "%25"),
        ("postgres://ada:SECRET%@db/x", "%25"),
        ("postgres://ada:SECRET%FF@db/x", "UTF-8"),
        ("postgres://ada:SECRET%00@db/x", "%00"),
        ("postgres://ada:x@SECRET?x@db/x", "%3F"),
        ("postgres://ada@db/x?password=12&SECRET=1", "%26"),
        ("postgres://ada@db/x?password=12&SECRET", "%26"),
        ("host=db password=12 SECRET", "quotes"),
        ("host=db password=12 SECRET=1", "quotes"),
        ("host=db password='12' SECRET='1'", "quotes"),
        ("host=db password='SECRET", "quote"),
        ("host=SECRET:5432@x password=1", "port="),
        ("SECRET", "form"),
        ("SECRET://x", "form"),
        ("postgres://[SECRET]/x", "[::1]"),
        ("postgres://[::1/SECRET]", "[::1]"),
        ("postgres://[::1]SECRET/x", "[::1]"),
        ("postgres://::1/x", "brackets"),
        ("postgres://db:SECRET/x", "%2F"),
        ("host=db sslmode=SECRET", "verify-full"),
        ("host=db port=SECRET", "65535"),
    ] {
        around().refuses(text, &[hint]);
        let read = around().read(text);
        assert!(!read.contains("SEC"), "{text}: {read}");
    }
    let target = Target::parse("postgres://a:SECRET@b/c", &around().environment()).expect("a URL");
    assert!(!format!("{target:?}").contains("SECRET"), "{target:?}");
}

#[test]
fn keywords_have_libpqs_quoting() {
    let reads = |text: &str, password: &str| {
        around().reads(text, &format!("me password {password} @ db 5432 / x"));
    };
    reads(r"host=db dbname=x password=a\ b\'c\\d", r"a b'c\d");
    reads(r"host = db dbname ='x' password = 'a b\'c\\d' ", r"a b'c\d");
    reads("password='a=b' host=db\tdbname=x", "a=b");
    reads("password=a'b host=db dbname=x", "a'b");
    reads("password=a://b host=db dbname=x", "a://b");
    reads("password=old host=db password=new dbname=x", "new");
    around().reads("host=db dbname=x password=''", "me @ db 5432 / x");
    around().reads("host=db dbname=x password=", "me @ db 5432 / x");
    around().refuses("host=db dbname", &["NAME=VALUE"]);
    around().refuses("=db", &["not known"]);
}

#[test]
fn hosts_ports_and_addresses() {
    let reads = |text: &str, hosts: &str| around().reads(text, &format!("me @ {hosts} / x"));
    reads("postgres://a,b:2,c/x", "a 5432, b 2, c 5432");
    reads("postgres://a:1,b:2/x?target_session_attrs=primary", "a 1, b 2");
    reads("host=a,b port=1,2 dbname=x", "a 1, b 2");
    reads("host=a,b port=7 dbname=x", "a 7, b 7");
    reads("host=a,b port=,7 dbname=x", "a 5432, b 7");
    reads("postgres://[::1]:7,[fe80::1%25eth0]/x", "::1 7, fe80::1%eth0 5432");
    reads("host=::1,[::2] dbname=x", "::1 5432, ::2 5432");
    reads("postgres://127.0.0.1/x", "127.0.0.1 5432");
    reads("host=db hostaddr=192.0.2.1 dbname=x", "db=192.0.2.1 5432");
    reads("hostaddr=::1,192.0.2.1 port=1,2 dbname=x", "=::1 1, =192.0.2.1 2");
    reads("host=a,b hostaddr=,192.0.2.1 dbname=x", "a 5432, b=192.0.2.1 5432");
    reads("postgres://%2Frun%2Fpostgresql/x", "socket /run/postgresql 5432");
    reads("postgres://%2Fa,b:7/x", "socket /a 5432, b 7");
    reads("postgres:///x?host=/run/postgresql", "socket /run/postgresql 5432");
    reads("postgres://localhost/x?host=/tmp", "socket /tmp 5432");
    reads("host=/tmp port=7 dbname=x", "socket /tmp 7");
    reads("host=/tmp hostaddr=::1 dbname=x", "=::1 5432");
    around().refuses("postgres:///x?host=@db", &["host: abstract"]);
    around().refuses("host=./db", &["host: the folder"]);
    around().refuses("host=db:5432", &["host: it holds a colon", "port="]);
    around().refuses("host='a b'", &["host: it is no name"]);
    around().refuses("host=a,b hostaddr=::1", &["2 hosts", "1 addresses"]);
    around().refuses("host=a,b port=1,2,3", &["3 ports for 2 hosts"]);
    let of_variables = around().variable("PGHOSTADDR", "::1").variable("PGPORT", "1,2,3");
    of_variables.refuses("host=a,b", &["PGHOSTADDR 1 addresses"]);
    of_variables.refuses("host=a,b hostaddr=::1,::2", &["PGPORT names 3 ports"]);
    around().refuses("hostaddr=db", &["hostaddr: it is no IP address"]);
    for port in ["0", "65536", "-1", "+1", "1e3", "a"] {
        around().refuses(&format!("host=a port={port}"), &["port: the port is no number"]);
    }
    around().refuses("postgres://a:+1/x", &["the port is no number"]);
    around().refuses("postgres://a:65536/x", &["port: the port is no number"]);
    around().refuses("postgres://a%2Cb/x", &["comma"]);
}

#[test]
fn without_a_host_the_socket_that_is_there_is_taken() {
    around().reads("postgres://", "me @ localhost 5432 / me");
    around().reads("postgres:///x", "me @ localhost 5432 / x");
    around().reads("dbname=x host=", "me @ localhost 5432 / x");
    let debian = around().file("/var/run/postgresql/.s.PGSQL.5432", "");
    debian.reads("postgres:///x", "me @ socket /var/run/postgresql 5432 / x");
    debian.reads("postgres:///x?port=7", "me @ socket /var/run/postgresql 7 / x");
    let source = debian.file("/tmp/.s.PGSQL.7", "");
    source.reads("postgres:///x?port=7", "me @ socket /tmp 7 / x");
    source.reads("postgres://:7/x", "me @ socket /tmp 7 / x");
}

#[test]
fn parameters_that_are_taken() {
    let reads = |parameters: &str, expected: &str| {
        around().reads(
            &format!("postgres://db/x?{parameters}"),
            &format!("me @ db 5432 / x{expected}"),
        );
    };
    reads("options=-c%20work_mem%3D4MB", "; options -c work_mem=4MB");
    reads("options=endpoint%3Dep-cool-1", "; options endpoint=ep-cool-1");
    reads("connect_timeout=3", "; timeout 3s");
    reads("connect_timeout=0", "");
    reads("connect_timeout=-1", "");
    reads("schema=relay", "; schema relay");
    reads("currentSchema=relay&search_path=relay", "; schema relay");
    reads("channel_binding=require", "; binding Require");
    reads("channel_binding=disable", "; binding Disable");
    reads("sslmode=require&sslsni=0", "; tls Require; only SNI");
    reads("sslmode=require&sslnegotiation=direct", "; tls Require; only direct");
    reads("ssl_min_protocol_version=TLSv1.3", "; only TLS 1.3");
    reads("ssl_min_protocol_version=TLSv1&ssl_max_protocol_version=TLSv1.2", "; only TLS 1.2");
    reads("pgbouncer=true&connection_limit=1&pool_timeout=0&statement_cache_size=0", "; is pooled");
    reads("pgbouncer=false&prepared_statement_cache_size=0&pool_mode=session", "");
    reads("ssl=true", "; tls Require");
    reads("ssl=0", "; tls Disable");
    reads("ssl=verify-ca&sslmode=require", "; tls Require");
    reads("sslmode=VERIFY-FULL&sslrootcert=system", "; tls VerifyFull; roots system");
    reads("requiressl=1", "; tls Require");
    reads("application_name=a&fallback_application_name=b&keepalives=0&keepalives_idle=1", "");
    reads("keepalives_interval=1&keepalives_count=1&tcp_user_timeout=1&sslcompression=0", "");
    reads("client_encoding=UTF8&gssencmode=prefer&krbsrvname=a&gsslib=b&gssdelegation=0", "");
    reads("target_session_attrs=any&load_balance_hosts=random&replication=false", "");
    reads("uselibpqcompat=true&sslaccept=accept_invalid_certs&requirepeer=", "");
    // Rails, SQLAlchemy, Django, pgx, GORM, and Vercel with Supabase.
    reads("pool=5&encoding=unicode&prepared_statements=false&reaping_frequency=10", "");
    reads("schema_search_path=relay&advisory_locks=false&checkout_timeout=5", "; schema relay");
    reads("pool_size=5&max_overflow=10&pool_recycle=300&pool_pre_ping=true", "");
    reads("conn_max_age=600&conn_health_checks=true", "");
    reads("pool_max_conns=4&pool_max_conn_lifetime=1h30m&default_query_exec_mode=exec", "");
    reads("TimeZone=Asia/Shanghai&timezone=UTC&statement_timeout=5000&JIT=off", "");
    reads("supa=base-pooler.x", "");
}

#[test]
fn parameters_that_are_refused() {
    for (parameter, hint) in [
        ("client_encoding=LATIN1", "UTF8"),
        ("replication=database", "replication"),
        ("gssencmode=require", "sslmode=verify-full"),
        ("target_session_attrs=read-only", "primary"),
        ("target_session_attrs=standby", "primary"),
        ("target_session_attrs=prefer-standby", "primary"),
        ("require_auth=scram-sha-256", "channel_binding"),
        ("requirepeer=postgres", "leave it out"),
        ("sslpassword=x", "openssl"),
        ("sslcertmode=require", "allow"),
        ("sslcrldir=/x", "sslcrl"),
        ("sslidentity=x.p12", "sslcert"),
        ("sslaccept=strict", "sslmode=verify-full"),
        ("scram_client_key=x", "password"),
        ("ssl=no-verify", "sslmode"),
        ("sslmode=no-verify", "require"),
        ("ssl_max_protocol_version=TLSv1.1", "TLSv1.2"),
        ("connect_timeout=soon", "seconds"),
        ("search_path=a,b", "one schema"),
        ("unix_sock=/cloudsql/a:b:c/.s.PGSQL.5432", "write host"),
        ("encoding=latin1", "UTF8"),
        ("schema=%22a%22", "one schema"),
    ] {
        let name = parameter.split('=').next().unwrap_or_default();
        around().refuses(&format!("postgres://db/x?{parameter}"), &[&format!("{name}: "), hint]);
    }
    around().refuses("host=db schema=a currentSchema=b", &["currentSchema: another parameter"]);
    around().refuses("host=db ssl=true sslmode=disable", &["ssl: it contradicts sslmode"]);
    around().refuses("host=db sslnegotiation=direct", &["sslnegotiation=direct", "require"]);
    around().refuses(
        "host=db ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2",
        &["ssl_min_protocol_version is above"],
    );
    around().refuses("postgres://db/x?sslMode=require", &["sslMode is not known", "is sslmode"]);
    around().refuses("postgres://db/x?ApplicationName=a", &["is application_name"]);
    around().refuses("host=db pasword=x", &["pasword is not known", "is password"]);
    around().refuses("host=db frobnicate=x", &["frobnicate is not known; remove it"]);
    around().refuses("postgres://db/x?sslmode", &["a parameter has no value"]);
}

#[test]
fn every_parameter_has_one_row_and_a_sentence_that_helps() {
    let names: std::collections::BTreeSet<_> = PARAMETERS.iter().map(|known| known.name).collect();
    assert_eq!(names.len(), PARAMETERS.len());
    for known in PARAMETERS {
        if let Treatment::Refused(sentence) | Treatment::OneOf(_, sentence) = known.treatment {
            assert!(!sentence.ends_with('.') && sentence.len() > 10, "{}", known.name);
        }
        assert_eq!(nearest(known.name), Some(known.name));
    }
    assert!(find("SSLMODE").is_none() && find("STATEMENT_TIMEOUT").is_some());
    assert_eq!(nearest("completely_different_name"), None);
    assert_eq!(nearest(&"x".repeat(100_000)), None);
}

/// The document says of every parameter and variable what is done with it.
#[test]
fn the_document_names_every_parameter_and_variable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let document = std::fs::read_to_string(path).expect("docs/configuration.md");
    let (_, section) = document.split_once("\n## Connection strings\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let names = PARAMETERS.iter().flat_map(|known| known.variable.into_iter().chain([known.name]));
    let is_there =
        |name: &str| ["`", "="].iter().any(|end| section.contains(&format!("`{name}{end}")));
    let missing: Vec<&str> = names.filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "docs/configuration.md does not name {missing:?}");
}

#[test]
fn the_forms_of_vendors() {
    // Cloud SQL.
    let socket = "/cloudsql/project:europe-west1:relay";
    let expected = format!("ada password pw @ socket {socket} 5432 / x");
    around().reads(&format!("postgres://ada:pw@/x?host={socket}"), &expected);
    around().reads(&format!("postgres://ada:pw@localhost/x?host={socket}"), &expected);
    let escaped = socket.replace('/', "%2F").replace(':', "%3A");
    around().reads(&format!("postgres://ada:pw@{escaped}/x"), &expected);
    // asyncpg and Prisma.
    around().reads(
        "postgresql+asyncpg://ada:pw@db/x?ssl=require&prepared_statement_cache_size=0",
        "ada password pw @ db 5432 / x; tls Require",
    );
    around().reads(
        "postgresql://ada:pw@db:6543/x?schema=relay&connection_limit=5&pool_timeout=10\
         &pgbouncer=true&connect_timeout=15",
        "ada password pw @ db 6543 / x; schema relay; timeout 15s; is pooled",
    );
    around().reads(
        "postgres://ada:pw@ep-cool-1.eu-central-1.aws.neon.tech/neondb?sslmode=require\
         &channel_binding=require&options=endpoint%3Dep-cool-1",
        "ada password pw @ ep-cool-1.eu-central-1.aws.neon.tech 5432 / neondb; options \
         endpoint=ep-cool-1; tls Require; binding Require",
    );
    around().reads(
        "postgresql://postgres.abcd:pw@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true",
        "postgres.abcd password pw @ aws-0-eu.pooler.supabase.com 6543 / postgres; is pooled",
    );
    around().reads(
        "host=srv.postgres.database.azure.com port=5432 dbname=relay user=ada@srv password=pw \
         sslmode=verify-full sslrootcert=system",
        "ada@srv password pw @ srv.postgres.database.azure.com 5432 / relay; tls VerifyFull; roots \
         system",
    );
    around().file("/etc/rds.pem", "").reads(
        "postgres://relay:p%40w@relay.abc.eu-west-1.rds.amazonaws.com/relay?sslmode=verify-full\
         &sslrootcert=/etc/rds.pem",
        "relay password p@w @ relay.abc.eu-west-1.rds.amazonaws.com 5432 / relay; tls VerifyFull; \
         roots /etc/rds.pem",
    );
}

/// Texts that are made of the pieces that the parsers look for.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("postgres://"),
        Just("host="),
        Just("password="),
        Just("port="),
        Just("sslmode="),
        Just("service="),
        Just("prod"),
        Just("passfile="),
        Just("/home/me/.pgpass"),
        Just("@"),
        Just(":"),
        Just("/"),
        Just("?"),
        Just("&"),
        Just("="),
        Just("%2F"),
        Just("%"),
        Just("%C3"),
        Just("["),
        Just("]"),
        Just("::1"),
        Just(","),
        Just(" "),
        Just("'"),
        Just("\\"),
        Just("é"),
        Just("5432"),
        Just("x"),
        Just("ssl"),
        Just("true"),
    ];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), composed in pieces(), file in any::<String>()) {
        let around = around()
            .file("/home/me/.pgpass", &file)
            .file("/home/me/.pg_service.conf", &format!("[prod]\n{file}"));
        let _ = around.read(&text);
        let _ = around.read(&format!("postgres://{text}"));
        let _ = around.read(&composed);
        let _ = around.read("host=a service=prod");
    }

    #[test]
    fn no_error_and_no_warning_repeats_a_password(before in pieces(), after in pieces()) {
        let url = format!("postgres://ada:{before}SECRET{after}@db/x");
        match Target::parse(&url, &around().environment()) {
            Ok(target) => prop_assert!(!target.warnings.concat().contains("SECRET"), "{}", url),
            Err(error) => prop_assert!(!error.to_string().contains("SECRET"), "{}: {}", url, error),
        }
    }

    #[test]
    fn an_escaped_password_is_read_as_it_was(password in "[^\0]{1,20}", user in "[^\0]{1,20}") {
        use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
        let escape = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let url = format!("postgres://{}:{}@db/x", escape(&user), escape(&password));
        let quote = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
        let words =
            format!("host=db dbname=x user='{}' password='{}'", quote(&user), quote(&password));
        for text in [url, words] {
            let target = Target::parse(&text, &around().environment()).expect("a string");
            prop_assert_eq!(&target.user, &user);
            prop_assert_eq!(target.hosts[0].password.as_deref(), Some(password.as_bytes()));
        }
    }
}
