//! The flags that say which groups of a hub or a proxy make whom.

use clap::Args;

use crate::access::{GroupPattern, GroupRules};

/// Which groups make whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "Groups")]
pub(in crate::cli) struct GroupFlags {
    /// The groups whose members instruct a class, with `{class}` in the class's place:
    /// 'instructors-{class}'. May be given several times
    #[arg(long, env = "RELAY_INSTRUCTORS", value_name = "PATTERN", value_delimiter = ',',
          value_parser = GroupPattern::parse)]
    instructors: Vec<GroupPattern>,
    /// The groups whose members are students of a class: '{class}'. May be given several times
    #[arg(long, env = "RELAY_STUDENTS", value_name = "PATTERN", value_delimiter = ',',
          value_parser = GroupPattern::parse)]
    students: Vec<GroupPattern>,
    /// A group whose members are operators. May be given several times
    #[arg(long, env = "RELAY_OPERATORS", value_name = "GROUP", value_delimiter = ',')]
    operators: Vec<String>,
}

impl GroupFlags {
    /// The rules of all of them.
    pub(in crate::cli) fn rules(&self) -> GroupRules {
        let (instructors, students) = (self.instructors.clone(), self.students.clone());
        GroupRules::new(self.operators.iter().cloned(), instructors, students)
    }
}
