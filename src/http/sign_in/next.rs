//! The address to which a browser goes after it has signed in. It comes from the URL of the sign-in
//! page, so anybody can have written it: it must be a path of this relay. Otherwise a link to the
//! relay's sign-in page would lead to a copy of that page elsewhere, which asks for the token
//! again.

use url::Url;

/// The dashboard, from the sign-in page. A browser resolves it.
pub(super) const HOME: &str = "./";
/// The sign-in page, from the path of signing out.
pub(super) const SIGN_IN: &str = "./sign-in";
/// The longest address that is kept, in bytes.
const MAX_NEXT: usize = 2_000;
/// Stands for the relay's own origin: no address can name it.
const OWN: &str = "http://relay.invalid";

/// The path to go to: `wanted` if it is one of this relay's, which lie below `base`, and otherwise
/// the dashboard.
pub(in crate::http) fn path(wanted: Option<&str>, base: &str) -> String {
    wanted.and_then(|wanted| own_path(wanted, base)).unwrap_or_else(|| HOME.to_owned())
}

fn own_path(wanted: &str, base: &str) -> Option<String> {
    // A browser skips control characters in a URL, and reads a backslash as a slash.
    let is_plain = wanted.len() <= MAX_NEXT
        && wanted.starts_with('/')
        && !wanted.chars().any(|c| c.is_control() || c == '\\');
    if !is_plain {
        return None;
    }
    // Read as a browser reads it: the path may hold dots that lead elsewhere.
    let url = Url::parse(OWN).ok()?.join(wanted).ok()?;
    let path = url.as_str().strip_prefix(OWN)?;
    // What lies behind the relay may decode `%2f` in a path, and then resolve dots; not in a query.
    let before_query = path.split(['?', '#']).next().unwrap_or(path);
    let is_own = path.starts_with(base) && !before_query.contains("//");
    (is_own && !before_query.contains('%')).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_relay_stays() {
        for (wanted, goes) in [
            ("/", "/"),
            ("/?class=a&student=b%2Fc", "/?class=a&student=b%2Fc"),
            ("/services/relay/?class=a#x", "/services/relay/?class=a#x"),
            ("/a/../b", "/b"),
            ("/?next=https://evil.example", "/?next=https://evil.example"),
            ("/?class=日本", "/?class=%E6%97%A5%E6%9C%AC"),
            ("/@evil.example", "/@evil.example"),
        ] {
            assert_eq!(path(Some(wanted), "/"), goes, "{wanted}");
        }
        let below = "/services/relay/?class=a//b";
        assert_eq!(path(Some(below), "/services/relay/"), below);
    }

    #[test]
    fn nothing_else_does() {
        for wanted in [
            "",
            "evil.example",
            "https://evil.example/",
            "HTTPS:evil.example",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/.//evil.example",
            "/..//evil.example",
            "/x/..//evil.example",
            "/%2e//evil.example",
            "/%2E%2e//evil.example",
            "/x/%2e.//evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "?class=a",
            "#x",
            "/\u{0}",
            "/\u{85}",
            "/\r\nSet-Cookie: a=b",
            "/%2Fevil.example",
            "/%5Cevil.example",
            "/x//evil.example",
        ] {
            assert_eq!(path(Some(wanted), "/"), HOME, "{wanted:?}");
        }
        assert_eq!(path(None, "/"), HOME);
        assert_eq!(path(Some(&format!("/{}", "x".repeat(MAX_NEXT))), "/"), HOME);
        for wanted in [
            "/",
            "/user/ada/",
            "/services/relay",
            "/services/relay2/",
            "/services/relay/../../user/ada/",
            "/services/relay/%2e%2e/%2e%2e/user/ada/",
            "/services/relay/..%2f..%2fuser/ada/",
        ] {
            assert_eq!(path(Some(wanted), "/services/relay/"), HOME, "{wanted:?}");
        }
    }
}
