//! The service's description (WSDL 1.1, document/literal wrapped, SOAP 1.1 and 1.2), from which toolkits make clients,
//! and the address under which the caller finds the service: behind a gateway that is the gateway's (R12).

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use yingku_core::contract::xml::escape;

use super::{ROUTE, reply};
use crate::call::Api;

const TEMPLATE: &str = include_str!("service.wsdl");

/// Where nobody says under which name the service was called.
const UNKNOWN_HOST: &str = "localhost";
/// Characters of a host's name (RFC 1035) at most.
const HOST_CHARS: usize = 253;

/// `?wsdl` is answered with the description, whatever its case; anything else with words.
pub fn describe(api: &Api, request: &Request<Body>) -> Response<Body> {
    let address = address(request);
    let query = request.uri().query().unwrap_or_default();
    let asks = query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        // The second is what .NET asks for where it wants all in one.
        name.eq_ignore_ascii_case("wsdl") || name.eq_ignore_ascii_case("singleWsdl")
    });
    if asks {
        let shape = &api.config.soap;
        let text = TEMPLATE
            .replace("{namespace}", &escape(shape.target()))
            .replace("{return}", shape.return_name())
            .replace("{address}", &escape(&address));
        return reply::xml(text);
    }
    reply::words(
        StatusCode::OK,
        format!(
            "影库 Yingku 申请单接口 (apply forms over SOAP)\n\n\
             此地址以 POST 接收 SOAP 1.1 或 1.2 请求，操作为 SynApplyInfo(String req)，req 为申请单 XML。\n\
             接口描述: {address}?wsdl\n\n\
             Send a SOAP 1.1 or 1.2 request with POST; the operation is SynApplyInfo(String req), req is the form's XML.\n\
             Its description: {address}?wsdl\n"
        ),
    )
}

/// The address under which the caller reached the service. A caller may name any host here, but only to itself.
fn address(request: &Request<Body>) -> String {
    let headers = request.headers();
    let scheme = forwarded(headers, "x-forwarded-proto")
        .map(str::to_ascii_lowercase)
        .filter(|scheme| matches!(scheme.as_str(), "http" | "https"))
        .unwrap_or_else(|| "http".to_owned());
    let forwarded_host = forwarded(headers, "x-forwarded-host").and_then(host_and_port);
    let own = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let own = own.or(request
        .uri()
        .authority()
        .map(|authority| authority.as_str()));
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
    format!("{scheme}://{host}{port}{}", path(request.uri().path()))
}

/// The path as it was asked for, with its context and without doubled slashes.
fn path(asked: &str) -> String {
    let steps: Vec<&str> = asked.split('/').filter(|step| !step.is_empty()).collect();
    let path = format!("/{}", steps.join("/"));
    // The router has seen that it ends so.
    if path.ends_with(ROUTE) {
        path
    } else {
        ROUTE.to_owned()
    }
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
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn address_with(path: &str, headers: &[(&str, &str)]) -> String {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        address(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn the_address_is_the_one_that_the_caller_used() {
        let at = |base: &str| format!("{base}{ROUTE}");
        for (headers, base) in [
            (&[("host", "pacs:8080")][..], "http://pacs:8080"),
            (&[("host", "10.1.2.3")], "http://10.1.2.3"),
            (&[("host", "[2001:db8::1]:81")], "http://[2001:db8::1]:81"),
            (&[], "http://localhost"),
            (
                &[
                    ("host", "backend:8080"),
                    ("x-forwarded-host", "pacs.example, inner"),
                    ("x-forwarded-proto", "HTTPS, http"),
                ],
                "https://pacs.example",
            ),
            (
                &[
                    ("host", "a"),
                    ("x-forwarded-host", "b:8443"),
                    ("x-forwarded-port", "1"),
                    ("x-forwarded-proto", "https"),
                ],
                "https://b:8443",
            ),
            (
                &[
                    ("host", "a:8080"),
                    ("x-forwarded-port", "8443"),
                    ("x-forwarded-proto", "https"),
                ],
                "https://a:8443",
            ),
            (
                &[
                    ("host", "a:8080"),
                    ("x-forwarded-port", "443"),
                    ("x-forwarded-proto", "https"),
                ],
                "https://a",
            ),
            (&[("host", "his_gateway:80")], "http://his_gateway"),
        ] {
            assert_eq!(address_with(ROUTE, headers), at(base), "{headers:?}");
        }
        let path = "//openapi//YlzSynInfoService/services/service/?wsdl";
        assert_eq!(address_with(path, &[("host", "a")]), at("http://a/openapi"));
    }

    #[test]
    fn what_is_no_host_is_not_repeated() {
        for host in [
            "a\"/><x", "a/b", "a b", "a@b", "a:80:80", "a:0", "a:99999", "a:+8", "a:", ":80", "",
            "[::1", "[x]", "[::1]x", "a?b", "a#b", "a%00b", "'", "&amp;",
        ] {
            assert_eq!(host_and_port(host), None, "{host}");
            let forwarded = address_with(
                ROUTE,
                &[
                    ("host", "good"),
                    ("x-forwarded-host", host),
                    ("x-forwarded-proto", host),
                    ("x-forwarded-port", host),
                ],
            );
            assert_eq!(forwarded, format!("http://good{ROUTE}"), "{host}");
        }
        assert_eq!(host_and_port(&"a".repeat(HOST_CHARS + 1)), None);
    }
}
