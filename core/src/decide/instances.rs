//! Stored instances, in log order. They lie durable in a pack, so nothing is refused here: they are matched again and
//! shown, or held and listed.

use std::collections::BTreeSet;

use super::known::{Found, Known};
use super::{Context, aside, claims, compacted, held, past, versions};
use crate::event::RULINGS_SINCE_RULES;
use crate::exam::ExamRow;
use crate::finding::{FindingKey, FindingKind, FindingRow};
use crate::ids::{HospitalCode, PackId, Position, SopInstanceUid, StudyKey};
use crate::instance::doubt;
use crate::instance::{
    CHUNK_INSTANCES, CLASS_LIMIT, Chunk, ChunkEntry, GUESTS_LIMIT, Guests, HoldReason, InstanceKey,
    InstancesStored, Match, SERIES_LIMIT, SeriesGroup, SeriesRow, StudyRow, TakenFor, covers,
    guests_like, is_guest, is_image_class, match_instance,
};
use crate::outcome::Outcome;
use crate::registry::Scope;
use crate::state::{ChunkKey, Logged, State, StateError, Work};

pub fn stored<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &InstancesStored,
) -> Result<Outcome, StateError> {
    if work.pack(body.pack)?.compacted.is_some() {
        // All that it had was told before, and nobody reads it any more.
        return Ok(Outcome::Done);
    }
    let told = compacted::told_of(work, context, body.pack)?;
    work.put_pack(body.pack, told);
    let instances = body.groups.iter().flat_map(|group| &group.instances);
    let mut offsets: Vec<u64> = instances.map(|instance| instance.offset).collect();
    offsets.sort_unstable();
    work.changes.logged = Some(Logged {
        pack: body.pack,
        position: context.position,
        offsets,
    });
    for group in &body.groups {
        let arrival = Arrival {
            pack: body.pack,
            position: context.position,
            time_ms: context.time_ms,
        };
        match destination(work, group)? {
            Ok(hospital) => {
                if aside::align(work, context, &group.study_uid, true)? {
                    claims::settle(work, context, &group.study_uid, None)?;
                }
                let study = StudyKey::new(hospital, group.study_uid.clone());
                show(work, context, arrival, &study, group)?;
                doubt_of_study(work, context, &study)?;
            }
            Err(reason) => held::hold(work, arrival, group, reason)?,
        }
    }
    Ok(Outcome::Done)
}

/// Where and when instances arrived: for held ones that is before they are shown.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    pub(super) pack: PackId,
    pub(super) position: Position,
    pub(super) time_ms: i64,
}

/// The hospital whose study the group belongs to, or why it is held.
pub(super) fn destination<S: State>(
    work: &Work<'_, S>,
    group: &SeriesGroup,
) -> Result<Result<HospitalCode, HoldReason>, StateError> {
    let claims = work.claims(&group.study_uid)?;
    let there = match claims.ruled_home(&group.study_uid) {
        Some(home) => work.study(&home)?,
        None => None,
    };
    let found = match_instance(
        work.registry(),
        Some(&claims),
        there.as_ref(),
        &Scope::all(),
        &group.patient.id,
        &group.study.accession_no,
    );
    Ok(match found {
        Match::Hospital(hospital) | Match::Suspended(hospital) | Match::LiveInTrial(hospital) => {
            Ok(hospital)
        }
        Match::Unregistered => Err(HoldReason::Unregistered),
        Match::Mismatch { .. } => Err(HoldReason::Mismatch),
    })
}

/// How instances stand in a study beside what they are.
#[derive(Default)]
pub(super) struct Standing {
    /// Hidings that it is under.
    pub(super) hides: Vec<Position>,
    /// See [`ChunkEntry`].
    pub(super) guest: u32,
}

/// Adds a group's instances to its study, each SOP Instance UID once.
pub(super) fn show<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    arrival: Arrival,
    key: &StudyKey,
    group: &SeriesGroup,
) -> Result<(), StateError> {
    let guests = guests_of(work, key, group)?;
    let guest = guests.as_ref().map_or(0, |(number, _)| *number);
    let standing = Standing {
        guest,
        ..Standing::default()
    };
    let fresh = add(work, context, arrival, key, group, standing)?;
    if let Some((_, ruled)) = guests.filter(|_| fresh)
        && let Some(before) = work.study(key)?
    {
        let mut row = before.clone();
        let at = usize::try_from(guest)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        if at >= row.guests.len() {
            row.guests.push(ruled);
        }
        if let Some(guests) = row.guests.get_mut(at) {
            guests.learn(&group.patient, &group.study);
        }
        work.put_study(Some(before), Some(row));
    }
    Ok(())
}

/// Those of the study's guests that the group's images are, counted from 1, if they are any.
fn guests_of<S: State>(
    work: &Work<'_, S>,
    key: &StudyKey,
    group: &SeriesGroup,
) -> Result<Option<(u32, Guests)>, StateError> {
    let claims = work.claims(&key.study)?;
    let Some(owner) = claims.owner().filter(|_| claims.ruled_for.is_some()) else {
        return Ok(None);
    };
    let registry = work.registry();
    let (patient_id, accession_no) = (&group.patient.id, &group.study.accession_no);
    let row = work.study(key)?;
    let Some(row) = row.filter(|row| is_guest(registry, &claims, row, patient_id, accession_no))
    else {
        return Ok(None);
    };
    let known = guests_like(registry, &row, patient_id, accession_no);
    let at = known.unwrap_or(row.guests.len().min(GUESTS_LIMIT));
    let number = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1);
    let guests = Guests {
        taken_for: TakenFor::of(owner),
        patient: group.patient.clone(),
        study: group.study.clone(),
        other_persons: Vec::new(),
    };
    Ok(Some((number, guests)))
}

/// As [`show`], standing as they stood elsewhere. Whether any was not there before.
pub(super) fn add<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    arrival: Arrival,
    key: &StudyKey,
    group: &SeriesGroup,
    standing: Standing,
) -> Result<bool, StateError> {
    let before = work.study(key)?;
    let mut row = match &before {
        Some(row) => row.clone(),
        None => {
            let mut claims = work.claims(&key.study)?;
            let taken_for = claims.owner().map(TakenFor::of);
            if key.lot == 0
                && let Err(at) = claims.holders.binary_search(&key.hospital)
            {
                claims.holders.insert(at, key.hospital.clone());
                work.put_claims(key.study.clone(), claims);
            }
            new_study(key, context, group, taken_for)
        }
    };
    row.last_time_ms = row.last_time_ms.max(context.time_ms);
    let hidden = row.hidden_by(standing.hides);
    let listed = row.is_listed();
    let mut known = Known::of(work, &row, key)?;
    let Some(series) = series_index(&mut row, group) else {
        overflow(work, context, key);
        return Ok(false);
    };
    let mut writer = SeriesWriter::open(work, &row, series)?;
    let mut fresh = false;
    for instance in &group.instances {
        let uid = &instance.image.sop_instance;
        let further = match known.find(work, uid, &instance.digest)? {
            Found::Same => continue,
            Found::Other => true,
            Found::Nothing => false,
        };
        known.add(uid, instance.digest);
        fresh = true;
        if further {
            versions::list(work, context, key, uid)?;
        }
        let entry = ChunkEntry {
            stored: instance.clone(),
            pack: arrival.pack,
            sender: group.sender.clone(),
            position: arrival.position,
            hidden,
            further,
            guest: standing.guest,
        };
        row.bytes = row.bytes.saturating_add(instance.length);
        writer.push(work, entry);
    }
    writer.close(work, &mut row);
    if fresh && standing.guest == 0 {
        row.learn(&group.patient, &group.study);
    }
    if row.is_listed() && !listed {
        list(work, &row)?;
    }
    work.put_study(before, Some(row));
    Ok(fresh)
}

/// Lists the instances of a study that has just grown large.
fn list<S: State>(work: &mut Work<'_, S>, row: &StudyRow) -> Result<(), StateError> {
    let mut lines = Vec::new();
    for_each_chunk(work, row, |at, chunk| {
        let place = at.place();
        let keys = chunk.entries.iter();
        lines.extend(keys.map(|entry| (InstanceKey::of(&row.key, entry), place)));
    })?;
    for (key, place) in lines {
        work.put_place(key, Some(place));
    }
    Ok(())
}

fn new_study(
    key: &StudyKey,
    context: Context<'_>,
    group: &SeriesGroup,
    taken_for: Option<TakenFor>,
) -> StudyRow {
    StudyRow {
        taken_for,
        key: key.clone(),
        first_position: context.position,
        first_time_ms: context.time_ms,
        last_time_ms: context.time_ms,
        patient: group.patient.clone(),
        study: group.study.clone(),
        ruled_for: None,
        hides: Vec::new(),
        came_as: Vec::new(),
        guests: Vec::new(),
        other_persons: Vec::new(),
        also: Vec::new(),
        given: None,
        series: Vec::new(),
        bytes: 0,
        counted: None,
    }
}

/// Index of the group's series in the study, a new one if it is not there yet; `None` when there are too many.
fn series_index(row: &mut StudyRow, group: &SeriesGroup) -> Option<usize> {
    if let Some(at) = row
        .series
        .iter()
        .position(|series| series.uid == group.series_uid)
    {
        return Some(at);
    }
    if row.series.len() >= SERIES_LIMIT {
        return None;
    }
    row.series.push(SeriesRow {
        uid: group.series_uid.clone(),
        facts: group.series.clone(),
        chunks: 0,
        instances: 0,
        images: 0,
        frames: 0,
        classes: Vec::new(),
    });
    Some(row.series.len() - 1)
}

pub(super) fn for_each_chunk<S: State>(
    work: &Work<'_, S>,
    row: &StudyRow,
    mut visit: impl FnMut(ChunkKey, Chunk),
) -> Result<(), StateError> {
    for at in ChunkKey::all_of(row) {
        if let Some(found) = work.chunk(&at)? {
            visit(at, found);
        }
    }
    Ok(())
}

fn chunk_key(study: &StudyKey, series: usize, chunk: u32) -> ChunkKey {
    ChunkKey {
        study: study.clone(),
        series: u32::try_from(series).unwrap_or(u32::MAX),
        chunk,
    }
}

/// The last chunk of one series, open for more entries; counts of what it adds.
struct SeriesWriter {
    key: StudyKey,
    listed: bool,
    series: usize,
    chunks: u32,
    open: Chunk,
    added: Vec<(bool, u32, bool, crate::ids::Uid)>,
}

impl SeriesWriter {
    fn open<S: State>(
        work: &Work<'_, S>,
        row: &StudyRow,
        series: usize,
    ) -> Result<Self, StateError> {
        let mut chunks = row.series.get(series).map_or(0, |series| series.chunks);
        let open = match chunks.checked_sub(1) {
            Some(last) => work
                .chunk(&chunk_key(&row.key, series, last))?
                .unwrap_or_default(),
            None => Chunk::default(),
        };
        chunks = chunks.max(1);
        Ok(Self {
            key: row.key.clone(),
            listed: row.is_listed(),
            series,
            chunks,
            open,
            added: Vec::new(),
        })
    }

    fn push<S: State>(&mut self, work: &mut Work<'_, S>, entry: ChunkEntry) {
        if self.open.entries.len() >= CHUNK_INSTANCES {
            self.flush(work);
            self.chunks = self.chunks.saturating_add(1);
        }
        let image = is_image_class(&entry.image().sop_class);
        self.added.push((
            entry.is_visible(),
            entry.image().frames.max(1),
            image,
            entry.image().sop_class.clone(),
        ));
        if self.listed {
            let place = self.at().place();
            work.put_place(InstanceKey::of(&self.key, &entry), Some(place));
        }
        self.open.entries.push(entry);
    }

    fn at(&self) -> ChunkKey {
        chunk_key(&self.key, self.series, self.chunks.saturating_sub(1))
    }

    fn flush<S: State>(&mut self, work: &mut Work<'_, S>) {
        work.put_chunk(self.at(), Some(std::mem::take(&mut self.open)));
    }

    fn close<S: State>(mut self, work: &mut Work<'_, S>, row: &mut StudyRow) {
        if self.added.is_empty() {
            return;
        }
        self.flush(work);
        let Some(series) = row.series.get_mut(self.series) else {
            return;
        };
        series.chunks = self.chunks;
        for (visible, frames, image, class) in self.added {
            if visible {
                series.instances = series.instances.saturating_add(1);
                if image {
                    series.images = series.images.saturating_add(1);
                    series.frames = series.frames.saturating_add(frames);
                }
            }
            if series.classes.len() < CLASS_LIMIT && !series.classes.contains(&class) {
                series.classes.push(class);
            }
        }
    }
}

fn overflow<S: State>(work: &mut Work<'_, S>, context: Context<'_>, key: &StudyKey) {
    work.put_finding(
        FindingKey {
            kind: FindingKind::Overflow,
            hospital: key.hospital.clone(),
            subject: key.study.as_str().to_owned(),
        },
        Some(FindingRow {
            position: context.position,
            since: context.position,
            time_ms: context.time_ms,
            exams: Vec::new(),
            detail: vec![format!("more than {SERIES_LIMIT} series")],
        }),
    );
}

/// What is made of an instance that is in a study.
pub(super) enum Edit {
    Kept,
    Changed,
    /// It leaves the study.
    Taken,
}

/// Goes through a study's instances and changes them in place, and its counts with them. Those that leave it, with the
/// index of their series.
pub(super) fn edit<S: State>(
    work: &mut Work<'_, S>,
    key: &StudyKey,
    mut change: impl FnMut(&ChunkKey, &mut ChunkEntry) -> Edit,
) -> Result<Vec<(u32, ChunkEntry)>, StateError> {
    let Some(before) = work.study(key)? else {
        return Ok(Vec::new());
    };
    past::keep(work, key)?;
    let mut chunks = Vec::new();
    for_each_chunk(work, &before, |at, chunk| chunks.push((at, chunk)))?;
    let mut row = before.clone();
    let mut taken = Vec::new();
    for (at, chunk) in chunks {
        let mut touched = false;
        let mut kept = Vec::with_capacity(chunk.entries.len());
        for mut entry in chunk.entries {
            let counted = entry.is_visible();
            let edit = change(&at, &mut entry);
            let leaves = matches!(edit, Edit::Taken);
            touched |= !matches!(edit, Edit::Kept);
            let counts = entry.is_visible() && !leaves;
            if counted != counts {
                recount(&mut row, at.series, &entry, counts);
            }
            if leaves {
                row.bytes = row.bytes.saturating_sub(entry.stored.length);
                taken.push((at.series, entry));
            } else {
                kept.push(entry);
            }
        }
        if touched {
            work.put_chunk(at, Some(Chunk { entries: kept }));
        }
    }
    work.put_study(Some(before), Some(row));
    Ok(taken)
}

/// Takes instances out of a study, with their lines. Those that went, with the index of their series.
pub(super) fn take_out<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    key: &StudyKey,
    is_going: impl Fn(&ChunkEntry) -> bool,
) -> Result<Vec<(u32, ChunkEntry)>, StateError> {
    let listed = work.study(key)?.is_some_and(|row| row.is_listed());
    let taken = edit(work, key, |_, entry| match is_going(entry) {
        true => Edit::Taken,
        false => Edit::Kept,
    })?;
    for (_, entry) in taken.iter().filter(|_| listed) {
        work.put_place(InstanceKey::of(key, entry), None);
    }
    versions::part(work, context, key, &taken)?;
    Ok(taken)
}

/// Counts an instance in, or out, that has just begun, or ceased, to be seen.
fn recount(row: &mut StudyRow, series: u32, entry: &ChunkEntry, counts: bool) {
    let Some(series) = usize::try_from(series)
        .ok()
        .and_then(|at| row.series.get_mut(at))
    else {
        return;
    };
    let image = is_image_class(&entry.image().sop_class);
    let frames = entry.image().frames.max(1);
    let change = |count: &mut u32, by: u32| {
        *count = if counts {
            count.saturating_add(by)
        } else {
            count.saturating_sub(by)
        };
    };
    change(&mut series.instances, 1);
    if image {
        change(&mut series.images, 1);
        change(&mut series.frames, frames);
    }
}

/// Hides instances of a study, all or those that are chosen. Those that it hides, if any was seen.
pub(super) fn hide<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    key: &StudyKey,
    chosen: Option<&BTreeSet<SopInstanceUid>>,
) -> Result<Vec<SopInstanceUid>, StateError> {
    // Before, what was hidden already was left as it was.
    let again = work.registry().rules >= RULINGS_SINCE_RULES;
    let is_meant =
        |uid: &SopInstanceUid| chosen.is_none_or(|chosen: &BTreeSet<_>| chosen.contains(uid));
    let Some(mut row) = work.study(key)? else {
        return Ok(Vec::new());
    };
    let mut hides = false;
    for_each_chunk(work, &row, |_, chunk| {
        let mut entries = chunk.entries.iter();
        hides |= entries.any(|entry| entry.hidden == 0 && is_meant(&entry.image().sop_instance));
    })?;
    let mut hidden = Vec::new();
    if hides {
        edit(work, key, |_, entry| {
            let uid = &entry.stored.image.sop_instance;
            if !is_meant(uid) || entry.hidden > 0 && !again {
                return Edit::Kept;
            }
            hidden.push(uid.clone());
            let mut under = row.hides_of(entry).to_vec();
            under.push(context.position);
            entry.hidden = row.hidden_by(under);
            Edit::Changed
        })?;
        put_hides(work, key, row.hides)?;
    }
    Ok(hidden)
}

/// Takes one hiding back in a study. Whether there was any.
pub(super) fn unhide<S: State>(
    work: &mut Work<'_, S>,
    key: &StudyKey,
    hiding: Position,
) -> Result<bool, StateError> {
    let Some(mut row) = work.study(key)? else {
        return Ok(false);
    };
    if !row.hides.iter().any(|under| under.contains(&hiding)) {
        return Ok(false);
    }
    let mut any = false;
    edit(work, key, |_, entry| {
        let mut under = row.hides_of(entry).to_vec();
        if !under.contains(&hiding) {
            return Edit::Kept;
        }
        any = true;
        under.retain(|other| *other != hiding);
        entry.hidden = row.hidden_by(under);
        Edit::Changed
    })?;
    put_hides(work, key, row.hides)?;
    Ok(any)
}

fn put_hides<S: State>(
    work: &mut Work<'_, S>,
    key: &StudyKey,
    hides: Vec<Vec<Position>>,
) -> Result<(), StateError> {
    if let Some(before) = work.study(key)? {
        let mut row = before.clone();
        row.hides = hides;
        work.put_study(Some(before), Some(row));
    }
    Ok(())
}

/// Compares an exam with its studies' images; lists or settles the doubt. Whether there is one (R8).
pub(super) fn doubts<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    exam: &ExamRow,
) -> Result<bool, StateError> {
    let mut differing = BTreeSet::new();
    for declared in &exam.studies {
        let key = StudyKey::new(exam.key.hospital.clone(), declared.uid.clone());
        // Most exams come before their images: one look at the claims spares one at the study.
        let claims = work.claims(&declared.uid)?;
        if claims.holders.is_empty() {
            continue;
        }
        // Another patient's images under the same UID are a conflict, not a doubt.
        if !claims.owning().any(|claim| claim.exam == exam.key) {
            continue;
        }
        let study = work.study(&key)?;
        if let Some(study) = study.filter(|study| covers(work.registry(), &claims, study)) {
            for person in study.persons() {
                differing.extend(doubt::differences(exam, person));
            }
        }
    }
    let key = FindingKey {
        kind: FindingKind::IdentityDoubt,
        hospital: exam.key.hospital.clone(),
        subject: exam.key.to_string(),
    };
    let doubtful = !differing.is_empty() && exam.withdrawn.is_none();
    if doubtful {
        work.put_finding(
            key,
            Some(FindingRow {
                position: context.position,
                since: context.position,
                time_ms: context.time_ms,
                exams: vec![exam.key.to_string()],
                detail: differing.into_iter().map(str::to_owned).collect(),
            }),
        );
    } else if exam.has(crate::exam::ExamFlag::IdentityDoubt) {
        work.put_finding(key, None);
    }
    Ok(doubtful)
}

/// Marks the exams of a study to which images have just come.
fn doubt_of_study<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    key: &StudyKey,
) -> Result<(), StateError> {
    let claims = work.claims(&key.study)?;
    let exams: Vec<_> = claims.owning().map(|claim| claim.exam.clone()).collect();
    for exam in exams {
        let Some(before) = work.exam(&exam)? else {
            continue;
        };
        let doubtful = doubts(work, context, &before)?;
        if doubtful != before.has(crate::exam::ExamFlag::IdentityDoubt) {
            let mut row = before.clone();
            row.set(crate::exam::ExamFlag::IdentityDoubt, doubtful);
            work.changes.history.push(crate::exam::ExamHistory {
                position: context.position,
                time_ms: context.time_ms,
                step: crate::exam::ExamStep::Doubted,
                content: None,
                row: row.clone(),
            });
            work.put_exam(Some(before), Some(row));
        }
    }
    Ok(())
}
