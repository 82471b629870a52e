//! The state that one log batch is decided on: the views, and over them what the batch has changed so far.

mod changes;
mod national_index;
mod open_forms;
mod supervised;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use rocksdb::WriteBatch;
use serde::Serialize;
use serde::de::DeserializeOwned;
use yingku_core::apply_form::ApplyFormRow;
use yingku_core::correction::CorrectionRow;
use yingku_core::exam::{ExamRow, FormRow, RegisteredRow};
use yingku_core::finding::{FindingKey, FindingRow};
use yingku_core::ids::{
    ExamKey, FormKey, HisId, PackId, Position, SopInstanceUid, StudyKey, StudyUid,
};
use yingku_core::instance::{
    Chunk, HeldGroup, HeldGroupKey, HeldInstance, HeldStudy, InstanceKey, PackRow, Place,
    StudyClaims, StudyRow,
};
use yingku_core::national_index::{IndexHolders, IndexRow, NationalIndex};
use yingku_core::notice::{NoticeId, NoticeRow, NoticeState, Told};
use yingku_core::performed::StepRow;
use yingku_core::pull::PullRow;
use yingku_core::registry::Registry;
use yingku_core::state::{Changes, ChunkKey, Logged, Replaced, State, StateError};
use yingku_core::statistics::{DayKey, DeclarationRow};
use yingku_core::supervision::{SupervisedKey, SupervisedRow};

use super::rows::Rows;
use super::studies::decode_chunk;
use super::{Cursor, View, Views, ViewsError, decode, encode, keys};

/// Collects the changes of one log batch; they are written in one piece, with the cursor. While empty views are loaded
/// it collects those of many batches, and hands them over in large pieces.
pub struct BatchState<'a> {
    views: &'a Views,
    registry: Arc<Registry>,
    registry_changed: bool,
    rows: Rows,
    /// Where a row is encoded before it is put.
    buffer: Vec<u8>,
    /// Pieces on their way to files, oldest first.
    handed_over: VecDeque<Arc<Rows>>,
    /// Views that have rows in files, where that is known.
    in_files: Option<BTreeSet<View>>,
}

impl<'a> BatchState<'a> {
    pub fn new(views: &'a Views, registry: Arc<Registry>) -> Self {
        Self {
            views,
            registry,
            registry_changed: false,
            rows: Rows::default(),
            buffer: Vec::new(),
            handed_over: VecDeque::new(),
            in_files: None,
        }
    }

    /// The state of views that are empty.
    pub fn of_empty(views: &'a Views) -> Self {
        Self {
            in_files: Some(BTreeSet::new()),
            ..Self::new(views, Arc::new(Registry::default()))
        }
    }

    /// Memory of the rows that are collected.
    pub fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    /// The rows collected so far, to be written as they are. They are still read here, until they are said to be in
    /// files.
    pub fn hand_over(&mut self) -> Arc<Rows> {
        let rows = Arc::new(std::mem::take(&mut self.rows));
        if let Some(in_files) = &mut self.in_files {
            in_files.extend(rows.iter().map(|(view, ..)| view));
        }
        self.handed_over.push_back(Arc::clone(&rows));
        rows
    }

    /// All but the last `waiting` pieces are in files.
    pub fn written_but(&mut self, waiting: usize) {
        let written = self.handed_over.len().saturating_sub(waiting);
        self.handed_over.drain(..written);
    }

    fn read<T: DeserializeOwned>(&self, view: View, key: Vec<u8>) -> Result<Option<T>, StateError> {
        Ok(self.look(view, &key, |bytes| decode(view, bytes))?)
    }

    fn look<T>(
        &self,
        view: View,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, ViewsError>,
    ) -> Result<Option<T>, ViewsError> {
        let earlier = || self.handed_over.iter().rev();
        let changed = self
            .rows
            .get(view, key)
            .or_else(|| earlier().find_map(|rows| rows.get(view, key)));
        if let Some(row) = changed {
            return row.map(read).transpose();
        }
        if self
            .in_files
            .as_ref()
            .is_some_and(|in_files| !in_files.contains(&view))
        {
            return Ok(None);
        }
        self.views.read(view, key, read)
    }

    fn put<T: Serialize>(&mut self, view: View, key: Vec<u8>, row: &T) -> Result<(), ViewsError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let bytes = postcard::to_extend(row, buffer).map_err(|source| ViewsError::Row {
            view: view.name(),
            source: Box::new(source),
        })?;
        self.rows.insert(view, &key, Some(&bytes));
        self.buffer = bytes;
        Ok(())
    }

    fn put_empty(&mut self, view: View, key: Vec<u8>) {
        self.rows.insert(view, &key, Some(&[]));
    }

    fn delete(&mut self, view: View, key: Vec<u8>) {
        self.rows.insert(view, &key, None);
    }

    /// Takes in the changes of one record.
    pub fn apply(&mut self, changes: Changes) -> Result<(), ViewsError> {
        for (_, exam) in changes.exams {
            self.put_exam(*exam)?;
        }
        for exam in &changes.purged {
            self.delete_below(View::History, &keys::exam(exam))?;
            self.delete(View::Told, keys::exam(exam));
            self.delete(View::Registered, keys::exam(exam));
        }
        for line in changes.history {
            self.put(
                View::History,
                keys::history(&line.row.key, line.position),
                &line,
            )?;
        }
        for (position, exam) in &changes.heard_of {
            self.put_empty(View::Changes, keys::changes::line(*position, exam));
        }
        for (form, row) in changes.forms {
            self.put(View::Forms, keys::form(&form), &row)?;
        }
        for (study, claims) in changes.claims {
            if claims.claims.is_empty() && claims.holders.is_empty() {
                self.delete(View::Claims, keys::claims(&study));
            } else {
                self.put(View::Claims, keys::claims(&study), &claims)?;
            }
        }
        for (_, study) in changes.studies {
            self.put_study(*study)?;
        }
        if let Some(Logged {
            pack,
            position,
            offsets,
        }) = changes.logged
        {
            let mut last = 0;
            let distances = offsets
                .iter()
                .map(|at| at - std::mem::replace(&mut last, *at));
            let distances: Vec<u64> = distances.collect();
            self.put(View::Logged, keys::logged(pack, position), &distances)?;
        }
        for (pack, row) in changes.packs {
            self.put(View::Packs, keys::pack(pack), &row)?;
        }
        for pack in changes.lost {
            self.delete_below(View::Logged, &keys::pack(pack))?;
        }
        for (at, chunk) in changes.chunks {
            let row = chunk.map(|chunk| chunk.encode());
            self.rows
                .insert(View::Chunks, &keys::chunk(&at), row.as_deref());
        }
        for (at, place) in changes.places {
            match place {
                Some(place) => self.put(View::Places, keys::place(&at), &place)?,
                None => self.delete(View::Places, keys::place(&at)),
            }
        }
        for (study, held) in changes.held {
            if held.instances == 0 {
                self.delete(View::Held, keys::claims(&study));
            } else {
                self.put(View::Held, keys::claims(&study), &held)?;
            }
        }
        for (at, group) in changes.held_groups {
            match group {
                Some(group) => self.put(View::HeldGroups, keys::held_group(&at), &group)?,
                None => self.delete(View::HeldGroups, keys::held_group(&at)),
            }
        }
        for (instance, group) in changes.held_instances {
            let key = keys::held_instance(&instance);
            match group {
                Some(group) => self.put(View::HeldInstances, key, &group)?,
                None => self.delete(View::HeldInstances, key),
            }
        }
        for (day, row) in changes.declarations {
            if row == DeclarationRow::default() {
                self.delete(View::Declarations, keys::declaration(&day));
            } else {
                self.put(View::Declarations, keys::declaration(&day), &row)?;
            }
        }
        for (key, row) in changes.findings {
            match row {
                Some(row) => self.put(View::Findings, keys::finding(&key), &row)?,
                None => self.delete(View::Findings, keys::finding(&key)),
            }
        }
        for finding in changes.settled {
            let key = keys::settled(&finding.key, finding.row.since);
            self.put(View::Settled, key, &finding)?;
        }
        for (index, hold) in changes.former_holds.into_iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let key = keys::refusal(hold.hospital.as_str(), &hold.date, hold.until, index);
            self.put(View::FormerHolds, key, &hold)?;
        }
        for ((study, position), counts) in changes.counted {
            self.put(View::Counted, keys::counted(&study, position), &counts)?;
        }
        for (position, row) in changes.corrections {
            self.put(View::Corrections, keys::position(position), &row)?;
        }
        for (position, body) in changes.refused_pushes {
            self.rows.insert(
                View::RefusedPushes,
                &keys::position(position),
                body.as_deref(),
            );
        }
        for (digest, expires_ms) in changes.signs {
            match expires_ms {
                Some(expires_ms) => self.put(View::Signs, digest.to_vec(), &expires_ms)?,
                None => self.delete(View::Signs, digest.to_vec()),
            }
        }
        for (_, form) in changes.apply_forms {
            self.put_apply_form(*form)?;
        }
        for ((his, id), Replaced { before, after }) in changes.notices {
            if let Some(row) =
                before.filter(|row| after.as_ref().is_none_or(|it| it.state != row.state))
            {
                self.delete(View::Notices, keys::notice(&his, row.state, id));
            }
            if let Some(row) = after {
                self.put(View::Notices, keys::notice(&his, row.state, id), &row)?;
            }
        }
        for (exam, told) in changes.told {
            self.put(View::Told, keys::exam(&exam), &told)?;
        }
        for (step, row) in changes.steps {
            self.put(View::Steps, keys::step(&step), &row)?;
        }
        for (_, pull) in changes.pulls {
            self.put_pull(pull)?;
        }
        for (exam, row) in changes.registered {
            match row {
                Some(row) => self.put(View::Registered, keys::exam(&exam), &row)?,
                None => self.delete(View::Registered, keys::exam(&exam)),
            }
        }
        for (key, row) in changes.supervised {
            let line = keys::supervised::line(&key);
            match row {
                Some(row) => self.put(View::Supervised, line, &row)?,
                None => self.delete(View::Supervised, line),
            }
        }
        for ((person, exam), is_there) in changes.patient_keys {
            let line = keys::patients::line(person, &exam);
            match is_there {
                true => self.put_empty(View::PatientKeys, line),
                false => self.delete(View::PatientKeys, line),
            }
        }
        for (_, row) in changes.indexes {
            self.put_index(row)?;
        }
        for (index, holders) in &changes.index_holders {
            self.put_index_holders(index, holders)?;
        }
        for (index, row) in changes.refusals.into_iter().enumerate() {
            let hospital = row
                .refused
                .hospital
                .as_ref()
                .map_or("", |code| code.as_str());
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let key = keys::refusal(hospital, &row.refused.date, row.position, index);
            self.put(View::Refusals, key, &row)?;
        }
        for change in changes.registry {
            Arc::make_mut(&mut self.registry).apply(change);
            self.registry_changed = true;
        }
        if let Some(node) = changes.node {
            Arc::make_mut(&mut self.registry)
                .nodes
                .insert(node.number, node);
            self.registry_changed = true;
        }
        if let Some((duty, lease)) = changes.lease {
            Arc::make_mut(&mut self.registry).leases.insert(duty, lease);
            self.registry_changed = true;
        }
        if let Some(rules) = changes.rules {
            let before = std::mem::replace(&mut Arc::make_mut(&mut self.registry).rules, rules);
            self.registry_changed = true;
            self.rules_activated(before)?;
            self.changes_kept_since(before)?;
            self.supervised_since(before)?;
        }
        Ok(())
    }

    /// Removes every row whose key begins so.
    fn delete_below(&mut self, view: View, prefix: &[u8]) -> Result<(), ViewsError> {
        for key in self.keys_below(view, prefix)? {
            self.delete(view, key);
        }
        Ok(())
    }

    /// Keys that begin so of rows in files and of those that were changed since; some of them may be gone.
    fn keys_below(&self, view: View, prefix: &[u8]) -> Result<Vec<Vec<u8>>, ViewsError> {
        let mut lines = Vec::new();
        self.views.scan(view, prefix, &[], |key, _| {
            lines.push(key.to_vec());
            Ok(super::Walk::On)
        })?;
        let earlier = self.handed_over.iter().flat_map(|rows| rows.iter());
        lines.extend(
            self.rows
                .iter()
                .chain(earlier)
                .filter(|(of, key, _)| *of == view && key.starts_with(prefix))
                .map(|(_, key, _)| key.to_vec()),
        );
        Ok(lines)
    }

    fn put_exam(&mut self, exam: Replaced<ExamRow>) -> Result<(), ViewsError> {
        let after = exam.after.as_ref();
        let numbers = after.map(keys::exam_numbers).unwrap_or_default();
        for key in exam.before.iter().flat_map(keys::exam_numbers) {
            if !numbers.contains(&key) {
                self.delete(View::ExamsByNumber, key);
            }
        }
        let known = exam
            .before
            .as_ref()
            .map(keys::exam_numbers)
            .unwrap_or_default();
        for key in numbers {
            if !known.contains(&key) {
                self.put_empty(View::ExamsByNumber, key);
            }
        }
        match after {
            Some(row) => {
                let day = keys::exam_by_day(row);
                if exam.before.as_ref().map(keys::exam_by_day).as_ref() != Some(&day) {
                    self.put_empty(View::ExamsByDay, day);
                }
                self.put(View::Exams, keys::exam(&row.key), row)?;
            }
            None => {
                if let Some(row) = &exam.before {
                    self.delete(View::ExamsByDay, keys::exam_by_day(row));
                    self.delete(View::Exams, keys::exam(&row.key));
                }
            }
        }
        Ok(())
    }

    fn put_apply_form(&mut self, form: Replaced<ApplyFormRow>) -> Result<(), ViewsError> {
        let (before, after) = (form.before.as_ref(), form.after.as_ref());
        let known = before.map(keys::form_index).unwrap_or_default();
        let lines = after.map(keys::form_index).unwrap_or_default();
        for line in known.iter().filter(|line| !lines.contains(line)) {
            self.delete(View::FormIndex, line.clone());
        }
        for line in lines.into_iter().filter(|line| !known.contains(line)) {
            self.put_empty(View::FormIndex, line);
        }
        self.put_open_form(before, after)?;
        match (before, after) {
            (_, Some(row)) => self.put(View::ApplyForms, keys::form(&row.key), row)?,
            (Some(row), None) => self.delete(View::ApplyForms, keys::form(&row.key)),
            (None, None) => {}
        }
        Ok(())
    }

    fn put_pull(&mut self, pull: Replaced<PullRow>) -> Result<(), ViewsError> {
        let line = pull.after.as_ref().map(keys::pull_line);
        if let Some(before) = &pull.before {
            let old = keys::pull_line(before);
            if line.as_ref() != Some(&old) {
                self.delete(View::PullLines, old);
            }
        }
        if let Some(line) = line {
            self.put_empty(View::PullLines, line);
        }
        match (&pull.before, &pull.after) {
            (_, Some(row)) => self.put(View::Pulls, keys::study(&row.study), row)?,
            (Some(row), None) => self.delete(View::Pulls, keys::study(&row.study)),
            (None, None) => {}
        }
        Ok(())
    }

    fn put_study(&mut self, study: Replaced<StudyRow>) -> Result<(), ViewsError> {
        match (&study.before, &study.after) {
            (None, Some(row)) => {
                for key in keys::study_index(row) {
                    self.put_empty(View::StudyIndex, key);
                }
                self.put(View::Studies, keys::study(&row.key), row)?;
            }
            (Some(before), Some(row)) => {
                // Mostly what a study is found by comes with its first instance.
                if before.answered() != row.answered() || before.also != row.also {
                    for key in keys::study_index(before) {
                        self.delete(View::StudyIndex, key);
                    }
                    for key in keys::study_index(row) {
                        self.put_empty(View::StudyIndex, key);
                    }
                }
                self.put(View::Studies, keys::study(&row.key), row)?;
            }
            (Some(row), None) => {
                for key in keys::study_index(row) {
                    self.delete(View::StudyIndex, key);
                }
                self.delete(View::Studies, keys::study(&row.key));
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// Writes the batch with its cursor in one piece; the registry as it stands behind it.
    pub fn commit(self, cursor: &Cursor) -> Result<(Arc<Registry>, bool), ViewsError> {
        let mut batch = WriteBatch::default();
        for (view, key, row) in self.rows.iter() {
            let family = self.views.family(view)?;
            match row {
                Some(bytes) => batch.put_cf(family, key, bytes),
                None => batch.delete_cf(family, key),
            }
        }
        let meta = self.views.family(View::Meta)?;
        batch.put_cf(meta, keys::CURSOR, encode(View::Meta, cursor)?);
        if self.registry_changed {
            let bytes = serde_json::to_vec(&*self.registry).map_err(|source| ViewsError::Row {
                view: View::Meta.name(),
                source: Box::new(source),
            })?;
            batch.put_cf(meta, keys::REGISTRY, bytes);
        }
        self.views.write(batch)?;
        Ok((self.registry, self.registry_changed))
    }
}

impl State for BatchState<'_> {
    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn exam(&self, key: &ExamKey) -> Result<Option<ExamRow>, StateError> {
        self.read(View::Exams, keys::exam(key))
    }

    fn form(&self, key: &FormKey) -> Result<Option<FormRow>, StateError> {
        self.read(View::Forms, keys::form(key))
    }

    fn apply_form(&self, key: &FormKey) -> Result<Option<ApplyFormRow>, StateError> {
        self.read(View::ApplyForms, keys::form(key))
    }

    fn notice(&self, his: &HisId, id: NoticeId) -> Result<Option<NoticeRow>, StateError> {
        for state in NoticeState::ALL {
            let row = self.read(View::Notices, keys::notice(his, state, id))?;
            if row.is_some() {
                return Ok(row);
            }
        }
        Ok(None)
    }

    fn told(&self, exam: &ExamKey) -> Result<Option<Told>, StateError> {
        self.read(View::Told, keys::exam(exam))
    }

    fn step(&self, step: &SopInstanceUid) -> Result<Option<StepRow>, StateError> {
        self.read(View::Steps, keys::step(step))
    }

    fn registered(&self, exam: &ExamKey) -> Result<Option<RegisteredRow>, StateError> {
        self.read(View::Registered, keys::exam(exam))
    }

    fn supervised(&self, key: &SupervisedKey) -> Result<Option<SupervisedRow>, StateError> {
        self.read(View::Supervised, keys::supervised::line(key))
    }

    fn index(&self, exam: &ExamKey) -> Result<Option<IndexRow>, StateError> {
        self.read(View::NationalIndexes, keys::exam(exam))
    }

    fn index_holders(&self, index: &NationalIndex) -> Result<Option<IndexHolders>, StateError> {
        self.read(View::IndexHolders, keys::index_holders(index))
    }

    fn pull(&self, study: &StudyKey) -> Result<Option<PullRow>, StateError> {
        self.read(View::Pulls, keys::study(study))
    }

    fn claims(&self, study: &StudyUid) -> Result<Option<StudyClaims>, StateError> {
        self.read(View::Claims, keys::claims(study))
    }

    fn study(&self, key: &StudyKey) -> Result<Option<StudyRow>, StateError> {
        self.read(View::Studies, keys::study(key))
    }

    fn chunk(&self, at: &ChunkKey) -> Result<Option<Chunk>, StateError> {
        Ok(self.look(View::Chunks, &keys::chunk(at), decode_chunk)?)
    }

    fn pack(&self, pack: PackId) -> Result<Option<PackRow>, StateError> {
        self.read(View::Packs, keys::pack(pack))
    }

    fn held(&self, study: &StudyUid) -> Result<Option<HeldStudy>, StateError> {
        self.read(View::Held, keys::claims(study))
    }

    fn held_group(&self, at: &HeldGroupKey) -> Result<Option<HeldGroup>, StateError> {
        self.read(View::HeldGroups, keys::held_group(at))
    }

    fn held_in(&self, instance: &HeldInstance) -> Result<Option<u32>, StateError> {
        self.read(View::HeldInstances, keys::held_instance(instance))
    }

    fn place(&self, at: &InstanceKey) -> Result<Option<Place>, StateError> {
        self.read(View::Places, keys::place(at))
    }

    fn declaration(&self, day: &DayKey) -> Result<Option<DeclarationRow>, StateError> {
        self.read(View::Declarations, keys::declaration(day))
    }

    fn finding(&self, key: &FindingKey) -> Result<Option<FindingRow>, StateError> {
        self.read(View::Findings, keys::finding(key))
    }

    fn correction(&self, position: Position) -> Result<Option<CorrectionRow>, StateError> {
        self.read(View::Corrections, keys::position(position))
    }

    fn refused_push(&self, position: Position) -> Result<Option<Vec<u8>>, StateError> {
        let key = keys::position(position);
        Ok(self.look(View::RefusedPushes, &key, |bytes| Ok(bytes.to_vec()))?)
    }

    fn sign(&self, digest: &[u8; 16]) -> Result<Option<i64>, StateError> {
        self.read(View::Signs, digest.to_vec())
    }
}
