//! Who sent a request, when a proxy passes it on: address, scheme and host.
//!
//! A proxy that is trusted (`--trusted-proxy`) writes into headers what it knows of its client.
//! From any other peer these headers are the peer's own words, and nothing of them is believed.
//!
//! Each proxy on the way appends the address of its peer to `X-Forwarded-For`. So the list is read
//! from the right, and the first address that is no trusted proxy's is the client's: all that
//! stands left of it was written by the client itself. `Forwarded` (RFC 7239) counts only where
//! there is no `X-Forwarded-For`: proxies that write the one pass the other on as the client sent
//! it. Of the lists of schemes and hosts the entry at the client's place counts.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};

use super::network::Network;

/// The most entries of a list that are looked at, from the right: more proxies stand in no row.
const MAX_HOPS: usize = 16;
/// The longest host that is looked at, in bytes: DNS has 253, and a port.
const MAX_HOST: usize = 260;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// How a client speaks to the outermost proxy, or to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Scheme {
    /// Without encryption.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The scheme as URLs write it.
    pub(in crate::http) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL of the scheme need not name, as it stands behind a host.
    pub(super) fn port(self) -> &'static str {
        match self {
            Self::Http => ":80",
            Self::Https => ":443",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let is = |names: [&str; 2]| names.iter().any(|name| text.eq_ignore_ascii_case(name));
        match () {
            () if is(["https", "wss"]) => Some(Self::Https),
            () if is(["http", "ws"]) => Some(Self::Http),
            () => None,
        }
    }
}

/// The sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct Client {
    /// The client's address.
    pub(in crate::http) address: IpAddr,
    /// `None` if it is not known: an unencrypted request may come through a proxy that speaks TLS.
    pub(in crate::http) scheme: Option<Scheme>,
    /// The host that the client asked for, if a proxy names it.
    pub(in crate::http) host: Option<String>,
    /// Whether a trusted proxy passes the request on: its headers name the user.
    pub(in crate::http) is_proxied: bool,
}

impl Client {
    /// A client that speaks to the relay itself.
    fn direct(remote: SocketAddr, is_tls: bool) -> Self {
        let address = remote.ip().to_canonical();
        Self { address, scheme: is_tls.then_some(Scheme::Https), host: None, is_proxied: false }
    }

    /// Whether the client is known to speak TLS, to the relay or to the proxy.
    pub(in crate::http) fn is_https(&self) -> bool {
        self.scheme == Some(Scheme::Https)
    }

    /// The host that the client asked for.
    pub(in crate::http) fn host<'a>(&'a self, headers: &'a HeaderMap) -> &'a str {
        let own = || headers.get(header::HOST).and_then(|value| value.to_str().ok());
        self.host.as_deref().or_else(own).unwrap_or_default()
    }
}

/// The proxies that are trusted.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Those with an address in one of these networks.
    pub(crate) fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Whether this is the address of one.
    pub(in crate::http) fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// The sender of a request that came from `remote` with these headers.
    pub(in crate::http) fn client(
        &self,
        remote: SocketAddr,
        is_tls: bool,
        headers: &HeaderMap,
    ) -> Client {
        let direct = Client::direct(remote, is_tls);
        if !self.has(direct.address) {
            return direct;
        }
        let (hops, scheme, host) =
            if headers.contains_key(FORWARDED_FOR) || !headers.contains_key(header::FORWARDED) {
                let hops: Vec<_> = entries(headers, &FORWARDED_FOR).map(address).collect();
                let place = self.place(&hops);
                (hops, at(headers, &FORWARDED_PROTO, place), at(headers, &FORWARDED_HOST, place))
            } else {
                let hops: Vec<_> = entries(headers, &header::FORWARDED)
                    .map(|entry| address(entry.and_then(|entry| parameter(entry, "for"))))
                    .collect();
                let entry = at(headers, &header::FORWARDED, self.place(&hops));
                let named = |name| entry.and_then(|entry| parameter(entry, name));
                let (scheme, host) = (named("proto"), named("host"));
                (hops, scheme, host)
            };
        // Without a list, or if it is garbage from the right on, the client is the proxy.
        let known = hops.iter().copied().map_while(|hop| hop).take(self.place(&hops) + 1);
        Client {
            address: known.last().unwrap_or(direct.address),
            scheme: scheme.and_then(Scheme::parse).or(direct.scheme),
            host: host.filter(|host| host.len() <= MAX_HOST).map(str::to_owned),
            is_proxied: true,
        }
    }

    /// The client's place in a list of addresses, counted from the right: behind the proxies that
    /// are trusted.
    fn place(&self, hops: &[Option<IpAddr>]) -> usize {
        let is_proxy = |hop: &&Option<IpAddr>| hop.is_some_and(|address| self.has(address));
        hops.iter().take_while(is_proxy).count().min(hops.len().saturating_sub(1))
    }
}

/// The last entries of a list, the last first. The header may be there several times: the lines
/// are one list.
fn entries<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Option<&'a str>> {
    let mut lines: Vec<_> = headers.get_all(name).iter().collect();
    lines.reverse();
    let entries = lines.into_iter().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    entries.take(MAX_HOPS).map(|entry| std::str::from_utf8(entry).ok().map(str::trim))
}

/// The entry at a place of a list, or its first entry if it has fewer: some proxies append to one
/// list and replace another.
fn at<'a>(headers: &'a HeaderMap, name: &HeaderName, place: usize) -> Option<&'a str> {
    entries(headers, name).take(place + 1).last().flatten().filter(|entry| !entry.is_empty())
}

/// The address of an entry: `192.0.2.1`, `192.0.2.1:1234`, `2001:db8::1`, `[2001:db8::1]:1234`.
fn address(text: Option<&str>) -> Option<IpAddr> {
    let text = text?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: Option<IpAddr> = text.parse().ok().or_else(bracketed);
    address
        .or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
        .map(|address| address.to_canonical())
}

/// The value of a parameter in an entry of `Forwarded`, without its quotation marks.
fn parameter<'a>(entry: &'a str, name: &str) -> Option<&'a str> {
    let pairs = entry.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.into_iter().find(|(other, _)| other.eq_ignore_ascii_case(name))?;
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    Some(unquoted.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client of a request with these headers from this peer, with two trusted networks.
    fn client(peer: &str, lines: &[(&'static str, &str)]) -> Client {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().expect("a network"));
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a value"));
        }
        let remote = SocketAddr::new(peer.parse().expect("an address"), 1);
        TrustedProxies::new(networks.to_vec()).client(remote, false, &headers)
    }

    fn address_of(peer: &str, lines: &[(&'static str, &str)]) -> String {
        client(peer, lines).address.to_string()
    }

    #[test]
    fn the_first_address_from_the_right_that_is_no_proxy_is_the_client() {
        const FOR: &str = "x-forwarded-for";
        for (list, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
            ("6.6.6.6, 192.0.2.1,10.0.0.2", "192.0.2.1"),
            ("192.0.2.1:4711, fd00::2", "192.0.2.1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            // Only proxies: the outermost.
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            // Garbage ends the list.
            ("192.0.2.1, unknown", "10.0.0.1"),
            ("192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("192.0.2.1,", "10.0.0.1"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(address_of("10.0.0.1", &[(FOR, list)]), expected, "{list}");
        }
        let lines = [(FOR, "6.6.6.6"), (FOR, "192.0.2.1"), (FOR, "10.0.0.2")];
        assert_eq!(address_of("10.0.0.1", &lines), "192.0.2.1", "lines are one list");
        let long = "10.0.0.9, ".repeat(10_000) + "10.0.0.2";
        assert_eq!(address_of("10.0.0.1", &[(FOR, &long)]), "10.0.0.9", "bounded");
        assert_eq!(address_of("::ffff:10.0.0.1", &[(FOR, "192.0.2.1")]), "192.0.2.1");
    }

    #[test]
    fn nothing_is_believed_from_elsewhere() {
        let lines = [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "for=192.0.2.1;proto=https;host=evil.example"),
        ];
        let peer = client("11.0.0.1", &lines);
        assert_eq!(peer.address.to_string(), "11.0.0.1");
        assert_eq!((peer.scheme, peer.host, peer.is_proxied), (None, None, false));
    }

    #[test]
    fn scheme_and_host_stand_at_the_clients_place() {
        let lines = [
            ("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.0.0.2"),
            ("x-forwarded-proto", "gopher, https, http"),
            ("x-forwarded-host", "relay.school.example"),
            ("forwarded", "for=6.6.6.6;proto=http;host=evil.example"),
        ];
        let known = client("10.0.0.1", &lines);
        assert!(known.is_https() && known.is_proxied);
        assert_eq!(known.host.as_deref(), Some("relay.school.example"));
        let odd = client("10.0.0.1", &[("x-forwarded-proto", "gopher")]);
        assert_eq!((odd.scheme, odd.host), (None, None));
    }

    #[test]
    fn forwarded_counts_where_it_stands_alone() {
        let known = client(
            "10.0.0.1",
            &[
                ("forwarded", "for=6.6.6.6, For=\"[2001:db8::1]:4711\";Proto=https;host=a.example"),
                ("forwarded", "for=10.0.0.2;proto=http"),
            ],
        );
        assert_eq!(known.address.to_string(), "2001:db8::1");
        assert!(known.is_https());
        assert_eq!(known.host.as_deref(), Some("a.example"));
        assert_eq!(address_of("10.0.0.1", &[("forwarded", "for=_hidden")]), "10.0.0.1");
        assert_eq!(address_of("10.0.0.1", &[("forwarded", "for=\"1.2.3.4")]), "10.0.0.1");
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics_and_none_counts_from_elsewhere(
            lists in proptest::collection::vec(proptest::collection::vec(
                proptest::sample::select(vec![
                    "10.0.0.1", "192.0.2.1", "[fd00::1]:5", "::ffff:10.0.0.2", "for=", "proto=",
                    "host=", "\"", ";", ",", " ", "https", "unknown", "_x", "[", "]", ":",
                    "\\", "é",
                ]), 0..14), 0..6),
        ) {
            let names =
                ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"];
            let lists: Vec<String> = lists.iter().map(|pieces| pieces.concat()).collect();
            let lines = names.into_iter().cycle().zip(lists.iter().map(String::as_str));
            let lines: Vec<_> = lines.collect();
            let elsewhere = client("192.0.2.9", &lines);
            proptest::prop_assert!(!elsewhere.is_proxied && elsewhere.host.is_none());
            proptest::prop_assert_eq!(elsewhere.address.to_string(), "192.0.2.9");
            proptest::prop_assert!(client("10.0.0.9", &lines).is_proxied);
        }
    }
}
