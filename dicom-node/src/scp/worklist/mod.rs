//! C-FIND of the Modality Worklist (PS3.4 annex K): a machine takes its patients from apply forms instead of having them typed.
//!
//! An entry is an open form of a hospital of the caller's: neither deleted nor registered, nor started at a machine.

mod answer;
mod entry;
mod planned;
mod question;
mod search;

use dicom_dictionary_std::uids;
use yingku_core::registry::{Scope, Service};

use super::Scp;
use super::access::Denied;
use super::delivery::{Answers, Delivery, deliver};
use super::find::Caller;
use super::quota::Part;
use crate::association::{Association, AssociationError};
use crate::dataset::{IDENTIFIER_LIMIT, Nested};
use crate::message::Command;
use crate::status::Status;
use crate::text::CharacterSet;
use question::{Question, Selector};
use search::{ANSWER_LIMIT, End, Search};

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
        // The registry first: whatever it tells of the views holds of those that come after it.
        let registry = scp.archive().registry();
        let views = scp.archive().views();
        tokio::task::spawn_blocking(move || {
            // The search gives its place back only when its thread has ended.
            let _place = place;
            Search::new(&views, &registry, asked, answers).run()
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
