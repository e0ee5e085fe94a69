//! The parameters of a URL.

use std::borrow::Cow;

use crate::event::{ClassId, IdError};

/// A URL's query, decoded: repeated names stay, in order.
#[derive(Debug, Default)]
pub(super) struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Query<'a> {
    /// Reads the text behind the question mark. No text is an error: bytes that are not UTF-8
    /// become U+FFFD.
    pub(super) fn parse(text: &'a str) -> Self {
        Self { pairs: url::form_urlencoded::parse(text.as_bytes()).collect() }
    }

    /// The values of a name, in order.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// The first value of a name.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The class for events that name none: the first `class` that is not blank. An empty one is
    /// absent.
    pub(super) fn class_for_events(&self) -> Option<&str> {
        self.all("class").find(|class| !class.trim().is_empty())
    }

    /// The classes named by `class`, each once; the default class if there is none.
    ///
    /// # Errors
    /// If one of them is not a class.
    pub(super) fn classes(&self) -> Result<Vec<ClassId>, IdError> {
        let mut classes: Vec<ClassId> = Vec::new();
        for class in self.all("class") {
            let class = ClassId::new(class)?;
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        if classes.is_empty() {
            classes.push(ClassId::default());
        }
        Ok(classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_named_once_or_the_default() {
        let names = |query: &str| -> Vec<String> {
            Query::parse(query)
                .classes()
                .expect("classes")
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(names(""), ["default"]);
        assert_eq!(names("class=a&cursor=x.1&class=b%20c&class=a"), ["a", "b c"]);
        assert!(Query::parse("class=").classes().is_err());
        assert_eq!(names("class=+a&class=a%20&class=e%CC%81&class=%C3%A9"), ["a", "é"]);
        for (query, class) in
            [("class=&class=+&class=a", Some("a")), ("class=", None), ("x=1", None)]
        {
            assert_eq!(Query::parse(query).class_for_events(), class, "{query}");
        }
        assert_eq!(Query::parse("cursor=a%2E1&cursor=b").first("cursor"), Some("a.1"));
    }
}
