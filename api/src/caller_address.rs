//! The address that a request comes from: the peer's own, or, where the peer is a reverse proxy that the settings name, the
//! one that it says. Nobody else's `X-Forwarded-For` is believed: anybody may write one.

use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use yingku_core::registry::Network;

use crate::router::address_of;

const FORWARDED_FOR: &str = "X-Forwarded-For";

/// `None`: a proxy of ours brought it and does not say from where.
pub fn caller_of(proxies: &[Network], request: &Request<Body>) -> Option<IpAddr> {
    behind(
        proxies,
        address_of(request).to_canonical(),
        request.headers(),
    )
}

/// Each proxy adds whom it heard at the end, so the last address that is no proxy's is the caller's; what stands before it
/// the caller may have written himself.
fn behind(proxies: &[Network], peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
    let is_proxy = |address: IpAddr| proxies.iter().any(|network| network.has(address));
    if !is_proxy(peer) {
        return Some(peer);
    }
    let lines: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .map(|line| line.to_str().unwrap_or_default())
        .collect();
    let mut heard = lines.iter().rev().flat_map(|line| line.rsplit(','));
    loop {
        let address = read(heard.next()?.trim())?.to_canonical();
        if !is_proxy(address) {
            return Some(address);
        }
    }
}

/// An address, with a port or without.
fn read(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn heard(peer: &str, forwarded: &[&str]) -> Option<String> {
        let proxies = ["127.0.0.1", "10.9.0.0/24"].map(|it| it.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        behind(&proxies, peer.parse().unwrap(), &headers).map(|it| it.to_string())
    }

    #[test]
    fn only_a_proxy_of_ours_is_believed_and_only_what_it_heard_itself() {
        for (peer, forwarded, caller) in [
            ("10.35.0.8", &[][..], Some("10.35.0.8")),
            ("10.35.0.8", &["10.36.0.1"], Some("10.35.0.8")),
            ("127.0.0.1", &["10.35.0.8"], Some("10.35.0.8")),
            ("127.0.0.1", &["10.36.0.1, 10.35.0.8"], Some("10.35.0.8")),
            ("127.0.0.1", &["10.36.0.1", "10.35.0.8"], Some("10.35.0.8")),
            ("127.0.0.1", &["10.35.0.8,10.9.0.7"], Some("10.35.0.8")),
            ("127.0.0.1", &["10.35.0.8:51234"], Some("10.35.0.8")),
            ("127.0.0.1", &["[2001:db8::1]:443"], Some("2001:db8::1")),
            ("127.0.0.1", &["::ffff:10.35.0.8"], Some("10.35.0.8")),
            ("127.0.0.1", &[], None),
            ("127.0.0.1", &["unknown"], None),
            ("127.0.0.1", &["10.35.0.8, unknown"], None),
            ("127.0.0.1", &["10.9.0.7"], None),
        ] {
            assert_eq!(
                heard(peer, forwarded).as_deref(),
                caller,
                "{peer} {forwarded:?}"
            );
        }
    }
}
