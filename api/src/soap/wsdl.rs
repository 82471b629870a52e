//! The service's description (WSDL 1.1, document/literal wrapped, SOAP 1.1 and 1.2), from which toolkits make clients,
//! and the address under which the caller finds the service: behind a gateway that is the gateway's (R12).

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use yingku_core::contract::xml::escape;

use super::{ROUTE, reply};
use crate::call::Api;
use crate::origin::origin;

const TEMPLATE: &str = include_str!("service.wsdl");

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
    let origin = origin(request.headers(), request.uri());
    format!("{origin}{}", path(request.uri().path()))
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
    }
}
