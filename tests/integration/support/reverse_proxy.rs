//! nginx and Caddy before a relay, configured by the files of deploy/, with certificates that are
//! made for the test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Child;

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::authority::{Authority, Form, text};
use super::https;
use super::stage::{end, folder_with, port, replace, shipped, start};

/// The name in the shipped files.
pub const NAME: &str = "relay.school.example";

/// A proxy before a relay.
pub struct ReverseProxy {
    process: Child,
    /// Where it speaks TLS.
    pub address: SocketAddr,
    /// Where it does not, if the file has such a place.
    pub clear: SocketAddr,
    /// The authority of its certificate.
    pub authority: PathBuf,
}

impl ReverseProxy {
    /// nginx by a file of deploy/. `changes` are parts of the file and what they become.
    pub async fn nginx(file: &str, relay: &str, changes: &[(&str, &str)]) -> Self {
        let mut plan = Plan::of(file, relay, "/etc/nginx", changes);
        for (from, to) in [("127.0.0.1:8443", plan.address), ("127.0.0.1:8080", plan.clear)] {
            if plan.text.contains(from) {
                plan.text = replace(&plan.text, from, &to.to_string());
            }
        }
        let folder = plan.folder.display().to_string();
        plan.text = replace(&plan.text, "/var/log/nginx/relay.log", &format!("{folder}/access"));
        // nginx makes these when it starts.
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let places: String =
            kinds.iter().map(|kind| format!("    {kind}_temp_path {folder}/{kind};\n")).collect();
        plan.text = replace(&plan.text, "http {\n", &format!("http {{\n{places}"));
        let config = plan.write("nginx.conf");
        let global = format!("daemon off; pid {folder}/pid;");
        let arguments = ["-e", "stderr", "-p", &folder, "-c", &config, "-g", &global];
        plan.begin("nginx", &arguments).await
    }

    /// Caddy by deploy/Caddyfile.
    pub async fn caddy(relay: &str) -> Self {
        let mut plan = Plan::of("Caddyfile", relay, "/etc/caddy", &[]);
        let place = format!("https://{NAME}:{}", plan.address.port());
        plan.text = replace(&plan.text, &format!("\n{NAME} {{"), &format!("\n{place} {{"));
        let options = format!(
            "\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system {}\n",
            plan.folder.display()
        );
        plan.text = replace(&plan.text, "\tadmin off\n", &options);
        let config = plan.write("Caddyfile");
        plan.begin("caddy", &["run", "--adapter", "caddyfile", "--config", &config]).await
    }

    /// A connection to the proxy by its name.
    pub async fn connect(&self) -> TlsStream<TcpStream> {
        https::connect(self.address, NAME, &self.authority).await
    }

    /// A request with these headers beside `Host`.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> http::Response<bytes::Bytes> {
        let headers = [&[("host", NAME), ("content-type", "application/json")], headers].concat();
        https::send(self.connect().await, method, path, &headers, body).await
    }
}

impl Drop for ReverseProxy {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

/// A shipped file with this machine's addresses, and a folder for the proxy.
struct Plan {
    text: String,
    folder: PathBuf,
    address: SocketAddr,
    clear: SocketAddr,
    authority: PathBuf,
}

impl Plan {
    fn of(file: &str, relay: &str, place: &str, changes: &[(&str, &str)]) -> Self {
        let (folder, _) = folder_with("empty", "");
        let authority = Authority::root(&folder, "root");
        let extensions = format!("subjectAltName=DNS:{NAME}");
        let form = Form { subject: "/CN=relay", extensions: &extensions, days: None };
        let issued = authority.issue("relay", &form);
        let mut whole = replace(&shipped(file), "127.0.0.1:8000", relay);
        for (from, to) in [
            (format!("{place}/relay.crt"), issued.certificate),
            (format!("{place}/relay.key"), issued.key),
        ] {
            whole = replace(&whole, &from, text(&to));
        }
        for (from, to) in changes {
            whole = replace(&whole, from, to);
        }
        let address = || SocketAddr::from(([127, 0, 0, 1], port()));
        let authority = authority.certificate();
        Self { text: whole, folder, address: address(), clear: address(), authority }
    }

    fn write(&self, name: &str) -> String {
        let file = self.folder.join(name);
        std::fs::write(&file, &self.text).expect("a file");
        text(&file).to_owned()
    }

    async fn begin(self, program: &str, arguments: &[&str]) -> ReverseProxy {
        let Self { folder, address, clear, authority, .. } = self;
        let process = start(program, arguments, &folder, address).await;
        ReverseProxy { process, address, clear, authority }
    }
}
