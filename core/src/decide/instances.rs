//! Stored instances, in log order. They lie durable in a pack, so nothing is refused here: they are matched again and
//! shown, or held and listed.

use std::collections::BTreeSet;

use super::known::{Found, Known};
use super::{Context, aside, claims, held, past, versions};
use crate::exam::ExamRow;
use crate::finding::{FindingKey, FindingKind, FindingRow};
use crate::ids::{HospitalCode, PackId, Position, SeriesUid, SopInstanceUid, StudyKey};
use crate::instance::doubt;
use crate::instance::{
    CHUNK_INSTANCES, CLASS_LIMIT, Chunk, ChunkEntry, HoldReason, InstanceKey, InstancesStored,
    Match, SERIES_LIMIT, SeriesGroup, SeriesRow, StudyRow, TakenFor, covers, is_image_class,
    match_instance,
};
use crate::outcome::Outcome;
use crate::registry::Scope;
use crate::state::{ChunkKey, Logged, State, StateError, Work};

pub fn stored<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    body: &InstancesStored,
) -> Result<Outcome, StateError> {
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
    let found = match_instance(
        work.registry(),
        Some(&claims),
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

/// Adds a group's instances to its study, each SOP Instance UID once.
pub(super) fn show<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    arrival: Arrival,
    key: &StudyKey,
    group: &SeriesGroup,
) -> Result<(), StateError> {
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
    let listed = row.is_listed();
    let mut known = Known::of(work, &row, key)?;
    let Some(series) = series_index(&mut row, group) else {
        overflow(work, context, key);
        return Ok(());
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
            hidden: false,
            further,
        };
        row.bytes = row.bytes.saturating_add(instance.length);
        writer.push(work, entry);
    }
    writer.close(work, &mut row);
    if fresh {
        row.learn(&group.patient, &group.study);
    }
    if row.is_listed() && !listed {
        list(work, &row)?;
    }
    work.put_study(before, Some(row));
    Ok(())
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

/// Instances of a study to hide or show, and those that changed.
pub(super) fn set_hidden<S: State>(
    work: &mut Work<'_, S>,
    key: &StudyKey,
    instances: Option<&BTreeSet<SopInstanceUid>>,
    hidden: bool,
) -> Result<Vec<SopInstanceUid>, StateError> {
    let Some(before) = work.study(key)? else {
        return Ok(Vec::new());
    };
    past::keep(work, key)?;
    let mut chunks = Vec::new();
    for_each_chunk(work, &before, |at, chunk| chunks.push((at, chunk)))?;
    let mut row = before.clone();
    let mut changed = Vec::new();
    for (at, mut chunk) in chunks {
        let mut touched = false;
        for entry in &mut chunk.entries {
            let uid = &entry.stored.image.sop_instance;
            if entry.hidden == hidden || instances.is_some_and(|chosen| !chosen.contains(uid)) {
                continue;
            }
            changed.push(uid.clone());
            touched = true;
            let counted = entry.is_visible();
            entry.hidden = hidden;
            if counted != entry.is_visible() {
                recount(&mut row, at.series, entry);
            }
        }
        if touched {
            work.put_chunk(at, Some(chunk));
        }
    }
    work.put_study(Some(before), Some(row));
    Ok(changed)
}

/// Counts an instance in, or out, that has just begun, or ceased, to be seen.
pub(super) fn recount(row: &mut StudyRow, series: u32, entry: &ChunkEntry) {
    let Some(series) = usize::try_from(series)
        .ok()
        .and_then(|at| row.series.get_mut(at))
    else {
        return;
    };
    let image = is_image_class(&entry.image().sop_class);
    let frames = entry.image().frames.max(1);
    let change = |count: &mut u32, by: u32| {
        *count = if entry.is_visible() {
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

/// Takes a study and its instances out of the views.
pub(super) fn remove_study<S: State>(
    work: &mut Work<'_, S>,
    key: &StudyKey,
) -> Result<(), StateError> {
    let Some(row) = work.study(key)? else {
        return Ok(());
    };
    if row.counted.is_some() {
        past::keep(work, key)?;
    }
    let mut chunks = Vec::new();
    for_each_chunk(work, &row, |at, chunk| chunks.push((at, chunk)))?;
    for (at, chunk) in chunks {
        work.put_chunk(at, None);
        for entry in chunk.entries.iter().filter(|_| row.is_listed()) {
            work.put_place(InstanceKey::of(key, entry), None);
        }
    }
    work.put_study(Some(row), None);
    Ok(())
}

/// Gives a study's instances to another hospital.
pub(super) fn rehome<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    from: &StudyKey,
    to: &HospitalCode,
) -> Result<(), StateError> {
    match from.hospital == *to {
        true => Ok(()),
        false => transfer(
            work,
            context,
            from,
            &StudyKey::new(to.clone(), from.study.clone()),
        ),
    }
}

/// Moves a study's instances: the same instances, another key.
pub(super) fn transfer<S: State>(
    work: &mut Work<'_, S>,
    context: Context<'_>,
    from: &StudyKey,
    target: &StudyKey,
) -> Result<(), StateError> {
    let Some(row) = work.study(from)? else {
        return Ok(());
    };
    past::keep(work, from)?;
    past::keep(work, target)?;
    let mut chunks = Vec::new();
    for_each_chunk(work, &row, |at, chunk| chunks.push((at, chunk)))?;
    let rulings = versions::leave(work, context, from, &chunks)?;
    for (at, chunk) in chunks {
        let Some(series) = usize::try_from(at.series)
            .ok()
            .and_then(|index| row.series.get(index))
        else {
            continue;
        };
        // Entries that came together go together: each call reads the study again.
        for run in chunk.entries.chunk_by(came_together) {
            let Some(first) = run.first() else { continue };
            let group = SeriesGroup {
                hospital: target.hospital.clone(),
                sender: first.sender.clone(),
                study_uid: from.study.clone(),
                series_uid: SeriesUid::clone(&series.uid),
                patient: row.patient.clone(),
                study: row.study.clone(),
                series: series.facts.clone(),
                instances: run.iter().map(|entry| entry.stored.clone()).collect(),
            };
            let arrival = Arrival {
                pack: first.pack,
                // There from this record on, so that a question about the past sees it where it was.
                position: context.position,
                time_ms: context.time_ms,
            };
            show(work, context, arrival, target, &group)?;
            if first.hidden {
                let sops = group.instances.into_iter();
                let sops = sops.map(|instance| instance.image.sop_instance).collect();
                set_hidden(work, target, Some(&sops), true)?;
            }
        }
    }
    versions::arrive(work, target, rulings)?;
    if let Some(before) = work.study(target)? {
        let mut moved = before.clone();
        moved.taken_for.clone_from(&row.taken_for);
        for person in &row.other_persons {
            moved.name_person(person);
        }
        work.put_study(Some(before), Some(moved));
    }
    remove_study(work, from)?;
    if from.lot == 0 {
        let mut claims = work.claims(&from.study)?;
        claims.holders.retain(|holder| *holder != from.hospital);
        work.put_claims(from.study.clone(), claims);
    }
    Ok(())
}

fn came_together(a: &ChunkEntry, b: &ChunkEntry) -> bool {
    (&a.sender, a.pack, a.hidden) == (&b.sender, b.pack, b.hidden)
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
