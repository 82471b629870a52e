//! A hospital's DICOM gateway, from which studies are fetched (contract §2.5): what it has of a study, and having it sent.
//!
//! What it sends passes the same scan, the same match and the same packs as what senders bring: the seam is
//! [`InstanceStore`].

mod bandwidth;
mod contexts;
mod looking;
mod own_thread;

use std::sync::Arc;
use std::time::Duration;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use yingku_core::ids::StudyUid;

use crate::association::{ProposedContext, RequestError, Requestor};
use crate::dataset::{DataSetWriter, Identifier};
use crate::pdu::Timeouts;
use crate::scu::{Model, Outcome, Scu, ScuError, service_context};
use crate::status::{Status, StatusClass};
use crate::store::InstanceStore;
use crate::text::{CharacterSet, Undeclared};

pub use bandwidth::Bandwidth;
pub use contexts::{SYNTAXES, storage_contexts};
pub use looking::{Depth, Found};
pub use own_thread::on_own_thread;

/// A gateway may have to bring a study from tape before it sends the first image.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(300);

/// Studies of a day that are listed: some hundred times a county hospital's.
pub const STUDIES_LIMIT: usize = 20_000;
/// Characters that are kept of the modalities of a study.
const MODALITY_LIMIT: usize = 32;

/// Where a gateway is, and who asks it.
#[derive(Debug, Clone)]
pub struct Gateway {
    pub called: String,
    pub calling: String,
    /// `host:port`
    pub address: String,
    /// What all associations with it together may take; absent: all that it gives.
    pub bandwidth: Option<Arc<Bandwidth>>,
}

/// Why a gateway could not be used.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// There is no association: that says nothing of the study.
    #[error(transparent)]
    Unreached(#[from] RequestError),
    #[error(transparent)]
    Broken(#[from] ScuError),
    /// It answered, and does not do it. Its comment is its own words, which may name a patient: for operators, not for logs.
    #[error("C-FIND: {status}")]
    Refused { status: Status, comment: String },
}

/// A study that a gateway has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub study: StudyUid,
    pub modality: String,
}

impl Gateway {
    async fn connect(&self, contexts: Vec<ProposedContext>) -> Result<Scu, GatewayError> {
        let requestor = Requestor {
            calling: self.calling.clone(),
            called: self.called.clone(),
            contexts,
            timeouts: Timeouts {
                response: RESPONSE_TIMEOUT,
                ..Timeouts::default()
            },
        };
        let association = match &self.bandwidth {
            None => requestor.connect(&self.address).await?,
            Some(bandwidth) => {
                let bandwidth = Arc::clone(bandwidth);
                let paced = |tcp| bandwidth::paced(tcp, bandwidth);
                requestor.connect_over(&self.address, paced).await?
            }
        };
        Ok(Scu::new(association))
    }

    /// What it has of a day, by DICOM's Study Date, `YYYYMMDD`: at most [`STUDIES_LIMIT`] studies.
    pub async fn studies_of(&self, date: &str) -> Result<Vec<Listed>, GatewayError> {
        let mut keys = DataSetWriter::new();
        keys.put(tags::QUERY_RETRIEVE_LEVEL, "STUDY")
            .put(tags::STUDY_DATE, date)
            .put(tags::STUDY_INSTANCE_UID, "")
            .put(tags::MODALITIES_IN_STUDY, "");
        let model = Model::StudyRoot;
        let mut scu = self.connect(vec![service_context(model.find())]).await?;
        let mut listed = Vec::new();
        let visit = |it: &Identifier| {
            // Of one that does not look at the key only that day's count.
            let is_of_day = text(it, tags::STUDY_DATE).is_none_or(|of| of == date);
            let uid = text(it, tags::STUDY_INSTANCE_UID).map(StudyUid::new);
            if let (true, Some(Ok(study))) = (is_of_day, uid) {
                let modality = it.list(tags::MODALITIES_IN_STUDY).join(" ");
                listed.push(Listed {
                    study,
                    modality: modality.chars().take(MODALITY_LIMIT).collect(),
                });
            }
            false
        };
        match ask(&mut scu, &keys, STUDIES_LIMIT, visit).await {
            Ok(()) => {
                let _ = scu.release().await;
                Ok(listed)
            }
            Err(error) => {
                scu.abort().await;
                Err(error)
            }
        }
    }

    /// Fetches a study by C-GET into `store`.
    pub async fn get(
        &self,
        study: &StudyUid,
        found: &Found,
        store: &dyn InstanceStore,
        undeclared: Undeclared,
    ) -> Result<Outcome, GatewayError> {
        let model = Model::StudyRoot;
        let mut contexts = vec![service_context(model.retrieve_by_get())];
        contexts.extend(storage_contexts(&found.classes));
        let mut scu = self.connect(contexts).await?;
        let keys = study_keys(study);
        match scu.retrieve(model, &keys, store, undeclared).await {
            Ok(outcome) => {
                let _ = scu.release().await;
                Ok(outcome)
            }
            Err(error) => {
                scu.abort().await;
                Err(error.into())
            }
        }
    }

    /// Has it send a study to `destination`, an AE title that it knows, by C-MOVE.
    pub async fn move_to(
        &self,
        study: &StudyUid,
        destination: &str,
    ) -> Result<Outcome, GatewayError> {
        let model = Model::StudyRoot;
        let context = service_context(model.retrieve_by_move());
        let mut scu = self.connect(vec![context]).await?;
        let keys = study_keys(study);
        match scu.retrieve_to(model, &keys, destination, |_| {}).await {
            Ok(outcome) => {
                let _ = scu.release().await;
                Ok(outcome)
            }
            Err(error) => {
                scu.abort().await;
                Err(error.into())
            }
        }
    }
}

fn study_keys(study: &StudyUid) -> DataSetWriter {
    level_keys("STUDY", study, None)
}

fn level_keys(level: &str, study: &StudyUid, series: Option<&str>) -> DataSetWriter {
    let mut keys = DataSetWriter::new();
    keys.put(tags::QUERY_RETRIEVE_LEVEL, level)
        .put(tags::STUDY_INSTANCE_UID, study.as_str());
    if let Some(series) = series {
        keys.put(tags::SERIES_INSTANCE_UID, series);
    }
    keys
}

/// Asks, and shows at most `limit` matches, until the visitor has enough.
async fn ask(
    scu: &mut Scu,
    keys: &DataSetWriter,
    limit: usize,
    mut visit: impl FnMut(&Identifier) -> bool,
) -> Result<(), GatewayError> {
    let mut seen = 0usize;
    let each = |it: Identifier| {
        seen += 1;
        !visit(&it) && seen < limit
    };
    let charset = CharacterSet::utf8();
    let outcome = scu.find(Model::StudyRoot, keys, &charset, each).await?;
    match outcome.status.class() {
        StatusClass::Success | StatusClass::Warning | StatusClass::Cancelled => Ok(()),
        // Ours: enough was seen.
        _ if seen >= limit => Ok(()),
        StatusClass::Pending | StatusClass::Failure => Err(GatewayError::Refused {
            status: outcome.status,
            comment: outcome.comment,
        }),
    }
}

fn text(it: &Identifier, tag: Tag) -> Option<&str> {
    it.get(tag).map(str::trim).filter(|text| !text.is_empty())
}

/// A UID as it is put into a request of ours.
fn plain(uid: &str) -> Option<String> {
    let uid = uid.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    yingku_core::ids::Uid::new(uid)
        .ok()
        .map(|uid| uid.as_str().to_owned())
}
