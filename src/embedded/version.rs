//! Major versions of PostgreSQL: a server program's, and that of the data a server made.

use std::fmt;

use crate::database::OLDEST_POSTGRES;

/// A major version of PostgreSQL, such as 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Major(u32);

impl Major {
    /// The version in the output of `postgres --version`: "postgres (PostgreSQL) 15.6 (Debian
    /// 15.6-0+deb12u1)".
    pub(super) fn of_program(output: &str) -> Option<Self> {
        leading_number(output.split_once("(PostgreSQL)")?.1.trim_start()).map(Self)
    }

    /// The version in a cluster's PG_VERSION. "9.6" counts as 9; the relay can use no server of
    /// version 9.
    pub(super) fn of_data(text: &str) -> Option<Self> {
        leading_number(text).map(Self)
    }

    /// Whether the relay can use a server of this version.
    pub(super) fn is_supported(self) -> bool {
        self.0 >= OLDEST_POSTGRES
    }
}

impl fmt::Display for Major {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_the_forms_that_packagers_write() {
        let of_program = |text| Major::of_program(text).map(|major| major.0);
        assert_eq!(of_program("postgres (PostgreSQL) 15.6 (Debian 15.6-0+deb12u1)\n"), Some(15));
        assert_eq!(of_program("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(of_program("postgres (PostgreSQL) 9.6.24\n"), Some(9));
        assert_eq!(of_program("something else\n"), None);
        assert_eq!(leading_number(""), None);
    }
}
