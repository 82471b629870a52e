//! Who may open a hospital's exams in a browser without a signed link (R19): addresses of its own network; and whose pages
//! may embed them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Networks of one hospital, and origins, at most: every opening is held against all of them.
pub const NETWORKS_LIMIT: usize = 256;

/// Bits that a network must have at least: no hospital is larger, and an address alone must not open a city's patients.
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 32;

/// How a hospital's clinicians reach the clinic page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clinic {
    /// From where the page opens without a signed link.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub addresses: BTreeSet<Network>,
    /// Web pages that may show it within a frame of theirs.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub embed: BTreeSet<Origin>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClinicFault {
    #[error("{0}: 至多 {NETWORKS_LIMIT} 项 (entries at most)")]
    TooMany(&'static str),
}

impl Clinic {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an address is on the list.
    pub fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.addresses.iter().any(|network| network.has(address))
    }

    pub fn check(&self) -> Result<(), ClinicFault> {
        for (key, count) in [
            ("addresses", self.addresses.len()),
            ("embed", self.embed.len()),
        ] {
            if count > NETWORKS_LIMIT {
                return Err(ClinicFault::TooMany(key));
            }
        }
        Ok(())
    }
}

/// One address, `10.35.0.8`, or a network, `10.35.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("{0:?} 应为地址或网段，如 10.35.0.8 或 10.35.0.0/16 (must be an address or a network)")]
    Form(String),
    #[error(
        "{given} 的主机位不为零：网段应写作 {meant} (has bits behind its prefix; the network is {meant})"
    )]
    HostBits { given: String, meant: String },
    #[error(
        "{0} 过宽：IPv4 网段至少 /{SHORTEST_V4}，IPv6 至少 /{SHORTEST_V6} (is too wide for one hospital)"
    )]
    TooWide(String),
}

impl Network {
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError::Form(text.to_owned());
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address.to_canonical()),
            Err(_) => text.parse().map_err(|_| wrong())?,
        };
        let shortest = match network {
            IpNet::V4(_) => SHORTEST_V4,
            // What is written so is held against addresses that are not.
            IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => return Err(wrong()),
            IpNet::V6(_) => SHORTEST_V6,
        };
        if network.prefix_len() < shortest {
            return Err(NetworkError::TooWide(text.to_owned()));
        }
        if network.trunc() != network {
            return Err(NetworkError::HostBits {
                given: text.to_owned(),
                meant: network.trunc().to_string(),
            });
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() == self.0.max_prefix_len() {
            true => self.0.addr().fmt(f),
            false => self.0.fmt(f),
        }
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

/// Scheme, host and port of a web page, `http://his.example:8088`: it stands in a header, so nothing else may be in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} 应为 http(s)://主机[:端口]，其后无路径 (must be http or https, a host and at most a port)"
)]
pub struct OriginError(String);

impl Origin {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let wrong = || OriginError(text.to_owned());
        let scheme = ["http://", "https://"];
        let authority = scheme.iter().find_map(|scheme| text.strip_prefix(scheme));
        let authority = authority.ok_or_else(wrong)?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let is_port = port.is_none_or(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
        });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_v6 = host.starts_with('[') && host.ends_with(']') && bare.parse::<IpAddr>().is_ok();
        let is_name = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
        match is_port && (is_v6 || is_name) {
            true => Ok(Self(text.to_owned())),
            false => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Origin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn clinic(addresses: &[&str]) -> Clinic {
        Clinic {
            addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(),
            ..Clinic::default()
        }
    }

    #[test]
    fn an_address_is_on_the_list_by_itself_or_by_its_network() {
        let clinic = clinic(&["10.35.0.0/16", "192.0.2.7", "2001:db8::/48"]);
        for (address, is_on) in [
            ("10.35.255.1", true),
            ("10.36.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:10.35.0.9", true),
            ("2001:db8::1", true),
            ("2001:db8:1::1", false),
        ] {
            assert_eq!(clinic.has(address.parse().unwrap()), is_on, "{address}");
        }
        assert!(!Clinic::default().has("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_network_is_written_as_it_is_and_is_no_city() {
        for (text, shown) in [
            ("10.35.0.0/16", "10.35.0.0/16"),
            ("10.35.0.8", "10.35.0.8"),
            ("10.35.0.8/32", "10.35.0.8"),
            ("::1", "::1"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "10.35",
            "10.35.0.0/33",
            "10.35.0.1/16",
            "0.0.0.0/0",
            "::/0",
            "*",
            "his.example",
            "::ffff:10.35.0.0/112",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_origin_holds_nothing_that_a_header_would_read_otherwise() {
        for text in [
            "http://his.example",
            "https://10.1.2.3:8443",
            "http://[::1]:80",
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().as_str(), text);
        }
        for text in [
            "",
            "his.example",
            "ftp://his",
            "http://",
            "http://his/",
            "http://his;script-src *",
            "http://his *",
            "http://*",
            "http://a@b",
            "http://his:99999",
            "http://:80",
            "http://his:+1",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
