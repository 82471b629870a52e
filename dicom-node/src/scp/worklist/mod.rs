//! C-FIND of the Modality Worklist (PS3.4 annex K): a machine takes its patients from apply forms instead of having them typed.
//!
//! An entry is an open form of a hospital of the caller's: neither deleted nor registered, nor started at a machine.

mod answer;
mod entry;
mod question;

use std::collections::HashMap;

use dicom_dictionary_std::uids;
use yingku_core::apply_form::{ApplyFormRow, accession_of};
use yingku_core::dictionaries::modalities_of;
use yingku_core::ids::{AeTitle, HospitalCode};
use yingku_core::registry::{HospitalMode, Registry, Scope, Service};
use yingku_storage::views::keys::FormIndexKind;
use yingku_storage::views::{Views, ViewsError, Walk};

use super::Scp;
use super::access::Denied;
use super::find::{Answers, Caller, Delivery, deliver};
use super::quota::Part;
use crate::association::{Association, AssociationError};
use crate::dataset::{IDENTIFIER_LIMIT, Nested};
use crate::message::Command;
use crate::status::Status;
use crate::text::CharacterSet;
use entry::Entry;
use question::{Question, Selector};

/// Answers to one question at most: a machine's screen is for a day's patients, not for a city's.
const ANSWER_LIMIT: usize = 5_000;
/// Forms that one question looks at, at most: some second of a thread on a loaded machine.
const ROWS_LIMIT: usize = 50_000;

/// Whether a query on this abstract syntax is one of the worklist.
pub fn is_worklist(abstract_syntax: &str) -> bool {
    abstract_syntax == uids::MODALITY_WORKLIST_INFORMATION_MODEL_FIND
}

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
    let prepared = match scp.place_for_search(&caller).await {
        Ok(place) => prepare(scp, Caller::of(association, context)?, &keys)
            .await
            .map(|asked| (place, asked)),
        Err(denied) => Err(denied),
    };
    let outcome = match prepared {
        Ok((place, asked)) => {
            answer_all(scp, association, (context, request), asked, place).await?
        }
        Err(denied) => denied,
    };
    let mut response = request.response(outcome.status);
    if !outcome.comment.is_empty() {
        response = response.with_comment(outcome.comment);
    }
    association.send(context, &response).await
}

/// What is asked, and how it is to be answered.
struct Asked {
    question: Question,
    scope: Scope,
    calling: String,
    transfer_syntax: String,
    charset: CharacterSet,
}

async fn prepare(scp: &Scp, caller: Caller, keys: &[u8]) -> Result<Asked, Denied> {
    let Caller { peer, syntax } = caller;
    let (keys, charset) = Nested::decode(keys, &syntax, scp.settings().undeclared)
        .map_err(|error| Denied::new(Status::CANNOT_UNDERSTAND, error.to_string()))?;
    let question = Question::new(keys)?;
    // One study is the target of the audit record; a question that lists has none.
    let target = match question.selector() {
        Selector::Studies(studies) => match studies.as_slice() {
            [study] => study.to_string(),
            _ => String::new(),
        },
        _ => String::new(),
    };
    let scope = scp.begin_reading(&peer, Service::Worklist, &target).await?;
    Ok(Asked {
        question,
        scope,
        calling: peer.calling,
        transfer_syntax: syntax,
        charset,
    })
}

async fn answer_all(
    scp: &Scp,
    association: &mut Association,
    (context, request): (u8, &Command),
    asked: Asked,
    place: Part,
) -> Result<Denied, AssociationError> {
    let (answers, received) = Answers::new(scp, association.peer());
    let search = {
        let views = scp.archive().views();
        let registry = scp.archive().registry();
        tokio::task::spawn_blocking(move || {
            // The search gives its place back only when its thread has ended.
            let _place = place;
            let station = asked.question.station(&asked.calling);
            Search {
                views: &views,
                registry: &registry,
                station,
                asked,
                answers,
                modalities: HashMap::new(),
                is_unsupported: None,
                seen: 0,
                sent: 0,
            }
            .run()
        })
    };
    if deliver(association, context, request, received).await? == Delivery::Cancelled {
        return Ok(Denied::new(Status::CANCELLED, ""));
    }
    Ok(match search.await {
        Ok(Ok(End::Whole)) => Denied::new(Status::SUCCESS, ""),
        Ok(Ok(End::TooManyAnswers)) => Denied::new(
            Status::OUT_OF_RESOURCES,
            format!("more than {ANSWER_LIMIT} matches: give day, modality, patient"),
        ),
        Ok(Ok(End::TooManyRows)) => Denied::new(
            Status::OUT_OF_RESOURCES,
            "more keys needed: day, PatientID or AccessionNumber",
        ),
        Ok(Err(error)) => {
            tracing::error!(%error, "a worklist query failed");
            Denied::new(
                Status::UNABLE_TO_PROCESS,
                "views cannot be read: ask the operator",
            )
        }
        Err(error) => {
            tracing::error!(%error, "a worklist query failed");
            Denied::new(Status::UNABLE_TO_PROCESS, "query failed: ask the operator")
        }
    })
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    TooManyAnswers,
    TooManyRows,
}

struct Search<'a> {
    views: &'a Views,
    registry: &'a Registry,
    asked: Asked,
    /// Of forms that name none.
    station: String,
    answers: Answers,
    /// Of classes that were come by.
    modalities: HashMap<String, Vec<String>>,
    is_unsupported: Option<bool>,
    seen: usize,
    sent: usize,
}

impl Search<'_> {
    fn run(mut self) -> Result<End, ViewsError> {
        let registry = self.registry;
        let selector = self.asked.question.selector();
        let mut end = End::Whole;
        for (code, hospital) in &registry.hospitals {
            if !self.asked.scope.has(code) || !self.asked.question.asks_for(code.as_str()) {
                continue;
            }
            let is_trial = hospital.mode == HospitalMode::Test;
            let views = self.views;
            let mut visit = |row: ApplyFormRow| {
                // What was tried out is nobody's once the hospital is live.
                if row.test != is_trial {
                    return Walk::On;
                }
                match self.form(&row, &hospital.name) {
                    None => Walk::On,
                    Some(stop) => {
                        end = stop;
                        Walk::Stop
                    }
                }
            };
            select(views, &selector, code, &mut visit)?;
            if end != End::Whole {
                break;
            }
        }
        Ok(end)
    }

    /// Answers a form if it is asked for; `Some` ends the search.
    fn form(&mut self, row: &ApplyFormRow, hospital: &str) -> Option<End> {
        self.seen += 1;
        if self.seen > ROWS_LIMIT {
            return Some(End::TooManyRows);
        }
        // Nobody waits for the answers any more: how it ends is told to no one.
        if self.answers.is_unheard() {
            return Some(End::TooManyRows);
        }
        let question = &self.asked.question;
        if !row.is_open() || !question.is_planned_so(row) {
            return None;
        }
        let class = &row.content.exam_class;
        if !self.modalities.contains_key(class) {
            let modalities = modalities_of(&self.registry.settings.class_aliases, class);
            self.modalities.insert(class.clone(), modalities);
        }
        let modalities = self.modalities.get(class).map_or(&[][..], Vec::as_slice);
        let modality = question.modality(modalities)?;
        let named = AeTitle::new(&row.content.device).ok();
        let named = named.filter(|title| self.registry.peers.contains_key(title));
        let entry = Entry {
            row,
            hospital,
            station: named.as_ref().map_or(&self.station, |it| it.as_str()),
            modality,
        };
        if !question.meets(&entry) {
            return None;
        }
        self.sent += 1;
        if self.sent > ANSWER_LIMIT {
            return Some(End::TooManyAnswers);
        }
        let is_unsupported = self
            .is_unsupported
            .get_or_insert_with(|| question.has_unsupported(&entry));
        let status = if *is_unsupported {
            Status::PENDING_UNSUPPORTED_KEYS
        } else {
            Status::PENDING
        };
        let Asked {
            charset,
            transfer_syntax,
            ..
        } = &self.asked;
        let data_set = answer::encode(question, &entry, charset, transfer_syntax);
        match self.answers.send(data_set, status) {
            Walk::On => None,
            Walk::Stop => Some(End::TooManyAnswers),
        }
    }
}

/// Shows a hospital's forms to which the selector leads.
fn select(
    views: &Views,
    selector: &Selector,
    hospital: &HospitalCode,
    visit: &mut dyn FnMut(ApplyFormRow) -> Walk,
) -> Result<(), ViewsError> {
    let with = |kind, value: &str, visit: &mut dyn FnMut(ApplyFormRow) -> Walk| {
        views.visit_forms_with(kind, hospital, value, visit)
    };
    match selector {
        Selector::Days(from, to) => views.visit_open_forms(hospital, from, to, visit),
        Selector::Studies(studies) => studies
            .iter()
            .try_for_each(|study| with(FormIndexKind::StudyUid, study.as_str(), visit)),
        Selector::SickIds(numbers) => numbers
            .iter()
            .try_for_each(|number| with(FormIndexKind::SickId, number, visit)),
        Selector::InpatientNos(numbers) => numbers
            .iter()
            .try_for_each(|number| with(FormIndexKind::InpatientNo, number, visit)),
        Selector::Numbers(numbers) => numbers.iter().try_for_each(|number| {
            views.visit_forms_of_accession(hospital, &accession_of(number), visit)
        }),
    }
}
