//! The table of checks, docs/doctor.md and these tests name the same checks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The checks that can be no worse than a remark.
const REMARKS: [&str; 3] = ["settings.role", "replication.standbys", "relay.release"];

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn sources(folder: &str) -> String {
    let files = fs::read_dir(root(folder)).expect("a folder").map(|entry| entry.expect("a file"));
    files.map(|file| fs::read_to_string(file.path()).expect("a source")).collect()
}

/// The variant, the id and the description of each check, from the table in the code.
fn checks() -> Vec<(String, String, String)> {
    let code = fs::read_to_string(root("src/doctor/checks.rs")).expect("the table");
    let rows = code.split("row(").filter_map(|row| {
        let variant = row.trim_start().strip_prefix("Check::")?.split(',').next()?;
        let mut texts = row.split('"').skip(1).step_by(2);
        Some((variant.to_owned(), texts.next()?.to_owned(), texts.next()?.to_owned()))
    });
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 30, "the checks were found: {rows:?}");
    rows
}

/// The first argument of each call of `function` in these tests.
fn tested(function: &str) -> BTreeSet<String> {
    let code = sources("tests/integration/commands/doctor");
    let call = format!("{function}(");
    let calls = code.split(&call).skip(1);
    let ids = calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next());
    ids.map(str::to_owned).collect()
}

#[test]
fn every_check_is_provoked_by_a_test() {
    let (wrong, remark) = (tested("assert_wrong"), tested("assert_remark"));
    let code = sources("src/doctor");
    let can_be_wrong: BTreeSet<&str> = code
        .split("wrong(")
        .skip(1)
        .filter_map(|call| call.trim_start().strip_prefix("Check::")?.split(',').next())
        .collect();
    for (variant, id, _) in checks() {
        if REMARKS.contains(&&*id) {
            assert!(remark.contains(&id), "no test makes {id} a remark");
            assert!(!can_be_wrong.contains(&*variant), "{id} can be wrong: it needs a test");
        } else {
            assert!(wrong.contains(&id), "no test makes {id} wrong");
        }
    }
}

#[test]
fn the_document_describes_every_check() {
    let document = fs::read_to_string(root("docs/doctor.md")).expect("docs/doctor.md");
    let sections: Vec<&str> = document.split("\n### `").skip(1).collect();
    let described: Vec<&str> =
        sections.iter().filter_map(|section| section.split('`').next()).collect();
    let checks = checks();
    let ids: Vec<&str> = checks.iter().map(|(_, id, _)| &**id).collect();
    assert_eq!(described, ids, "docs/doctor.md, then the code");
    for (section, (_, id, tries)) in sections.iter().zip(&checks) {
        let words: Vec<&str> = section.split_whitespace().collect();
        let text = words.join(" ");
        assert!(text.contains(&format!("It {tries}")), "{id}: the table says: It {tries}");
        let meaning = if REMARKS.contains(&&**id) { "- Remark: " } else { "- Wrong: " };
        assert!(text.contains(meaning) && text.contains("- To do: "), "{id}");
    }
}
