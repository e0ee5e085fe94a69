//! Certificates made by the `openssl` command, as operators make them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// An authority that signs certificates. Its files are in one folder, named after it.
pub struct Authority {
    folder: PathBuf,
    name: String,
    /// `openssl ca` notes what it has signed in files that it does not lock.
    signing: Mutex<()>,
}

/// The form of a certificate.
pub struct Form<'a> {
    /// The subject, as `/CN=name`.
    pub subject: &'a str,
    /// The extensions, a line each as in an openssl configuration. Without one the certificate is
    /// of version 1.
    pub extensions: &'a str,
    /// The first and the last day, as `20260101`. By default, yesterday and in 30 days.
    pub days: Option<(&'a str, &'a str)>,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// A root: a self-signed authority.
    pub fn root(folder: &Path, name: &str) -> Self {
        let authority = Self::named(folder, name);
        let key = key(folder, name, "P-256");
        let subject = format!("/O=progress-relay tests/CN={name}");
        let (own, to) = (text(&key), authority.certificate());
        let how = ["req", "-x509", "-new", "-key", own, "-out", text(&to)];
        openssl(&[&how[..], &["-days", "30", "-subj", &subject]].concat());
        authority.begin();
        authority
    }

    /// A certificate of a root's name and key that expired yesterday.
    pub fn outdated(&self) -> PathBuf {
        let file = |suffix: &str| self.folder.join(format!("{}-outdated.{suffix}", self.name));
        let (own, to) = (self.folder.join(format!("{}.key", self.name)), file("crt"));
        let subject = format!("/O=progress-relay tests/CN={}", self.name);
        let (request, extensions) = (file("csr"), file("ext"));
        let how = ["req", "-new", "-key", text(&own), "-subj", &subject, "-out", text(&request)];
        openssl(&how);
        fs::write(&extensions, "basicConstraints=critical,CA:TRUE\n").expect("extensions");
        let how = ["x509", "-req", "-in", text(&request), "-signkey", text(&own), "-days", "-1"];
        openssl(&[&how[..], &["-extfile", text(&extensions), "-out", text(&to)]].concat());
        to
    }

    fn named(folder: &Path, name: &str) -> Self {
        Self { folder: folder.to_owned(), name: name.to_owned(), signing: Mutex::new(()) }
    }

    /// An authority below this one.
    pub fn intermediate(&self, name: &str) -> Self {
        let form = Form {
            subject: &format!("/O=progress-relay tests/CN={name}"),
            extensions: "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign",
            days: None,
        };
        self.issue(name, &form);
        let authority = Self::named(&self.folder, name);
        authority.begin();
        authority
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join(format!("{}.crt", self.name))
    }

    /// Signs a certificate, with a new key.
    pub fn issue(&self, name: &str, form: &Form<'_>) -> Issued {
        let key = key(&self.folder, name, "P-256");
        self.issue_for(name, form, key)
    }

    /// Signs a certificate for a key that is there.
    pub fn issue_for(&self, name: &str, form: &Form<'_>, key: PathBuf) -> Issued {
        let file = |suffix: &str| self.folder.join(format!("{name}.{suffix}"));
        let (request, certificate) = (file("csr"), file("crt"));
        let subject = form.subject;
        openssl(&["req", "-new", "-key", text(&key), "-subj", subject, "-out", text(&request)]);
        let mut arguments = vec!["-in", text(&request), "-out", text(&certificate), "-notext"];
        let extensions = file("ext");
        if !form.extensions.is_empty() {
            fs::write(&extensions, format!("[own]\n{}\n", form.extensions)).expect("extensions");
            arguments.extend(["-extfile", text(&extensions), "-extensions", "own"]);
        }
        let days =
            form.days.map(|(from, until)| (format!("{from}000000Z"), format!("{until}000000Z")));
        if let Some((from, until)) = &days {
            arguments.extend(["-startdate", from, "-enddate", until]);
        }
        self.ca(&arguments);
        Issued { certificate, key }
    }

    /// Revokes a certificate. The next list has it.
    pub fn revoke(&self, certificate: &Path) {
        self.ca(&["-revoke", text(certificate)]);
    }

    /// Writes the list of the certificates that are revoked.
    pub fn list(&self, name: &str, is_expired: bool) -> PathBuf {
        let list = self.folder.join(format!("{name}.crl"));
        let mut arguments = vec!["-gencrl", "-out", text(&list)];
        if is_expired {
            const YEAR: [&str; 4] =
                ["-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20210101000000Z"];
            arguments.extend(YEAR);
        }
        self.ca(&arguments);
        list
    }

    /// Writes the configuration of `openssl ca`.
    fn begin(&self) {
        let own = self.folder.join(format!("{}.ca", self.name));
        fs::create_dir(&own).expect("a folder");
        for (file, content) in [("index", ""), ("serial", "1000\n"), ("lists", "1000\n")] {
            fs::write(own.join(file), content).expect("a file");
        }
        let config = format!(
            "[ca]\ndefault_ca=own\n[own]\ndatabase={own}/index\nserial={own}/serial\n\
             crlnumber={own}/lists\nnew_certs_dir={own}\ncertificate={certificate}\n\
             private_key={key}\ndefault_md=sha256\npolicy=any\nunique_subject=no\n\
             default_days=30\ndefault_crl_days=30\nemail_in_dn=no\n\
             [any]\ncommonName=optional\norganizationName=optional\n",
            own = own.display(),
            certificate = self.certificate().display(),
            key = self.folder.join(format!("{}.key", self.name)).display(),
        );
        fs::write(own.join("config"), config).expect("a configuration");
    }

    /// Runs `openssl ca`.
    fn ca(&self, arguments: &[&str]) {
        let config = self.folder.join(format!("{}.ca/config", self.name));
        let mut all = vec!["ca", "-batch", "-config", text(&config)];
        all.extend(arguments);
        let _one = self.signing.lock().unwrap_or_else(PoisonError::into_inner);
        openssl(&all);
    }
}

/// Makes a key: of an elliptic curve, or RSA, or Ed25519.
pub fn key(folder: &Path, name: &str, kind: &str) -> PathBuf {
    let file = folder.join(format!("{name}.key"));
    let curve = format!("ec_paramgen_curve:{kind}");
    let how: &[&str] = match kind {
        "RSA" => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "ED25519" => &["-algorithm", "ED25519"],
        _ => &["-algorithm", "EC", "-pkeyopt", &curve],
    };
    openssl(&[&["genpkey", "-out", text(&file)], how].concat());
    file
}

/// A self-signed certificate for a key, as PostgreSQL's manual makes it. `digest` is an option of
/// openssl, as `-sha256`; a key of Ed25519 needs none.
pub fn self_signed(folder: &Path, name: &str, host: &str, key: PathBuf, digest: &str) -> Issued {
    let certificate = folder.join(format!("{name}.crt"));
    let subject = format!("/CN={host}");
    let (own, to) = (text(&key), text(&certificate));
    let how = ["req", "-x509", "-new", digest, "-key", own, "-out", to];
    openssl(&[&how[..], &["-days", "30", "-subj", &subject]].concat());
    Issued { certificate, key }
}

/// Writes one PEM file of several.
pub fn joined(to: &Path, files: &[&Path]) -> PathBuf {
    let all: Vec<u8> = files.iter().flat_map(|file| fs::read(file).expect("a file")).collect();
    fs::write(to, all).expect("a file");
    to.to_owned()
}

/// Runs `openssl`.
pub fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().expect("openssl");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {}: {said}", arguments.join(" "));
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
