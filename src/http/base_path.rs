//! The path below which the relay's routes lie, where a proxy shares a host among services
//! (`--base-path`).

use std::str::FromStr;

/// A path that begins and ends with a slash; `/` where the relay has the host for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BasePath(String);

/// Where a path of a request lies.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// Below the base path: the path of a route.
    Inside(&'a str),
    /// At the base path, without the slash at its end. Relative links of a page there would lead
    /// out of it.
    WithoutSlash,
    /// Elsewhere.
    Outside,
}

impl BasePath {
    /// Where a path lies.
    pub(super) fn place<'a>(&self, path: &'a str) -> Place<'a> {
        // The slash at the end is the first of the route's path.
        let base = self.without_slash();
        match path.strip_prefix(base) {
            Some("") if !base.is_empty() => Place::WithoutSlash,
            Some(rest) if rest.starts_with('/') || base.is_empty() => Place::Inside(rest),
            _ => Place::Outside,
        }
    }

    /// The path, with the slash at its end: for links and for the cookie.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without the slash at its end; empty where the relay has the host for itself.
    pub(crate) fn without_slash(&self) -> &str {
        self.0.trim_end_matches('/')
    }
}

impl Default for BasePath {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl FromStr for BasePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-._~%@".contains(&c);
        let is_segment = |segment: &str| {
            !segment.is_empty() && ![".", ".."].contains(&segment) && segment.bytes().all(is_plain)
        };
        let inner = text.strip_prefix('/').map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        match inner {
            Some("") if text == "/" => Ok(Self::default()),
            Some(inner) if inner.split('/').all(is_segment) => Ok(Self(format!("/{inner}/"))),
            _ => Err(format!("{text:?} is not a path of a URL: write it as /services/relay/")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_a_place() {
        let base: BasePath = "/services/relay".parse().expect("a path");
        assert_eq!((base.as_str(), base.without_slash()), ("/services/relay/", "/services/relay"));
        assert_eq!(base.place("/services/relay/"), Place::Inside("/"));
        assert_eq!(base.place("/services/relay/api/x"), Place::Inside("/api/x"));
        assert_eq!(base.place("/services/relay"), Place::WithoutSlash);
        for path in
            ["/", "/healthz", "/services/relays/", "/services", "*", "", "//services/relay/"]
        {
            assert_eq!(base.place(path), Place::Outside, "{path}");
        }
        let root = BasePath::default();
        for path in ["/", "/healthz", "*", ""] {
            assert_eq!(root.place(path), Place::Inside(path));
        }
    }

    #[test]
    fn only_paths_are_taken() {
        for text in ["/", "/a", "/a/", "/hub/service/a%20b/"] {
            assert!(text.parse::<BasePath>().is_ok(), "{text}");
        }
        for text in
            ["", "a", "//", "/a//b", "/../a", "/a/./b", "/a?b", "/a#b", "https://a/b", "/a b"]
        {
            assert!(text.parse::<BasePath>().is_err(), "{text}");
        }
    }
}
