//! Events: what happened. Each kind has a number and versions that never change; golden bytes of every kind and
//! version stay in `tests/fixtures/events/` and must decode for ever.
//!
//! Bodies that come by the thousand (pushes, instances) are postcard; the others are JSON, so that `yingku log show`
//! and a person with a hex dump can read them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::apply_form::FormSource;
use crate::contract::apply_form::ApplyFormBody;
use crate::contract::push::{ExamPushedBody, Flags};
use crate::correction::CorrectionMade;
use crate::envelope::Envelope;
use crate::finding::FindingKey;
use crate::ids::{
    AeTitle, ExamKey, ExamNo, FormKey, HisId, HospitalCode, PackId, Position, SopInstanceUid,
    StudyKey, StudyUid,
};
use crate::instance::{InstancesMoved, InstancesStored};
use crate::national_index::{NationalIndex, PersonCode};
use crate::notice::{NoticeId, TriedNotice};
use crate::performed::StepStatus;
use crate::pull::{TriedPull, UnpushedStudy};
use crate::refusal::RefusedInstances;
use crate::registry::RegistryChange;
use crate::statistics::DayKey;
use crate::time::LocalDateTime;

/// Version of the rules in [`crate::decide`] that this release writes and knows. A release that raises it has another
/// number than the one before: by that `yingku activate-rules` knows the nodes that it must wait for.
///
/// - 1: the first.
/// - 2: nodes have numbers of their own ([`NodeJoined`]).
/// - 3: of a study that an operator ruled on, only images with the numbers of its exam, or of those that are there, are
///   taken, and who claims it later is in conflict; each hiding stands by itself; what is live and what is a trial's do not
///   mix; versions are chosen ([`ChooseVersion`](crate::correction::CorrectionAction::ChooseVersion)).
/// - 4: instances move from pack to pack, and packs go ([`InstancesMoved`], [`PacksCompacted`]); images are deleted by
///   rules ([`ImagesDeleted`]) unless they are under legal hold
///   ([`LegalHold`](crate::correction::CorrectionAction::LegalHold)).
/// - 5: apply forms come in ([`ApplyFormReceived`]), machines report what they do of them ([`ProcedureStepReported`]), and status
///   notices go out ([`NoticesTried`], [`NoticesAgain`]); studies are fetched from gateways ([`PullsTried`], [`PullsAsked`],
///   [`GatewaySwept`]).
/// - 6: an exam is registered from its apply form where a hospital pushes none ([`ExamRegistered`]).
/// - 7: exams have their index in the national imaging index ([`IndexAsked`], [`IndexExported`], [`IndexAnswered`]); what is
///   read over all hospitals is kept: see the constants below that name it.
pub const RULES_VERSION: u32 = 7;

/// Rules version from which rulings are as it says there.
pub const RULINGS_SINCE_RULES: u32 = 3;

/// Rules version since which packs are compacted: nodes of an earlier release would stop at these events.
pub const CARE_SINCE_RULES: u32 = 4;

/// Rules version since which apply forms are taken and notices are due.
pub const FORMS_SINCE_RULES: u32 = 5;

/// Rules version since which studies are fetched from gateways.
pub const PULLS_SINCE_RULES: u32 = 5;

/// Rules version since which exams are registered from apply forms.
pub const REGISTRATION_SINCE_RULES: u32 = 6;

/// Rules version since which views have lines by which a worklist's questions find open forms.
pub const OPEN_FORMS_SINCE_RULES: u32 = 6;

/// Rules version since which views have a line for each change of an exam, in the order of the log.
pub const CHANGES_SINCE_RULES: u32 = 6;

/// Rules version since which views have a row for each exam of what supervision asks.
pub const SUPERVISION_SINCE_RULES: u32 = 7;

/// Rules version since which exams have national imaging indexes.
pub const INDEX_SINCE_RULES: u32 = 7;

/// Rules version since which hospitals name the addresses that open the clinic page.
pub const CLINIC_SINCE_RULES: u32 = 7;

/// Rules version since which a purge of test data ends the notices about it that wait.
pub const PURGED_NOTICES_SINCE_RULES: u32 = 7;

/// Rules version since which forms, exams, steps and studies meet across generations of numbers and by the study that the
/// worklist gave out, and part again without taking along what is another's.
pub const MEETINGS_SINCE_RULES: u32 = 7;

/// What happened, decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    RegistryChanged(RegistryChanged),
    ExamPushed(ExamPushedBody<'static>),
    StatisticsDeclared(StatisticsDeclared),
    DetailDeclared(DetailDeclared),
    InstancesStored(InstancesStored),
    InstancesRefused(InstancesRefused),
    CorrectionMade(CorrectionMade),
    HoldExpired(HoldExpired),
    SignUsed(SignUsed),
    NodeStarted(NodeStarted),
    RulesActivated(RulesActivated),
    TestDataPurged(TestDataPurged),
    /// Instances stored anew: their copies so far can no longer be read.
    InstancesReplaced(InstancesStored),
    NodeJoined(NodeJoined),
    LeaseTaken(LeaseTaken),
    PackLost(PackLost),
    InstancesMoved(InstancesMoved),
    PacksCompacted(PacksCompacted),
    ImagesDeleted(ImagesDeleted),
    ApplyFormReceived(ApplyFormReceived),
    NoticesTried(NoticesTried),
    NoticesAgain(NoticesAgain),
    ProcedureStepReported(ProcedureStepReported),
    PullsTried(PullsTried),
    PullsAsked(PullsAsked),
    GatewaySwept(GatewaySwept),
    ExamRegistered(ExamRegistered),
    IndexAsked(IndexAsked),
    IndexExported(IndexExported),
    IndexAnswered(IndexAnswered),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegistryChanged {
    pub changes: Vec<RegistryChange>,
}

/// Contract §2.6: taken or refused as a whole (R5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatisticsDeclared {
    pub rows: Vec<DeclaredRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeclaredRow {
    pub hospital_code: HospitalCode,
    /// `YYYY-MM-DD`
    pub exam_date: String,
    /// As declared.
    pub exam_class: String,
    pub accord_count: u32,
}

/// The extension `uploadDetail` (R10): which exams a declaration counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DetailDeclared {
    pub rows: Vec<DetailRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DetailRow {
    pub hospital_code: HospitalCode,
    pub exam_date: String,
    pub exam_class: String,
    pub exam_no: ExamNo,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub apply_no: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub study_uid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_count: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancesRefused {
    pub refused: Vec<RefusedInstances>,
}

/// What time brings about is an event too: held instances of a study that waited too long are dropped (R8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldExpired {
    pub study: StudyUid,
    /// Held groups of this hospital that records up to this position brought.
    pub hospital: HospitalCode,
    pub up_to: Position,
    /// The lease under which it was found out; absent where one node is all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// A timed sign works once (R3): consumed in log order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignUsed {
    /// First 128 bits of BLAKE3 over the app's id, a zero byte and the sign's bytes, in hex. (Not the plaintext: two
    /// processes of one client may make signs within one second.)
    pub digest: String,
    /// Unix milliseconds after which the sign is out of its time window and the mark may go.
    pub expires_ms: i64,
    /// Marks that the writer saw to be past their time, so that they do not pile up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forget: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStarted {
    pub node: u16,
    pub release: String,
    pub http: String,
    pub dicom: String,
    /// Its data directory; absent in records of releases whose nodes had no number of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// This run of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Uuid>,
    /// Where other nodes reach it: `http://HOST:PORT`. Empty: nowhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
}

/// A node takes a duty for a time, or keeps it; of no time: it gives it back. The log's order decides between several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseTaken {
    pub duty: String,
    pub node: u16,
    pub run: Uuid,
    /// The epoch that it has, or the one after that of the lease that ended.
    pub epoch: u64,
    pub ttl_ms: u32,
}

/// A data directory asks for a number of its own; the log's order decides who gets which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeJoined {
    pub id: Uuid,
    /// The number that its packs have already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packs_of: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesActivated {
    pub rules: u32,
}

/// What came while its hospital was in mode `test`, named one by one so that `decide` needs no scan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestDataPurged {
    pub exams: Vec<ExamKey>,
    /// Days and classes of which something was declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declarations: Vec<DayKey>,
    /// Lines about these exams and their images; of suspected reuse the refused push goes too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingKey>,
    /// Forms that came while the hospital was tried out. Since rules version 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forms: Vec<FormKey>,
    /// Notices that waited, about exams and forms that are gone. Since rules version 7.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<WaitingNotices>,
    /// Why, and who ruled it; empty in records of releases that did not ask.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
}

/// Notices of one HIS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingNotices {
    pub his: HisId,
    pub notices: Vec<NoticeId>,
}

/// Packs that nobody can read any more: a disk is gone and they were nowhere else. Their instances are missing from then
/// on, until they are sent again or the packs are found. Since rules version 3.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackLost {
    pub packs: Vec<PackId>,
    /// Studies with instances in them, named one by one so that `decide` needs no scan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub studies: Vec<StudyKey>,
    /// Studies of which instances in them are held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<StudyUid>,
    /// All that lay in these packs is named by now: the log's lines of them go.
    pub is_last: bool,
    /// Why, and who says so.
    pub reason: String,
    pub author: String,
}

/// Packs whose instances lie in others by now, or are nowhere needed any more: their files may go. Since rules version 4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PacksCompacted {
    pub packs: Vec<PackId>,
    /// No row of the views led to them after the records before this position.
    pub as_of: Position,
}

/// Images whose time is over by a retention rule ([`RetentionRule`](crate::registry::RetentionRule)): deleted unless they
/// are under legal hold, or not due at the record's time. Since rules version 4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImagesDeleted {
    /// Name of the rule.
    pub rule: String,
    pub exams: Vec<ExamKey>,
    /// The lease under which it was found out; absent where one node is all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// 申请单: what a HIS says of one of its apply forms (contract §3.1), or 基卫 of a patient's (§1). Since rules version 5.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyFormReceived {
    pub hospital: HospitalCode,
    pub source: FormSource,
    pub body: ApplyFormBody,
}

/// What came of status notices that were sent (contract §3.2, R17). Since rules version 5.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NoticesTried {
    pub his: HisId,
    pub tried: Vec<TriedNotice>,
    /// The lease under which they were sent; absent where one node is all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// An operator has notices sent again that were given up, or sent already. Since rules version 5.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NoticesAgain {
    pub his: HisId,
    /// Named one by one so that `decide` needs no scan.
    pub notices: Vec<NoticeId>,
}

/// What a machine says of a procedure step that it performs (PS3.4 annex F). Since rules version 5.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcedureStepReported {
    /// SOP Instance UID of the step.
    pub step: SopInstanceUid,
    /// It is created (N-CREATE); else it is changed (N-SET).
    pub is_new: bool,
    pub status: StepStatus,
    /// Who reports.
    pub sender: AeTitle,
    /// Performed Station AE Title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station: Option<AeTitle>,
    /// Local times, as the machine has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<LocalDateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<LocalDateTime>,
    /// Study Instance UIDs of its scheduled steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub studies: Vec<StudyUid>,
    /// Accession numbers, and IDs of requested procedures and scheduled steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<String>,
    /// Forms that these led to, named one by one so that `decide` needs no scan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forms: Vec<FormKey>,
}

/// What came of studies that were fetched from a hospital's gateway (contract §2.5). Since rules version 5.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullsTried {
    pub hospital: HospitalCode,
    pub tried: Vec<TriedPull>,
    /// The lease under which they were fetched; absent where one node is all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// An operator has exams' studies fetched: at once, or with the past. Since rules version 5.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullsAsked {
    /// Named one by one so that `decide` needs no scan.
    pub exams: Vec<ExamKey>,
    /// They wait for what is pushed today.
    #[serde(default, skip_serializing_if = "is_false")]
    pub backfill: bool,
}

/// Studies of a day that a hospital's gateway has and nobody had pushed. Since rules version 5.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySwept {
    pub hospital: HospitalCode,
    /// `YYYY-MM-DD`, DICOM's Study Date.
    pub date: String,
    pub studies: Vec<UnpushedStudy>,
    /// The lease under which it was asked; absent where one node is all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// An exam is registered from its apply form, because its hospital pushes none (R16), or not yet. Since rules version 6.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExamRegistered {
    pub form: FormKey,
    /// Record of the form's content that the exam is made of: who was faster with another one is not overruled.
    pub content: Position,
    pub by: RegisteredBy,
    /// Why, where a person says so.
    pub reason: String,
    /// [`canonical_digest`](crate::contract::push::canonical_digest) of `json`.
    pub digest: [u8; 16],
    /// The exam as a push has it, in canonical JSON ([`of_form`](crate::contract::push::of_form)).
    pub json: String,
}

impl ExamRegistered {
    /// The exam's content in the shape of a push's.
    pub fn content_as_pushed(&self) -> ExamPushedBody<'_> {
        ExamPushedBody {
            digest: self.digest,
            flags: Flags::default(),
            warnings: Vec::new(),
            json: self.json.as_bytes().into(),
        }
    }
}

impl std::fmt::Debug for ExamRegistered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExamRegistered")
            .field("form", &self.form)
            .field("by", &self.by)
            .finish_non_exhaustive()
    }
}

/// What says that a form is being done (R16). Stored by number: new ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RegisteredBy {
    /// An image with the study UID that the worklist gave out.
    StudyUid,
    /// An image with the form's number as its accession number.
    AccessionNumber,
    /// A performed procedure step.
    Step,
    Operator,
}

/// An operator has exams given their national imaging indexes that have not changed since there are any, or whose person a
/// table names. Since rules version 7.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexAsked {
    /// Named one by one so that `decide` needs no scan.
    pub exams: Vec<AskedIndex>,
    /// Those that the authority refused are told of again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub again: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AskedIndex {
    pub exam: ExamKey,
    /// Record of the content that was looked at: of another one the person says nothing.
    pub content: Position,
    /// What that content, or an operator's table, has as person code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonCode>,
}

/// Indexes are in a file for the authority, which is durable. Since rules version 7.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexExported {
    /// BLAKE3 of the whole file, in hex: a file of many lines is several records.
    pub file: String,
    pub lines: Vec<ExportedIndex>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportedIndex {
    pub exam: ExamKey,
    /// The one that the file tells; absent: it takes the exam's last one back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<NationalIndex>,
    /// Record after which the index stood so.
    pub as_of: Position,
}

/// What the authority says of indexes that it was told. Since rules version 7.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexAnswered {
    pub answers: Vec<AnsweredIndex>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnsweredIndex {
    pub index: NationalIndex,
    pub is_taken: bool,
    /// Why it is refused, in the authority's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Why a record is not an event that this release knows. The projector stops at it: nothing is skipped.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    #[error("event kind {kind} version {version} is not known to this release")]
    Unknown { kind: u16, version: u16 },
    #[error("body of event kind {kind} version {version} is not readable")]
    Body {
        kind: u16,
        version: u16,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

macro_rules! kinds {
    ($($kind:literal, $name:ident, $codec:ident, $title:literal;)*) => {
        impl Event {
            /// Number of the kind and version of the body.
            pub fn kind(&self) -> (u16, u16) {
                match self {
                    $(Self::$name(_) => ($kind, 1),)*
                }
            }

            /// The kind's name as operators see it.
            pub fn title(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $title,)*
                }
            }

            pub fn encode_body(&self) -> Result<Vec<u8>, EventError> {
                let (kind, version) = self.kind();
                let result = match self {
                    $(Self::$name(body) => $codec::encode(body),)*
                };
                result.map_err(|source| EventError::Body { kind, version, source })
            }

            pub fn decode_body(kind: u16, version: u16, body: &[u8]) -> Result<Self, EventError> {
                match (kind, version) {
                    $(($kind, 1) => $codec::decode(body)
                        .map(Self::$name)
                        .map_err(|source| EventError::Body { kind, version, source }),)*
                    _ => Err(EventError::Unknown { kind, version }),
                }
            }
        }
    };
}

kinds! {
    1, RegistryChanged, json, "registry-changed";
    2, ExamPushed, binary_owned, "exam-pushed";
    3, StatisticsDeclared, json, "statistics-declared";
    4, DetailDeclared, json, "detail-declared";
    5, InstancesStored, binary, "instances-stored";
    6, InstancesRefused, json, "instances-refused";
    7, CorrectionMade, json, "correction-made";
    8, HoldExpired, json, "hold-expired";
    9, SignUsed, json, "sign-used";
    10, NodeStarted, json, "node-started";
    11, RulesActivated, json, "rules-activated";
    12, TestDataPurged, json, "test-data-purged";
    13, InstancesReplaced, binary, "instances-replaced";
    14, NodeJoined, json, "node-joined";
    15, LeaseTaken, json, "lease-taken";
    16, PackLost, json, "pack-lost";
    17, InstancesMoved, binary, "instances-moved";
    18, PacksCompacted, json, "packs-compacted";
    19, ImagesDeleted, json, "images-deleted";
    20, ApplyFormReceived, binary, "apply-form-received";
    21, NoticesTried, json, "notices-tried";
    22, NoticesAgain, json, "notices-again";
    23, ProcedureStepReported, json, "procedure-step-reported";
    24, PullsTried, json, "pulls-tried";
    25, PullsAsked, json, "pulls-asked";
    26, GatewaySwept, json, "gateway-swept";
    27, ExamRegistered, binary, "exam-registered";
    28, IndexAsked, json, "index-asked";
    29, IndexExported, json, "index-exported";
    30, IndexAnswered, json, "index-answered";
}

impl Event {
    pub fn decode(envelope: &Envelope<'_>) -> Result<Self, EventError> {
        Self::decode_body(envelope.kind, envelope.version, envelope.body)
    }
}

type CodecError = Box<dyn std::error::Error + Send + Sync>;

mod json {
    use super::CodecError;

    pub fn encode<T: serde::Serialize>(body: &T) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(body).map_err(Into::into)
    }

    pub fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        serde_json::from_slice(bytes).map_err(Into::into)
    }
}

/// A body that can borrow from the record's bytes, kept on its own.
mod binary_owned {
    use super::{CodecError, ExamPushedBody};

    pub fn encode(body: &ExamPushedBody<'_>) -> Result<Vec<u8>, CodecError> {
        super::binary::encode(body)
    }

    pub fn decode(bytes: &[u8]) -> Result<ExamPushedBody<'static>, CodecError> {
        postcard::from_bytes::<ExamPushedBody<'_>>(bytes)
            .map(ExamPushedBody::into_owned)
            .map_err(Into::into)
    }
}

mod binary {
    use super::CodecError;

    pub fn encode<T: serde::Serialize>(body: &T) -> Result<Vec<u8>, CodecError> {
        postcard::to_stdvec(body).map_err(Into::into)
    }

    pub fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
        postcard::from_bytes(bytes).map_err(Into::into)
    }
}
