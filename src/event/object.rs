//! Writes JSON objects member by member.

use std::fmt::{Display, Write as _};

use super::json;
use super::micros::Micros;

/// Writes one JSON object. [`ObjectWriter::end`] writes the closing brace; where a closure writes
/// the members, the brace follows when it has returned.
#[derive(Debug)]
pub(crate) struct ObjectWriter<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl<'a> ObjectWriter<'a> {
    /// Begins an object at the end of `out`.
    pub(crate) fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, is_empty: true }
    }

    /// The text of one object, whose members `write` writes.
    pub(crate) fn object(write: impl FnOnce(&mut ObjectWriter<'_>)) -> String {
        let mut out = String::new();
        let mut object = ObjectWriter::begin(&mut out);
        write(&mut object);
        object.end();
        out
    }

    /// Ends the object.
    pub(crate) fn end(self) {
        self.out.push('}');
    }

    /// Begins a member; its value is to be appended to the text that is returned.
    pub(crate) fn key(&mut self, name: &str) -> &mut String {
        if !self.is_empty {
            self.out.push(',');
        }
        self.is_empty = false;
        json::write_string(name, self.out);
        self.out.push(':');
        self.out
    }

    /// Writes a member whose value is a string.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        json::write_string(value, self.key(name));
    }

    /// Writes a member whose value is a string, unless there is none or it is empty.
    pub(crate) fn opt_text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.text(name, value);
        }
    }

    /// Writes a member whose value is a moment.
    pub(crate) fn time(&mut self, name: &str, value: Micros) {
        // Writing into a String cannot fail.
        let _ = write!(self.key(name), "\"{}\"", value.to_rfc3339());
    }

    /// Writes a member whose value is a moment, unless there is none.
    pub(crate) fn opt_time(&mut self, name: &str, value: Option<Micros>) {
        if let Some(value) = value {
            self.time(name, value);
        }
    }

    /// Writes a member whose value is JSON when it is displayed: a number, `true`, or a JSON text.
    pub(crate) fn json(&mut self, name: &str, value: impl Display) {
        // Writing into a String cannot fail.
        let _ = write!(self.key(name), "{value}");
    }

    /// Writes a member whose value is JSON when it is displayed, unless there is none.
    pub(crate) fn opt_json(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.json(name, value);
        }
    }

    /// Writes a member whose value is an array of objects, one for each of `items`.
    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut ObjectWriter<'_>, T),
    ) {
        self.key(name).push('[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            let mut object = ObjectWriter::begin(self.out);
            write(&mut object, item);
            object.end();
        }
        self.out.push(']');
    }

    /// Writes a member whose value is an object.
    pub(crate) fn nested(&mut self, name: &str, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        let mut object = ObjectWriter::begin(self.key(name));
        write(&mut object);
        object.end();
    }

    /// Appends members that are already JSON text: at least one, with commas between them.
    pub(crate) fn members(&mut self, members: &str) {
        if !self.is_empty {
            self.out.push(',');
        }
        self.is_empty = false;
        self.out.push_str(members);
    }

    /// Writes a member whose value `write` appends as JSON text.
    pub(crate) fn written(&mut self, name: &str, write: impl FnOnce(&mut String)) {
        write(self.key(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_json() {
        let text = ObjectWriter::object(|object| {
            object.text("a\"", "line\n");
            object.json("n", 7);
            object.objects("list", [1, 2], |inner, n| inner.json("n", n));
            object.written("raw", |out| out.push_str("[true]"));
            object.nested("in", |inner| inner.json("n", 3));
            object.members("\"more\":null");
        });
        assert_eq!(
            text,
            concat!(
                r#"{"a\"":"line\n","n":7,"list":[{"n":1},{"n":2}],"raw":[true],"in":{"n":3},"#,
                r#""more":null}"#
            )
        );
        assert_eq!(ObjectWriter::object(|_| {}), "{}");
    }
}
