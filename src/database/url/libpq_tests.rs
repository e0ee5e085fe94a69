//! psql is given the same string and surroundings as the parser, and connects to a port at which
//! this test notes whom it logs in as. Both must read the same.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

/// Ends a test whose psql neither speaks nor closes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The message of the last client, after which the listener rests.
const END: &[u8] = b"end";

/// A login: user, database, options and password.
#[derive(Debug, Default, PartialEq, Eq)]
struct Login {
    user: String,
    database: String,
    options: Option<String>,
    password: Option<String>,
}

/// Reads a message: a length, which counts itself, and a body.
fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap_or(4) - 4];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// What a client says until it has sent its password, or left without one; nothing of the client
/// that says [`END`].
fn read_login(mut stream: TcpStream) -> io::Result<Option<Login>> {
    const START: [u8; 4] = [0, 3, 0, 0];
    const ASK_FOR_PASSWORD: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = loop {
        let body = read_message(&mut stream)?;
        if let Some(body) = body.strip_prefix(&START) {
            break body.to_vec();
        }
        if body == END {
            return Ok(None);
        }
        // A request for TLS or for GSSAPI.
        stream.write_all(b"N")?;
    };
    let mut texts = body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text));
    let mut said = BTreeMap::new();
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        said.insert(name.into_owned(), value.into_owned());
    }
    stream.write_all(&ASK_FOR_PASSWORD)?;
    let password = stream.read_exact(&mut [0]).and_then(|()| read_message(&mut stream)).ok();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned();
    Ok(Some(Login {
        user: said.remove("user").unwrap_or_default(),
        database: said.remove("database").unwrap_or_default(),
        options: said.remove("options"),
        password: password.map(text),
    }))
}

/// The surroundings of both.
struct Stage {
    psql: PathBuf,
    home: PathBuf,
    listener: TcpListener,
}

impl Stage {
    /// A home folder, in which `{P}` stands for the port.
    fn new(psql: PathBuf, name: &str, files: &[(&str, u32, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let home = std::env::temp_dir().join(format!("relay-libpq-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a folder");
        let stage = Self { psql, home, listener };
        for (file, mode, content) in files {
            let path = stage.home.join(file);
            std::fs::write(&path, stage.with_port(content)).expect("a file");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode))
                .expect("a mode");
        }
        stage
    }

    fn with_port(&self, text: &str) -> String {
        let port = self.listener.local_addr().expect("its address").port();
        text.replace("{P}", &port.to_string()).replace("{HOME}", &self.home.display().to_string())
    }

    /// What psql says to the port, if it reaches it.
    fn psql(&self, text: &str, variables: &[(&str, &str)]) -> Option<Login> {
        let mut psql = Command::new(&self.psql);
        psql.args(["-w", "-X", "-c", "SELECT 1", "-d", &self.with_port(text)]).env_clear();
        psql.env("HOME", &self.home);
        psql.envs(variables.iter().map(|(name, value)| (name, self.with_port(value))));
        let mut process =
            psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        std::thread::scope(|scope| {
            let logins = scope.spawn(|| {
                let clients = self.listener.incoming().map(|client| client.and_then(read_login));
                // psql may also leave without a word.
                clients
                    .map_while(|login| login.map_or(Some(None), |login| login.map(Some)))
                    .flatten()
                    .last()
            });
            process.wait().expect("psql ends");
            let address = self.listener.local_addr().expect("its address");
            let mut last = TcpStream::connect(address).expect("the listener");
            last.write_all(&[&[0, 0, 0, 7], END].concat()).expect("the listener");
            logins.join().expect("the listener")
        })
    }

    /// What the parser reads, with the port's host.
    fn parser(&self, text: &str, variables: &[(&str, &str)]) -> Result<Login, UrlError> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), self.with_port(value)))
            .collect();
        let home = Some(self.home.clone());
        let environment = Environment { variables, home, ..Environment::of_process() };
        let target = Target::parse(&self.with_port(text), &environment)?;
        let port = self.listener.local_addr().expect("its address").port();
        let host = target.hosts.iter().find(|host| host.port == port);
        let password = host.and_then(|host| host.password.clone());
        Ok(Login {
            user: target.user,
            database: target.database,
            options: target.options,
            password: password.map(|password| String::from_utf8_lossy(&password).into_owned()),
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// psql itself. Debian's command of that name is a script that sets variables.
fn find_psql() -> Option<PathBuf> {
    let releases = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = releases.map(|release| release.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = debian.chain(std::env::split_paths(&path)).map(|folder| folder.join("psql"));
    let found = folders.find(|psql| psql.exists());
    if found.is_none() {
        eprintln!("skipped: there is no psql");
    }
    found
}

const PASSWORDS: &str = "# comment\n127.0.0.1:1:*:*:no\n127.0.0.1:{P}:x:ada:f\\:i\\\\le:rest\n\
    named:{P}:*:eve:by name\n*:*:last:*:\n*:*:last:*:second\n127.0.0.1:*:*:bob:bob's\n";
const SERVICES: &str = "[other]\nhost=nowhere\n\n[prod]\nhost=127.0.0.1\nport={P}\nuser=ada\n\
    # comment\ndbname=of=service\noptions=-c a=b\nuser=second\n[next]\nport=1\n";

#[test]
fn psql_reads_the_same() {
    let Some(psql) = find_psql() else { return };
    let stage = Stage::new(
        psql,
        "same",
        &[(".pgpass", 0o600, PASSWORDS), (".pg_service.conf", 0o644, SERVICES)],
    );
    let host = ("PGHOST", "127.0.0.1");
    let port = ("PGPORT", "{P}");
    for (text, variables) in [
        ("postgres://ada:p%40%3A%2F%3F%23%25w@127.0.0.1:{P}/d%20b", &[][..]),
        ("postgresql://ada:a?b#c=d&e@127.0.0.1:{P}/x", &[]),
        ("postgres://ada:a+b:c@127.0.0.1:{P}/x+y", &[]),
        ("postgres://127.0.0.1:{P}", &[]),
        ("postgres://ada:@127.0.0.1:{P}/?", &[]),
        ("postgres://:pw@127.0.0.1:{P}/a/b", &[]),
        ("postgres://ada@127.0.0.1:{P}/x", &[]),
        ("postgres://bob@127.0.0.1:{P}/x", &[]),
        ("postgres://eve@127.0.0.1:{P}/last", &[]),
        ("postgres://eve@127.0.0.1:{P}/x", &[]),
        ("postgres://eve@named:{P}/x?hostaddr=127.0.0.1", &[]),
        ("postgres://eve@/x?hostaddr=127.0.0.1&port={P}", &[]),
        ("postgres://bob@/x?hostaddr=127.0.0.1&port={P}", &[]),
        ("postgres://nowhere:1/y?host=127.0.0.1&port={P}&user=u&password=p&dbname=d", &[]),
        ("postgres://bob@127.0.0.1:1,127.0.0.1:{P}/x", &[]),
        ("postgres://ada:pw@127.0.0.1:{P}/x?options=-c%20a%3Db&connect_timeout=9", &[]),
        ("host = 127.0.0.1 port={P} user ='a b' password = 'c\\'d\\\\e' dbname=f\\ g", &[]),
        ("host=127.0.0.1 port={P} user=a'b password=c=d dbname=''", &[]),
        ("host=127.0.0.1 port={P} user=old user=new password=", &[]),
        ("host=127.0.0.1,127.0.0.1 port=1,{P} user=bob", &[]),
        ("service=prod", &[]),
        ("service=prod dbname=x", &[]),
        ("postgres://eve:pw@/?service=prod", &[]),
        ("postgres://", &[host, port]),
        ("postgres://bob@127.0.0.1/x", &[port]),
        ("user=bob", &[host, port, ("PGDATABASE", "e"), ("PGUSER", "no")]),
        ("dbname=x", &[host, port, ("PGUSER", "ada"), ("PGPASSWORD", "env")]),
        ("user=ada password=own", &[host, port, ("PGPASSWORD", "env"), ("PGOPTIONS", "-c c=d")]),
        ("user=ada password=''", &[host, port, ("PGPASSWORD", "env")]),
        ("user=ada dbname=x", &[host, port, ("PGPASSFILE", "/nowhere")]),
        ("user=ada dbname=x", &[host, port, ("PGPASSFILE", "{HOME}/.pg_service.conf")]),
        ("dbname=x", &[("PGSERVICE", "prod"), ("PGHOST", "nowhere"), ("PGUSER", "no")]),
        ("dbname=x service=prod", &[("PGSERVICEFILE", "{HOME}/.pg_service.conf")]),
        ("user=ada dbname=x", &[host, port, ("PGREQUIRESSL", "0"), ("PGAPPNAME", "a")]),
    ] {
        let psql = stage.psql(text, variables);
        let psql = psql.unwrap_or_else(|| panic!("psql reaches no port by {text} {variables:?}"));
        let parser = stage.parser(text, variables);
        assert_eq!(parser, Ok(psql), "{text} {variables:?}");
    }
}

#[test]
fn psql_refuses_the_same() {
    let Some(psql) = find_psql() else { return };
    let stage =
        Stage::new(psql, "refused", &[(".pg_service.conf", 0o644, "[a]\nfoo=b\n[b]\nservice=a\n")]);
    let host = "host=127.0.0.1 port={P}";
    for (text, variables) in [
        ("postgres://127.0.0.1:{P}x/x", &[][..]),
        ("postgres://127.0.0.1:{P}/x?foo=bar", &[]),
        ("postgres://127.0.0.1:{P}/x?sslmode", &[]),
        ("postgres://127.0.0.1:{P}/%00", &[]),
        ("postgres://127.0.0.1:{P}/%zz", &[]),
        ("postgres://127.0.0.1:{P}/%4", &[]),
        ("postgres://[127.0.0.1:{P}/x", &[]),
        ("postgres://[::1]x:{P}/x", &[]),
        ("postgres://127.0.0.1,127.0.0.1/x?port={P},{P},{P}", &[]),
        ("host=127.0.0.1 hostaddr=127.0.0.1,127.0.0.1 port={P}", &[]),
        ("host=127.0.0.1 port=0", &[]),
        ("host=127.0.0.1 port=65536", &[]),
        ("host=127.0.0.1 port={P} password='x", &[]),
        ("host=127.0.0.1 port={P} password", &[]),
        ("host=127.0.0.1 port={P} sslmode=yes", &[]),
        ("host=127.0.0.1 port={P} channel_binding=yes", &[]),
        ("host=127.0.0.1 port={P} target_session_attrs=yes", &[]),
        ("host=127.0.0.1 port={P} gssencmode=yes", &[]),
        ("host=127.0.0.1 port={P} ssl_min_protocol_version=2", &[]),
        ("host=127.0.0.1 port={P} connect_timeout=soon", &[]),
        (
            "host=127.0.0.1 port={P} ssl_min_protocol_version=TLSv1.3 \
             ssl_max_protocol_version=TLSv1.2",
            &[],
        ),
        ("service=missing", &[]),
        ("service=a", &[]),
        ("service=b", &[]),
        (host, &[("PGSSLMODE", "yes")]),
        (host, &[("PGTARGETSESSIONATTRS", "yes")]),
        (host, &[("PGSERVICE", "missing")]),
        (host, &[("PGSERVICE", "a"), ("PGSERVICEFILE", "/nowhere")]),
    ] {
        assert_eq!(stage.psql(text, variables), None, "psql takes {text} {variables:?}");
        assert!(stage.parser(text, variables).is_err(), "{text} {variables:?}");
    }
    assert!(stage.psql(host, &[]).is_some(), "the rest of the strings is not refused");
}
