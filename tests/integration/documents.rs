//! The documents, held to the code: every problem type is described, every link leads somewhere,
//! every test that is named exists, and the README stays short.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The most lines that the README may have.
const README_LINES: usize = 150;
/// The fewest problem types that the search of the code must find.
const MIN_PROBLEMS: usize = 20;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below a folder whose names end with `extension`.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut folders = vec![root().join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(extension) {
                files.push(path);
            }
        }
    }
    files
}

fn documents() -> Vec<PathBuf> {
    let mut documents: Vec<PathBuf> = ["docs", "deploy", "examples"]
        .into_iter()
        .flat_map(|folder| files(folder, ".md"))
        .collect();
    documents.extend(
        ["README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG"]
            .map(|name| root().join(name).with_extension("md")),
    );
    documents
}

/// The status of a constant of [`http::StatusCode`].
fn status(constant: &str) -> u16 {
    let statuses = (100..1000).filter_map(|code| http::StatusCode::from_u16(code).ok());
    let named = |status: &http::StatusCode| {
        let reason = status.canonical_reason().unwrap_or_default();
        reason.to_uppercase().replace([' ', '-'], "_") == constant
    };
    statuses.into_iter().find(named).map_or_else(|| panic!("{constant}?"), |status| status.as_u16())
}

/// The problem types that the code makes, with their statuses: the first text in each call of
/// `Problem::new` and `Problem::unavailable`, also where `Self` is the problem.
fn problems_in_code() -> BTreeMap<String, u16> {
    let mut problems = BTreeMap::new();
    for file in files("src/http", ".rs") {
        let code = fs::read_to_string(file).expect("a source");
        for call in ["Problem::new(", "Self::new(", "::unavailable("] {
            for (at, _) in code.match_indices(call) {
                let arguments = code[at + call.len()..].trim_start();
                let (constant, arguments) = match arguments.strip_prefix("StatusCode::") {
                    Some(rest) => rest.split_once(',').expect("more arguments"),
                    None if call == "::unavailable(" => ("SERVICE_UNAVAILABLE", arguments),
                    None => continue,
                };
                let Some(text) = arguments.trim_start().strip_prefix('"') else { continue };
                let (name, _) = text.split_once('"').expect("the end of a text");
                let before = problems.insert(name.to_owned(), status(constant));
                let same = before.is_none_or(|before| before == status(constant));
                assert!(same, "{name} has two statuses");
            }
        }
    }
    assert!(problems.len() >= MIN_PROBLEMS, "the problem types were found: {problems:?}");
    problems
}

/// The names by which the metric of 503s counts: the texts of `CAUSES`.
fn counted_causes() -> Vec<String> {
    let code = read("src/http/measures.rs");
    let (_, rest) = code.split_once("const CAUSES: &[&str] = &[").expect("CAUSES");
    let (causes, _) = rest.split_once("];").expect("its end");
    causes.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_problem_type_is_described() {
    let document = read("docs/errors.md");
    let headings = document.lines().filter_map(|line| line.strip_prefix("### `"));
    let mut described = BTreeMap::new();
    for heading in headings {
        let (name, status) = heading.split_once("` (").expect("a name and a status");
        let status: u16 = status.trim_end_matches(')').parse().expect("a status");
        let before = described.insert(name.to_owned(), status);
        assert_eq!(before, None, "docs/errors.md describes {name} twice");
    }
    let in_code = problems_in_code();
    assert_eq!(described, in_code, "docs/errors.md, then the code");
    for section in document.split("\n### ").skip(1) {
        for line in ["\n- When: ", "\n- Client: ", "\n- Operator: "] {
            assert!(section.contains(line), "{line:?} is missing in {section}");
        }
    }

    // The metric counts a 503 by its name, and drops a name that is no label.
    let unavailable = in_code.iter().filter(|(_, status)| **status == 503).map(|(name, _)| name);
    let mut counted = counted_causes();
    counted.sort_unstable();
    assert!(unavailable.eq(&counted), "CAUSES in http/measures.rs has {counted:?}");

    let openapi: Value = serde_json::from_str(&read("src/http/api/openapi.json")).expect("JSON");
    let types = &openapi["components"]["schemas"]["Problem"]["properties"]["type"]["examples"];
    let types = types.as_array().expect("the types").iter().filter_map(Value::as_str);
    let mut listed: Vec<&str> =
        types.map(|name| name.trim_start_matches("urn:progress-relay:problem:")).collect();
    listed.sort_unstable();
    assert!(listed.iter().copied().eq(in_code.keys()), "openapi.json lists {listed:?}");
}

/// The targets of a document's links, outside of code.
fn links(document: &str) -> Vec<&str> {
    let text = document.lines().filter(|line| !line.starts_with("    "));
    text.flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .filter(|target| !target.contains("://"))
        .collect()
}

/// The anchor that a heading gets: lower case, blanks as hyphens, other signs left out.
fn anchor(heading: &str) -> String {
    let kept = |sign: &char| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    for path in documents() {
        let document = fs::read_to_string(&path).expect("a document");
        for link in links(&document) {
            count += 1;
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().expect("a folder").join(file),
            };
            assert!(target.exists(), "{}: {link}", path.display());
            if !fragment.is_empty() {
                let text = fs::read_to_string(&target).expect("a document");
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let found = headings
                    .any(|heading| anchor(heading.trim_start_matches('#').trim()) == fragment);
                assert!(found, "{}: {link}", path.display());
            }
        }
    }
    assert!(count > 40, "links were found: {count}");
}

/// docs/faults.md names tests; where a name ends in `…`, the rest is left out.
#[test]
fn every_test_that_is_named_exists() {
    let sources = ["src", "tests"].into_iter().flat_map(|folder| files(folder, ".rs"));
    let code: String = sources.map(|file| fs::read_to_string(file).expect("a source")).collect();
    let document = read("docs/faults.md");
    let named = document.split('`').skip(1).step_by(2).filter(|name| {
        let test = name.rsplit("::").next().unwrap_or_default();
        test.matches('_').count() >= 2 && test.chars().all(|c| c.is_lowercase() || "_…".contains(c))
    });
    let mut count = 0;
    for name in named {
        let test = name.rsplit("::").next().unwrap_or_default();
        let declared = match test.strip_suffix('…') {
            Some(begin) => format!("fn {begin}"),
            None => format!("fn {test}()"),
        };
        assert!(code.contains(&declared), "docs/faults.md names {name}, which is no test");
        count += 1;
    }
    assert!(count > 30, "names were found: {count}");
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines");
}
