//! The page that a clinician's workstation opens (contract §4): a patient's exams, their reports to read and to print. Made
//! here, without scripts, in HTML and CSS that a browser of ten years ago knows.
//!
//! One request's way: [`admission`] says who opens it and for which hospital (R19), [`question`] which exams its numbers
//! lead to (R18), the opening goes on record, and [`list`], [`exam`] or [`images`] makes the page. [`trouble`] has the words where there
//! is none.

mod admission;
mod exam;
mod images;
mod list;
mod page;
mod question;
mod ticket;
mod trouble;
mod words;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use futures::FutureExt;
use yingku_core::contract::clinic::Query;
use yingku_core::exam::ExamRow;
use yingku_core::registry::Registry;
use yingku_core::time::Zone;
use yingku_storage::archive::Archive;
use yingku_storage::views::Views;

use crate::call::{Api, now_ms};
use crate::caller_address::caller_of;
use crate::error::Failure;
use crate::limits::network;
use crate::meters;
use crate::router::panicked;
use admission::Opening;
use page::Frames;
use trouble::Trouble;

pub use yingku_core::contract::clinic::ROUTE;

/// By which the record of readings names an opening.
const OPERATION: &str = "clinic";

/// What of a request a page is made of; a request itself cannot be kept while one waits.
pub struct Visit {
    is_read: bool,
    /// The query as it was sent, which is what a signature is over.
    raw: String,
    /// `None`: a proxy does not say from where.
    caller: Option<IpAddr>,
}

impl Visit {
    pub fn of(api: &Api, request: &Request<Body>) -> Self {
        Self {
            is_read: matches!(*request.method(), Method::GET | Method::HEAD),
            raw: request.uri().query().unwrap_or_default().to_owned(),
            caller: caller_of(&api.config.proxies, request),
        }
    }
}

/// Answers whatever comes to [`ROUTE`].
pub async fn handle(api: &Arc<Api>, visit: Visit) -> Response<Body> {
    let since = Instant::now();
    let registry = api.archive.registry();
    let caller = visit.caller;
    let answered = match visit.is_read {
        true => {
            let answering = answer(api, &registry, &visit.raw, caller);
            // A page that panics answers 500 like any other failure of ours, and the node goes on serving.
            AssertUnwindSafe(answering)
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(panicked(ROUTE).into()))
        }
        false => Err(Trouble::Method),
    };
    match answered {
        Ok(response) => {
            meters::requested(ROUTE, &response, true, since);
            response
        }
        Err(trouble) => {
            let response = trouble.response(&Frames::of_all(&registry));
            let source = match caller {
                Some(address) => format!("address:{}", network(address)),
                None => "address:unknown".to_owned(),
            };
            api.note_refusals(ROUTE, source, trouble.notes()).await;
            meters::requested(ROUTE, &response, false, since);
            response
        }
    }
}

/// What pages are made of.
struct House {
    api: Arc<Api>,
    archive: Archive,
    views: Arc<Views>,
    registry: Arc<Registry>,
    zone: Zone,
    now_ms: i64,
    opening: Opening,
}

async fn answer(
    api: &Arc<Api>,
    registry: &Arc<Registry>,
    raw: &str,
    caller: Option<IpAddr>,
) -> Result<Response<Body>, Trouble> {
    let shared_by = caller.map_or(IpAddr::from([0, 0, 0, 0]), network);
    let _places = api.places.clinic(shared_by).ok_or(Trouble::Busy)?;
    let query = Query::parse(raw).map_err(Trouble::query)?;
    let now_ms = now_ms();
    let opening = admission::admit(api.archive.key(), registry, raw, &query, caller, now_ms)?;
    let asked = question::Asked::read(&query)?;
    let frames = Frames::of(registry, &opening.hospital);
    api.archive.settle().await.map_err(Failure::from)?;
    let house = Arc::new(House {
        api: Arc::clone(api),
        archive: api.archive.clone(),
        views: api.archive.views(),
        registry: Arc::clone(registry),
        zone: Zone::named(&registry.settings.time_zone).unwrap_or_default(),
        now_ms,
        opening,
    });
    let found = {
        let house = Arc::clone(&house);
        apart(move || question::find(&house)).await?
    };
    let chosen = asked.choose(&house.opening, &found)?.cloned();
    let target = match &chosen {
        Some(row) => row.key.to_string(),
        None => format!("{} exams", found.len()),
    };
    let reading = &house.opening.reading;
    let entry = reading.entry(OPERATION, Some(&house.opening.hospital), &target);
    api.archive.audit(entry).await.map_err(Failure::from)?;
    let html = apart(move || match chosen {
        Some(row) => match &asked.images {
            Some(place) => images::render(&house, &row, place),
            None => exam::render(&house, &row, &found, asked.version),
        },
        None => list::render(&house, &found, asked.page),
    })
    .await?;
    Ok(page::response(StatusCode::OK, html, &frames))
}

/// Runs what reads disks apart from the threads that serve connections.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Failure::internal(&error).into()),
    }
}

impl House {
    /// The hospital's name, as pages and prints have it at their head.
    fn hospital_name(&self) -> &str {
        let hospital = &self.opening.hospital;
        let entry = self.registry.hospitals.get(hospital);
        entry.map_or(hospital.as_str(), |entry| entry.name.as_str())
    }

    /// The address of an exam on this page, in its current version.
    fn exam_address(&self, row: &ExamRow) -> String {
        let base = &self.opening.base;
        let mut query = form_urlencoded::Serializer::for_suffix(base.clone(), 0);
        query.append_pair("exam", row.key.exam_no.as_str());
        if row.key.generation > 0 {
            query.append_pair("generation", &row.key.generation.to_string());
        }
        query.finish()
    }
}
