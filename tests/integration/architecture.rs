//! The rules of the house that a compiler does not know.

use std::fs;
use std::path::{Path, PathBuf};

/// Every file below src/, by its path there, without its tests and comments.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src").map(|entry| entry.expect("an entry").path())
        {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&entry).expect("a source");
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                let code = code
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .collect::<Vec<_>>();
                let path =
                    entry.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
                sources.push((path, code.join("\n")));
            }
        }
    }
    assert!(sources.len() > 40, "the sources were found");
    sources
}

/// Where any of `words` stands outside of `places`.
fn outside(places: &[&str], words: &[&str]) -> Vec<String> {
    let elsewhere = |path: &str| !places.iter().any(|place| path.starts_with(place));
    sources()
        .iter()
        .filter(|(path, _)| elsewhere(path))
        .flat_map(|(path, code)| {
            words
                .iter()
                .filter(|word| code.contains(**word))
                .map(move |word| format!("{path}: {word}"))
        })
        .collect()
}

#[test]
fn warp_and_hyper_stand_under_http_and_client() {
    let words = ["warp::", "hyper::", "hyper_util::", "tungstenite::"];
    assert_eq!(outside(&["http/", "client/"], &words), [""; 0]);
    // The words are those that the code uses.
    assert!(!outside(&[], &words[..1]).is_empty() && !outside(&[], &words[3..]).is_empty());
}

#[test]
fn sql_stands_in_its_places() {
    let places = ["store/", "writer/", "tail.rs", "migrate.rs", "embedded/", "listener.rs"];
    let words = [
        "SELECT ",
        "INSERT ",
        "UPDATE ",
        "DELETE FROM",
        "CREATE TABLE",
        "pg_notify",
        "batch_execute",
    ];
    assert_eq!(outside(&places, &words), [""; 0]);
    let listener =
        sources().into_iter().find(|(path, _)| path == "listener.rs").expect("the listener").1;
    assert!(
        words[..6].iter().all(|word| !listener.contains(word)),
        "the listener's SQL is its LISTEN"
    );
}

#[test]
fn what_moves_events_knows_no_socket() {
    let words = ["TcpStream", "TcpListener", "AsyncRead", "AsyncWrite", "crate::http", "WebSocket"];
    let others = [
        "http/",
        "client/",
        "cli/",
        "config.rs",
        "embedded/",
        "store/",
        "event/",
        "lib.rs",
        "migrate.rs",
        "listener.rs",
        "error.rs",
        "backoff.rs",
    ];
    assert_eq!(outside(&others, &words), [""; 0]);
}

/// Imports go one way: http → log, writer, store → event.
#[test]
fn imports_point_one_way() {
    let below = |folder: &str, above: &[&str]| -> Vec<String> {
        sources()
            .iter()
            .filter(|(path, _)| path.starts_with(folder))
            .flat_map(|(path, code)| {
                above
                    .iter()
                    .filter(|name| code.contains(&format!("crate::{name}")))
                    .map(move |name| format!("{path}: {name}"))
            })
            .collect()
    };
    assert_eq!(
        below(
            "event/",
            &["store", "state", "log", "writer", "tail", "listener", "http", "cli", "config"]
        ),
        [""; 0]
    );
    assert_eq!(
        below(
            "store/",
            &["state", "log", "writer", "tail", "listener", "http", "cli", "config", "migrate"]
        ),
        [""; 0]
    );
    assert_eq!(
        below("log/", &["store", "state", "writer", "tail", "listener", "http", "cli", "config"]),
        [""; 0]
    );
    assert_eq!(
        below("writer/", &["log", "state", "tail", "listener", "http", "cli", "config"]),
        [""; 0]
    );
    assert_eq!(
        below("state/", &["writer", "tail", "listener", "http", "cli", "config", "migrate"]),
        [""; 0]
    );
    assert_eq!(below("tail.rs", &["writer", "listener", "http", "cli", "config"]), [""; 0]);
    assert_eq!(below("http/", &["cli", "config", "embedded"]), [""; 0]);
}
