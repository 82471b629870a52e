//! C-FIND (PS3.4 §C.4.1).

use std::collections::HashMap;
use std::rc::Rc;

use dicom_dictionary_std::tags;
use yingku_core::instance::StudyRow;
use yingku_core::registry::{Registry, Scope, Service};
use yingku_storage::views::studies::StudySelector;
use yingku_storage::views::{Views, ViewsError, Walk};

use super::Scp;
use super::access::Denied;
use super::answer::{
    Counts, Found, has_unsupported, image_value, is_patient_count, series_value, visible_series,
};
use super::delivery::{Answers, Delivery, deliver};
use super::matching::values;
use super::query::{Level, Query};
use super::quota::Part;
use crate::association::{Association, AssociationError, Peer};
use crate::dataset::{IDENTIFIER_LIMIT, Identifier};
use crate::message::Command;
use crate::status::Status;
use crate::text::CharacterSet;

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
    pub peer: Peer,
    pub syntax: String,
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

/// Patients are told apart by a digest: a search may come by very many.
type PatientDigest = [u8; 16];

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
    let syntax = association.context(context)?.transfer_syntax.to_string();
    let (answers, received) = Answers::new(scp, association.peer());
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
                syntax,
                charset,
                answers: Rc::new(answers),
                sent: 0,
                patients: HashMap::new(),
            }
            .run()
        })
    };
    if deliver(association, context, request, received).await? == Delivery::Cancelled {
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
    /// How the caller reads answers.
    syntax: String,
    charset: CharacterSet,
    answers: Rc<Answers>,
    sent: usize,
    /// Patients that were come by, and their counts.
    patients: HashMap<PatientDigest, Counts>,
}

impl Search<'_> {
    /// Whether all matches were sent.
    fn run(mut self) -> Result<bool, ViewsError> {
        let (views, registry) = (self.views, self.registry);
        let selector = self.query.selector();
        let answers = Rc::clone(&self.answers);
        let unheard = || answers.is_unheard();
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
        answers.hand_over();
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
        let unsupported = has_unsupported(self.query.keys.tags(), found);
        let answer = found.answer(self.query.keys.tags(), &self.ae_title);
        let status = if unsupported {
            Status::PENDING_UNSUPPORTED_KEYS
        } else {
            Status::PENDING
        };
        let data_set = answer.encode(&self.syntax, &self.charset);
        self.answers.send(data_set, status)
    }

    fn study(&mut self, row: &StudyRow) -> Result<Walk, ViewsError> {
        let Some(row) = self.query.meeting(&self.scope, row) else {
            return Ok(Walk::On);
        };
        let row = row.as_ref();
        let level = self.query.level;
        if level <= Level::Study {
            let Some(patient) = self.patient(row)? else {
                return Ok(Walk::On);
            };
            return Ok(self.send(Found {
                level,
                study: row,
                series: None,
                image: None,
                patient,
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
                    level,
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
                level: self.query.level,
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

    /// Counts of a study's patient, if they are asked for; `None` if the level is the patient's and it was answered before.
    /// Patients are those of each hospital: DICOM's PatientID is only unique within one.
    fn patient(&mut self, row: &StudyRow) -> Result<Option<Counts>, ViewsError> {
        let asked = self.query.keys.tags().any(is_patient_count);
        let is_patient_level = self.query.level == Level::Patient;
        if !asked && !is_patient_level {
            return Ok(Some(None));
        }
        let digest = patient_digest(row);
        if let Some(known) = self.patients.get(&digest) {
            return Ok((!is_patient_level).then_some(*known));
        }
        let counts = if asked { self.counts(row)? } else { None };
        self.patients.insert(digest, counts);
        Ok(Some(counts))
    }

    /// All of the patient that the caller may see, whether or not it meets the keys. Whoever has no number is not known to
    /// be one patient.
    fn counts(&self, row: &StudyRow) -> Result<Counts, ViewsError> {
        let number = &row.answered().0.id;
        let numbers: Vec<String> = values(number).map(str::to_owned).collect();
        if numbers.is_empty() {
            return Ok(None);
        }
        let mut counts = [0u32; 3];
        let unheard = || self.answers.is_unheard();
        let mut visit = |other: StudyRow| {
            let is_patients = other.key.hospital == row.key.hospital
                && other.patient_ids().any(|id| id == number);
            if is_patients && self.scope.has(&other.key.hospital) {
                let series = u32::try_from(visible_series(&other).count()).unwrap_or(u32::MAX);
                for (count, more) in counts
                    .iter_mut()
                    .zip([1, series, other.visible_instances()])
                {
                    *count = count.saturating_add(more);
                }
            }
            Walk::On
        };
        let selector = StudySelector::PatientIds(numbers);
        self.views
            .visit_studies(self.registry, &selector, &unheard, &mut visit)?;
        Ok(Some(counts))
    }
}

fn patient_digest(row: &StudyRow) -> PatientDigest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(row.key.hospital.as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(row.answered().0.id.as_bytes());
    let mut digest = [0; 16];
    hasher.finalize_xof().fill(&mut digest);
    digest
}
