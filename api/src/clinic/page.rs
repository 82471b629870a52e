//! What every page has around it: the response's headers, the templates.

use std::sync::LazyLock;

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use yingku_core::ids::HospitalCode;
use yingku_core::registry::Registry;

use super::trouble::Said;
use crate::error::Failure;

/// In every page's head, so that a page saved or printed looks as it did.
pub const STYLE: &str = include_str!("../../templates/clinic/style.css");

/// The only style that a browser may apply: this one. No scripts, and nothing from elsewhere.
static STYLE_SOURCE: LazyLock<String> = LazyLock::new(|| {
    let digest = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; img-src 'self'; base-uri 'none'; form-action 'none'"
    )
});

/// Whose pages may show this one in a frame of theirs: nobody's but those that the hospital registered. There is nothing to
/// click here that changes anything, but a foreign page that frames it learns that it opens.
pub struct Frames(Vec<String>);

impl Frames {
    pub fn of(registry: &Registry, hospital: &HospitalCode) -> Self {
        let entry = registry.hospitals.get(hospital);
        let embed = entry.into_iter().flat_map(|entry| &entry.clinic.embed);
        Self(embed.map(|origin| origin.as_str().to_owned()).collect())
    }

    /// Of pages that show nothing of a hospital's.
    pub fn of_all(registry: &Registry) -> Self {
        let hospitals = registry.hospitals.values();
        let embed = hospitals.flat_map(|hospital| &hospital.clinic.embed);
        let mut all: Vec<String> = embed.map(|origin| origin.as_str().to_owned()).collect();
        all.sort();
        all.dedup();
        all.truncate(ORIGINS_OF_ALL);
        Self(all)
    }
}

/// Origins that a page of trouble names, so that its head stays one that every browser takes.
const ORIGINS_OF_ALL: usize = 64;

/// Renders a page. A template only writes into a text, so it does not fail.
pub fn html(page: &impl Template) -> Result<String, Failure> {
    page.render().map_err(|error| Failure::internal(&error))
}

pub fn response(http: StatusCode, html: String, frames: &Frames) -> Response<Body> {
    let ancestors = match frames.0.as_slice() {
        [] => "'none'".to_owned(),
        origins => origins.join(" "),
    };
    let policy = format!("{}; frame-ancestors {ancestors}", *STYLE_SOURCE);
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = http;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html;charset=UTF-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if frames.0.is_empty() {
        // For browsers that do not know frame-ancestors.
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    // Origins are checked when they are registered, so it always is one.
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

#[derive(Template)]
#[template(path = "clinic/trouble.html")]
struct TroublePage<'s> {
    style: &'static str,
    said: &'s Said,
}

pub fn trouble(said: &Said) -> String {
    let page = TroublePage { style: STYLE, said };
    // Where even that fails, the title is better than nothing.
    page.render().unwrap_or_else(|_| said.title.to_owned())
}
