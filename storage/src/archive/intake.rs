//! Instances on their way in: matched, stored in a pack, their facts handed on.

use bytes::Bytes;
use yingku_core::dictionaries::canonical_class;
use yingku_core::event::RegisteredBy;
use yingku_core::ids::{AeTitle, FormKey, HospitalCode, PackId, StudyKey};
use yingku_core::instance::facts::FACTS_VERSION;
use yingku_core::instance::{
    HeldInstance, InstanceFacts, Match, SeriesGroup, StoredInstance, match_instance,
};
use yingku_core::outcome::{ErrorKind, Outcome};
use yingku_core::refusal::{RefusalReason, RefusedInstances};
use yingku_core::registry::Scope;

use super::facts::Stored;
use super::registration::{Meant, Registering, RegistrationError};
use super::{Archive, SubmitError};
use crate::log::LogError;
use crate::packs::{Ack, LeasedWriter, NewInstance, PackError, Placed, RecordInfo};
use crate::views::ViewsError;

/// Instances of one study that may be held; more are refused until an exam is pushed.
pub const STUDY_HELD_LIMIT: u32 = 20_000;

/// Where an instance goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    Shown(HospitalCode),
    /// Kept aside until a matching push arrives (R8).
    Held(HospitalCode),
}

impl Admission {
    pub fn hospital(&self) -> &HospitalCode {
        match self {
            Self::Shown(hospital) | Self::Held(hospital) => hospital,
        }
    }
}

/// Why an instance is not taken (R8), with what reconciliation counts it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub reason: RefusalReason,
    pub hospital: Option<HospitalCode>,
    /// `YYYY-MM-DD`, empty if unknown.
    pub date: String,
    /// Canonical class, empty if unknown.
    pub class: String,
}

#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    #[error(transparent)]
    Views(#[from] ViewsError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Pack(PackError),
    #[error("facts of the instance cannot be encoded")]
    Facts(#[source] postcard::Error),
}

impl IntakeError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Submit(error) | Self::Registration(RegistrationError::Submit(error)) => {
                error.kind()
            }
            Self::Log(LogError::Full(_)) | Self::Pack(PackError::Full(_)) => ErrorKind::Full,
            Self::Pack(PackError::Busy { .. }) => ErrorKind::TooMany,
            Self::Pack(PackError::TooLarge { .. }) => ErrorKind::TooLarge,
            Self::Log(_) | Self::Views(_) | Self::Pack(_) | Self::Registration(_) => {
                ErrorKind::Unavailable
            }
            Self::Facts(_) => ErrorKind::Internal,
        }
    }
}

/// What there is of an instance that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Sound,
    /// A copy that can no longer be read, or that the object store lacks where that acknowledges.
    Damaged,
}

/// An instance that was received whole.
pub struct Incoming {
    pub admission: Admission,
    pub sender: AeTitle,
    pub facts: InstanceFacts,
    /// BLAKE3 over transfer syntax UID and data set.
    pub digest: [u8; 32],
    /// The Part 10 stream in order.
    pub data: Vec<Bytes>,
    /// CRC-32C of `data`.
    pub crc: u32,
}

/// An instance that streams into a leased pack: one too large to be held in memory, or one of few at a time.
pub struct StreamedIncoming {
    archive: Archive,
    writer: LeasedWriter,
}

impl Archive {
    /// Matches an instance with what was pushed. Before it says no, the views have everything that the log held when
    /// this was asked ("Seen at once" in ARCHITECTURE.md).
    pub async fn admit(
        &self,
        scope: &Scope,
        sender: &AeTitle,
        facts: &InstanceFacts,
    ) -> Result<Result<Admission, Refused>, IntakeError> {
        // An image must not be taken whose facts will never follow; a full log may have room again by then.
        if let Some(reason) = self.inner.log.health().latched {
            return Err(LogError::Latched { reason }.into());
        }
        let form = self.unmet_form(scope, facts)?;
        if let Match::Hospital(hospital) = self.matched(scope, facts)?
            && form.is_none()
        {
            return Ok(Ok(Admission::Shown(hospital)));
        }
        self.catch_up().await?;
        // A push that names no form has its study: the image tells that it is of the form (R16).
        if let Some(form) = self.unmet_form(scope, facts)? {
            let by = RegisteredBy::StudyUid;
            self.register_by_image(form, by, sender, facts).await?;
        }
        let mut found = self.matched(scope, facts)?;
        if found == Match::Unregistered {
            match self.meant_by(scope, facts)? {
                Meant::Form { form, by } => {
                    self.register_by_image(form, by, sender, facts).await?;
                    found = self.matched(scope, facts)?;
                }
                Meant::OtherPatient(hospital) => {
                    let reason = RefusalReason::PatientIdDiffers;
                    return Ok(self.held_or_refused(Some(hospital), reason, facts)?);
                }
                Meant::None => {}
            }
        }
        Ok(match found {
            Match::Hospital(hospital) => Ok(Admission::Shown(hospital)),
            Match::Suspended(hospital) => {
                Err(self.refused(RefusalReason::HospitalSuspended, Some(hospital), facts)?)
            }
            Match::LiveInTrial(hospital) => {
                Err(self.refused(RefusalReason::LiveExam, Some(hospital), facts)?)
            }
            Match::Mismatch {
                hospital,
                attribute,
            } => {
                let reason = if attribute == "PatientID" {
                    RefusalReason::PatientIdDiffers
                } else {
                    RefusalReason::AccessionNumberDiffers
                };
                self.held_or_refused(Some(hospital), reason, facts)?
            }
            Match::Unregistered => {
                let hospital = scope.single().or_else(|| self.only_hospital(scope));
                self.held_or_refused(hospital, RefusalReason::Unregistered, facts)?
            }
        })
    }

    /// Registers the exam that the image is the first of (R16). If it cannot be, another image was faster, or it is refused as
    /// one without an exam is.
    async fn register_by_image(
        &self,
        form: FormKey,
        by: RegisteredBy,
        sender: &AeTitle,
        facts: &InstanceFacts,
    ) -> Result<(), RegistrationError> {
        let (patient, accession_no) = (&facts.patient.id, &facts.study.accession_no);
        let what = Registering {
            form,
            by,
            study: Some(facts.study_uid.clone()),
            patient_id: Some(patient.clone()).filter(|it| !it.is_empty()),
            accession_no: Some(accession_no.clone()).filter(|it| !it.is_empty()),
            actor: format!("ae:{sender}"),
            reason: String::new(),
        };
        match self.register_form(&what).await {
            Ok(decided) => {
                if let Outcome::Refused(refusal) = decided.outcome {
                    let rule = refusal.rule;
                    tracing::info!(rule, %sender, "an image registers no exam of its form");
                }
                Ok(())
            }
            Err(error @ (RegistrationError::NoForm | RegistrationError::Number(_))) => {
                tracing::info!(%error, %sender, "an image registers no exam of its form");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn matched(&self, scope: &Scope, facts: &InstanceFacts) -> Result<Match, ViewsError> {
        let views = self.views();
        let claims = views.claims(&facts.study_uid)?;
        let ruled_home = claims
            .as_ref()
            .and_then(|claims| claims.ruled_home(&facts.study_uid));
        let there = match ruled_home {
            Some(home) => views.study(&home)?,
            None => None,
        };
        Ok(match_instance(
            &self.registry(),
            claims.as_ref(),
            there.as_ref(),
            scope,
            &facts.patient.id,
            &facts.study.accession_no,
        ))
    }

    /// The one hospital that the sender can send for; which of several it would be nobody could say.
    pub(super) fn only_hospital(&self, scope: &Scope) -> Option<HospitalCode> {
        let registry = self.registry();
        let mut hospitals = registry.hospitals.keys().filter(|code| scope.has(code));
        match (hospitals.next(), hospitals.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => None,
        }
    }

    fn held_or_refused(
        &self,
        hospital: Option<HospitalCode>,
        reason: RefusalReason,
        facts: &InstanceFacts,
    ) -> Result<Result<Admission, Refused>, ViewsError> {
        let registry = self.registry();
        let holds = hospital
            .as_ref()
            .and_then(|code| registry.hospitals.get(code))
            .is_some_and(|entry| entry.hold_days.is_some());
        if let (true, Some(hospital)) = (holds, &hospital) {
            let held = self.views().held(&facts.study_uid)?.unwrap_or_default();
            if held.instances < STUDY_HELD_LIMIT {
                return Ok(Ok(Admission::Held(hospital.clone())));
            }
        }
        Ok(Err(self.refused(reason, hospital, facts)?))
    }

    /// Date and class of the exam if one claims the study, else those of the data set.
    fn refused(
        &self,
        reason: RefusalReason,
        hospital: Option<HospitalCode>,
        facts: &InstanceFacts,
    ) -> Result<Refused, ViewsError> {
        let registry = self.registry();
        let views = self.views();
        let owner = views
            .claims(&facts.study_uid)?
            .and_then(|claims| claims.owner().map(|claim| claim.exam.clone()));
        if let Some(exam) = owner
            && let Some(row) = views.exam(&exam)?
        {
            let class = canonical_class(&registry.settings.class_aliases, &row.class).code;
            let date = row.exam_date().to_owned();
            return Ok(Refused {
                reason,
                hospital,
                date,
                class,
            });
        }
        let modality = facts.series.modality.as_str();
        let class = canonical_class(&registry.settings.class_aliases, modality).code;
        Ok(Refused {
            reason,
            hospital,
            date: dashed_date(&facts.study.date),
            class,
        })
    }

    /// Stores an instance: durable when this resolves to `Ok`. One that is there already, byte for byte, is not
    /// stored again, unless what is there can no longer be read.
    pub async fn store(&self, incoming: Incoming) -> Result<(), IntakeError> {
        let Incoming {
            admission,
            sender,
            facts,
            digest,
            data,
            crc,
        } = incoming;
        let group = group_of(&admission, sender, facts, &digest);
        let anew = match self.known(&admission, &group, &digest).await? {
            Known::Sound => return Ok(()),
            known => known == Known::Damaged,
        };
        let facts = encode_facts(&group, anew)?;
        let placed = self
            .inner
            .packs
            .append(NewInstance {
                data,
                facts: facts.into(),
                digest,
                crc,
            })
            .await?;
        self.placed(group, placed, anew).await
    }

    /// Begins an instance that is too large to be held in memory. Waits while too many of them are on their way.
    pub async fn store_large(&self) -> Result<StreamedIncoming, IntakeError> {
        let writer = self.inner.packs.lease().await?;
        Ok(StreamedIncoming {
            archive: self.clone(),
            writer,
        })
    }

    /// Begins an instance whose bytes go to the disk as they come, if there is room for one more such.
    pub fn try_store_streaming(&self) -> Option<StreamedIncoming> {
        Some(StreamedIncoming {
            archive: self.clone(),
            writer: self.inner.packs.try_lease()?,
        })
    }

    async fn placed(
        &self,
        mut group: SeriesGroup,
        placed: Placed,
        anew: bool,
    ) -> Result<(), IntakeError> {
        for instance in &mut group.instances {
            instance.offset = placed.offset;
            instance.length = placed.length;
        }
        let pack = placed.pack;
        let stored = Stored { pack, anew, group };
        let taken = self.inner.facts.stored(stored).await;
        if self.inner.packs.ack() == Ack::Object {
            // Who finds it in the object store finds it in the log.
            taken?;
            return Ok(self.inner.facts.flush().await?);
        }
        // Durable as it is: should the queue be gone, the next start finds the facts in the pack.
        if taken.is_err() {
            tracing::warn!(%pack, "facts of a stored instance wait in their pack");
        }
        Ok(())
    }

    /// Whether the same bytes are shown in the study, or held of it, already. A copy that is known is read: who sends an
    /// image again may do it because it cannot be fetched.
    async fn known(
        &self,
        admission: &Admission,
        group: &SeriesGroup,
        digest: &[u8; 32],
    ) -> Result<Known, IntakeError> {
        let views = self.views();
        let registry = self.registry();
        let mut known = Known::Sound;
        for instance in &group.instances {
            let sop_instance = &instance.image.sop_instance;
            let study = &group.study_uid;
            let place = match admission {
                Admission::Shown(hospital) => {
                    let key = StudyKey::new(hospital.clone(), study.clone());
                    views
                        .covered_instance(&registry, &key, sop_instance, &instance.digest)?
                        .map(|entry| (entry.pack, entry.stored.offset))
                }
                Admission::Held(_) => views.held_place(&HeldInstance::of(study, instance))?,
            };
            let Some((pack, offset)) = place else {
                return Ok(Known::Nothing);
            };
            let is_only_here = pack.node() == self.node() && !self.inner.packs.is_uploaded(pack);
            if self.inner.packs.ack() == Ack::Object && is_only_here {
                known = Known::Damaged;
                continue;
            }
            if let Err(error) = self.check_copy(pack, offset, *digest).await {
                tracing::error!(%study, instance = %sop_instance, %error, "an instance that came again is stored anew: its copy cannot be read");
                known = Known::Damaged;
            }
        }
        Ok(known)
    }

    /// Reads a record through.
    async fn check_copy(
        &self,
        pack: PackId,
        offset: u64,
        digest: [u8; 32],
    ) -> Result<(), PackError> {
        let packs = self.inner.packs.clone();
        let check = move || {
            let reader = packs.reader(pack, offset)?;
            if reader.info().digest != digest {
                return Err(PackError::Damaged {
                    pack,
                    offset,
                    reason: "it holds another instance than the log says",
                });
            }
            reader.verify()
        };
        let checked = tokio::task::spawn_blocking(check).await;
        match checked.unwrap_or(Err(PackError::Closed)) {
            // It was whole when it was stored, and comes back with the object store.
            Err(PackError::Remote { .. }) => Ok(()),
            // What nobody can read now may be lost with its node.
            Err(error) if self.inner.packs.ack() == Ack::Object => Err(error),
            // Whether another node can read it, that node knows.
            Err(PackError::Missing { .. }) if pack.node() != self.node() => Ok(()),
            // And with its node.
            Err(PackError::AtNode { .. }) => Ok(()),
            checked => checked,
        }
    }

    /// Hands refused instances to reconciliation, many at once.
    pub async fn record_refusals(
        &self,
        actor: String,
        refused: Vec<RefusedInstances>,
    ) -> Result<(), SubmitError> {
        if refused.is_empty() {
            return Ok(());
        }
        let event =
            yingku_core::event::Event::InstancesRefused(yingku_core::event::InstancesRefused {
                refused,
            });
        self.submit(super::Submission {
            hospital: None,
            actor,
            event,
        })
        .await
        .map(|_| ())
    }

    /// Brings the association's instances into log and views: the answer to A-RELEASE waits for it.
    pub async fn flush_facts(&self) -> Result<(), SubmitError> {
        self.settle().await
    }
}

impl StreamedIncoming {
    /// The next bytes of the Part 10 stream.
    pub async fn write(&mut self, data: Bytes) -> Result<(), IntakeError> {
        Ok(self.writer.write(data).await?)
    }

    /// Durable when this resolves to `Ok`. Dropped before, nothing of it is kept.
    pub async fn finish(
        self,
        admission: &Admission,
        sender: AeTitle,
        facts: InstanceFacts,
        digest: [u8; 32],
    ) -> Result<(), IntakeError> {
        let group = group_of(admission, sender, facts, &digest);
        let anew = match self.archive.known(admission, &group, &digest).await? {
            Known::Sound => return Ok(()),
            known => known == Known::Damaged,
        };
        let facts = encode_facts(&group, anew)?;
        let placed = self.writer.finish(facts.into(), digest).await?;
        self.archive.placed(group, placed, anew).await
    }
}

pub(super) fn group_of(
    admission: &Admission,
    sender: AeTitle,
    facts: InstanceFacts,
    digest: &[u8; 32],
) -> SeriesGroup {
    SeriesGroup {
        hospital: admission.hospital().clone(),
        sender,
        study_uid: facts.study_uid,
        series_uid: facts.series_uid,
        patient: facts.patient,
        study: facts.study,
        series: facts.series,
        instances: vec![StoredInstance {
            image: facts.image,
            offset: 0,
            length: 0,
            digest: short(digest),
        }],
    }
}

fn short(digest: &[u8; 32]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(digest.first_chunk::<16>().unwrap_or(&[0; 16]));
    short
}

/// Stands behind the facts of an instance that was stored anew.
const ANEW: &[u8] = &[1];

/// What a pack keeps beside the bytes: the group that the instance makes alone, without its place.
pub(super) fn encode_facts(group: &SeriesGroup, anew: bool) -> Result<Vec<u8>, IntakeError> {
    let mut bytes = postcard::to_stdvec(&(FACTS_VERSION, group)).map_err(IntakeError::Facts)?;
    if anew {
        bytes.extend_from_slice(ANEW);
    }
    Ok(bytes)
}

/// The facts of a record that recovery found in a pack; `None` if this release does not know their version.
pub(super) fn decode_facts(pack: PackId, record: &RecordInfo) -> Option<Stored> {
    let ((version, mut group), rest): ((u16, SeriesGroup), _) =
        postcard::take_from_bytes(&record.facts).ok()?;
    if version != FACTS_VERSION {
        return None;
    }
    for instance in &mut group.instances {
        instance.offset = record.offset;
        instance.length = record.data_len;
    }
    Some(Stored {
        pack,
        anew: rest == ANEW,
        group,
    })
}

/// `YYYYMMDD` as the contract writes dates; empty if it is none.
fn dashed_date(date: &str) -> String {
    match (date.get(..4), date.get(4..6), date.get(6..8)) {
        (Some(year), Some(month), Some(day)) if date.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{year}-{month}-{day}")
        }
        _ => String::new(),
    }
}
