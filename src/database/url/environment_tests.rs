//! What the variables and the files around a string add to it: the password file, services, and the
//! files of TLS.

use super::tests::{ME, ROOT, around, summary};
use super::{Environment, Target};

#[test]
fn variables_fill_in_what_the_string_leaves_out() {
    let all = around()
        .variable("PGHOST", "a,b")
        .variable("PGPORT", "7")
        .variable("PGDATABASE", "x")
        .variable("PGUSER", "ada")
        .variable("PGPASSWORD", "pw")
        .variable("PGOPTIONS", "-c a=b")
        .variable("PGCONNECT_TIMEOUT", "4")
        .variable("PGSSLMODE", "require")
        .variable("PGCHANNELBINDING", "require")
        .variable("PGAPPNAME", "app")
        .variable("PGSSLSNI", "0");
    let rest = "; options -c a=b; timeout 4s; tls Require; only SNI; binding Require";
    all.reads("postgres://", &format!("ada password pw @ a 7 password pw, b 7 / x{rest}"));
    all.reads("postgres://eve:no@c:8/y", &format!("eve password no @ c 8 / y{rest}"));
    // A host without a port has the port of the variable, as in libpq.
    all.reads("postgres://eve@c/y", &format!("eve password pw @ c 7 / y{rest}"));
    let tls = |name, value| around().variable(name, value);
    tls("PGREQUIRESSL", "1").reads("host=a", "me @ a 5432 / me; tls Require");
    tls("PGREQUIRESSL", "1")
        .variable("PGSSLMODE", "allow")
        .reads("host=a", "me @ a 5432 / me; tls Allow");
    tls("PGSSLMODE", "allow").reads("postgres://a?ssl=true", "me @ a 5432 / me; tls Require");
    tls("PGSSLMODE", "").reads("host=a", "me @ a 5432 / me");
    tls("PGSSLMODE", "allow").refuses("host=a sslrootcert=system", &["needs sslmode=verify-full"]);
    tls("PGSSLMODE", "yes").refuses("host=a", &["PGSSLMODE: write disable"]);
    tls("PGGSSENCMODE", "require").refuses("host=a", &["PGGSSENCMODE: "]);
    tls("PGTARGETSESSIONATTRS", "standby").refuses("host=a", &["PGTARGETSESSIONATTRS: "]);
    tls("PGCLIENTENCODING", "LATIN1").refuses("host=a", &["PGCLIENTENCODING: "]);
    tls("PGPORT", "x").refuses("host=a", &["PGPORT: the port"]);
    tls("PGHOSTADDR", "::1").reads("host=a", "me @ a=::1 5432 / me");
}

#[test]
fn an_account_without_a_name_needs_a_user() {
    let nameless = || Environment { account: None, ..around().environment() };
    let error = Target::parse("host=a", &nameless()).expect_err("no user");
    assert!(error.to_string().contains("PGUSER"), "{error}");
    let named = Target::parse("postgres://ada@a", &nameless()).expect("a user");
    assert_eq!(summary(&named), "ada @ a 5432 / ada");
    assert!(Target::parse("postgres://ada@a", &Environment::empty()).is_ok());
}

#[test]
fn the_password_file_has_a_password_for_each_host() {
    const FILE: &str = "# comment\n\nshort:line\na:5432:x:ada:one\nb:*:*:ada:two\r\n\
        localhost:*:*:*:local\n/sockets:*:*:*:folder\n192.0.2.1:*:*:*:address\n\
        \\:\\:1:*:*:*:back\\\\slash\\:colon:rest\ne:*:*:*:\n*:*:last:*:any\n";
    let home = around().file("/home/me/.pgpass", FILE);
    home.reads(
        "postgres://ada@a,b:7,c/x",
        "ada password one @ a 5432 password two, b 7, c 5432 / x",
    );
    home.reads("postgres://ada:pw@a/x", "ada password pw @ a 5432 / x");
    home.reads("postgres://eve@a/x", "eve @ a 5432 / x");
    home.reads("postgres://eve@a/last", "eve password any @ a 5432 / last");
    home.reads("postgres://e/x", "me @ e 5432 / x");
    home.reads("postgres:///x", "me password local @ localhost 5432 / x");
    for folder in ["/var/run/postgresql", "/run/postgresql", "/tmp"] {
        let expected = format!("me password local @ socket {folder} 5432 / x");
        home.reads(&format!("dbname=x host={folder}"), &expected);
    }
    home.reads("dbname=x host=/sockets", "me password folder @ socket /sockets 5432 / x");
    home.reads("dbname=x hostaddr=192.0.2.1", "me password address @ =192.0.2.1 5432 / x");
    home.reads("dbname=x host=c hostaddr=192.0.2.1", "me @ c=192.0.2.1 5432 / x");
    home.reads("postgres://[::1]/x", "me password back\\slash:colon @ ::1 5432 / x");
    home.clone()
        .variable("PGPASSWORD", "env")
        .reads("postgres://ada@a/x", "ada password env @ a 5432 / x");
    let elsewhere = around().file("/p", "*:*:*:*:pw");
    elsewhere.reads("host=a passfile=/p", "me password pw @ a 5432 / me");
    elsewhere.clone().variable("PGPASSFILE", "/p").reads("host=a", "me password pw @ a 5432 / me");
    around().reads(
        "host=a passfile=/p",
        "me @ a 5432 / me; warning passfile: the password file is not used: it is not there",
    );
    elsewhere
        .variable("PGPASSFILE", "/p")
        .reads("host=a password=x", "me password x @ a 5432 / me");
}

#[test]
fn a_password_file_that_others_may_read_is_not_used() {
    for mode in [0o640, 0o604, 0o620, 0o601] {
        around().file_of("/home/me/.pgpass", mode, ME, "*:*:*:*:pw").reads(
            "host=a",
            "me @ a 5432 / me; warning ~/.pgpass: the password file is not used: its group \
                 or \
             others may read it; run chmod 600 on it",
        );
    }
    around().file("/home/me/.pgpass/x", "").reads(
        "host=a",
        "me @ a 5432 / me; warning ~/.pgpass: the password file is not used: it is no plain \
         file",
    );
}

#[test]
fn services_stand_in_the_file_of_the_home_or_the_system() {
    const FILE: &str = "host=nowhere\n[other]\nhost=c\nfoo\n\n# comment\n[prod]\nhost=a\n\
        port=7\nuser=ada\npassword=p=w\nhost=second\n[late]\nservice=x\n[wrong]\nfoo=SECRET\n\
        [bad]\nport=x\n";
    let home = around().file("/home/me/.pg_service.conf", FILE);
    let whole = "ada password p=w @ a 7 / x";
    home.reads("service=prod dbname=x", whole);
    home.reads("postgres:///x?service=prod", whole);
    home.clone().variable("PGSERVICE", "prod").reads("dbname=x", whole);
    home.clone().variable("PGHOST", "e").reads("service=prod dbname=x", whole);
    home.reads("service=prod host=b dbname=x", "ada password p=w @ b 7 / x");
    home.refuses("service=missing", &["no service file has the service"]);
    home.refuses("service=other", &["line 4", ".pg_service.conf", "NAME=VALUE"]);
    home.refuses("service=late", &["another service"]);
    home.refuses("service=wrong", &["line 16", "not known"]);
    home.refuses("service=bad", &["port of the service: "]);
    assert!(!home.read("service=wrong").contains("foo"));
    let system = around().file("/etc/postgresql-common/pg_service.conf", "[prod]\nhost=s\n");
    system.reads("service=prod dbname=x", "me @ s 5432 / x");
    let other = system.file("/etc/pg/pg_service.conf", "[prod]\nhost=t\n");
    let other = other.variable("PGSYSCONFDIR", "/etc/pg");
    other.reads("service=prod dbname=x", "me @ t 5432 / x");
    let named = other.file("/s", "[else]\nhost=u\n").variable("PGSERVICEFILE", "/s");
    named.reads("service=else dbname=x", "me @ u 5432 / x");
    named.reads("service=prod dbname=x", "me @ t 5432 / x");
    around().variable("PGSERVICEFILE", "/s").refuses("service=a", &["PGSERVICEFILE", "not there"]);
    around().variable("PGSERVICEFILE", "/s").reads("host=a", "me @ a 5432 / me");
}

#[test]
fn files_of_tls() {
    let a = "me @ a 5432 / me";
    let roots = around().file("/home/me/.postgresql/root.crt", "");
    roots.reads("host=a", &format!("{a}; roots /home/me/.postgresql/root.crt"));
    roots.reads("host=a sslmode=disable", &format!("{a}; tls Disable"));
    roots.reads(
        "host=a sslmode=require",
        &format!("{a}; tls Require; roots /home/me/.postgresql/root.crt"),
    );
    around().reads("host=a sslmode=require sslrootcert=/r", &format!("{a}; tls Require"));
    for mode in ["verify-ca", "verify-full"] {
        around().refuses(&format!("host=a sslmode={mode}"), &["sslrootcert=system", "root.crt"]);
        let missing = format!("host=a sslmode={mode} sslrootcert=/r");
        around().refuses(&missing, &["sslrootcert: the file is not there"]);
        roots.refuses(&missing, &["sslrootcert: the file is not there"]);
    }
    around().reads("host=a sslrootcert=system", &format!("{a}; tls VerifyFull; roots system"));
    for mode in ["disable", "allow", "prefer", "require", "verify-ca"] {
        around().refuses(
            &format!("host=a sslrootcert=system sslmode={mode}"),
            &["sslrootcert=system needs sslmode=verify-full"],
        );
    }
    let revoked = roots.file("/home/me/.postgresql/root.crl", "").file("/c", "");
    let files = "; roots /home/me/.postgresql/root.crt; revoked ";
    revoked.reads("host=a", &format!("{a}{files}/home/me/.postgresql/root.crl"));
    revoked.reads("host=a sslcrl=/c", &format!("{a}{files}/c"));
    revoked.refuses("host=a sslcrl=/d", &["sslcrl: the file is not there"]);
}

#[test]
fn client_certificates() {
    let a = "me @ a 5432 / me";
    let home = around().file("/home/me/.postgresql/postgresql.crt", "");
    home.refuses("host=a", &["~/.postgresql/postgresql.key", "sslkey=FILE"]);
    let home = home.file("/home/me/.postgresql/postgresql.key", "");
    let client = "client /home/me/.postgresql/postgresql.crt /home/me/.postgresql/postgresql.key";
    home.reads("host=a", &format!("{a}; {client}"));
    home.reads("host=a sslcertmode=disable", a);
    home.reads("host=a sslmode=disable", &format!("{a}; tls Disable"));
    home.refuses("host=a sslcert=/c", &["sslcert: the file is not there"]);
    home.refuses("host=a sslkey=/k", &["sslkey: ", "not there"]);
    let with = |mode, owner| around().file("/c", "").file_of("/k", mode, owner, "");
    let text = "host=a sslcert=/c sslkey=/k";
    for (mode, owner) in [(0o600, ME), (0o400, ME), (0o600, ROOT), (0o640, ROOT)] {
        with(mode, owner).reads(text, &format!("{a}; client /c /k"));
    }
    for (mode, owner) in [(0o640, ME), (0o604, ME), (0o644, ROOT), (0o660, ROOT)] {
        with(mode, owner).refuses(text, &["sslkey: others may read", "chmod 600"]);
    }
    around().reads("host=a sslkey=/k", a);
}

/// A mode that is set for other programs needs no files where every host is a Unix socket.
#[test]
fn a_unix_socket_needs_no_certificates() {
    let strict = around().variable("PGSSLMODE", "verify-full");
    strict.reads("host=/tmp", "me @ socket /tmp 5432 / me");
    strict.refuses("host=/tmp,db", &["sslrootcert"]);
    let open = around().file("/home/me/.postgresql/postgresql.crt", "").file_of(
        "/home/me/.postgresql/postgresql.key",
        0o644,
        ME,
        "",
    );
    open.reads("host=/tmp", "me @ socket /tmp 5432 / me");
    open.refuses("host=db", &["chmod 600"]);
}
