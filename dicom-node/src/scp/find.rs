//! C-FIND (PS3.4 §C.4.1).

use std::collections::BTreeMap;

use dicom_dictionary_std::tags;
use tokio::sync::mpsc;
use yingku_core::ids::HospitalCode;
use yingku_core::instance::StudyRow;
use yingku_core::registry::{Registry, Scope, Service};
use yingku_storage::views::{Views, ViewsError, Walk};

use super::Scp;
use super::access::Denied;
use super::answer::{Found, has_unsupported, image_value, series_value, visible_series};
use super::query::{Level, Query};
use super::quota::Part;
use crate::association::{Association, AssociationError, Peer};
use crate::dataset::{DataSetWriter, IDENTIFIER_LIMIT, Identifier};
use crate::message::Command;
use crate::status::Status;
use crate::text::CharacterSet;

/// Answers that are found before the caller has taken the earlier ones.
const ANSWERS_AHEAD: usize = 64;
/// Answers to one query at most: more than that is no question, and the caller is told.
const ANSWER_LIMIT: usize = 100_000;

pub async fn serve(
    scp: &Scp,
    association: &mut Association,
    context: u8,
    request: &Command,
) -> Result<(), AssociationError> {
    let keys = association
        .read_data_set("identifier", IDENTIFIER_LIMIT)
        .await?;
    let caller = scp.caller(association.peer());
    // The search gives its place back only when its thread has ended.
    let prepared = match scp.place_for_search(&caller).await {
        Ok(place) => prepare(scp, Caller::of(association, context)?, request, &keys)
            .await
            .map(|(query, scope)| (place, query, scope)),
        Err(denied) => Err(denied),
    };
    let outcome = match prepared {
        Ok((place, query, scope)) => {
            answer_all(scp, association, context, request, query, scope, place).await?
        }
        Err(denied) => denied,
    };
    let mut response = request.response(outcome.status);
    if !outcome.comment.is_empty() {
        response = response.with_comment(outcome.comment);
    }
    association.send(context, &response).await
}

/// Who asks, and in which transfer syntax.
pub struct Caller {
    peer: Peer,
    syntax: String,
}

impl Caller {
    pub fn of(association: &Association, context: u8) -> Result<Self, AssociationError> {
        Ok(Self {
            peer: association.peer().clone(),
            syntax: association.context(context)?.transfer_syntax.to_string(),
        })
    }
}

/// What every query and retrieval begins with.
pub async fn prepare(
    scp: &Scp,
    caller: Caller,
    request: &Command,
    keys: &[u8],
) -> Result<(Query, Scope), Denied> {
    let service = match request.operation {
        crate::message::Operation::Move => Service::Move,
        crate::message::Operation::Get => Service::Get,
        _ => Service::Find,
    };
    let keys = Identifier::decode(keys, &caller.syntax, scp.settings().undeclared)
        .map_err(|error| Denied::new(Status::CANNOT_UNDERSTAND, error.to_string()))?;
    let query = Query::new(request.sop_class.as_deref().unwrap_or_default(), keys)?;
    // One study is the target of the audit record; a question that lists has none.
    let target = match query.keys.list(tags::STUDY_INSTANCE_UID).as_slice() {
        [study] => (*study).to_owned(),
        _ => String::new(),
    };
    let scope = scp.begin_reading(&caller.peer, service, &target).await?;
    Ok((query, scope))
}

struct Answer {
    data_set: DataSetWriter,
    status: Status,
}

/// Starts the search and sends its matches.
async fn answer_all(
    scp: &Scp,
    association: &mut Association,
    context: u8,
    request: &Command,
    query: Query,
    scope: Scope,
    place: Part,
) -> Result<Denied, AssociationError> {
    let charset = answer_charset(&query);
    let (sender, answers) = mpsc::channel(ANSWERS_AHEAD);
    let search = {
        let views = scp.archive().views();
        let registry = scp.archive().registry();
        let ae_title = scp.settings().ae_title.clone();
        tokio::task::spawn_blocking(move || {
            let _place = place;
            Search {
                views: &views,
                registry: &registry,
                query,
                scope,
                ae_title,
                sender,
                sent: 0,
            }
            .run()
        })
    };
    if deliver(association, context, request, answers, &charset).await? == Delivery::Cancelled {
        return Ok(Denied::new(Status::CANCELLED, ""));
    }
    Ok(match search.await {
        Ok(Ok(true)) => Denied::new(Status::SUCCESS, ""),
        Ok(Ok(false)) => Denied::new(
            Status::OUT_OF_RESOURCES,
            format!("more than {ANSWER_LIMIT} matches: narrow the query"),
        ),
        Ok(Err(error)) => {
            tracing::error!(%error, "a query failed");
            Denied::new(
                Status::UNABLE_TO_PROCESS,
                "views cannot be read: ask the operator",
            )
        }
        Err(error) => {
            tracing::error!(%error, "a query failed");
            Denied::new(Status::UNABLE_TO_PROCESS, "query failed: ask the operator")
        }
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Delivery {
    Whole,
    Cancelled,
}

/// Sends answers as they come, and listens to the caller meanwhile: a search may go on for long without a match. When
/// this returns, the receiver is gone, which ends the search at the next row that it looks at.
async fn deliver(
    association: &mut Association,
    context: u8,
    request: &Command,
    mut answers: mpsc::Receiver<Answer>,
    charset: &CharacterSet,
) -> Result<Delivery, AssociationError> {
    let syntax = association.context(context)?.transfer_syntax.to_string();
    loop {
        tokio::select! {
            answer = answers.recv() => {
                let Some(Answer { data_set, status }) = answer else {
                    return Ok(Delivery::Whole);
                };
                let response = request.response(status).with_data_set();
                let bytes = data_set.encode(&syntax, charset);
                association.send_with(context, &response, &bytes).await?;
            }
            spoken = association.peer_speaks() => {
                spoken?;
                if association.is_cancelled(request.message_id).await? {
                    return Ok(Delivery::Cancelled);
                }
            }
        }
    }
}

/// The caller's own character set; without one UTF-8, which pure ASCII does not show.
fn answer_charset(query: &Query) -> CharacterSet {
    let asked = query.keys.charset();
    if asked.terms().is_empty() {
        CharacterSet::utf8()
    } else {
        asked.clone()
    }
}

struct Search<'a> {
    views: &'a Views,
    registry: &'a Registry,
    query: Query,
    scope: Scope,
    ae_title: String,
    sender: mpsc::Sender<Answer>,
    sent: usize,
}

impl Search<'_> {
    /// Whether all matches were sent.
    fn run(mut self) -> Result<bool, ViewsError> {
        if self.query.level == Level::Patient {
            return self.patients();
        }
        let (views, registry) = (self.views, self.registry);
        let selector = self.query.selector();
        let sender = self.sender.clone();
        let unheard = || sender.is_closed();
        let mut failure = None;
        let mut whole = true;
        let mut visit = |row: StudyRow| match self.study(&row) {
            Ok(Walk::On) => Walk::On,
            Ok(Walk::Stop) => {
                whole = false;
                Walk::Stop
            }
            Err(error) => {
                failure = Some(error);
                Walk::Stop
            }
        };
        views.visit_studies(registry, &selector, &unheard, &mut visit)?;
        match failure {
            Some(error) => Err(error),
            None => Ok(whole),
        }
    }

    fn send(&mut self, found: Found<'_>) -> Walk {
        self.sent += 1;
        if self.sent > ANSWER_LIMIT {
            return Walk::Stop;
        }
        let level = self.query.level;
        let unsupported = has_unsupported(self.query.keys.tags(), found);
        let data_set = found.answer(level, self.query.keys.tags(), &self.ae_title);
        let status = if unsupported {
            Status::PENDING_UNSUPPORTED_KEYS
        } else {
            Status::PENDING
        };
        match self.sender.blocking_send(Answer { data_set, status }) {
            Ok(()) => Walk::On,
            Err(_) => Walk::Stop,
        }
    }

    fn study(&mut self, row: &StudyRow) -> Result<Walk, ViewsError> {
        if !self.query.study_meets(&self.scope, row) {
            return Ok(Walk::On);
        }
        if self.query.level == Level::Study {
            return Ok(self.send(Found {
                study: row,
                series: None,
                image: None,
                patient: None,
            }));
        }
        for (index, series) in visible_series(row) {
            let meets = self
                .query
                .keys
                .tags()
                .collect::<Vec<_>>()
                .into_iter()
                .all(|tag| {
                    series_value(tag, series)
                        .is_none_or(|value| self.query.value_meets(tag, &value))
                });
            if !meets {
                continue;
            }
            let walk = if self.query.level == Level::Series {
                self.send(Found {
                    study: row,
                    series: Some(series),
                    image: None,
                    patient: None,
                })
            } else {
                self.images(row, index)?
            };
            if walk == Walk::Stop {
                return Ok(Walk::Stop);
            }
        }
        Ok(Walk::On)
    }

    fn images(&mut self, row: &StudyRow, index: usize) -> Result<Walk, ViewsError> {
        let series = row.series.get(index);
        for entry in self.views.instances(row, index)? {
            let meets = self
                .query
                .keys
                .tags()
                .collect::<Vec<_>>()
                .into_iter()
                .all(|tag| {
                    image_value(tag, &entry).is_none_or(|value| self.query.value_meets(tag, &value))
                });
            if !meets {
                continue;
            }
            let found = Found {
                study: row,
                series,
                image: Some(&entry),
                patient: None,
            };
            if self.send(found) == Walk::Stop {
                return Ok(Walk::Stop);
            }
        }
        Ok(Walk::On)
    }

    /// Patients of each hospital: DICOM's PatientID is only unique within one.
    fn patients(mut self) -> Result<bool, ViewsError> {
        let mut patients: BTreeMap<(HospitalCode, String), (StudyRow, [u32; 3])> = BTreeMap::new();
        let mut whole = true;
        let unheard = || self.sender.is_closed();
        let mut visit = |row: StudyRow| {
            if !self.query.study_meets(&self.scope, &row) {
                return Walk::On;
            }
            if patients.len() >= ANSWER_LIMIT {
                whole = false;
                return Walk::Stop;
            }
            let counts = row.visible_instances();
            let series = visible_series(&row).count();
            let key = (row.key.hospital.clone(), row.answered().0.id.clone());
            let (_, totals) = patients.entry(key).or_insert_with(|| (row, [0; 3]));
            for (total, more) in
                totals
                    .iter_mut()
                    .zip([1, u32::try_from(series).unwrap_or(u32::MAX), counts])
            {
                *total = total.saturating_add(more);
            }
            Walk::On
        };
        let selector = self.query.selector();
        self.views
            .visit_studies(self.registry, &selector, &unheard, &mut visit)?;
        for (study, counts) in patients.into_values() {
            let found = Found {
                study: &study,
                series: None,
                image: None,
                patient: Some(counts),
            };
            if self.send(found) == Walk::Stop {
                return Ok(false);
            }
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests;
