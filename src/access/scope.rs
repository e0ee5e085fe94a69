//! The classes of a caller: names, `prefix*`, or `*`.

use crate::event::ClassId;

/// The most patterns that a credential may carry. A longer list is cut, which only takes rights
/// away.
const MAX_PATTERNS: usize = 1_000;

/// The classes that a caller may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// One class.
    Name(ClassId),
    /// Every class whose name begins so; the empty prefix stands for all.
    Prefix(String),
}

impl Scope {
    /// Every class.
    pub(crate) fn all() -> Self {
        Self { patterns: vec![Pattern::Prefix(String::new())] }
    }

    /// The classes that these patterns name. A text that cannot be a class names none.
    pub(crate) fn of<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let patterns = patterns.into_iter().take(MAX_PATTERNS).filter_map(|text| {
            match text.trim().strip_suffix('*') {
                Some("") => Some(Pattern::Prefix(String::new())),
                // The prefix is normalised as a class's name is, so that the two can be compared.
                Some(prefix) => {
                    ClassId::new(prefix).ok().map(|prefix| Pattern::Prefix(prefix.to_string()))
                }
                None => ClassId::new(text).ok().map(Pattern::Name),
            }
        });
        Self { patterns: patterns.collect() }
    }

    /// Whether the class is one of them.
    pub(crate) fn contains(&self, class: &ClassId) -> bool {
        self.patterns.iter().any(|pattern| match pattern {
            Pattern::Name(name) => name == class,
            Pattern::Prefix(prefix) => class.as_str().starts_with(prefix.as_str()),
        })
    }

    /// Whether every class is one of them.
    pub(crate) fn is_all(&self) -> bool {
        self.patterns.iter().any(|pattern| *pattern == Pattern::Prefix(String::new()))
    }

    /// The class that the scope names, if it names exactly one.
    pub(crate) fn single(&self) -> Option<&ClassId> {
        match &*self.patterns {
            [Pattern::Name(name)] => Some(name),
            _ => None,
        }
    }

    /// The number of patterns.
    pub(super) fn count(&self) -> usize {
        self.patterns.len()
    }

    /// The patterns as texts, as a credential carries them.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |pattern: &Pattern| match pattern {
            Pattern::Name(name) => name.to_string(),
            Pattern::Prefix(prefix) => format!("{prefix}*"),
        };
        self.patterns.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let class = |name| ClassId::new(name).expect("a class");
        let scope = Scope::of([" algebra ", "phys-*", "e\u{301}cole", ""]);
        for name in ["algebra", "phys-", "phys-2", "école"] {
            assert!(scope.contains(&class(name)), "{name}");
        }
        for name in ["algebra2", "Algebra", "phys", "phy", "default"] {
            assert!(!scope.contains(&class(name)), "{name}");
        }
        assert!(!scope.is_all() && Scope::all().is_all() && Scope::of(["*"]).is_all());
        assert!(!Scope::of([""]).contains(&class("default")));
        assert_eq!(Scope::of(["a"]).single(), Some(&class("a")));
        assert_eq!(Scope::of(["a", "b*"]).texts(), ["a", "b*"]);
    }
}
