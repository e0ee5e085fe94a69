//! Who may use the file of a private key, as libpq has it.

/// What nobody but the owner may do: anything at all.
const OTHERS: u32 = 0o077;
/// The same of root's files, which their group may read: so keys are given to services.
const OTHERS_THAN_GROUP: u32 = 0o037;
const ROOT: u32 = 0;

/// Whether a key with this owner and mode is open to others than may use it.
pub(super) fn is_open(owner: u32, mode: u32) -> bool {
    let forbidden = if owner == ROOT { OTHERS_THAN_GROUP } else { OTHERS };
    mode & forbidden != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_may_read_roots_alone() {
        for (owner, mode, expected) in [
            (ROOT, 0o100_640, false),
            (ROOT, 0o100_660, true),
            (ROOT, 0o100_604, true),
            (1000, 0o100_600, false),
            (1000, 0o100_640, true),
        ] {
            assert_eq!(is_open(owner, mode), expected, "{owner} {mode:o}");
        }
    }
}
