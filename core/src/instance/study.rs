//! A study as one hospital holds it, and the claims that pushes lay on a study UID.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::chunk::ChunkEntry;
use super::facts::{PatientFacts, SeriesFacts, StudyFacts};
use super::given::Given;
use crate::event::RULINGS_SINCE_RULES;
use crate::ids::{ExamKey, HospitalCode, Position, SeriesUid, StudyKey, StudyUid, Uid};

/// Series of one study at most; more are kept in the pack and flagged, not indexed.
pub const SERIES_LIMIT: usize = 10_000;

/// Chunks of a study that are looked through for an instance: some 100 µs. In a study of more, instances are listed by
/// their UIDs, so that one more costs the same in a study of any size.
pub const LOOKED_THROUGH_CHUNKS: u32 = 4;

/// Persons that the images of one study name at most, beside the one that is answered.
pub const OTHER_PERSONS_LIMIT: usize = 64;

/// Numbers by which one study is found beside those that are answered, at most.
pub const ALSO_LIMIT: usize = 16;

/// Numbers with which guests came to one study that are told apart, at most.
pub const GUESTS_LIMIT: usize = 64;

/// Exams that may claim one study UID; a further push is taken, its claim is not (it is flagged as a conflict). As many
/// numbers of a study's images are kept beside the first ones.
pub const CLAIM_LIMIT: usize = 256;

/// Who says that a study UID is theirs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct StudyClaims {
    pub claims: Vec<Claim>,
    /// Hospitals that hold instances of this UID, in key order.
    pub holders: Vec<HospitalCode>,
    /// Images of patients whose the study is not.
    pub aside: Vec<SetAside>,
    /// An operator's ruling on whose the study is, whatever identifiers its images have; absent: the first active
    /// claimant's.
    pub ruled_for: Option<ExamKey>,
    /// The latest correction that says whose the study is and is not undone.
    pub corrected: Option<Position>,
    /// The ruling itself: who claims the study later is in conflict with it.
    pub ruled_at: Option<Position>,
}

/// Images that lie under a study UID and are another patient's than the one whose it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    pub hospital: HospitalCode,
    pub lot: u16,
    pub taken_for: Option<TakenFor>,
    /// As [`StudyRow::ruled_for`].
    pub ruled_for: Option<ExamKey>,
}

/// For whom a study's images were taken in: the claim that they met.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenFor {
    pub exam: ExamKey,
    pub sick_id: String,
}

impl SetAside {
    /// A row that makes room.
    pub fn of(row: &StudyRow, lot: u16) -> Self {
        Self {
            hospital: row.key.hospital.clone(),
            lot,
            taken_for: row.taken_for.clone(),
            ruled_for: row.ruled_for.clone(),
        }
    }

    /// Where they are.
    pub fn home(&self, study: &StudyUid) -> StudyKey {
        StudyKey {
            hospital: self.hospital.clone(),
            study: study.clone(),
            lot: self.lot,
        }
    }

    pub fn is_same_person(&self, claim: &Claim) -> bool {
        let taken_for = self.taken_for.as_ref();
        taken_for.is_some_and(|taken_for| taken_for.is_same_person(claim))
    }
}

impl TakenFor {
    pub fn of(claim: &Claim) -> Self {
        Self {
            exam: claim.exam.clone(),
            sick_id: claim.sick_id.clone(),
        }
    }

    /// Whether both are of the same patient.
    pub fn is_same(&self, other: &Self) -> bool {
        self.exam.hospital == other.exam.hospital && self.sick_id == other.sick_id
    }

    /// Whether the claim is of the same patient (R7: hospital and sickId).
    pub fn is_same_person(&self, claim: &Claim) -> bool {
        self.exam.hospital == claim.exam.hospital && self.sick_id == claim.sick_id
    }
}

/// One exam's claim on a study UID.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub exam: ExamKey,
    /// The record that first claimed it.
    pub position: Position,
    pub sick_id: String,
    pub patient_id: String,
    pub accession_no: Option<String>,
    /// The exam is withdrawn, declares the study no longer, or an operator released it.
    pub released: bool,
    /// Its hospital tries out: it keeps nothing from who is live.
    pub trial: bool,
}

impl Claim {
    /// R7: hospital and sickId.
    fn is_same_person(&self, other: &Self) -> bool {
        self.exam.hospital == other.exam.hospital && self.sick_id == other.sick_id
    }
}

impl StudyClaims {
    pub fn active(&self) -> impl Iterator<Item = &Claim> {
        self.claims.iter().filter(|claim| !claim.released)
    }

    /// The claim whose patient the images belong to: the ruling, else the first active one (R7).
    pub fn owner(&self) -> Option<&Claim> {
        match &self.ruled_for {
            // Ruled for an exam that is withdrawn: the images were not the others' and do not become theirs.
            Some(exam) => self.active().find(|claim| claim.exam == *exam),
            None => self
                .active()
                .min_by_key(|claim| (claim.trial, claim.position)),
        }
    }

    /// Active claims of the owner's patient: exams that share the study (one scan, two forms).
    pub fn owning(&self) -> impl Iterator<Item = &Claim> {
        let owner = self.owner();
        self.active()
            .filter(move |claim| owner.is_some_and(|owner| owner.is_same_person(claim)))
    }

    /// Whether the study leads to this exam: to every exam that claims or claimed it, but after a ruling only to those
    /// whose it is.
    pub fn leads_to(&self, exam: &ExamKey) -> bool {
        match &self.ruled_for {
            Some(ruled_for) => ruled_for == exam || self.owning().any(|claim| claim.exam == *exam),
            None => true,
        }
    }

    /// Whether two patients or hospitals claim it. A trial contests nothing that is live.
    pub fn is_contested(&self) -> bool {
        let is_live = self.owner().is_some_and(|owner| !owner.trial);
        let claimants = self.active().filter(|claim| !(is_live && claim.trial));
        claimants.count()
            > self
                .owning()
                .filter(|claim| !(is_live && claim.trial))
                .count()
    }

    /// Whether somebody has to say whose the study is: nobody ruled, or somebody claims it who did not when that was done.
    pub fn is_in_conflict(&self, rules: u32) -> bool {
        if self.ruled_for.is_none() {
            return self.is_contested();
        }
        let ruled_at = self.ruled_at.filter(|_| rules >= RULINGS_SINCE_RULES);
        let is_live = self.owner().is_some_and(|owner| !owner.trial);
        let owner = self.owner();
        ruled_at.is_some_and(|ruled_at| {
            let mut later = self.active().filter(|claim| claim.position > ruled_at);
            later.any(|claim| {
                let is_his = owner.is_some_and(|owner| owner.is_same_person(claim));
                !(is_his || is_live && claim.trial)
            })
        })
    }

    /// The row in which the images are that an operator ruled on.
    pub fn ruled_home(&self, study: &StudyUid) -> Option<StudyKey> {
        let owner = self.owner().filter(|_| self.ruled_for.is_some())?;
        Some(StudyKey::new(owner.exam.hospital.clone(), study.clone()))
    }

    /// Every row of the study, shown or not.
    pub fn homes(&self, study: &StudyUid) -> Vec<StudyKey> {
        let shown = self.holders.iter();
        let shown = shown.map(|hospital| StudyKey::new(hospital.clone(), study.clone()));
        let aside = self.aside.iter().map(|aside| aside.home(study));
        shown.chain(aside).collect()
    }
}

/// One study of one hospital: what C-FIND answers, and the counts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudyRow {
    pub key: StudyKey,
    pub first_position: Position,
    pub first_time_ms: i64,
    pub last_time_ms: i64,
    /// Each attribute as the first instance has it that has it at all: a scanned apply form lacks most of them.
    pub patient: PatientFacts,
    pub study: StudyFacts,
    /// Absent only while the row is being moved.
    pub taken_for: Option<TakenFor>,
    /// The exam whose an operator ruled these images to be, whosever they were.
    pub ruled_for: Option<ExamKey>,
    /// Which hidings each of its hidden instances is under (see [`ChunkEntry`]).
    pub hides: Vec<Vec<Position>>,
    /// Numbers of further images, where they are not the first's.
    pub came_as: Vec<Numbers>,
    /// Those that came under a ruling with the numbers of the exam ruled for, oldest first.
    pub guests: Vec<Guests>,
    /// Whom later instances name otherwise (R8), without their PatientIDs.
    pub other_persons: Vec<PatientFacts>,
    /// What is answered in their place.
    pub given: Option<Given>,
    /// By which numbers it is found as well: those of its exams, where they are not the ones that are answered.
    pub also: Vec<Numbers>,
    pub series: Vec<SeriesRow>,
    /// Bytes of visible and hidden instances.
    pub bytes: u64,
    /// The last line of the study's past counts.
    pub counted: Option<CountedAt>,
}

/// What an exam calls a study of its own (R7: one scan, two forms).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    pub patient_id: String,
    pub accession_no: String,
}

/// Images that came to another patient's because an operator ruled that those are their exam's. When the ruling is undone
/// they stay their patient's.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guests {
    pub taken_for: TakenFor,
    pub patient: PatientFacts,
    pub study: StudyFacts,
    /// Whom later ones of them name otherwise, without their PatientIDs.
    pub other_persons: Vec<PatientFacts>,
}

impl Guests {
    /// Takes in what further images of theirs say of patient and study.
    pub fn learn(&mut self, patient: &PatientFacts, study: &StudyFacts) {
        self.patient.fill(patient);
        self.study.fill(study);
        let mut persons = std::iter::once(&self.patient).chain(&self.other_persons);
        if !persons.any(|known| patient.is_said_by(known)) {
            name_other(&mut self.other_persons, patient);
        }
    }
}

fn name_other(others: &mut Vec<PatientFacts>, patient: &PatientFacts) {
    if others.len() < OTHER_PERSONS_LIMIT {
        others.push(PatientFacts {
            id: String::new(),
            ..patient.clone()
        });
    }
}

/// Counts of a study's images after a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedAt {
    pub position: Position,
    pub counts: ImageCounts,
}

/// One series of a study.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesRow {
    pub uid: SeriesUid,
    pub facts: SeriesFacts,
    /// Chunk rows that hold its instances.
    pub chunks: u32,
    /// Distinct visible SOP instances.
    pub instances: u32,
    /// Those that are not SR, PR or KO (R9).
    pub images: u32,
    /// Frames of those.
    pub frames: u32,
    /// SOP classes seen, at most [`CLASS_LIMIT`].
    pub classes: Vec<Uid>,
}

/// SOP classes listed for each series (SOPClassesInStudy).
pub const CLASS_LIMIT: usize = 16;

impl SeriesRow {
    /// Scanned apply forms (contract §2.4).
    pub fn is_zero(&self) -> bool {
        self.facts.number.trim().parse::<i64>() == Ok(0)
    }
}

/// Images of a study, as the declared count is held against them (R9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageCounts {
    pub instances: u32,
    pub images: u32,
    pub images_without_zero: u32,
    pub frames: u32,
}

impl ImageCounts {
    /// Counted with or without series 0, by instances or by their frames.
    pub fn reaches(&self, declared: u32) -> bool {
        self.images.max(self.frames) >= declared
    }

    /// Both together.
    pub fn and(self, more: Self) -> Self {
        Self {
            instances: self.instances.saturating_add(more.instances),
            images: self.images.saturating_add(more.images),
            images_without_zero: self
                .images_without_zero
                .saturating_add(more.images_without_zero),
            frames: self.frames.saturating_add(more.frames),
        }
    }

    /// Counts an instance that readers see; whether its series is that of scanned apply forms.
    pub fn add(&mut self, entry: &ChunkEntry, in_series_zero: bool) {
        self.instances = self.instances.saturating_add(1);
        if is_image_class(&entry.image().sop_class) {
            self.images = self.images.saturating_add(1);
            self.frames = self.frames.saturating_add(entry.image().frames.max(1));
            let without_zero = u32::from(!in_series_zero);
            self.images_without_zero = self.images_without_zero.saturating_add(without_zero);
        }
    }

    /// More than declared, however counted.
    pub fn exceeds(&self, declared: u32) -> bool {
        self.images_without_zero > declared
    }
}

impl std::iter::Sum for ImageCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Self::and)
    }
}

impl StudyRow {
    /// Takes in what further images say of patient and study.
    pub fn learn(&mut self, patient: &PatientFacts, study: &StudyFacts) {
        let before = (self.patient.id.clone(), self.study.accession_no.clone());
        self.patient.fill(patient);
        self.study.fill(study);
        self.name_person(patient);
        self.carry(&before.0, &before.1);
        self.carry(&patient.id, &study.accession_no);
    }

    fn carry(&mut self, patient_id: &str, accession_no: &str) {
        let is_known = self
            .numbers()
            .any(|known| known == (patient_id, accession_no));
        if !is_known && self.came_as.len() < CLAIM_LIMIT {
            self.came_as.push(Numbers {
                patient_id: patient_id.to_owned(),
                accession_no: accession_no.to_owned(),
            });
        }
    }

    /// Number of a set of hidings, which is entered if there is none yet; 0 if it is empty.
    pub fn hidden_by(&mut self, hides: Vec<Position>) -> u32 {
        if hides.is_empty() {
            return 0;
        }
        let known = self.hides.iter().position(|known| *known == hides);
        let at = known.unwrap_or_else(|| {
            self.hides.push(hides);
            self.hides.len().saturating_sub(1)
        });
        u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// The hidings that an instance is under.
    pub fn hides_of(&self, entry: &ChunkEntry) -> &[Position] {
        let at = usize::try_from(entry.hidden).unwrap_or(usize::MAX);
        at.checked_sub(1)
            .and_then(|at| self.hides.get(at))
            .map_or(&[], Vec::as_slice)
    }

    /// Notes whom images name, if nobody was named so before.
    pub fn name_person(&mut self, patient: &PatientFacts) {
        let mut persons = std::iter::once(&self.patient).chain(&self.other_persons);
        if !persons.any(|known| patient.is_said_by(known)) {
            name_other(&mut self.other_persons, patient);
        }
    }

    /// Everyone whom the images name.
    pub fn persons(&self) -> impl Iterator<Item = &PatientFacts> {
        let guests = self.guests.iter();
        let guests =
            guests.flat_map(|guests| std::iter::once(&guests.patient).chain(&guests.other_persons));
        std::iter::once(&self.patient)
            .chain(&self.other_persons)
            .chain(guests)
    }

    /// PatientIDs and AccessionNumbers that its images have, guests aside.
    pub fn numbers(&self) -> impl Iterator<Item = (&str, &str)> {
        let first = (self.patient.id.as_str(), self.study.accession_no.as_str());
        let others = self.came_as.iter();
        let others = others.map(|came| (came.patient_id.as_str(), came.accession_no.as_str()));
        std::iter::once(first).chain(others)
    }

    /// Patient and study attributes as queries answer and match them.
    pub fn answered(&self) -> (&PatientFacts, &StudyFacts) {
        match &self.given {
            Some(given) => (&given.patient, &given.study),
            None => (&self.patient, &self.study),
        }
    }

    /// The study as it is answered, then as each of its other exams calls it.
    pub fn faces(&self) -> impl Iterator<Item = Cow<'_, Self>> {
        let others = self.also.iter().map(|numbers| {
            let mut row = self.clone();
            let (patient, study) = match &mut row.given {
                Some(given) => (&mut given.patient, &mut given.study),
                None => (&mut row.patient, &mut row.study),
            };
            patient.id.clone_from(&numbers.patient_id);
            study.accession_no.clone_from(&numbers.accession_no);
            Cow::Owned(row)
        });
        std::iter::once(Cow::Borrowed(self)).chain(others)
    }

    /// Every PatientID by which it is found.
    pub fn patient_ids(&self) -> impl Iterator<Item = &str> {
        let others = self.also.iter().map(|numbers| numbers.patient_id.as_str());
        std::iter::once(self.answered().0.id.as_str()).chain(others)
    }

    /// Every AccessionNumber by which it is found.
    pub fn accession_numbers(&self) -> impl Iterator<Item = &str> {
        let others = self
            .also
            .iter()
            .map(|numbers| numbers.accession_no.as_str());
        std::iter::once(self.answered().1.accession_no.as_str()).chain(others)
    }

    pub fn counts(&self) -> ImageCounts {
        let mut counts = ImageCounts::default();
        for series in &self.series {
            counts.instances = counts.instances.saturating_add(series.instances);
            counts.images = counts.images.saturating_add(series.images);
            counts.frames = counts.frames.saturating_add(series.frames);
            if !series.is_zero() {
                counts.images_without_zero =
                    counts.images_without_zero.saturating_add(series.images);
            }
        }
        counts
    }

    /// Whether its instances are listed by their UIDs, beside their chunks.
    pub fn is_listed(&self) -> bool {
        let chunks = self.series.iter().map(|series| series.chunks);
        chunks.fold(0, u32::saturating_add) > LOOKED_THROUGH_CHUNKS
    }

    /// Whether a series, by its index, is that of scanned apply forms.
    pub fn is_series_zero(&self, index: u32) -> bool {
        let series = usize::try_from(index)
            .ok()
            .and_then(|at| self.series.get(at));
        series.is_some_and(SeriesRow::is_zero)
    }

    /// Distinct visible instances.
    pub fn visible_instances(&self) -> u32 {
        self.counts().instances
    }

    pub fn study_uid(&self) -> &StudyUid {
        &self.key.study
    }
}

impl std::fmt::Debug for StudyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StudyRow")
            .field("key", &self.key)
            .field("series", &self.series.len())
            .finish_non_exhaustive()
    }
}

/// Whether a SOP class is an image or a waveform, not a document about them: SR, presentation state, key object (R9).
pub fn is_image_class(sop_class: &Uid) -> bool {
    /// Structured reports with Key Object Selection Document (…88.59); presentation states (PS3.4 table B.5-1).
    const DOCUMENTS: [&str; 2] = ["1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.11."];
    !DOCUMENTS
        .iter()
        .any(|prefix| sop_class.as_str().starts_with(prefix))
}
