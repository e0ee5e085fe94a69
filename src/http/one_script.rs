//! The page's modules as one script. A browser fetches modules six at a time, and a hundred of them
//! took longer than all else until the page's first picture.
//!
//! Each module becomes a function that is called once and returns what the module exports; modules
//! stand in the order in which a browser would evaluate them. Only those forms of `import` and
//! `export` are read that the page's modules use, at the beginning of a line: another one is left
//! over, which a test looks for. A circle of imports would fail in the browser.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The texts of modules by their paths.
pub(super) type Modules<'a> = BTreeMap<&'a str, &'a str>;

/// A script that does what `main` and the modules that it imports do.
pub(super) fn one_script(main: &str, modules: &Modules<'_>) -> String {
    let mut script = String::new();
    place(main, modules, &mut BTreeSet::new(), &mut script);
    script
}

/// Writes a module after those that it imports, unless it was written before.
fn place(path: &str, modules: &Modules<'_>, placed: &mut BTreeSet<String>, script: &mut String) {
    let Some(text) = modules.get(path) else { return };
    if !placed.insert(path.to_owned()) {
        return;
    }
    let mut body = String::new();
    let mut exports = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("import ") {
            let mut statement = line.to_owned();
            while !statement.ends_with(';') {
                let Some(next) = lines.next() else { break };
                statement.push(' ');
                statement.push_str(next.trim());
            }
            let Some((names, from)) = imported(&statement) else { continue };
            let from = resolve(path, from);
            place(&from, modules, placed, script);
            let _ = writeln!(body, "const {names} = {};", variable(&from, modules));
        } else if let Some(exported) = line.strip_prefix("export default ") {
            let _ = write!(exports, "default: {}, ", name_of(exported));
            body.push_str(exported);
            body.push('\n');
        } else {
            let declared = line.strip_prefix("export ");
            if let Some(declared) = declared {
                let _ = write!(exports, "{}, ", name_of(declared));
            }
            body.push_str(declared.unwrap_or(line));
            body.push('\n');
        }
    }
    let own = variable(path, modules);
    let _ = write!(
        script,
        "// {path}\nconst {own} = (() => {{\n{body}return {{ {exports}}};\n}})();\n"
    );
}

/// The pattern of an `import`, and the module that it names.
fn imported(statement: &str) -> Option<(String, &str)> {
    let (names, from) = statement.strip_prefix("import ")?.split_once(" from \"")?;
    let names = if names.starts_with('{') {
        names.replace(" as ", ": ")
    } else {
        format!("{{ default: {names} }}")
    };
    Some((names, from.trim_end_matches("\";")))
}

/// The path that a module's relative one leads to.
fn resolve(path: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Holds what a module exports.
fn variable(path: &str, modules: &Modules<'_>) -> String {
    format!("module{}", modules.range(..path).count())
}

/// The name that a declaration declares.
fn name_of(declaration: &str) -> &str {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || ['_', '$'].contains(&letter);
    let mut words = declaration.split(|letter| !is_name(letter)).filter(|word| !word.is_empty());
    words.find(|word| !["async", "function", "class", "const"].contains(word)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_become_functions() {
        let modules = Modules::from([
            ("js/a.js", "import view from \"./views/b.js\";\nview(1);\n"),
            (
                "js/views/b.js",
                "import {\n  one,\n  two as deux,\n} from \"../c.js\";\n\n\
                 export default function b(x) {\n  return x + one + deux();\n}\n",
            ),
            ("js/c.js", "export const one = 1;\nexport async function two() {}\n"),
            ("js/unused.js", "export class Unused {}\n"),
        ]);
        assert_eq!(
            one_script("js/a.js", &modules),
            "// js/c.js\nconst module1 = (() => {\nconst one = 1;\nasync function two() {}\n\
             return { one, two, };\n})();\n\
             // js/views/b.js\nconst module3 = (() => {\n\
             const { one, two: deux, } = module1;\n\n\
             function b(x) {\n  return x + one + deux();\n}\nreturn { default: b, };\n})();\n\
             // js/a.js\nconst module0 = (() => {\nconst { default: view } = module3;\nview(1);\n\
             return { };\n})();\n"
        );
    }
}
