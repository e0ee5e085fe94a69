//! The reference of flags in docs/configuration.md, made from the flags themselves. A flag that
//! changes fails the test below until `make docs` has written the document again.

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};

use super::Cli;

const BEGIN: &str = "<!-- flags: begin (written by `make docs`) -->\n";
const END: &str = "<!-- flags: end -->\n";
/// The longest line, as everywhere in the repository.
const COLUMNS: usize = 100;

/// The reference: a section for all commands, then one a command, with a list of its flags.
fn reference() -> String {
    let cli = Cli::command();
    let mut text = String::new();
    section(&mut text, "Every command", &cli);
    for (name, command) in commands(&cli) {
        section(&mut text, &format!("`{name}`"), command);
    }
    text
}

/// The commands that do something, each with its name as it is typed.
fn commands(cli: &Command) -> Vec<(String, &Command)> {
    let named = |command: &Command| command.get_name().to_owned();
    cli.get_subcommands()
        .flat_map(|command| {
            let below = command.get_subcommands();
            let below: Vec<_> = below
                .map(|below| (format!("{} {}", named(command), named(below)), below))
                .collect();
            if below.is_empty() { vec![(named(command), command)] } else { below }
        })
        .collect()
}

fn section(text: &mut String, title: &str, command: &Command) {
    let _ = write!(text, "\n## {title}\n");
    let mut heading = None;
    for arg in command.get_arguments().filter(|arg| arg.get_long().is_some_and(is_documented)) {
        if arg.get_help_heading() != heading {
            heading = arg.get_help_heading();
            let _ = write!(text, "\n### {}\n", heading.unwrap_or("Other"));
        }
        text.push('\n');
        flag(text, arg);
    }
}

fn is_documented(name: &str) -> bool {
    !["help", "version"].contains(&name)
}

fn flag(text: &mut String, arg: &Arg) {
    let mut spelling = format!("--{}", arg.get_long().unwrap_or_default());
    if arg.get_action().takes_values() {
        for value in arg.get_value_names().unwrap_or_default() {
            let _ = write!(spelling, " {value}");
        }
    }
    let _ = writeln!(text, "- **`{spelling}`**");
    let mut facts = Vec::new();
    if let Some(variable) = arg.get_env() {
        facts.push(format!("`{}`", variable.to_string_lossy()));
    }
    let defaults = arg.get_default_values();
    if arg.get_action().takes_values() && !defaults.is_empty() {
        let defaults: Vec<_> = defaults.iter().map(|value| value.to_string_lossy()).collect();
        facts.push(format!("default `{}`", defaults.join(",")));
    }
    let possible = arg.get_possible_values();
    if arg.get_action().takes_values() && !possible.is_empty() {
        let possible: Vec<_> =
            possible.iter().map(|value| format!("`{}`", value.get_name())).collect();
        facts.push(possible.join(" or "));
    }
    if !facts.is_empty() {
        wrap(text, &format!("{}.", facts.join("; ")));
    }
    let help = arg.get_long_help().or_else(|| arg.get_help());
    for paragraph in help.map(ToString::to_string).unwrap_or_default().split("\n\n") {
        let end = if paragraph.ends_with(['.', ']']) { "" } else { "." };
        wrap(text, &format!("{paragraph}{end}"));
    }
}

/// Appends a paragraph of a list item, wrapped.
fn wrap(text: &mut String, paragraph: &str) {
    const INDENT: &str = "  ";
    let mut line = INDENT.to_owned();
    for word in paragraph.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > COLUMNS && line != INDENT {
            let _ = writeln!(text, "{line}");
            line = INDENT.to_owned();
        }
        if line != INDENT {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

#[test]
fn the_document_has_every_flag_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let document = std::fs::read_to_string(&path).expect("docs/configuration.md");
    let (before, rest) = document.split_once(BEGIN).expect("the mark before the flags");
    let (_, after) = rest.split_once(END).expect("the mark after the flags");
    let expected = format!("{before}{BEGIN}{}\n{END}{after}", reference());
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&path, &expected).expect("the document is written");
    } else {
        assert!(document == expected, "docs/configuration.md is out of date: run `make docs`");
    }
}

#[test]
fn a_variable_is_named_after_its_flag() {
    // The exceptions keep a real relay or class from being written to by mistake, or a token from
    // being made for what another command was told, or are PostgreSQL's own name.
    const EXCEPTIONS: [(&str, &str); 11] = [
        ("database-url", "DATABASE_URL"),
        ("database-url-file", "DATABASE_URL_FILE"),
        ("simulate url", "RELAY_SIMULATE_URL"),
        ("simulate yes", "RELAY_SIMULATE_YES"),
        ("simulate class", "RELAY_SIMULATE_CLASS"),
        ("token mint role", "RELAY_TOKEN_ROLE"),
        ("token mint subject", "RELAY_TOKEN_SUBJECT"),
        ("token mint class", "RELAY_TOKEN_CLASS"),
        ("token mint name", "RELAY_TOKEN_NAME"),
        ("token mint expires", "RELAY_TOKEN_EXPIRES"),
        ("token mint id", "RELAY_TOKEN_ID"),
    ];
    let cli = Cli::command();
    for (command, flags) in commands(&cli).into_iter().chain([(String::new(), &cli)]) {
        for arg in flags.get_arguments() {
            let Some(flag) = arg.get_long().filter(|flag| is_documented(flag)) else { continue };
            let Some(variable) = arg.get_env() else { panic!("--{flag} has no variable") };
            let full_name = format!("{command} {flag}");
            let expected = EXCEPTIONS
                .iter()
                .find(|(exception, _)| *exception == flag || *exception == full_name)
                .map_or_else(
                    || format!("RELAY_{}", flag.replace('-', "_").to_uppercase()),
                    |(_, variable)| (*variable).to_owned(),
                );
            assert_eq!(variable.to_str(), Some(expected.as_str()), "{command} --{flag}");
        }
    }
}
