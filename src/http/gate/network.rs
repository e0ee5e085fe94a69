//! Networks, as flags name them: an address, or an address and the length of its prefix.

use std::net::IpAddr;
use std::str::FromStr;

/// A network of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    /// The first address.
    address: IpAddr,
    /// The bits that all its addresses share.
    prefix: u32,
}

impl Network {
    /// Whether the address is one of the network's. An IPv4 address that is written as IPv6, as a
    /// socket that listens on both writes it, is the IPv4 address.
    pub(in crate::http) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                u32::from(own) == u32::from(other) & mask(32, self.prefix) as u32
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                u128::from(own) == u128::from(other) & mask(128, self.prefix)
            }
            _ => false,
        }
    }
}

/// A number of `bits` bits whose first `prefix` are set.
fn mask(bits: u32, prefix: u32) -> u128 {
    let all = u128::MAX >> (128 - bits);
    all & !all.checked_shr(prefix).unwrap_or(0)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is not a network: write it as 10.0.0.0/8, fd00::/8 or one address")
        };
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) if prefix.bytes().all(|digit| digit.is_ascii_digit()) => {
                prefix.parse().ok().filter(|prefix| *prefix <= bits).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
            None => bits,
        };
        let network = Self { address, prefix };
        // A network that begins elsewhere is a slip, and it is not known which half is meant.
        if network.contains(address) {
            Ok(network)
        } else {
            Err(format!("{text:?} has bits set behind its first {prefix}: name the first address"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(network: &str, address: &str) -> bool {
        let network: Network = network.parse().expect("a network");
        network.contains(address.parse().expect("an address"))
    }

    #[test]
    fn networks() {
        assert!(has("10.0.0.0/8", "10.255.0.1") && !has("10.0.0.0/8", "11.0.0.0"));
        assert!(has("10.1.2.3", "10.1.2.3") && !has("10.1.2.3", "10.1.2.4"));
        assert!(has("10.1.2.2/31", "10.1.2.3") && !has("10.1.2.2/31", "10.1.2.4"));
        assert!(has("0.0.0.0/0", "1.2.3.4") && !has("0.0.0.0/0", "::1"));
        assert!(has("fd00::/8", "fdff::1") && !has("fd00::/8", "fe80::1"));
        assert!(has("::/0", "fe80::1") && has("::1", "::1") && !has("::1", "::2"));
        assert!(has("10.0.0.0/8", "::ffff:10.0.0.1"), "the address behind a socket of both kinds");
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0.1/8", "a/8", "10.0.0.0/", "1.2.3.4/+8"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
