//! The size of the code: lines of files and functions, widths, words of doc comments.
//!
//! `make figures` prints them. Comments, blank lines and tests do not count as lines of code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The longest file, in lines of code.
const FILE_LINES: usize = 400;
/// The longest function outside of tests, in lines of code.
const FUNCTION_LINES: usize = 70;
/// The longest line, in characters.
const COLUMNS: usize = 100;

/// A Rust file, and the numbers of its lines of code.
struct Source {
    path: PathBuf,
    text: String,
    syntax: syn::File,
    code: BTreeSet<usize>,
}

/// Every Rust file below this folder of the repository.
fn sources(folder: &str) -> Vec<Source> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(source(path));
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}

fn source(path: PathBuf) -> Source {
    let text = fs::read_to_string(&path).expect("a source");
    let mut syntax = syn::parse_file(&text).expect("Rust");
    let is_code = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    let lines = text.lines().enumerate().filter(|(_, line)| is_code(line));
    let mut code: BTreeSet<usize> = lines.map(|(index, _)| index + 1).collect();
    syntax.items.retain(|item| {
        let is_test = matches!(item, syn::Item::Mod(item) if is_test(&item.attrs));
        if is_test {
            code.retain(|line| !lines_of(item).contains(line));
        }
        !is_test
    });
    Source { path, text, syntax, code }
}

/// Whether an item has the attribute `#[cfg(test)]`.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    })
}

fn lines_of(item: &impl Spanned) -> std::ops::RangeInclusive<usize> {
    let span = item.span();
    span.start().line..=span.end().line
}

/// The functions of a file: name and lines of code.
struct Functions<'a> {
    code: &'a BTreeSet<usize>,
    found: Vec<(String, usize)>,
}

impl Functions<'_> {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (first, last) = (*lines_of(signature).start(), *lines_of(block).end());
        let lines = self.code.range(first..=last).count();
        self.found.push((signature.ident.to_string(), lines));
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.add(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

fn functions(source: &Source) -> Vec<(String, usize)> {
    let mut functions = Functions { code: &source.code, found: Vec::new() };
    functions.visit_file(&source.syntax);
    functions.found
}

/// The words of each doc comment: of each run of lines that begin with `///` or `//!`.
fn doc_words(text: &str) -> Vec<usize> {
    let mut words = Vec::new();
    let mut before = false;
    for line in text.lines().map(str::trim_start) {
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        if let Some(doc) = doc {
            if !before {
                words.push(0);
            }
            if let Some(last) = words.last_mut() {
                *last += doc.split_whitespace().count();
            }
        }
        before = doc.is_some();
    }
    words
}

/// The value below which `part` of the values lie.
fn quantile(mut values: Vec<usize>, part: f64) -> usize {
    values.sort_unstable();
    let index = ((values.len().saturating_sub(1)) as f64 * part).round() as usize;
    values.get(index).copied().unwrap_or_default()
}

/// Files of tests stand alone in src/: `tests.rs`.
fn product() -> Vec<Source> {
    let mut sources = sources("src");
    sources.retain(|source| !source.path.ends_with("tests.rs"));
    assert!(sources.len() > 40, "the sources were found");
    sources
}

fn name(source: &Source) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    source.path.strip_prefix(root).unwrap_or(&source.path).display().to_string()
}

#[test]
fn the_figures_are_printed() {
    let sources = product();
    let lines: Vec<usize> = sources.iter().map(|source| source.code.len()).collect();
    let functions: Vec<(String, usize)> = sources.iter().flat_map(functions).collect();
    let long = functions.iter().filter(|(_, lines)| *lines > FUNCTION_LINES).count();
    let words: Vec<usize> = sources.iter().flat_map(|source| doc_words(&source.text)).collect();
    let longest = sources.iter().max_by_key(|source| source.code.len()).expect("a source");
    println!("| src/, without comments and tests | |\n|---|---|");
    println!("| files | {} |", sources.len());
    println!("| lines of a file, median | {} |", quantile(lines, 0.5));
    println!("| longest file | {} ({}) |", longest.code.len(), name(longest));
    println!("| functions | {} |", functions.len());
    println!("| functions over {FUNCTION_LINES} lines | {long} |");
    println!("| circles of imports between files | {} |", super::architecture::circles().len());
    println!("| lines over {COLUMNS} columns, in all Rust files | {} |", wide_lines().len());
    let (median, p90) = (quantile(words.clone(), 0.5), quantile(words, 0.9));
    println!("| words of a doc comment, median and p90 | {median}, {p90} |");
}

#[test]
fn no_function_is_too_long() {
    let long: Vec<String> = product()
        .iter()
        .flat_map(|source| {
            let long = functions(source).into_iter().filter(|(_, lines)| *lines > FUNCTION_LINES);
            long.map(|(function, lines)| format!("{}: {function} ({lines})", name(source)))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(long.is_empty(), "too long:\n{}", long.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let all = ["tests/integration", "bench"].into_iter().flat_map(sources).chain(product());
    let long: Vec<String> = all
        .filter(|source| source.code.len() > FILE_LINES)
        .map(|source| format!("{} ({})", name(&source), source.code.len()))
        .collect();
    assert!(long.is_empty(), "too long:\n{}", long.join("\n"));
}

/// Every line of Rust that is too wide: its file and number.
fn wide_lines() -> Vec<String> {
    let all = ["src", "tests", "bench", "fuzz/fuzz_targets"].into_iter().flat_map(sources);
    all.flat_map(|source| {
        let lines = source.text.lines().enumerate();
        let wide = lines.filter(|(_, line)| line.chars().count() > COLUMNS);
        wide.map(|(index, _)| format!("{}:{}", name(&source), index + 1)).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn no_line_is_too_wide() {
    let wide = wide_lines();
    assert!(wide.is_empty(), "too wide:\n{}", wide.join("\n"));
}

/// Code is counted, and neither comments, blank lines nor tests.
#[test]
fn comments_and_tests_do_not_count() {
    let folder = crate::support::data_folder();
    fs::create_dir(&folder).expect("a folder");
    let path = folder.join("example.rs");
    let text = "/// One two.\n/// Three.\nfn f() {\n    // a comment\n\n    g();\n}\n\n\
                #[cfg(test)]\nmod tests {\n    fn h() {}\n}\n";
    fs::write(&path, text).expect("a file");
    let source = source(path);
    assert_eq!(source.code.iter().copied().collect::<Vec<_>>(), [3, 6, 7]);
    assert_eq!(functions(&source), [("f".to_owned(), 3)]);
    assert_eq!(doc_words(&source.text), [3]);
}
