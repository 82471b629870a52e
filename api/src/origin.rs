//! Under which name a caller reached the node: behind a gateway that is the gateway's (R12).

use axum::http::{HeaderMap, Uri, header};

/// Where nobody says under which name the service was called.
const UNKNOWN_HOST: &str = "localhost";
/// Characters of a host's name (RFC 1035) at most.
const HOST_CHARS: usize = 253;

/// `scheme://host[:port]`. A caller may name any host here, but only to itself.
pub fn origin(headers: &HeaderMap, uri: &Uri) -> String {
    let scheme = forwarded(headers, "x-forwarded-proto")
        .map(str::to_ascii_lowercase)
        .filter(|scheme| matches!(scheme.as_str(), "http" | "https"))
        .unwrap_or_else(|| "http".to_owned());
    let forwarded_host = forwarded(headers, "x-forwarded-host").and_then(host_and_port);
    let own = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let own = own.or(uri.authority().map(|authority| authority.as_str()));
    let forwarded_port = forwarded(headers, "x-forwarded-port").and_then(port_number);
    let (host, port) = match (forwarded_host, own.and_then(host_and_port)) {
        (Some((host, Some(port))), _) => (host, Some(port)),
        (Some((host, None)), _) => (host, forwarded_port),
        (None, Some((host, port))) => (host, forwarded_port.or(port)),
        (None, None) => (UNKNOWN_HOST, forwarded_port),
    };
    let usual = if scheme == "https" { 443 } else { 80 };
    let port = match port {
        Some(port) if port != usual => format!(":{port}"),
        _ => String::new(),
    };
    format!("{scheme}://{host}{port}")
}

/// The value that the first gateway gave, which is the one that the caller speaks to.
fn forwarded<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let value = headers.get(name)?.to_str().ok()?;
    value.split(',').next().map(str::trim)
}

/// `host`, `host:port`, `[v6]` and `[v6]:port`; `None`: it is none of these.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let end = match text.starts_with('[') {
        true => text.find(']')? + 1,
        false => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at_checked(end)?;
    let is_host = match host.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        // Names within a hospital have underscores.
        None => host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')),
    };
    if !is_host || host.is_empty() || host.len() > HOST_CHARS {
        return None;
    }
    match rest.strip_prefix(':') {
        Some(port) => Some((host, Some(port_number(port)?))),
        None => rest.is_empty().then_some((host, None)),
    }
}

fn port_number(text: &str) -> Option<u16> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| *port != 0);
    port.filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_host_is_no_host() {
        for host in [
            "a\"/><x", "a/b", "a b", "a@b", "a:80:80", "a:0", "a:99999", "a:+8", "a:", ":80", "",
            "[::1", "[x]", "[::1]x", "a?b", "a#b", "a%00b", "'", "&amp;",
        ] {
            assert_eq!(host_and_port(host), None, "{host}");
        }
        assert_eq!(host_and_port(&"a".repeat(HOST_CHARS + 1)), None);
    }
}
