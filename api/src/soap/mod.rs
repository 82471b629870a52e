//! The SOAP service that a hospital's HIS sends its apply forms to (contract §3.1, R12): `SynApplyInfo(String req)`.
//!
//! Whatever a client's toolkit makes of SOAP is read; only what is no request at all, or does not fit, is a fault. What
//! is wrong with the document within is a code in the answer, because that is what HIS programs look at. Callers have no
//! token: the document's licence says who they are.

mod envelope;
mod reply;
mod syn_apply_info;
mod wsdl;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, Request, Response, StatusCode};
use futures::FutureExt;
use yingku_core::outcome::ErrorKind;

use crate::body::Held;
use crate::call::{Api, INLINE_BYTES, blocking};
use crate::error::Failure;
use crate::limits::network;
use crate::router::{address_of, panicked, too_many};
use crate::{body, meters};
use envelope::{Manner, Spoken};
pub use reply::SoapShape;
use syn_apply_info::Answer;

/// The contract's address, without context.
pub const ROUTE: &str = "/YlzSynInfoService/services/service";

/// The most that a request may have: a form has some kilobytes, escaped and in GBK some more; a record holds 1 MiB.
const BODY_BYTES: usize = 2 << 20;

/// Time for a request's body: anybody may begin to send one.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers whatever comes to [`ROUTE`].
pub async fn handle(api: &Arc<Api>, request: Request<Body>) -> Response<Body> {
    match *request.method() {
        Method::POST => perform(api, request).await,
        Method::GET | Method::HEAD => wsdl::describe(api, &request),
        _ => reply::words(
            StatusCode::METHOD_NOT_ALLOWED,
            "请使用 POST 发送 SOAP 请求 (send a SOAP request with POST)\n".to_owned(),
        ),
    }
}

async fn perform(api: &Arc<Api>, request: Request<Body>) -> Response<Body> {
    let since = Instant::now();
    let address = address_of(&request);
    let (parts, body) = request.into_parts();
    let mut manner = Manner::of(&parts.headers);
    let shape = &api.config.soap;
    let source = format!("address:{}", network(address));
    let done = match api.places.soap_reading(network(address)) {
        Some(reading) => {
            let limit = BODY_BYTES.min(api.config.max_body_bytes);
            let declared = body::declared(&parts.headers);
            let held = body::read_within(api, body, declared, limit, BODY_TIMEOUT).await;
            drop(reading);
            match held {
                Ok(held) => carry_out(api, address, &parts, &held, &mut manner).await,
                Err(failure) => Err(failure),
            }
        }
        None => {
            body::discard(api, body.into_data_stream());
            Err(too_many())
        }
    };
    match done {
        Ok((spoken, answer)) => {
            let response = reply::answer(shape, manner, &spoken, &answer);
            let is_done = answer.code == syn_apply_info::DONE;
            let source = answer.source.unwrap_or(source);
            api.note_refusals(ROUTE, source, answer.notes).await;
            meters::requested(ROUTE, &response, is_done, since);
            response
        }
        Err(failure) => {
            let response = reply::fault(manner, &failure);
            api.note_refusals(ROUTE, source, failure.notes).await;
            meters::requested(ROUTE, &response, false, since);
            response
        }
    }
}

/// Does what a request asks for that is here: who sends slowly has no place among those at work.
async fn carry_out(
    api: &Arc<Api>,
    address: IpAddr,
    parts: &Parts,
    held: &Held,
    manner: &mut Manner,
) -> Result<(Spoken, Answer), Failure> {
    let _places = api.places.soap(network(address)).ok_or_else(too_many)?;
    let charset = body::charset(&parts.headers);
    let read = {
        let (bytes, manner) = (held.bytes.clone(), *manner);
        move || envelope::read(&bytes, charset.as_deref(), manner)
    };
    let (spoken_in, read) = match held.bytes.len() <= INLINE_BYTES {
        true => read(),
        false => blocking(move || Ok(read())).await?,
    };
    *manner = spoken_in;
    let request = read?;
    if !request
        .spoken
        .name
        .eq_ignore_ascii_case(syn_apply_info::NAME)
    {
        let message = format!(
            "没有此操作，应为 {0} (no such operation; {0} is meant)",
            syn_apply_info::NAME
        );
        return Err(Failure::new(ErrorKind::Invalid, "soap-operation", message));
    }
    // An operation that panics is answered like any other failure of ours, and the node goes on serving.
    let handled = AssertUnwindSafe(syn_apply_info::handle(api, address, request.document))
        .catch_unwind()
        .await;
    let answer = handled.map_err(|_| panicked(ROUTE))?;
    Ok((request.spoken, answer))
}
