//! By which name a notebook, a cell and an error message are counted.
//!
//! Clients name one notebook in several ways, and a message holds parts that differ from run to
//! run. The dashboard's fold has the same rules.

use std::borrow::Cow;

/// By which of its fields a cell is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CellsBy {
    /// The cell's id.
    #[default]
    Id,
    /// The cell's place in its notebook.
    Position,
}

/// By which part of its path a notebook is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum NotebooksBy {
    /// The whole path.
    #[default]
    Path,
    /// The file's name.
    Name,
}

/// Digits that only an id or the hash of a file's name has.
const ID_DIGITS: usize = 7;
/// Hexadecimal digits of an address.
const ADDRESS_DIGITS: usize = 4;
/// Hexadecimal digits of a hash.
const HASH_DIGITS: usize = 12;
/// The groups of hexadecimal digits of a UUID.
const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// The notebook of a path as a client gave it; `None` if nothing is left of it.
pub(super) fn notebook(path: Cow<'_, str>, by: NotebooksBy) -> Option<Cow<'_, str>> {
    let whole = without_drive(&path);
    let named = match by {
        NotebooksBy::Path => Cow::Borrowed(whole),
        NotebooksBy::Name => without_copy(whole.rsplit('/').next().unwrap_or(whole)),
    };
    if named.is_empty() {
        return None;
    }
    if named.len() == path.len() {
        return Some(path);
    }
    Some(Cow::Owned(named.into_owned()))
}

/// A path without a drive's prefix, as `RTC:`, and without `./` and `/` in front.
fn without_drive(path: &str) -> &str {
    let mut rest = path;
    if let Some((drive, after)) = path.split_once(':')
        && drive.starts_with(|c: char| c.is_ascii_alphabetic())
        && drive.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    {
        rest = after;
    }
    while let Some(after) = rest.strip_prefix("./").or_else(|| rest.strip_prefix('/')) {
        rest = after;
    }
    rest
}

/// A file's name without the `-Copy1` that JupyterLab puts behind the name of a copy.
fn without_copy(name: &str) -> Cow<'_, str> {
    let (stem, extension) = match name.rfind('.') {
        Some(at) if at > 0 => name.split_at(at),
        _ => (name, ""),
    };
    let original = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    match original.strip_suffix("-Copy") {
        Some(original) if stem.len() > original.len() + "-Copy".len() => {
            Cow::Owned(format!("{original}{extension}"))
        }
        _ => Cow::Borrowed(name),
    }
}

/// The cell of an event with this id and this place in the notebook.
pub(super) fn cell(
    id: Option<Cow<'_, str>>,
    index: Option<i64>,
    by: CellsBy,
) -> Option<Cow<'_, str>> {
    let place = || index.map(|index| Cow::Owned(format!("#{index}")));
    match by {
        CellsBy::Id => id.or_else(place),
        CellsBy::Position => place().or(id),
    }
}

/// The text by which a message is counted: without what differs from run to run.
pub(in crate::state) fn message_key(message: &str) -> Cow<'_, str> {
    let (mut key, mut kept, mut at) = (String::new(), 0, 0);
    while at < message.len() {
        let id = uuid_length(&message.as_bytes()[at..]);
        let length = id.unwrap_or_else(|| word_length(&message.as_bytes()[at..]));
        if id.is_some() || length > 0 && differs_by_run(message, at, at + length) {
            key.push_str(&message[kept..at]);
            key.push('*');
            kept = at + length;
        }
        at += length.max(1);
    }
    if kept == 0 {
        return Cow::Borrowed(message);
    }
    key.push_str(&message[kept..]);
    Cow::Owned(key)
}

/// The length of the word that a text begins with.
fn word_length(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
}

/// The length of the UUID that a text begins with.
fn uuid_length(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    for (group, length) in UUID_GROUPS.into_iter().enumerate() {
        if group > 0 {
            (text.get(at) == Some(&b'-')).then_some(())?;
            at += 1;
        }
        let word = text.get(at..at + length)?;
        (word.iter().all(u8::is_ascii_hexdigit) && word_length(&text[at..]) == length)
            .then_some(())?;
        at += length;
    }
    Some(at)
}

/// Whether the word from `begin` to `end` is another one in each run.
fn differs_by_run(message: &str, begin: usize, end: usize) -> bool {
    let (before, word, after) = (&message[..begin], &message[begin..end], &message[end..]);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(address) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return address.len() >= ADDRESS_DIGITS && hex(address);
    }
    if let Some(process) = word.strip_prefix("ipykernel_") {
        return !process.is_empty() && digits(process);
    }
    if digits(word) {
        // The hash of a cell's code, as the name of its file; the count of runs, as IPython names
        // a cell by it.
        let is_file = || {
            let name = after.strip_prefix(".py");
            name.is_some_and(|rest| word_length(rest.as_bytes()) == 0)
        };
        let is_count = || {
            ["In[", "In ["].iter().any(|cell| before.ends_with(cell)) && after.starts_with(']')
                || before.ends_with("ipython-input-")
        };
        return word.len() >= ID_DIGITS || is_file() || is_count();
    }
    word.len() >= HASH_DIGITS && hex(word) && word.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notebook_has_one_name() {
        for path in ["lesson1.ipynb", "RTC:lesson1.ipynb", "./lesson1.ipynb", "/lesson1.ipynb"] {
            let named = notebook(path.into(), NotebooksBy::Path);
            assert_eq!(named.as_deref(), Some("lesson1.ipynb"), "{path}");
        }
        for path in ["alice/lesson1.ipynb", "lesson1-Copy1.ipynb", "RTC:a/b/lesson1-Copy12.ipynb"] {
            let named = notebook(path.into(), NotebooksBy::Name);
            assert_eq!(named.as_deref(), Some("lesson1.ipynb"), "{path}");
            assert_ne!(notebook(path.into(), NotebooksBy::Path).as_deref(), Some("lesson1.ipynb"));
        }
        let unchanged = ["-Copy.ipynb", "a:b/c", "x-Copy", "12.ipynb"];
        for (path, name) in unchanged.into_iter().zip(["-Copy.ipynb", "c", "x-Copy", "12.ipynb"]) {
            assert_eq!(notebook(path.into(), NotebooksBy::Name).as_deref(), Some(name), "{path}");
        }
        for path in ["RTC:", "./", "/", "RTC:./"] {
            assert_eq!(notebook(path.into(), NotebooksBy::Path), None, "{path}");
        }
    }

    #[test]
    fn what_differs_by_run_does_not_count() {
        for (message, key) in [
            ("invalid syntax (3521570167.py, line 1)", "invalid syntax (*.py, line 1)"),
            ("<A object at 0x7f3a9c0b12d0>", "<A object at *>"),
            ("File /tmp/ipykernel_4711/12345678.py", "File /tmp/*/*.py"),
            ("no id 139872347123456 and 0x1f", "no id * and 0x1f"),
            ("commit a94a8fe5ccb19ba6", "commit *"),
            ("invalid syntax (1234.py, line 1)", "invalid syntax (*.py, line 1)"),
            ("12.pyc and 7.python stay", "12.pyc and 7.python stay"),
            ("(<ipython-input-5-8b2f0e6d0a5c>, line 1)", "(<ipython-input-*-*>, line 1)"),
            ("Cell In[5], line 1 and Input In [6]", "Cell In[*], line 1 and Input In [*]"),
            ("list[5] and In[5:6]", "list[5] and In[5:6]"),
            ("no row 550e8400-e29b-41d4-a716-446655440000!", "no row *!"),
            ("550E8400-E29B-41D4-A716-AABBCCDDEEFF", "*"),
            ("x550e8400-e29b-41d4-a716-44665544", "x550e8400-e29b-41d4-a716-*"),
            ("deadbeef-cafe-cafe-cafe-feedfacecafex", "deadbeef-cafe-cafe-cafe-feedfacecafex"),
            ("integer 123456 is decade deadbeefcafe", "integer 123456 is decade deadbeefcafe"),
            ("日本語 1234567", "日本語 *"),
        ] {
            assert_eq!(message_key(message), key);
        }
    }
}
