//! What rules may read and what they may change.
//!
//! [`State`] is the views at one position. [`Work`] is that state with the changes of the record at hand on top, so a
//! rule sees what it has just written; it hands out the changes at the end.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::apply_form::ApplyFormRow;
use crate::contract::push::IdentitySummary;
use crate::correction::CorrectionRow;
use crate::event::REGISTRATION_SINCE_RULES;
use crate::exam::{ExamHistory, ExamRow, FormRow, RegisteredRow};
use crate::finding::{FindingKey, FindingRow, SettledFinding};
use crate::identity::PersonKey;
use crate::ids::{ExamKey, FormKey, HisId, PackId, Position, SopInstanceUid, StudyKey, StudyUid};
use crate::instance::{
    Chunk, FormerHold, HeldGroup, HeldGroupKey, HeldInstance, HeldStudy, ImageCounts, InstanceKey,
    PackRow, Place, StudyClaims, StudyRow,
};
use crate::national_index::{IndexHolders, IndexRow, NationalIndex};
use crate::notice::{NoticeId, NoticeRow, Told};
use crate::performed::StepRow;
use crate::pull::PullRow;
use crate::refusal::RefusalRow;
use crate::registry::{Lease, Node, Registry, RegistryChange};
use crate::statistics::{DayKey, DeclarationRow};
use crate::supervision::{SupervisedContent, SupervisedKey, SupervisedRow};

/// A row could not be read: the projector stops, nothing is decided without it.
#[derive(Debug, thiserror::Error)]
#[error("views cannot be read")]
pub struct StateError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

type Read<T> = Result<Option<T>, StateError>;

/// The views that rules read: key look-ups only, so a decision costs the same in a full archive as in an empty one.
pub trait State {
    fn registry(&self) -> &Registry;
    fn exam(&self, key: &ExamKey) -> Read<ExamRow>;
    fn form(&self, key: &FormKey) -> Read<FormRow>;
    fn claims(&self, study: &StudyUid) -> Read<StudyClaims>;
    fn study(&self, key: &StudyKey) -> Read<StudyRow>;
    fn chunk(&self, at: &ChunkKey) -> Read<Chunk>;
    fn place(&self, at: &InstanceKey) -> Read<Place>;
    fn pack(&self, pack: PackId) -> Read<PackRow>;
    fn held(&self, study: &StudyUid) -> Read<HeldStudy>;
    fn held_group(&self, at: &HeldGroupKey) -> Read<HeldGroup>;
    /// Number of the held group that has the instance.
    fn held_in(&self, instance: &HeldInstance) -> Read<u32>;
    fn declaration(&self, day: &DayKey) -> Read<DeclarationRow>;
    fn finding(&self, key: &FindingKey) -> Read<FindingRow>;
    fn correction(&self, position: Position) -> Read<CorrectionRow>;
    /// Body of a push that was refused as suspected reuse, for as long as it is listed.
    fn refused_push(&self, position: Position) -> Read<Vec<u8>>;
    fn sign(&self, digest: &[u8; 16]) -> Read<i64>;
    fn apply_form(&self, key: &FormKey) -> Read<ApplyFormRow>;
    fn notice(&self, his: &HisId, id: NoticeId) -> Read<NoticeRow>;
    fn told(&self, exam: &ExamKey) -> Read<Told>;
    fn step(&self, step: &SopInstanceUid) -> Read<StepRow>;
    fn pull(&self, study: &StudyKey) -> Read<PullRow>;
    fn registered(&self, exam: &ExamKey) -> Read<RegisteredRow>;
    fn supervised(&self, key: &SupervisedKey) -> Read<SupervisedRow>;
    fn index(&self, exam: &ExamKey) -> Read<IndexRow>;
    fn index_holders(&self, index: &NationalIndex) -> Read<IndexHolders>;
}

/// A chunk row: study, index of the series in the study row, index of the chunk in the series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkKey {
    pub study: StudyKey,
    pub series: u32,
    pub chunk: u32,
}

impl ChunkKey {
    pub fn of(study: &StudyKey, place: Place) -> Self {
        Self {
            study: study.clone(),
            series: place.series,
            chunk: place.chunk,
        }
    }

    /// Every chunk of a study, series by series.
    pub fn all_of(row: &StudyRow) -> impl Iterator<Item = Self> {
        let series = row.series.iter().zip(0u32..);
        series.flat_map(|(known, series)| {
            let places = (0..known.chunks).map(move |chunk| Place { series, chunk });
            places.map(|place| Self::of(&row.key, place))
        })
    }

    pub fn place(&self) -> Place {
        Place {
            series: self.series,
            chunk: self.chunk,
        }
    }
}

/// Changes that one record makes; applying them never fails for a reason that lies in them.
#[derive(Default)]
pub struct Changes {
    /// The row before (indexes of it go) and after. Boxed: a map's node has room for eleven of them.
    pub exams: BTreeMap<ExamKey, Box<Replaced<ExamRow>>>,
    pub history: Vec<ExamHistory>,
    pub forms: BTreeMap<FormKey, FormRow>,
    /// Exams whose history goes too.
    pub purged: BTreeSet<ExamKey>,
    pub claims: BTreeMap<StudyUid, StudyClaims>,
    pub studies: BTreeMap<StudyKey, Box<Replaced<StudyRow>>>,
    /// Instances of a pack that the log has come to have.
    pub logged: Option<Logged>,
    pub packs: BTreeMap<PackId, PackRow>,
    /// Packs of which the log's lines go.
    pub lost: Vec<PackId>,
    /// `None` removes the row.
    pub chunks: BTreeMap<ChunkKey, Option<Chunk>>,
    pub places: BTreeMap<InstanceKey, Option<Place>>,
    /// A study of which nothing is held has no row.
    pub held: BTreeMap<StudyUid, HeldStudy>,
    pub held_groups: BTreeMap<HeldGroupKey, Option<HeldGroup>>,
    /// Number of the group that has it; `None`: it is held no more.
    pub held_instances: BTreeMap<HeldInstance, Option<u32>>,
    pub declarations: BTreeMap<DayKey, DeclarationRow>,
    pub findings: BTreeMap<FindingKey, Option<FindingRow>>,
    pub settled: Vec<SettledFinding>,
    pub former_holds: Vec<FormerHold>,
    /// A study's counts after a record, for questions about the past.
    pub counted: BTreeMap<(StudyKey, Position), ImageCounts>,
    pub corrections: BTreeMap<Position, CorrectionRow>,
    pub refused_pushes: BTreeMap<Position, Option<Vec<u8>>>,
    /// Expiry of each mark; `None` removes it.
    pub signs: BTreeMap<[u8; 16], Option<i64>>,
    /// Forms as their HIS sent them.
    pub apply_forms: BTreeMap<FormKey, Box<Replaced<ApplyFormRow>>>,
    pub notices: BTreeMap<(HisId, NoticeId), Replaced<NoticeRow>>,
    /// What the receivers of an exam's notices were told.
    pub told: BTreeMap<ExamKey, Told>,
    /// Procedure steps that machines perform.
    pub steps: BTreeMap<SopInstanceUid, StepRow>,
    pub pulls: BTreeMap<StudyKey, Replaced<PullRow>>,
    /// Exams of which readers may want to hear: those that the record changed, or brought the first image of.
    pub heard_of: BTreeSet<(Position, ExamKey)>,
    /// Exams that were registered from their forms; `None` removes the row.
    pub registered: BTreeMap<ExamKey, Option<RegisteredRow>>,
    /// What supervision asks of exams; `None` removes the row.
    pub supervised: BTreeMap<SupervisedKey, Option<SupervisedRow>>,
    /// Documents and cards of counted exams; false removes the line.
    pub patient_keys: BTreeMap<(PersonKey, ExamKey), bool>,
    /// Exams' national imaging indexes.
    pub indexes: BTreeMap<ExamKey, Replaced<IndexRow>>,
    /// Exams that indexes lead to; one that leads to none has no row.
    pub index_holders: BTreeMap<NationalIndex, IndexHolders>,
    pub refusals: Vec<RefusalRow>,
    pub registry: Vec<RegistryChange>,
    pub node: Option<Node>,
    pub lease: Option<(String, Lease)>,
    pub rules: Option<u32>,
}

/// What a record tells of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    pub pack: PackId,
    pub position: Position,
    /// Where in the pack the instances lie, in order.
    pub offsets: Vec<u64>,
}

/// A row before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced<T> {
    pub before: Option<T>,
    pub after: Option<T>,
}

/// State with the record's own changes on top.
pub struct Work<'a, S: State> {
    state: &'a S,
    pub changes: Changes,
    /// Studies whose counts this record changes otherwise than by arrivals.
    pub(crate) corrected: BTreeSet<StudyKey>,
    /// What supervision asks of the contents that this record made exams'; `None`: it is not known any more.
    pub(crate) brought: BTreeMap<ExamKey, Option<SupervisedContent>>,
    /// Identities of exams' patients, of exams that got new content by this record.
    pub(crate) identities: BTreeMap<ExamKey, Vec<IdentitySummary<'static>>>,
}

impl<'a, S: State> Work<'a, S> {
    pub fn new(state: &'a S) -> Self {
        Self {
            state,
            changes: Changes::default(),
            corrected: BTreeSet::new(),
            brought: BTreeMap::new(),
            identities: BTreeMap::new(),
        }
    }

    pub fn registry(&self) -> &'a Registry {
        self.state.registry()
    }

    pub fn exam(&self, key: &ExamKey) -> Read<ExamRow> {
        match self.changes.exams.get(key) {
            Some(replaced) => Ok(replaced.after.clone()),
            None => self.state.exam(key),
        }
    }

    pub fn put_exam(&mut self, before: Option<ExamRow>, after: Option<ExamRow>) {
        let Some(key) = after
            .as_ref()
            .or(before.as_ref())
            .map(|row| row.key.clone())
        else {
            return;
        };
        match self.changes.exams.entry(key) {
            Entry::Occupied(mut known) => known.get_mut().after = after,
            Entry::Vacant(place) => {
                place.insert(Box::new(Replaced { before, after }));
            }
        }
    }

    pub fn form(&self, key: &FormKey) -> Result<FormRow, StateError> {
        match self.changes.forms.get(key) {
            Some(row) => Ok(row.clone()),
            None => Ok(self.state.form(key)?.unwrap_or_default()),
        }
    }

    pub fn put_form(&mut self, key: FormKey, row: FormRow) {
        self.changes.forms.insert(key, row);
    }

    pub fn apply_form(&self, key: &FormKey) -> Read<ApplyFormRow> {
        match self.changes.apply_forms.get(key) {
            Some(replaced) => Ok(replaced.after.clone()),
            None => self.state.apply_form(key),
        }
    }

    /// `None` removes the row.
    pub fn put_apply_form(&mut self, before: Option<ApplyFormRow>, after: Option<ApplyFormRow>) {
        let row = after.as_ref().or(before.as_ref());
        let Some(key) = row.map(|row| row.key.clone()) else {
            return;
        };
        match self.changes.apply_forms.entry(key) {
            Entry::Occupied(mut known) => known.get_mut().after = after,
            Entry::Vacant(place) => {
                place.insert(Box::new(Replaced { before, after }));
            }
        }
    }

    pub fn notice(&self, his: &HisId, id: NoticeId) -> Read<NoticeRow> {
        match self.changes.notices.get(&(his.clone(), id)) {
            Some(replaced) => Ok(replaced.after.clone()),
            None => self.state.notice(his, id),
        }
    }

    pub fn put_notice(&mut self, before: Option<NoticeRow>, after: NoticeRow) {
        match self.changes.notices.entry((after.his.clone(), after.id)) {
            Entry::Occupied(mut known) => known.get_mut().after = Some(after),
            Entry::Vacant(place) => {
                let after = Some(after);
                place.insert(Replaced { before, after });
            }
        }
    }

    pub fn remove_notice(&mut self, before: NoticeRow) {
        let at = (before.his.clone(), before.id);
        let before = Some(before);
        let removed = Replaced {
            before,
            after: None,
        };
        self.changes.notices.insert(at, removed);
    }

    pub fn told(&self, exam: &ExamKey) -> Result<Told, StateError> {
        match self.changes.told.get(exam) {
            Some(told) => Ok(*told),
            None => Ok(self.state.told(exam)?.unwrap_or_default()),
        }
    }

    /// As it was before this record.
    pub fn told_before(&self, exam: &ExamKey) -> Result<Told, StateError> {
        Ok(self.state.told(exam)?.unwrap_or_default())
    }

    pub fn put_told(&mut self, exam: ExamKey, told: Told) {
        self.changes.told.insert(exam, told);
    }

    pub fn step(&self, step: &SopInstanceUid) -> Read<StepRow> {
        match self.changes.steps.get(step) {
            Some(row) => Ok(Some(row.clone())),
            None => self.state.step(step),
        }
    }

    pub fn put_step(&mut self, row: StepRow) {
        self.changes.steps.insert(row.step.clone(), row);
    }

    pub fn pull(&self, study: &StudyKey) -> Read<PullRow> {
        match self.changes.pulls.get(study) {
            Some(replaced) => Ok(replaced.after.clone()),
            None => self.state.pull(study),
        }
    }

    /// `None` removes the row.
    pub fn put_pull(&mut self, before: Option<PullRow>, after: Option<PullRow>) {
        let row = after.as_ref().or(before.as_ref());
        let Some(key) = row.map(|row| row.study.clone()) else {
            return;
        };
        match self.changes.pulls.entry(key) {
            Entry::Occupied(mut known) => known.get_mut().after = after,
            Entry::Vacant(place) => {
                place.insert(Replaced { before, after });
            }
        }
    }

    /// None before rules version 6: nothing is read there.
    pub fn registered(&self, exam: &ExamKey) -> Read<RegisteredRow> {
        if self.registry().rules < REGISTRATION_SINCE_RULES {
            return Ok(None);
        }
        match self.changes.registered.get(exam) {
            Some(row) => Ok(row.clone()),
            None => self.state.registered(exam),
        }
    }

    /// `None` removes the row.
    pub fn put_registered(&mut self, exam: ExamKey, row: Option<RegisteredRow>) {
        self.changes.registered.insert(exam, row);
    }

    pub fn index(&self, exam: &ExamKey) -> Read<IndexRow> {
        match self.changes.indexes.get(exam) {
            Some(replaced) => Ok(replaced.after.clone()),
            None => self.state.index(exam),
        }
    }

    /// `None` removes the row.
    pub fn put_index(&mut self, before: Option<IndexRow>, after: Option<IndexRow>) {
        let row = after.as_ref().or(before.as_ref());
        let Some(key) = row.map(|row| row.exam.clone()) else {
            return;
        };
        match self.changes.indexes.entry(key) {
            Entry::Occupied(mut known) => known.get_mut().after = after,
            Entry::Vacant(place) => {
                place.insert(Replaced { before, after });
            }
        }
    }

    pub fn index_holders(&self, index: &NationalIndex) -> Result<IndexHolders, StateError> {
        match self.changes.index_holders.get(index) {
            Some(holders) => Ok(holders.clone()),
            None => Ok(self.state.index_holders(index)?.unwrap_or_default()),
        }
    }

    pub fn put_index_holders(&mut self, index: NationalIndex, holders: IndexHolders) {
        self.changes.index_holders.insert(index, holders);
    }

    pub fn claims(&self, study: &StudyUid) -> Result<StudyClaims, StateError> {
        match self.changes.claims.get(study) {
            Some(claims) => Ok(claims.clone()),
            None => Ok(self.state.claims(study)?.unwrap_or_default()),
        }
    }

    pub fn put_claims(&mut self, study: StudyUid, claims: StudyClaims) {
        self.changes.claims.insert(study, claims);
    }

    pub fn study(&self, key: &StudyKey) -> Read<StudyRow> {
        match self.changes.studies.get(key) {
            Some(replaced) => Ok(replaced.after.clone()),
            None => self.state.study(key),
        }
    }

    pub fn put_study(&mut self, before: Option<StudyRow>, after: Option<StudyRow>) {
        let Some(key) = after
            .as_ref()
            .or(before.as_ref())
            .map(|row| row.key.clone())
        else {
            return;
        };
        match self.changes.studies.entry(key) {
            Entry::Occupied(mut known) => known.get_mut().after = after,
            Entry::Vacant(place) => {
                place.insert(Box::new(Replaced { before, after }));
            }
        }
    }

    pub fn chunk(&self, at: &ChunkKey) -> Read<Chunk> {
        match self.changes.chunks.get(at) {
            Some(chunk) => Ok(chunk.clone()),
            None => self.state.chunk(at),
        }
    }

    pub fn put_chunk(&mut self, at: ChunkKey, chunk: Option<Chunk>) {
        self.changes.chunks.insert(at, chunk);
    }

    pub fn place(&self, at: &InstanceKey) -> Read<Place> {
        match self.changes.places.get(at) {
            Some(place) => Ok(*place),
            None => self.state.place(at),
        }
    }

    pub fn put_place(&mut self, at: InstanceKey, place: Option<Place>) {
        self.changes.places.insert(at, place);
    }

    pub fn pack(&self, pack: PackId) -> Result<PackRow, StateError> {
        match self.changes.packs.get(&pack) {
            Some(row) => Ok(*row),
            None => Ok(self.state.pack(pack)?.unwrap_or_default()),
        }
    }

    pub fn put_pack(&mut self, pack: PackId, row: PackRow) {
        self.changes.packs.insert(pack, row);
    }

    pub fn held(&self, study: &StudyUid) -> Result<HeldStudy, StateError> {
        match self.changes.held.get(study) {
            Some(held) => Ok(*held),
            None => Ok(self.state.held(study)?.unwrap_or_default()),
        }
    }

    pub fn put_held(&mut self, study: StudyUid, held: HeldStudy) {
        self.changes.held.insert(study, held);
    }

    pub fn held_group(&self, at: &HeldGroupKey) -> Read<HeldGroup> {
        match self.changes.held_groups.get(at) {
            Some(group) => Ok(group.clone()),
            None => self.state.held_group(at),
        }
    }

    pub fn put_held_group(&mut self, at: HeldGroupKey, group: Option<HeldGroup>) {
        self.changes.held_groups.insert(at, group);
    }

    pub fn held_in(&self, instance: &HeldInstance) -> Read<u32> {
        match self.changes.held_instances.get(instance) {
            Some(group) => Ok(*group),
            None => self.state.held_in(instance),
        }
    }

    pub fn put_held_instance(&mut self, instance: HeldInstance, group: Option<u32>) {
        self.changes.held_instances.insert(instance, group);
    }

    pub fn declaration(&self, day: &DayKey) -> Result<DeclarationRow, StateError> {
        match self.changes.declarations.get(day) {
            Some(row) => Ok(row.clone()),
            None => Ok(self.state.declaration(day)?.unwrap_or_default()),
        }
    }

    pub fn put_declaration(&mut self, day: DayKey, row: DeclarationRow) {
        self.changes.declarations.insert(day, row);
    }

    pub fn finding(&self, key: &FindingKey) -> Read<FindingRow> {
        match self.changes.findings.get(key) {
            Some(row) => Ok(row.clone()),
            None => self.state.finding(key),
        }
    }

    /// Lists a finding, or with `None` takes it off its list.
    pub fn put_finding(&mut self, key: FindingKey, row: Option<FindingRow>) {
        self.changes.findings.insert(key, row);
    }

    pub fn correction(&self, position: Position) -> Read<CorrectionRow> {
        match self.changes.corrections.get(&position) {
            Some(row) => Ok(Some(row.clone())),
            None => self.state.correction(position),
        }
    }

    pub fn refused_push(&self, position: Position) -> Read<Vec<u8>> {
        self.state.refused_push(position)
    }

    pub fn sign(&self, digest: &[u8; 16]) -> Read<i64> {
        self.state.sign(digest)
    }

    /// As it was before this record.
    pub fn supervised(&self, key: &SupervisedKey) -> Read<SupervisedRow> {
        self.state.supervised(key)
    }
}
