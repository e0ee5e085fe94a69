//! The package as pip builds and installs it, in a clean environment without a network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::{each, runs};
use crate::support::kernel::{Home, STARTUP, package, python};
use crate::support::{Database, Relay};

/// Runs a command to its end, and returns what it prints.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out.into_owned()
}

/// The only file of a folder that ends so.
fn only(folder: &Path, end: &str) -> PathBuf {
    let files =
        fs::read_dir(folder).expect("a folder").filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<_> = files.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

/// Builds a wheel of a source by the clients' Python, without a network.
fn wheel(source: &Path, into: &Path) -> PathBuf {
    run(Command::new(python())
        .args(["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"])
        .arg("--wheel-dir")
        .arg(into)
        .arg(source));
    only(into, ".whl")
}

/// A new environment, which sees the packages of Jupyter, and has this wheel.
fn environment(folder: &Path, wheel: &Path) -> PathBuf {
    run(Command::new(python()).args(["-m", "venv"]).arg(folder));
    let clean = folder.join("bin/python");
    run(Command::new(&clean).args(["-m", "pip", "install", "--quiet", "--no-index"]).arg(wheel));
    clean
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_install_and_a_variable_are_enough() {
    let home = Home::bare();
    // pip leaves files beside the sources.
    let source = home.folder.join("source");
    run(Command::new("cp").arg("-r").arg(package()).arg(&source));
    let built = wheel(&source, &home.folder.join("wheels"));
    let build = "import setuptools.build_meta as b, sys; b.build_sdist(sys.argv[1])";
    let sdists = home.folder.join("sdists");
    run(Command::new(python()).current_dir(&source).args(["-c", build]).arg(&sdists));
    let again = wheel(&only(&sdists, ".tar.gz"), &home.folder.join("wheels-of-the-sdist"));
    assert_eq!(built.file_name(), again.file_name());

    let folder = home.folder.join("clean");
    let clean = environment(&folder, &again);
    let startup = folder.join("etc/ipython/startup").join(STARTUP);
    assert!(startup.exists(), "{startup:?}");
    // It needs no other package, IPython included.
    let status = run(Command::new(&clean)
        .args(["-m", "progress_relay", "status"])
        .env("RELAY_URL", "http://127.0.0.1:8000/student-progress?class=algebra&token=secret"));
    assert!(status.contains("http://127.0.0.1:8000, class algebra"), "{status}");
    assert!(!status.contains("secret"), "{status}");

    // A kernel of the environment records by the variable alone; without it, it does not.
    let lib = only(&folder.join("lib"), "").join("site-packages");
    let jupyter = only(&python().parent().expect("bin").with_file_name("lib"), "");
    let jupyter = jupyter.join("site-packages").display().to_string();
    fs::write(lib.join("jupyter.pth"), jupyter + "\n").expect("a file");
    let database = Database::new().await;
    let relay = Relay::start(&database, &[]).await;
    let url = relay.url.to_string();
    for (number, address) in [(1, &*url), (2, "")] {
        let variables = [("PYTHONPATH", ""), ("RELAY_URL", address)];
        let mut kernel = home.kernel_of(&clean, &url, &variables).await;
        let outputs = kernel.run(&format!("{number}")).await;
        assert_eq!(outputs.len(), 1, "{outputs:?}");
        if address.is_empty() {
            // One line in a notebook, and what is missing is said.
            let outputs = kernel.run("%load_ext progress_relay").await;
            assert!(outputs[0]["text"].as_str().is_some_and(|text| text.contains("RELAY_URL")));
            kernel.run(&format!("%progress to {url} class=algebra user=emmy")).await;
            kernel.run("3").await;
        }
        kernel.shut_down().await;
    }
    let rows = runs(&database, 2).await;
    assert_eq!(each(&rows, "code"), [&json!("1"), &json!("3")]);
    assert_eq!(each(&rows, "userId"), [&json!("ada"), &json!("emmy")]);

    run(Command::new(&clean).args([
        "-m",
        "pip",
        "uninstall",
        "--quiet",
        "--yes",
        "progress-relay",
    ]));
    assert!(!startup.exists(), "pip takes the file back");
}
