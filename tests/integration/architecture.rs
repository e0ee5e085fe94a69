//! The rules of the house that a compiler does not know: who imports whom, and where warp, SQL and
//! sockets may stand. The table below is exhaustive: a folder that it does not list fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// The folders and files directly below src/, lowest first, each with the ones that it imports. A
/// row names only rows above it, so no circle is possible; and it names each one that it imports
/// and no other, so the table is the truth. ARCHITECTURE.md shows it (`make docs` writes it there).
const IMPORTS: &[(&str, &str)] = &[
    ("error", ""),
    ("repeated", ""),
    ("supervisor", ""),
    ("background", ""),
    ("metrics", ""),
    ("cryptography", ""),
    ("encoding", "background"),
    ("backoff", "metrics repeated"),
    ("client", "backoff cryptography error"),
    ("event", ""),
    ("agreement", "event metrics"),
    ("database", "agreement cryptography error event"),
    ("migrate", "database"),
    ("embedded", "database"),
    ("log", "event metrics"),
    ("rejections", "database event metrics repeated"),
    ("access", "backoff client cryptography database event repeated"),
    ("audit", "access database metrics repeated"),
    ("prober", "agreement database event repeated supervisor"),
    ("writer", "agreement backoff database event metrics supervisor"),
    ("state", "background database encoding event metrics repeated"),
    ("tail", "agreement backoff database event log metrics state supervisor"),
    ("listener", "agreement backoff database metrics migrate repeated supervisor tail"),
    ("housekeeping", "agreement backoff database event repeated state supervisor"),
    (
        "http",
        "access agreement audit backoff cryptography database encoding error event listener log \
         metrics migrate rejections repeated state tail writer",
    ),
    ("testing", "access cryptography http"),
    ("doctor", "client database migrate"),
    (
        "relay",
        "access agreement audit backoff database embedded error event housekeeping http \
         listener log metrics migrate prober rejections repeated state supervisor tail writer",
    ),
    (
        "cli",
        "access backoff client cryptography database doctor embedded error event housekeeping http \
         migrate relay state writer",
    ),
];

/// One file below src/: its module path, and its syntax without its tests.
struct Source {
    path: String,
    module: Vec<String>,
    text: String,
    syntax: syn::File,
}

/// Every file below src/ but main.rs, which only calls the library.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src").map(|entry| entry.expect("an entry").path())
        {
            let path = entry.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
            if entry.is_dir() {
                folders.push(entry);
            } else if path.ends_with(".rs") && path != "main.rs" && !path.ends_with("tests.rs") {
                sources.push(source(path, fs::read_to_string(&entry).expect("a source")));
            }
        }
    }
    assert!(sources.len() > 40, "the sources were found");
    sources
}

fn source(path: String, text: String) -> Source {
    let mut syntax = syn::parse_file(&text).expect("Rust");
    syntax.items.retain(|item| !is_test(item));
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let stem = path.trim_end_matches(".rs");
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    let module = match stem {
        "lib" => Vec::new(),
        stem => stem.split('/').map(str::to_owned).collect(),
    };
    Source { module, text: code.join("\n"), syntax, path }
}

fn is_test(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    })
}

/// Collects the paths that a file names, each from the crate's root.
struct Paths<'a> {
    module: &'a [String],
    modules: &'a BTreeSet<Vec<String>>,
    found: BTreeSet<Vec<String>>,
}

impl Paths<'_> {
    /// Notes the module that `segments` lead to: the longest beginning that is one.
    fn note(&mut self, segments: &[String]) {
        let mut path: Vec<String> = match segments.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => self.module.to_vec(),
            Some(first) => {
                let mut child = self.module.to_vec();
                child.push(first.to_owned());
                if !self.modules.contains(&child) {
                    return;
                }
                self.module.to_vec()
            }
            None => return,
        };
        for segment in segments {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => drop(path.pop()),
                name => path.push(name.to_owned()),
            }
        }
        while !self.modules.contains(&path) {
            path.pop();
        }
        if path != self.module {
            self.found.insert(path);
        }
    }

    fn tree(&mut self, tree: &syn::UseTree, before: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.tree(&path.tree, before);
                before.pop();
            }
            syn::UseTree::Name(syn::UseName { ident })
            | syn::UseTree::Rename(syn::UseRename { ident, .. }) => {
                before.push(ident.to_string());
                self.note(before);
                before.pop();
            }
            syn::UseTree::Glob(_) => self.note(before),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, before);
                }
            }
        }
    }

    /// Paths in a macro's tokens, which the parser does not see.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if path.is_empty() || colons == 2 => {
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                }
                other => {
                    self.note(&std::mem::take(&mut path));
                    colons = 0;
                    match other {
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        TokenTree::Ident(ident) => path.push(ident.to_string()),
                        TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                    }
                }
            }
        }
        self.note(&path);
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    /// `pub(super)` names a module, and imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> =
            path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.note(&segments);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }
}

/// The modules that each module imports, by path.
fn imports() -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let sources = sources();
    let modules: BTreeSet<Vec<String>> =
        sources.iter().map(|source| source.module.clone()).collect();
    sources
        .iter()
        .filter(|source| !source.module.is_empty())
        .map(|source| {
            let mut paths =
                Paths { module: &source.module, modules: &modules, found: BTreeSet::new() };
            paths.visit_file(&source.syntax);
            paths.found.remove(&Vec::new());
            (source.module.clone(), paths.found)
        })
        .collect()
}

#[test]
fn every_import_is_in_the_table_and_the_table_is_true() {
    let mut actual: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, imported) in imports() {
        let folders = actual.entry(module[0].clone()).or_default();
        folders.extend(imported.iter().map(|path| path[0].clone()).filter(|to| *to != module[0]));
    }
    let allowed: BTreeMap<String, BTreeSet<String>> = IMPORTS
        .iter()
        .map(|(folder, imports)| {
            ((*folder).to_owned(), imports.split_whitespace().map(str::to_owned).collect())
        })
        .collect();
    let table = |rows: &BTreeMap<String, BTreeSet<String>>| -> String {
        rows.iter().map(|(folder, imports)| format!("{folder}: {imports:?}\n")).collect()
    };
    assert_eq!(table(&actual), table(&allowed));
}

#[test]
fn the_table_has_no_circle() {
    for (place, (folder, imports)) in IMPORTS.iter().enumerate() {
        for import in imports.split_whitespace() {
            let above = IMPORTS[..place].iter().any(|(name, _)| *name == import);
            assert!(above, "{folder} imports {import}, which is not above it");
        }
    }
}

/// ARCHITECTURE.md shows the table as it is.
#[test]
fn the_document_shows_the_table() {
    const BEGIN: &str = "<!-- imports: begin (written by `make docs`) -->\n";
    const END: &str = "<!-- imports: end -->\n";
    const COLUMNS: usize = 100;
    let mut text = String::from("\n");
    for (folder, imports) in IMPORTS.iter().rev() {
        let imports = if imports.is_empty() { "nothing" } else { imports };
        let mut line = format!("- `{folder}`:");
        for name in imports.split_whitespace() {
            if line.len() + 1 + name.len() > COLUMNS {
                text.push_str(&format!("{line}\n"));
                line = String::from(" ");
            }
            line.push_str(&format!(" {name}"));
        }
        text.push_str(&format!("{line}\n"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let document = fs::read_to_string(&path).expect("ARCHITECTURE.md");
    let (before, rest) = document.split_once(BEGIN).expect("the mark before the table");
    let (_, after) = rest.split_once(END).expect("the mark after the table");
    let expected = format!("{before}{BEGIN}{text}\n{END}{after}");
    if std::env::var_os("WRITE_DOCS").is_some() {
        fs::write(&path, &expected).expect("the document is written");
    } else {
        assert!(document == expected, "ARCHITECTURE.md is out of date: run `make docs`");
    }
}

/// The modules that import themselves by way of others.
pub fn circles() -> Vec<String> {
    let imports = imports();
    imports
        .keys()
        .filter_map(|from| {
            let mut seen = BTreeSet::new();
            let mut open: Vec<Vec<&Vec<String>>> = vec![vec![from]];
            while let Some(way) = open.pop() {
                let Some(last) = way.last() else { continue };
                for to in imports.get(*last).into_iter().flatten() {
                    if to == from {
                        let names: Vec<_> = way.iter().map(|module| module.join("::")).collect();
                        return Some(format!("{} -> {}", names.join(" -> "), from.join("::")));
                    }
                    if seen.insert(to) {
                        open.push(way.iter().copied().chain([to]).collect());
                    }
                }
            }
            None
        })
        .collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles = circles();
    assert!(circles.is_empty(), "circles of imports:\n{}", circles.join("\n"));
}

/// Where any of `words` stands outside of `places`.
fn outside(places: &[&str], words: &[&str]) -> Vec<String> {
    let elsewhere = |path: &str| !places.iter().any(|place| path.starts_with(place));
    sources()
        .iter()
        .filter(|source| elsewhere(&source.path))
        .flat_map(|source| {
            let found = words.iter().filter(|word| source.text.contains(**word));
            found.map(|word| format!("{}: {word}", source.path)).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn warp_and_hyper_stand_under_http() {
    let words = ["warp::", "hyper::", "hyper_util::", "tungstenite::"];
    assert_eq!(outside(&["http/", "client/"], &words), [""; 0]);
    // The words are those that the code uses.
    assert!(!outside(&[], &words[..1]).is_empty() && !outside(&[], &words[3..]).is_empty());
}

#[test]
fn sql_stands_in_its_places() {
    // The commands that `doctor` advises are text for people: it runs no statement itself.
    let places =
        ["database/", "writer/", "migrate.rs", "migrate/", "embedded/", "listener.rs", "doctor/"];
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
    let runs = ["batch_execute", "simple_query", ".query", ".execute"];
    let doctor: String = sources()
        .into_iter()
        .filter(|source| source.path.starts_with("doctor/"))
        .map(|source| source.text)
        .collect();
    assert!(!doctor.is_empty() && runs.iter().all(|word| !doctor.contains(word)));
    let listener = sources().into_iter().find(|source| source.path == "listener.rs");
    let listener = listener.expect("the listener").text;
    assert!(words[..6].iter().all(|word| !listener.contains(word)), "its SQL is its LISTEN");
}

#[test]
fn the_parts_that_move_events_know_no_socket() {
    let words = ["TcpStream", "TcpListener", "AsyncRead", "AsyncWrite", "WebSocket"];
    let others = ["http/", "client/", "cli/", "relay/", "embedded/", "database/"];
    assert_eq!(outside(&others, &words), [""; 0]);
}
