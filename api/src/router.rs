//! From an address to an operation and back: the way that every request takes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use futures::FutureExt;
use yingku_core::contract::jiwei;
use yingku_core::outcome::ErrorKind;
use yingku_core::registry::Registry;
use yingku_storage::archive::Archive;

use crate::auth::token;
use crate::body;
use crate::call::{Api, Call, Caller, INVALID_TOKEN, now_ms};
use crate::envelope::{
    Answer, DONE, REFUSED, Reply, Shape, download_response, enciphered_response,
};
use crate::error::Failure;
use crate::limits::{ApiConfig, network};
use crate::nodes::PackPart;
use crate::operations::{Access, Operation, operation_of};
use crate::origin::origin;
use crate::{clinic, health, images, meters, nodes, openapi, pages, soap};

/// The most that anybody without a token may send: a sign has 1,024 characters.
const OPEN_BODY_BYTES: usize = 64 << 10;

/// All interfaces of the archive over HTTP.
pub fn router(archive: Archive, config: ApiConfig) -> Router {
    let api = Arc::new(Api::new(archive, config));
    Router::new().fallback(move |request: Request<Body>| {
        let api = Arc::clone(&api);
        async move { dispatch(&api, request).await }
    })
}

/// R1: with and without the context, and with doubled slashes.
fn plain_path(context: &str, path: &str) -> String {
    let mut steps = path.split('/').filter(|step| !step.is_empty()).peekable();
    let mut contexts = context
        .split('/')
        .filter(|step| !step.is_empty())
        .peekable();
    if contexts.peek().is_some() {
        let mut rest = steps.clone();
        if contexts.all(|step| rest.next() == Some(step)) {
            steps = rest;
        }
    }
    let mut plain = String::with_capacity(path.len());
    for step in steps {
        plain.push('/');
        plain.push_str(step);
    }
    if plain.is_empty() {
        plain.push('/');
    }
    plain
}

async fn dispatch(api: &Arc<Api>, request: Request<Body>) -> Response<Body> {
    let path = plain_path(&api.config.context, request.uri().path());
    if let Some((operation, rest)) = operation_of(&path) {
        if request.method() != Method::POST {
            return words(
                StatusCode::OK,
                format!("请使用 POST 方法；说明见 /docs (send {path} a POST; see /docs)"),
            );
        }
        return perform(api, operation, rest, request).await;
    }
    if path == soap::ROUTE {
        return soap::handle(api, request).await;
    }
    if path == clinic::ROUTE {
        let visit = clinic::Visit::of(api, &request);
        return clinic::handle(api, visit).await;
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match path.as_str() {
        "/" if is_read => pages::start(api),
        "/docs" if is_read => pages::docs(api),
        "/openapi.json" if is_read => openapi::document_response(api),
        "/healthz" if is_read => health::alive(),
        "/readyz" if is_read => health::ready(api),
        other if is_read && other.starts_with(nodes::PACKS) => {
            let name = other.trim_start_matches(nodes::PACKS);
            let asked = PackPart::of(api, name, &request);
            nodes::answer(api, asked).await
        }
        images::FRAME if is_read => {
            let uri = request.uri().clone();
            images::frame(api, &uri, address_of(&request)).await
        }
        "/metrics" if is_read => meters::page(api, address_of(&request)).await,
        _ => {
            // R2: where the interfaces are, usual clients drop the body of a 404.
            let http = if is_interface(&api.config.context, request.uri().path()) {
                StatusCode::OK
            } else {
                StatusCode::NOT_FOUND
            };
            words(
                http,
                "没有此地址，接口列表见 /docs (no such address; see /docs)".to_owned(),
            )
        }
    }
}

/// Whether an address lies under the context or under `/v1`, where only interfaces are.
fn is_interface(context: &str, path: &str) -> bool {
    let steps = |path: &'_ str| path.split('/').filter(|step| !step.is_empty()).count();
    let plain = plain_path(context, path);
    plain.starts_with("/v1/") || steps(&plain) < steps(path)
}

pub fn address_of(request: &Request<Body>) -> IpAddr {
    request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip())
}

fn words(http: StatusCode, message: String) -> Response<Body> {
    Reply {
        http,
        status: REFUSED,
        message,
        page: None,
        result: None,
    }
    .into_response(Shape::default())
}

/// One operation: token, place, body, handler; then the answer in the app's shape.
async fn perform(
    api: &Arc<Api>,
    operation: &'static Operation,
    rest_of_path: Option<&str>,
    request: Request<Body>,
) -> Response<Body> {
    let since = Instant::now();
    let address = address_of(&request);
    let (parts, body) = request.into_parts();
    let registry = api.archive.registry();
    let mut shape = Shape {
        statuses: operation.statuses,
        ..Shape::default()
    };
    let mut source = format!("address:{}", network(address));
    let caller = match admit(
        api,
        operation,
        &registry,
        &parts.headers,
        &mut shape,
        &mut source,
    ) {
        Ok(caller) => caller,
        Err(failure) => {
            body::discard(api, body.into_data_stream());
            return refuse(api, operation, failure, shape, source, since).await;
        }
    };
    let places = match (&caller, operation.access) {
        (Some(caller), _) => api
            .places
            .of(&caller.id)
            .zip(api.places.any())
            .map(|(own, any)| (own, Some(any))),
        (None, Access::Key) => api.places.keyed().map(|place| (place, None)),
        (None, _) => api.places.open().map(|place| (place, None)),
    };
    let Some(_places) = places else {
        body::discard(api, body.into_data_stream());
        return refuse(api, operation, too_many(), shape, source, since).await;
    };
    let asked = Asked {
        operation,
        rest_of_path,
        address,
        parts: &parts,
    };
    match carry_out(api, asked, caller, body).await {
        Ok(answer) => {
            let response = done(answer, shape);
            meters::requested(operation.path, &response, true, since);
            response
        }
        Err(failure) => refuse(api, operation, failure, shape, source, since).await,
    }
}

/// A request but for its body.
struct Asked<'r> {
    operation: &'static Operation,
    rest_of_path: Option<&'r str>,
    address: IpAddr,
    parts: &'r Parts,
}

/// Reads the body and runs the handler.
async fn carry_out(
    api: &Arc<Api>,
    asked: Asked<'_>,
    caller: Option<Caller>,
    body: Body,
) -> Result<Answer, Failure> {
    let (operation, parts) = (asked.operation, asked.parts);
    let declared = body::declared(&parts.headers);
    let limit = match operation.access {
        Access::Open => OPEN_BODY_BYTES.min(api.config.max_body_bytes),
        Access::Key => jiwei::REQUEST_LIMIT_BYTES.min(api.config.max_body_bytes),
        Access::Token(_) => api.config.max_body_bytes,
    };
    let held = body::read(api, body, declared, limit).await?;
    let registry = match &caller {
        Some(caller) => Arc::clone(&caller.registry),
        None => api.archive.registry(),
    };
    let call = Call {
        api: Arc::clone(api),
        caller,
        address: asked.address,
        origin: origin(&parts.headers, &parts.uri),
        body: held.bytes.clone(),
        charset: body::charset(&parts.headers),
        app_hint: app_hint(&parts.headers, parts.uri.query()),
        rest_of_path: asked.rest_of_path.map(str::to_owned),
        registry,
    };
    // A handler that panics answers 500 like any other failure of ours, and the node goes on serving.
    AssertUnwindSafe((operation.handler)(call))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(panicked(operation.path)))
}

fn done(answer: Answer, shape: Shape) -> Response<Body> {
    if let Some(text) = answer.enciphered {
        return enciphered_response(StatusCode::OK, text);
    }
    if let Some(file) = answer.download {
        return download_response(file);
    }
    let shape = answer.shape.unwrap_or(shape);
    Reply {
        http: StatusCode::OK,
        status: answer.status.unwrap_or(DONE),
        message: answer.message,
        page: answer.page,
        result: answer.result,
    }
    .into_response(shape)
}

/// Answers a failure and leaves it in the error digest with its true reason.
async fn refuse(
    api: &Arc<Api>,
    operation: &'static Operation,
    mut failure: Failure,
    shape: Shape,
    source: String,
    since: Instant,
) -> Response<Body> {
    let shape = failure.shape.unwrap_or(shape);
    let reply = failure.reply(shape);
    let source = failure.source.take().unwrap_or(source);
    let notes = std::mem::take(&mut failure.notes);
    api.note_refusals(operation.path, source, notes).await;
    let response = match failure.enciphered {
        Some(text) => enciphered_response(reply.http, text.0),
        None => reply.into_response(shape),
    };
    meters::requested(operation.path, &response, false, since);
    response
}

/// Lets in whoever has a token of an app with the operation's right.
fn admit(
    api: &Api,
    operation: &Operation,
    registry: &Arc<Registry>,
    headers: &HeaderMap,
    shape: &mut Shape,
    source: &mut String,
) -> Result<Option<Caller>, Failure> {
    let Access::Token(rights) = operation.access else {
        return Ok(None);
    };
    let checked = token::check(
        api.archive.key(),
        registry,
        token::of_headers(headers),
        now_ms(),
    );
    let id = match &checked {
        Ok(id) => Some(id),
        Err(fault) => fault.app(),
    };
    if let Some(app) = id.and_then(|id| registry.apps.get(id)) {
        *shape = Shape::of(app, operation.statuses);
        *source = format!("app:{}", app.id);
    }
    let id = checked.map_err(|fault| {
        Failure::new(ErrorKind::Unauthenticated, fault.rule(), INVALID_TOKEN)
            .because(fault.to_string())
    })?;
    let caller = Caller {
        registry: Arc::clone(registry),
        id,
    };
    let own = &caller.app()?.rights;
    if !rights.iter().any(|right| own.contains(right)) {
        let message = format!(
            "无权限：该应用不能使用 {} (no right for this interface)",
            operation.path
        );
        return Err(Failure::new(ErrorKind::Forbidden, "right", message));
    }
    Ok(Some(caller))
}

fn app_hint(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    let header = headers.get("appId").and_then(|value| value.to_str().ok());
    let query = query.and_then(|query| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix("appId="))
    });
    header.or(query).map(str::to_owned)
}

pub fn too_many() -> Failure {
    Failure::new(
        ErrorKind::TooMany,
        "concurrency",
        "同时请求过多，请稍后重发 (too many requests at once: send again later)",
    )
}

pub fn panicked(path: &str) -> Failure {
    tracing::error!(path, "a handler panicked");
    Failure::new(
        ErrorKind::Internal,
        "internal",
        "内部错误，请稍后重试并告知平台管理员 (internal error: try again, tell the operator)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_answers_with_and_without_context_and_with_doubled_slashes() {
        for (context, path, plain) in [
            ("openapi", "/openapi/v1/auth/getToken", "/v1/auth/getToken"),
            ("openapi", "/v1/auth/getToken", "/v1/auth/getToken"),
            (
                "openapi",
                "//openapi//v1/auth//getToken/",
                "/v1/auth/getToken",
            ),
            ("a/b", "/a/b/v1/x", "/v1/x"),
            ("a/b", "/a/v1/x", "/a/v1/x"),
            ("", "//v1/x", "/v1/x"),
            ("openapi", "/openapi", "/"),
            ("openapi", "/openapi.json", "/openapi.json"),
        ] {
            assert_eq!(plain_path(context, path), plain, "{context} {path}");
        }
    }

    #[test]
    fn interfaces_are_under_the_context_and_under_v1() {
        for (context, path, interface) in [
            ("openapi", "/openapi/v1/exam/pushh", true),
            ("openapi", "/openapi/v2/exam/push", true),
            ("openapi", "//openapi//nowhere", true),
            ("openapi", "/v1/nowhere", true),
            ("", "/v1/nowhere", true),
            ("", "/openapi/nowhere", false),
            ("openapi", "/nowhere", false),
            ("openapi", "/favicon.ico", false),
        ] {
            assert_eq!(is_interface(context, path), interface, "{context} {path}");
        }
    }
}
