//! JSON objects, written member after member into a text.

use std::fmt::{Display, Write as _};

use super::json;

/// Writes one JSON object. The closing brace comes with [`ObjectWriter::end`], or when the closure
/// that writes the members has returned.
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl<'a> ObjectWriter<'a> {
    /// Begins an object at the end of `out`.
    pub fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, is_empty: true }
    }

    /// An object alone, with the members that `write` writes.
    pub fn object(write: impl FnOnce(&mut ObjectWriter<'_>)) -> String {
        let mut out = String::new();
        let mut object = ObjectWriter::begin(&mut out);
        write(&mut object);
        object.end();
        out
    }

    /// Ends the object.
    pub fn end(self) {
        self.out.push('}');
    }

    fn name(&mut self, name: &str) {
        if !self.is_empty {
            self.out.push(',');
        }
        self.is_empty = false;
        json::write_string(name, self.out);
        self.out.push(':');
    }

    /// A member that is a string.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        json::write_string(value, self.out);
    }

    /// A member that is JSON as it is displayed: a number, `true`, or a value that is written
    /// already.
    pub fn json(&mut self, name: &str, value: impl Display) {
        self.name(name);
        // Writing into a String cannot fail.
        let _ = write!(self.out, "{value}");
    }

    /// A member that is an array of objects, one for each of `items`.
    pub fn objects<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut ObjectWriter<'_>, T),
    ) {
        self.name(name);
        self.out.push('[');
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

    /// Members that are written already: at least one, with commas between them.
    pub fn members(&mut self, members: &str) {
        if !self.is_empty {
            self.out.push(',');
        }
        self.is_empty = false;
        self.out.push_str(members);
    }

    /// A member whose value `write` writes as JSON.
    pub fn written(&mut self, name: &str, write: impl FnOnce(&mut String)) {
        self.name(name);
        write(self.out);
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
            object.members("\"more\":null");
        });
        assert_eq!(
            text,
            r#"{"a\"":"line\n","n":7,"list":[{"n":1},{"n":2}],"raw":[true],"more":null}"#
        );
        assert_eq!(ObjectWriter::object(|_| {}), "{}");
    }
}
