//! Pages for people who connect a system: a start page and the interface's documentation. Made here, no scripts.

mod docs;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};

use crate::call::Api;
use crate::soap;

pub use docs::docs;

/// What every page looks like.
const STYLE: &str = "body{font:15px/1.6 system-ui,'Noto Sans SC','Microsoft YaHei',sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2733}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem;border-top:1px solid #d5dde5;padding-top:1rem}\
code,pre{font:13px/1.5 ui-monospace,Consolas,monospace;background:#f3f6f9}pre{padding:.7rem;overflow:auto;max-height:24rem}\
table{border-collapse:collapse;width:100%}td,th{border:1px solid #d5dde5;padding:.25rem .5rem;text-align:left;vertical-align:top}a{color:#0b5cad}";

pub fn start(api: &Api) -> Response<Body> {
    let ready = if api.archive.health().is_ready() {
        "运行正常 (ready)"
    } else {
        "尚未就绪，原因见 <a href=\"/readyz\">/readyz</a> (not ready)"
    };
    page(
        "影库 Yingku",
        &format!(
            "<h1>影库 Yingku 区域影像归档</h1><p>{ready}</p><ul>\
             <li><a href=\"/docs\">接口说明 (interfaces)</a></li>\
             <li><a href=\"/openapi.json\">OpenAPI 3.1</a></li>\
             <li><a href=\"{}\">申请单 SOAP 接口 (apply forms over SOAP)</a></li>\
             <li><a href=\"/readyz\">就绪状态 (readiness)</a></li></ul>",
            soap::ROUTE
        ),
    )
}

fn page(title: &str, body: &str) -> Response<Body> {
    let html = format!(
        "<!doctype html><html lang=\"zh\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}</style></head><body>{body}</body></html>",
        escape(title)
    );
    let mut response = Response::new(Body::from(html));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html;charset=UTF-8"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
    );
    response
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}
