//! From a user's groups to a role and classes.
//!
//! A hub and a proxy know groups, and not roles: patterns say which group makes whom. A group means
//! what the first of these says that fits it: the operators' groups, the instructors' patterns, the
//! students' patterns. So `instructors-algebra` is no class of students, although `{class}` alone
//! fits every name.
//!
//! A caller has one role. A user who instructs one class and studies in another is one or the
//! other, by the way it comes ([`Precedence`]): by signing in an instructor, who reads the one
//! class and has no right in the other; by the token of its own server a student, who posts into
//! the other class and has no right in the first.

use std::collections::BTreeSet;

use super::caller::Role;
use super::scope::Scope;

/// The place of the class in a pattern.
const CLASS: &str = "{class}";
/// The most groups of a user that are looked at. Further ones are dropped, which only takes rights
/// away.
const MAX_GROUPS: usize = 1_000;

/// Which of a user's roles counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precedence {
    /// The one with most rights: a person who signs in.
    Highest,
    /// The student's, if there is one: the token of a user's server is in the hands of every
    /// notebook that the user opens there, so it gets no more than it needs to post.
    Student,
}

/// Which groups make whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GroupRules {
    operators: BTreeSet<String>,
    instructors: Vec<GroupPattern>,
    students: Vec<GroupPattern>,
}

/// The name of a group, with the class's name in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupPattern {
    before: String,
    after: String,
}

impl GroupPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// If `{class}` does not stand in it exactly once.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(CLASS) {
            Some((before, after)) if !after.contains(CLASS) => {
                Ok(Self { before: before.to_owned(), after: after.to_owned() })
            }
            _ => Err(format!(
                "{text:?} is not a pattern of groups: {CLASS} stands in it once, as in \
                 'instructors-{CLASS}'"
            )),
        }
    }

    /// The class of a group, if the group is one of the pattern's.
    fn class<'a>(&self, group: &'a str) -> Option<&'a str> {
        let class = group.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        (!class.trim().is_empty()).then_some(class)
    }
}

impl GroupRules {
    /// The rules of these patterns and groups.
    pub(crate) fn new(
        operators: impl IntoIterator<Item = String>,
        instructors: Vec<GroupPattern>,
        students: Vec<GroupPattern>,
    ) -> Self {
        Self { operators: operators.into_iter().collect(), instructors, students }
    }

    /// Whether no group makes anyone anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.operators.is_empty() && self.instructors.is_empty() && self.students.is_empty()
    }

    /// The role and the classes of a user with these groups; `None` if they make it nothing.
    pub(crate) fn role<'a>(
        &self,
        groups: impl IntoIterator<Item = &'a str>,
        precedence: Precedence,
    ) -> Option<(Role, Scope)> {
        let class = |patterns: &[GroupPattern], group: &'a str| {
            patterns.iter().find_map(|pattern| pattern.class(group))
        };
        let (mut is_operator, mut instructs, mut studies) = (false, Vec::new(), Vec::new());
        for group in groups.into_iter().take(MAX_GROUPS) {
            if self.operators.contains(group) {
                is_operator = true;
            } else if let Some(class) = class(&self.instructors, group) {
                instructs.push(class);
            } else if let Some(class) = class(&self.students, group) {
                studies.push(class);
            }
        }
        let student = named(studies).map(|scope| (Role::Student, scope));
        if precedence == Precedence::Student && student.is_some() {
            return student;
        }
        if is_operator {
            return Some((Role::Operator, Scope::all()));
        }
        named(instructs).map(|scope| (Role::Instructor, scope)).or(student)
    }
}

/// The classes of these names, if there is one. A group's name is a name: an asterisk at its end
/// must not stand for further classes.
fn named(classes: Vec<&str>) -> Option<Scope> {
    let names = classes.into_iter().filter(|class| !class.trim_end().ends_with('*'));
    let scope = Scope::of(names);
    (scope != Scope::default()).then_some(scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(operators: &[&str], instructors: &[&str], students: &[&str]) -> GroupRules {
        let patterns = |texts: &[&str]| {
            texts.iter().map(|text| GroupPattern::parse(text).expect("a pattern")).collect()
        };
        let operators = operators.iter().map(|&group| group.to_owned());
        GroupRules::new(operators, patterns(instructors), patterns(students))
    }

    fn usual() -> GroupRules {
        rules(&["staff"], &["instructors-{class}"], &["{class}"])
    }

    fn role(
        rules: &GroupRules,
        groups: &[&str],
        precedence: Precedence,
    ) -> Option<(Role, Vec<String>)> {
        rules.role(groups.iter().copied(), precedence).map(|(role, scope)| (role, scope.texts()))
    }

    #[test]
    fn groups_make_roles() {
        let of = |groups: &[&str]| role(&usual(), groups, Precedence::Highest);
        let classes = |role, names: &[&str]| {
            Some((role, names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()))
        };
        assert_eq!(of(&["algebra", "physics"]), classes(Role::Student, &["algebra", "physics"]));
        assert_eq!(of(&["instructors-algebra"]), classes(Role::Instructor, &["algebra"]));
        assert_eq!(of(&["staff", "instructors-algebra"]), classes(Role::Operator, &["*"]));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["", " "]), None);
        // Near the pattern, and not it: a class's name begins so.
        assert_eq!(of(&["instructors-"]), classes(Role::Student, &["instructors-"]));
        assert_eq!(of(&["Staff"]), classes(Role::Student, &["Staff"]));
    }

    #[test]
    fn who_instructs_one_class_and_studies_in_another_is_one_of_the_two() {
        let groups = ["physics", "instructors-algebra"];
        let of = |precedence| role(&usual(), &groups, precedence);
        assert_eq!(of(Precedence::Highest), Some((Role::Instructor, vec!["algebra".to_owned()])));
        assert_eq!(of(Precedence::Student), Some((Role::Student, vec!["physics".to_owned()])));
        // Without a class to study in, the token of an instructor's server reads as the instructor.
        assert_eq!(
            role(&usual(), &groups[1..], Precedence::Student),
            Some((Role::Instructor, vec!["algebra".to_owned()]))
        );
    }

    #[test]
    fn a_group_cannot_name_more_than_its_class() {
        for groups in [&["*"][..], &["instructors-*"], &["instructors-a*"], &["instructors-* "]] {
            assert_eq!(role(&usual(), groups, Precedence::Highest), None, "{groups:?}");
        }
        let long = "x".repeat(5_000);
        assert_eq!(role(&usual(), &[&long, "a\u{7}"], Precedence::Highest), None);
        let without_students = rules(&[], &["instructors-{class}"], &[]);
        assert_eq!(role(&without_students, &["algebra", "staff"], Precedence::Student), None);
        assert!(!without_students.is_empty() && GroupRules::default().is_empty());
    }

    #[test]
    fn the_class_stands_anywhere_in_a_pattern() {
        let rules = rules(&[], &["/{class}/teachers", "prof-{class}"], &["/{class}/students"]);
        let of = |groups: &[&str]| role(&rules, groups, Precedence::Highest);
        assert_eq!(
            of(&["/algebra/teachers", "prof-physics", "/algebra/students"]),
            Some((Role::Instructor, vec!["algebra".to_owned(), "physics".to_owned()]))
        );
        assert_eq!(of(&["//students", "/algebra/student"]), None);
        for text in ["", "instructors", "{class}-{class}", "{Class}"] {
            assert!(GroupPattern::parse(text).is_err(), "{text}");
        }
    }
}
