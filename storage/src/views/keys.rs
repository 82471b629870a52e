//! Every column family and every key of the views, in one place.
//!
//! Texts in a key end with a zero byte, so that a prefix never runs into the next part; numbers are big endian, so
//! that byte order is their order. Identifiers hold no control characters; a zero byte in free text becomes a 1.

pub mod changes;
pub mod open_forms;
pub mod patients;
pub mod supervised;

use yingku_core::apply_form::ApplyFormRow;
use yingku_core::event::{
    CHANGES_SINCE_RULES, INDEX_SINCE_RULES, OPEN_FORMS_SINCE_RULES, SUPERVISION_SINCE_RULES,
};
use yingku_core::exam::ExamRow;
use yingku_core::finding::{FindingKey, FindingKind};
use yingku_core::ids::{
    ExamKey, ExamNo, FormKey, HisId, HospitalCode, PackId, Position, SopInstanceUid, StudyKey,
    StudyUid,
};
use yingku_core::instance::{HeldGroupKey, HeldInstance, InstanceKey, StudyRow};
use yingku_core::national_index::NationalIndex;
use yingku_core::notice::{NoticeId, NoticeState};
use yingku_core::pull::{PullLine, PullRow};
use yingku_core::query::{DATE_DIGITS, digits, joined_name};
use yingku_core::state::ChunkKey;
use yingku_core::statistics::DayKey;

/// A view: one column family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum View {
    /// hospital, exam number, generation → exam row
    Exams,
    /// exam key, position → history line
    History,
    /// hospital, date, exam key → nothing; a line stays when the exam's date changes, so that the past can be asked
    ExamsByDay,
    /// number, its kind, exam key → nothing
    ExamsByNumber,
    /// hospital, apply-form number, generation → exams that name it
    Forms,
    /// study UID → claims
    Claims,
    /// hospital, study UID → study row
    Studies,
    /// hospital, study UID, series, chunk → instances
    Chunks,
    /// hospital, study UID, SOP Instance UID, digest of a further version → place; of large studies only
    Places,
    /// attribute, value, hospital, study UID → nothing
    StudyIndex,
    /// study UID → what is held of it, counted
    Held,
    /// study UID, number → held group
    HeldGroups,
    /// study UID, SOP Instance UID, digest → number of its held group
    HeldInstances,
    /// hospital, date, class → declarations
    Declarations,
    /// kind, hospital, subject → finding
    Findings,
    /// kind, hospital, subject, position since which it was listed → finding that is settled
    Settled,
    /// hospital, date, position that ended it, index → instances that are held no more
    FormerHolds,
    /// hospital, study UID, position → counts of its images after that record; of corrected studies only
    Counted,
    /// position → correction
    Corrections,
    /// position → body of a push refused as suspected reuse
    RefusedPushes,
    /// digest → expiry
    Signs,
    /// hospital, date, position, index → refused instances
    Refusals,
    /// pack, position → where in the pack the instances lie that the record tells of: distances from one to the next
    Logged,
    /// pack → what the log tells of it
    Packs,
    /// hospital, apply-form number, generation → form as its HIS sent it
    ApplyForms,
    /// what it is, hospital, value, apply-form number, generation → nothing; of forms that are not deleted
    FormIndex,
    /// HIS, state, position, index → status notice
    Notices,
    /// exam key → what its notices' receivers were told
    Told,
    /// SOP Instance UID → procedure step that a machine performs
    Steps,
    /// hospital, study UID → study that is fetched from a gateway
    Pulls,
    /// hospital, line, time, study UID → nothing; when it is due, or when it ended
    PullLines,
    /// hospital, exam, generation → what an exam has of its registration from a form
    Registered,
    /// by day: hospital, day, class → what refuses a form unseen; by name: hospital, name, day → nothing; of open forms only
    OpenForms,
    /// position, exam key → nothing; of each exam that the record changed, or brought the first image of
    Changes,
    /// hospital, date, exam number, generation → what supervision asks of an exam
    Supervised,
    /// digest of a document's or card's number, exam key → nothing; of counted exams whose content is known
    PatientKeys,
    /// exam key → its national imaging index
    NationalIndexes,
    /// national imaging index → exams that it leads to, or led to
    IndexHolders,
    /// position, exam key → nothing; of national imaging indexes of which the authority is to be told
    OwedIndexes,
    /// cursor, registry
    Meta,
}

impl View {
    pub const ALL: [View; 40] = [
        View::Exams,
        View::History,
        View::ExamsByDay,
        View::ExamsByNumber,
        View::Forms,
        View::Claims,
        View::Studies,
        View::Chunks,
        View::Places,
        View::StudyIndex,
        View::Held,
        View::HeldGroups,
        View::HeldInstances,
        View::Declarations,
        View::Findings,
        View::Settled,
        View::FormerHolds,
        View::Counted,
        View::Corrections,
        View::RefusedPushes,
        View::Signs,
        View::Refusals,
        View::Logged,
        View::Packs,
        View::ApplyForms,
        View::FormIndex,
        View::Notices,
        View::Told,
        View::Steps,
        View::Pulls,
        View::PullLines,
        View::Registered,
        View::OpenForms,
        View::Changes,
        View::Supervised,
        View::PatientKeys,
        View::NationalIndexes,
        View::IndexHolders,
        View::OwedIndexes,
        View::Meta,
    ];

    pub fn name(self) -> &'static str {
        match self {
            View::Exams => "exams",
            View::History => "history",
            View::ExamsByDay => "exams_by_day",
            View::ExamsByNumber => "exams_by_number",
            View::Forms => "forms",
            View::Claims => "claims",
            View::Studies => "studies",
            View::Chunks => "chunks",
            View::Places => "places",
            View::StudyIndex => "study_index",
            View::Held => "held",
            View::HeldGroups => "held_groups",
            View::HeldInstances => "held_instances",
            View::Declarations => "declarations",
            View::Findings => "findings",
            View::Settled => "settled",
            View::FormerHolds => "former_holds",
            View::Counted => "counted",
            View::Corrections => "corrections",
            View::RefusedPushes => "refused_pushes",
            View::Signs => "signs",
            View::Refusals => "refusals",
            View::Logged => "logged",
            View::Packs => "packs",
            View::ApplyForms => "apply_forms",
            View::FormIndex => "form_index",
            View::Notices => "notices",
            View::Told => "told",
            View::Steps => "steps",
            View::Pulls => "pulls",
            View::PullLines => "pull_lines",
            View::Registered => "registered",
            View::OpenForms => "open_forms",
            View::Changes => "changes",
            View::Supervised => "supervised",
            View::PatientKeys => "patient_keys",
            View::NationalIndexes => "national_indexes",
            View::IndexHolders => "index_holders",
            View::OwedIndexes => "owed_indexes",
            View::Meta => "meta",
        }
    }

    /// Rules version that first writes rows into it; 4 stands for every version up to that. Until that version is
    /// activated the view is empty, and nodes whose release does not have it have the same digest (`digest.rs`).
    pub fn since_rules(self) -> u32 {
        match self {
            View::Exams
            | View::History
            | View::ExamsByDay
            | View::ExamsByNumber
            | View::Forms
            | View::Claims
            | View::Studies
            | View::Chunks
            | View::Places
            | View::StudyIndex
            | View::Held
            | View::HeldGroups
            | View::HeldInstances
            | View::Declarations
            | View::Findings
            | View::Settled
            | View::FormerHolds
            | View::Counted
            | View::Corrections
            | View::RefusedPushes
            | View::Signs
            | View::Refusals
            | View::Logged
            | View::Packs
            | View::Meta => 4,
            View::ApplyForms
            | View::FormIndex
            | View::Notices
            | View::Told
            | View::Steps
            | View::Pulls
            | View::PullLines => 5,
            View::Registered => 6,
            View::OpenForms => OPEN_FORMS_SINCE_RULES,
            View::Changes => CHANGES_SINCE_RULES,
            View::Supervised | View::PatientKeys => SUPERVISION_SINCE_RULES,
            View::NationalIndexes | View::IndexHolders | View::OwedIndexes => INDEX_SINCE_RULES,
        }
    }
}

pub const CURSOR: &[u8] = b"cursor";
pub const REGISTRY: &[u8] = b"registry";

/// A pack's row, and the beginning of its lines in [`View::Logged`], which are in the order of the log.
pub fn pack(pack: PackId) -> Vec<u8> {
    Key::default().u64(pack.0).done()
}

/// Beginning of the rows of a node's packs: the number of a pack has its node's in front.
pub fn packs_of(node: u16) -> Vec<u8> {
    Key::default().u16(node).done()
}

pub fn logged(pack: PackId, position: Position) -> Vec<u8> {
    Key::default().u64(pack.0).u64(position.0).done()
}

pub fn pack_of(key: &[u8]) -> Option<PackId> {
    let (pack, _) = key.split_first_chunk()?;
    Some(PackId(u64::from_be_bytes(*pack)))
}

/// Builds a key part by part.
pub struct Key(Vec<u8>);

/// Nearly every key fits: a study UID, a hospital and a number.
const KEY_BYTES: usize = 128;

impl Default for Key {
    fn default() -> Self {
        Self(Vec::with_capacity(KEY_BYTES))
    }
}

impl Key {
    pub fn text(mut self, text: &str) -> Self {
        self.0.extend(text.bytes().map(|byte| byte.max(1)));
        self.0.push(0);
        self
    }

    pub fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    pub fn u16(mut self, number: u16) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn digest(mut self, digest: &[u8; 16]) -> Self {
        self.0.extend_from_slice(digest);
        self
    }

    fn exam(self, key: &ExamKey) -> Self {
        self.text(key.hospital.as_str())
            .text(key.exam_no.as_str())
            .u16(key.generation)
    }

    fn study(self, key: &StudyKey) -> Self {
        self.text(key.hospital.as_str())
            .text(key.study.as_str())
            .u16(key.lot)
    }

    /// Text without its end: everything that starts with it.
    pub fn prefix(mut self, text: &str) -> Vec<u8> {
        self.0.extend(text.bytes().map(|byte| byte.max(1)));
        self.0
    }

    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

pub fn exam(key: &ExamKey) -> Vec<u8> {
    Key::default().exam(key).done()
}

pub fn index_holders(index: &NationalIndex) -> Vec<u8> {
    index.as_str().as_bytes().to_vec()
}

pub fn form(key: &FormKey) -> Vec<u8> {
    Key::default()
        .text(key.hospital.as_str())
        .text(&key.apply_no)
        .u16(key.generation)
        .done()
}

/// Beginning of the rows of a hospital's forms whose numbers begin so.
pub fn forms_numbered(hospital: &HospitalCode, beginning: &str) -> Vec<u8> {
    Key::default().text(hospital.as_str()).prefix(beginning)
}

/// By what a form is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FormIndexKind {
    SickId = 1,
    CardNo = 2,
    InpatientNo = 3,
    OutpatientNo = 4,
    StudyUid = 5,
    /// The day for which it is planned; of open forms only.
    OpenDay = 6,
    /// Any other card: 健康卡, 社保卡, 医保卡.
    OtherCard = 7,
    /// The day on which it was applied for; of deleted forms too.
    ApplyDay = 8,
}

/// What a form is found by: only the day of the request once it is deleted.
pub fn form_index(row: &ApplyFormRow) -> Vec<Vec<u8>> {
    let content = &row.content;
    let open_day = if row.is_open() {
        row.planned_date()
    } else {
        ""
    };
    let found_by = [
        (FormIndexKind::ApplyDay, row.apply_date()),
        (FormIndexKind::SickId, content.sick_id.as_str()),
        (FormIndexKind::CardNo, &content.card_no),
        (FormIndexKind::InpatientNo, &content.inpatient_no),
        (FormIndexKind::OutpatientNo, &content.outpatient_no),
        (FormIndexKind::StudyUid, row.study_uid.as_str()),
        (FormIndexKind::OpenDay, open_day),
    ];
    let cards = content.other_cards.iter();
    let cards = cards.map(|card| (FormIndexKind::OtherCard, card.as_str()));
    let is_found = |kind| kind == FormIndexKind::ApplyDay || !row.is_deleted();
    let found_by = found_by.into_iter().chain(cards);
    found_by
        .filter(|(kind, value)| is_found(*kind) && !value.is_empty())
        .map(|(kind, value)| {
            let key = Key::default()
                .byte(kind as u8)
                .text(row.key.hospital.as_str());
            key.text(value)
                .text(&row.key.apply_no)
                .u16(row.key.generation)
                .done()
        })
        .collect()
}

/// Beginning of the lines of a hospital's forms that have a value.
pub fn forms_with(kind: FormIndexKind, hospital: &HospitalCode, value: &str) -> Vec<u8> {
    Key::default()
        .byte(kind as u8)
        .text(hospital.as_str())
        .text(value)
        .done()
}

/// Beginning of a hospital's lines of a kind.
pub fn forms_by(kind: FormIndexKind, hospital: &HospitalCode) -> Vec<u8> {
    Key::default()
        .byte(kind as u8)
        .text(hospital.as_str())
        .done()
}

/// The value and the form of a line of [`View::FormIndex`].
pub fn form_of_line(key: &[u8]) -> Option<(&str, FormKey)> {
    let mut parts = Parts(key.split_first()?.1);
    let hospital = HospitalCode::new(parts.text()?).ok()?;
    let value = parts.text()?;
    Some((
        value,
        FormKey {
            hospital,
            apply_no: parts.text()?.to_owned(),
            generation: parts.u16()?,
        },
    ))
}

pub fn notice(his: &HisId, state: NoticeState, id: NoticeId) -> Vec<u8> {
    Key::default()
        .text(his.as_str())
        .byte(state as u8)
        .u64(id.position.0)
        .u32(id.index)
        .done()
}

/// Beginning of the lines of a HIS's notices in a state, eldest first.
pub fn notices(his: &HisId, state: NoticeState) -> Vec<u8> {
    Key::default().text(his.as_str()).byte(state as u8).done()
}

pub fn step(step: &SopInstanceUid) -> Vec<u8> {
    step.as_str().as_bytes().to_vec()
}

/// The line of a pull: those that are due first come first.
pub fn pull_line(row: &PullRow) -> Vec<u8> {
    Key::default()
        .text(row.study.hospital.as_str())
        .byte(row.line() as u8)
        .u64(u64::try_from(row.next_ms).unwrap_or_default())
        .text(row.study.study.as_str())
        .done()
}

/// Beginning of a hospital's pulls of a line.
pub fn pull_lines(hospital: &HospitalCode, line: PullLine) -> Vec<u8> {
    Key::default()
        .text(hospital.as_str())
        .byte(line as u8)
        .done()
}

/// Time, unix milliseconds, and study of a line of [`View::PullLines`].
pub fn pull_of_line(key: &[u8]) -> Option<(i64, StudyKey)> {
    let mut parts = Parts(key);
    let hospital = HospitalCode::new(parts.text()?).ok()?;
    parts.byte()?;
    let time_ms = i64::try_from(parts.u64()?).ok()?;
    let study = StudyUid::new(parts.text()?).ok()?;
    Some((time_ms, StudyKey::new(hospital, study)))
}

pub fn history(key: &ExamKey, position: Position) -> Vec<u8> {
    Key::default().exam(key).u64(position.0).done()
}

pub fn exam_by_day(row: &ExamRow) -> Vec<u8> {
    Key::default()
        .text(row.key.hospital.as_str())
        .text(row.exam_date())
        .text(row.key.exam_no.as_str())
        .u16(row.key.generation)
        .done()
}

/// The exam that a line of [`View::ExamsByDay`] names.
pub fn exam_of_day(key: &[u8]) -> Option<ExamKey> {
    let mut parts = Parts(key);
    let hospital = HospitalCode::new(parts.text()?).ok()?;
    parts.text()?;
    Some(ExamKey {
        hospital,
        exam_no: ExamNo::new(parts.text()?).ok()?,
        generation: parts.u16()?,
    })
}

/// Which number of an exam it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NumberKind {
    ExamNo = 1,
    ApplyNo = 2,
    SickId = 3,
    PatientId = 4,
    CardNo = 5,
    InpatientNo = 6,
    OutpatientNo = 7,
}

pub fn exam_numbers(row: &ExamRow) -> Vec<Vec<u8>> {
    let mut keys = Vec::with_capacity(7);
    for (kind, number) in [
        (NumberKind::ExamNo, row.key.exam_no.as_str()),
        (NumberKind::ApplyNo, row.apply_no.as_str()),
        (NumberKind::SickId, row.sick_id.as_str()),
        (NumberKind::PatientId, row.patient_id.as_str()),
        (NumberKind::CardNo, row.card_no.as_str()),
        (NumberKind::InpatientNo, row.inpatient_no.as_str()),
        (NumberKind::OutpatientNo, row.outpatient_no.as_str()),
    ] {
        if !number.is_empty() {
            keys.push(
                Key::default()
                    .text(number)
                    .byte(kind as u8)
                    .exam(&row.key)
                    .done(),
            );
        }
    }
    keys
}

pub fn exams_with_number(number: &str, kind: NumberKind) -> Vec<u8> {
    Key::default().text(number).byte(kind as u8).done()
}

/// As [`exams_with_number`], of one hospital.
pub fn exams_of_hospital(hospital: &HospitalCode, number: &str, kind: NumberKind) -> Vec<u8> {
    let key = Key::default().text(number).byte(kind as u8);
    key.text(hospital.as_str()).done()
}

/// The exam that a line of [`View::ExamsByNumber`] names.
pub fn exam_of_number(key: &[u8]) -> Option<ExamKey> {
    let mut parts = Parts(key);
    parts.text()?;
    parts.byte()?;
    parts.exam()
}

pub fn claims(study: &StudyUid) -> Vec<u8> {
    study.as_str().as_bytes().to_vec()
}

/// A study row; also the beginning of the study's lines in [`View::Counted`].
pub fn study(key: &StudyKey) -> Vec<u8> {
    Key::default().study(key).done()
}

pub fn chunk(at: &ChunkKey) -> Vec<u8> {
    Key::default()
        .study(&at.study)
        .u32(at.series)
        .u32(at.chunk)
        .done()
}

/// The study whose instances a row of [`View::Chunks`] has.
pub fn study_of_chunk(key: &[u8]) -> Option<StudyKey> {
    let mut parts = Parts(key);
    Some(StudyKey {
        hospital: HospitalCode::new(parts.text()?).ok()?,
        study: StudyUid::new(parts.text()?).ok()?,
        lot: parts.u16()?,
    })
}

pub fn place(at: &InstanceKey) -> Vec<u8> {
    let key = Key::default()
        .study(&at.study)
        .text(at.sop_instance.as_str());
    match &at.version {
        Some(digest) => key.digest(digest).done(),
        None => key.done(),
    }
}

pub fn held_group(at: &HeldGroupKey) -> Vec<u8> {
    Key::default().text(at.study.as_str()).u32(at.number).done()
}

pub fn held_instance(instance: &HeldInstance) -> Vec<u8> {
    Key::default()
        .text(instance.study.as_str())
        .text(instance.sop_instance.as_str())
        .digest(&instance.digest)
        .done()
}

/// Attribute that studies are found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StudyAttribute {
    Accession = b'a',
    PatientId = b'p',
    Date = b'd',
    Name = b'n',
}

/// A line for each value, as a key is compared with it (`yingku_dicom_node`'s matching): blanks around it aside, names
/// joined, dates as eight digits.
pub fn study_index(row: &StudyRow) -> Vec<Vec<u8>> {
    // What is set aside nobody finds.
    if row.key.lot > 0 {
        return Vec::new();
    }
    let (patient, study) = row.answered();
    let values = |text: &str| -> Vec<String> {
        text.split('\\')
            .map(|value| value.trim().to_owned())
            .collect()
    };
    let names = patient.name.split(['=', '\\']).map(joined_name).collect();
    let date = digits(&study.date, DATE_DIGITS, '0');
    let mut keys = Vec::with_capacity(6);
    for (attribute, values) in [
        (
            StudyAttribute::Accession,
            row.accession_numbers().flat_map(values).collect(),
        ),
        (
            StudyAttribute::PatientId,
            row.patient_ids().flat_map(values).collect(),
        ),
        (StudyAttribute::Date, vec![date]),
        (StudyAttribute::Name, names),
    ] {
        for value in values.iter().filter(|value| !value.is_empty()) {
            let key = Key::default()
                .byte(attribute as u8)
                .text(value)
                .text(row.key.hospital.as_str())
                .text(row.key.study.as_str());
            keys.push(key.done());
        }
    }
    keys
}

pub fn studies_with(attribute: StudyAttribute, value: &str) -> Vec<u8> {
    Key::default().byte(attribute as u8).text(value).done()
}

pub fn studies_from(attribute: StudyAttribute, prefix: &str) -> Vec<u8> {
    Key::default().byte(attribute as u8).prefix(prefix)
}

/// Value and study of a line of [`View::StudyIndex`].
pub fn study_of_index(key: &[u8]) -> Option<(&str, StudyKey)> {
    let mut parts = Parts(key);
    parts.byte()?;
    let value = parts.text()?;
    let hospital = HospitalCode::new(parts.text()?).ok()?;
    Some((
        value,
        StudyKey::new(hospital, StudyUid::new(parts.text()?).ok()?),
    ))
}

pub fn declaration(day: &DayKey) -> Vec<u8> {
    Key::default()
        .text(day.hospital.as_str())
        .text(&day.date)
        .text(&day.class)
        .done()
}

pub fn day_of_declaration(key: &[u8]) -> Option<DayKey> {
    let mut parts = Parts(key);
    Some(DayKey {
        hospital: HospitalCode::new(parts.text()?).ok()?,
        date: parts.text()?.to_owned(),
        class: parts.text()?.to_owned(),
    })
}

pub fn finding(key: &FindingKey) -> Vec<u8> {
    Key::default()
        .byte(key.kind as u8)
        .text(key.hospital.as_str())
        .text(&key.subject)
        .done()
}

pub fn settled(key: &FindingKey, since: Position) -> Vec<u8> {
    let mut settled = finding(key);
    settled.extend_from_slice(&since.0.to_be_bytes());
    settled
}

pub fn counted(study: &StudyKey, position: Position) -> Vec<u8> {
    let mut counted = self::study(study);
    counted.extend_from_slice(&position.0.to_be_bytes());
    counted
}

/// Position of a line of [`View::Counted`].
pub fn position_of_counted(key: &[u8]) -> Option<Position> {
    let (_, position) = key.split_last_chunk()?;
    Some(Position(u64::from_be_bytes(*position)))
}

/// Everything of a kind and hospital in [`View::Findings`] and [`View::Settled`].
pub fn findings_of(kind: FindingKind, hospital: &HospitalCode) -> Vec<u8> {
    Key::default()
        .byte(kind as u8)
        .text(hospital.as_str())
        .done()
}

pub fn findings(kind: FindingKind) -> Vec<u8> {
    vec![kind as u8]
}

/// Hospital and subject of a line of [`View::Findings`].
pub fn finding_of(kind: FindingKind, key: &[u8]) -> Option<FindingKey> {
    let mut parts = Parts(key);
    parts.byte()?;
    Some(FindingKey {
        kind,
        hospital: HospitalCode::new(parts.text()?).ok()?,
        subject: parts.text()?.to_owned(),
    })
}

pub fn position(position: Position) -> Vec<u8> {
    position.0.to_be_bytes().to_vec()
}

/// A line of [`View::Refusals`] and [`View::FormerHolds`].
pub fn refusal(hospital: &str, date: &str, position: Position, index: u32) -> Vec<u8> {
    Key::default()
        .text(hospital)
        .text(date)
        .u64(position.0)
        .u32(index)
        .done()
}

/// Everything of a hospital and day, in [`View::ExamsByDay`], [`View::Declarations`], [`View::Refusals`],
/// [`View::FormerHolds`] and [`View::Supervised`].
pub fn day(hospital: &str, date: &str) -> Vec<u8> {
    Key::default().text(hospital).text(date).done()
}

pub fn hospital(hospital: &str) -> Vec<u8> {
    Key::default().text(hospital).done()
}

struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn text(&mut self) -> Option<&'a str> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let (text, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        std::str::from_utf8(text).ok()
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn u64(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*bytes))
    }

    fn u16(&mut self) -> Option<u16> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*bytes))
    }

    fn exam(&mut self) -> Option<ExamKey> {
        Some(ExamKey {
            hospital: HospitalCode::new(self.text()?).ok()?,
            exam_no: ExamNo::new(self.text()?).ok()?,
            generation: self.u16()?,
        })
    }
}
