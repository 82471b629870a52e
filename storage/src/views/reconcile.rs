//! Reconciliation: gathers what the views hold of a range of days and lets `core::reconcile` add it up.
//!
//! For the present the counts of the study rows are used. For a past position the rows are those of the history, and
//! instances count that records before it brought and no correction before it hid. Only held instances are told as of
//! now: those that came before the position and still are held.

mod detail;

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::de::DeserializeOwned;
use yingku_core::dictionaries::{ClassCode, canonical_class};
use yingku_core::exam::{DeclaredStudy, ExamRow};
use yingku_core::finding::FindingKind;
use yingku_core::ids::{ExamKey, HospitalCode, Position, SopInstanceUid, StudyKey, StudyUid};
use yingku_core::instance::{HeldGroup, ImageCounts, StudyRow, is_image_class};
use yingku_core::reconcile::{
    Book, DAYS_LIMIT, Marks, Place, Reconciliation, image_state, images_of,
};
use yingku_core::refusal::RefusalRow;
use yingku_core::registry::Registry;
use yingku_core::statistics::{DayKey, DeclarationRow};
use yingku_core::time::{LocalDate, LocalDateTime, Zone};

use self::detail::Named;
use super::exams::EXAMS_LOOKED_AT_LIMIT;
use super::{View, Views, ViewsError, Walk, keys};

/// Findings of one kind that marks are taken from; an operator is to work them off long before.
const FINDINGS_LIMIT: usize = 100_000;
/// Rows in memory at once; keys are looked up in order, so that neighbours are read from one block.
const ROWS_AT_ONCE: usize = 1_024;
/// Corrections read at once.
const CORRECTIONS_AT_ONCE: usize = 1_000;

/// Which question is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Hospitals asked about. Refusals of no known hospital are told if it names every registered one.
    pub hospitals: &'a [HospitalCode],
    /// Days, both included.
    pub from: LocalDate,
    pub to: LocalDate,
    /// Records before this position count; `None`: all.
    pub as_of: Option<Position>,
    /// The moment asked for, unix milliseconds: said again in the answer.
    pub as_of_ms: Option<i64>,
}

/// Answers it from the views.
pub fn reconcile(
    views: &Views,
    registry: &Registry,
    question: Question<'_>,
) -> Result<Reconciliation, ViewsError> {
    check_days(question)?;
    let zone = Zone::named(&registry.settings.time_zone).unwrap_or_default();
    let mut gathering = Gathering {
        views,
        registry,
        from: question.from.to_string(),
        to: question.to.to_string(),
        as_of: question.as_of,
        classes: HashMap::new(),
        book: Book::in_zone(zone.clone()),
        zone,
    };
    let hidden = match question.as_of {
        Some(as_of) => gathering.hidden_before(as_of)?,
        None => HashSet::new(),
    };
    for hospital in question.hospitals {
        let mut named = gathering.declarations(hospital)?;
        gathering.exams(hospital, &hidden, &mut named)?;
        gathering.not_in_place(hospital, &hidden, named)?;
        gathering.refusals(hospital.as_str())?;
    }
    if registry
        .hospitals
        .keys()
        .all(|code| question.hospitals.contains(code))
    {
        gathering.refusals("")?;
    }
    gathering.held(question.hospitals)?;
    let name_of = |code: &str| {
        HospitalCode::new(code)
            .ok()
            .and_then(|code| registry.hospitals.get(&code))
            .map(|hospital| hospital.name.clone())
            .unwrap_or_default()
    };
    let (cells, totals) = gathering.book.finish(name_of);
    Ok(Reconciliation {
        from: gathering.from,
        to: gathering.to,
        as_of: question.as_of,
        as_of_time: question
            .as_of_ms
            .and_then(|ms| LocalDateTime::from_unix_ms(ms, &gathering.zone)),
        cells,
        totals,
    })
}

fn check_days(question: Question<'_>) -> Result<(), ViewsError> {
    let days = std::iter::successors(Some(question.from), |day| day.next())
        .take(DAYS_LIMIT)
        .any(|day| day == question.to);
    if days {
        Ok(())
    } else {
        Err(ViewsError::Days { limit: DAYS_LIMIT })
    }
}

struct Gathering<'a> {
    views: &'a Views,
    registry: &'a Registry,
    zone: Zone,
    from: String,
    to: String,
    as_of: Option<Position>,
    /// Class texts that were looked up: there are few, and exams are many.
    classes: HashMap<String, ClassCode>,
    book: Book,
}

impl Views {
    /// The rows of these keys that there are.
    fn get_many<T: DeserializeOwned>(
        &self,
        view: View,
        keys: impl Iterator<Item = Vec<u8>>,
    ) -> Result<Vec<T>, ViewsError> {
        let mut keys: Vec<Vec<u8>> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        let rows = keys.iter().map(|key| self.get(view, key));
        rows.filter_map(Result::transpose).collect()
    }
}

/// A SOP instance of a study, wherever that study lies.
type Hidden = HashSet<(StudyUid, SopInstanceUid)>;

/// Images that are here, by study UID.
struct Images(HashMap<String, ImageCounts>);

impl Images {
    /// Those that an exam has of a study: none of one that is another's.
    fn of(&self, declared: &DeclaredStudy) -> ImageCounts {
        match declared.foreign {
            true => ImageCounts::default(),
            false => self
                .0
                .get(declared.uid.as_str())
                .copied()
                .unwrap_or_default(),
        }
    }
}

impl Gathering<'_> {
    fn counts(&self, position: Position) -> bool {
        self.as_of.is_none_or(|as_of| position < as_of)
    }

    fn within(&self, date: &str) -> bool {
        self.from.as_str() <= date && date <= self.to.as_str()
    }

    fn class(&mut self, text: &str) -> ClassCode {
        if let Some(class) = self.classes.get(text) {
            return class.clone();
        }
        let class = canonical_class(&self.registry.settings.class_aliases, text);
        self.classes.insert(text.to_owned(), class.clone());
        class
    }

    fn place(&mut self, hospital: &str, date: &str, class: &str) -> Place {
        Place {
            hospital: hospital.to_owned(),
            date: date.to_owned(),
            class: self.class(class),
        }
    }

    fn day_of(&self, time_ms: i64) -> String {
        LocalDateTime::from_unix_ms(time_ms, &self.zone)
            .map(|time| time.date().to_string())
            .unwrap_or_default()
    }

    /// Enters the declarations; what details tell of exams.
    fn declarations(&mut self, hospital: &HospitalCode) -> Result<Named, ViewsError> {
        let mut days: Vec<(DayKey, DeclarationRow)> = Vec::new();
        let views = self.views;
        views.visit_declarations(hospital, &self.from, &self.to, &mut |day, row| {
            days.push((day, row));
            Walk::On
        })?;
        let mut named = Named::default();
        for (day, row) in days {
            let place = self.place(day.hospital.as_str(), &day.date, &day.class);
            if let Some(latest) = row
                .counts
                .iter()
                .rev()
                .find(|declared| self.counts(declared.position))
            {
                self.book.declare(&place, latest.count, latest.time_ms);
            }
            // A later list replaces the earlier, as a later count does (R10).
            let lists = row.details.into_iter().rev();
            for detail in lists.filter(|d| self.counts(d.position)).take(1) {
                named.add(&place, detail.lines);
            }
        }
        Ok(named)
    }

    /// Enters the exams of the days, each with what it is named for.
    fn exams(
        &mut self,
        hospital: &HospitalCode,
        hidden: &Hidden,
        named: &mut Named,
    ) -> Result<(), ViewsError> {
        let mut keys: BTreeSet<ExamKey> = BTreeSet::new();
        let views = self.views;
        views.visit_days(hospital, &self.from, &self.to, &mut |key| {
            keys.insert(key);
            if keys.len() > EXAMS_LOOKED_AT_LIMIT {
                return Err(ViewsError::TooMany {
                    limit: EXAMS_LOOKED_AT_LIMIT,
                });
            }
            Ok(Walk::On)
        })?;
        let lists = Lists::read(self, hospital)?;
        let keys: Vec<ExamKey> = keys.into_iter().collect();
        for keys in keys.chunks(ROWS_AT_ONCE) {
            // A line of the index stays when an exam's date changes, so the row says what the date is.
            let mut rows = self.rows(keys)?;
            rows.retain(|row| self.within(row.exam_date()));
            let images = self.images(&rows, hidden)?;
            for row in rows {
                let states = row.studies.iter();
                let state = image_state(states.map(|study| images_of(study, images.of(study))));
                let place = self.place(hospital.as_str(), row.exam_date(), &row.class);
                let mut marks = lists.marks(&row);
                marks.differs = named.differences(&row, &images);
                self.book.exam(&place, &row, state, marks);
            }
        }
        Ok(())
    }

    /// Rows as they stood.
    fn rows(&self, keys: &[ExamKey]) -> Result<Vec<ExamRow>, ViewsError> {
        if self.as_of.is_none() {
            return self
                .views
                .get_many(View::Exams, keys.iter().map(keys::exam));
        }
        let rows = keys
            .iter()
            .map(|key| self.views.exam_as_of(key, self.as_of));
        rows.filter_map(Result::transpose).collect()
    }

    /// Images by study UID of what these exams of one hospital declare.
    fn images(&self, exams: &[ExamRow], hidden: &Hidden) -> Result<Images, ViewsError> {
        let declared = exams.iter().flat_map(|exam| {
            exam.studies.iter().map(|study| {
                keys::study(&StudyKey {
                    hospital: exam.key.hospital.clone(),
                    study: study.uid.clone(),
                })
            })
        });
        let studies: Vec<StudyRow> = self.views.get_many(View::Studies, declared)?;
        let mut images = HashMap::with_capacity(studies.len());
        for study in studies {
            let counts = match self.as_of {
                None => study.counts(),
                Some(_) => self.past_counts(&study, hidden)?,
            };
            images.insert(study.key.study.as_str().to_owned(), counts);
        }
        Ok(Images(images))
    }

    /// A study's images that had come and were not hidden.
    fn past_counts(&self, row: &StudyRow, hidden: &Hidden) -> Result<ImageCounts, ViewsError> {
        let mut counts = ImageCounts::default();
        for (index, series) in row.series.iter().enumerate() {
            for entry in self.views.all_instances(row, index)? {
                let sop = (row.key.study.clone(), entry.image().sop_instance.clone());
                if entry.further || !self.counts(entry.position) || hidden.contains(&sop) {
                    continue;
                }
                counts.instances += 1;
                if is_image_class(&entry.image().sop_class) {
                    counts.images += 1;
                    counts.frames = counts.frames.saturating_add(entry.image().frames.max(1));
                    counts.images_without_zero += u32::from(!series.is_zero());
                }
            }
        }
        Ok(counts)
    }

    /// What corrections before a position had hidden by then.
    fn hidden_before(&self, as_of: Position) -> Result<Hidden, ViewsError> {
        use yingku_core::correction::{Before, CorrectionAction, CorrectionMade};
        let mut hidden = HashSet::new();
        let mut from = Position(0);
        loop {
            let rows = self.views.corrections(from, CORRECTIONS_AT_ONCE)?;
            for row in &rows {
                let in_force =
                    row.position < as_of && row.undone.is_none_or(|undone| undone >= as_of);
                let Before::Hidden(instances) = &row.before else {
                    continue;
                };
                if !in_force {
                    continue;
                }
                if let Ok(CorrectionMade {
                    action: CorrectionAction::HideInstances { study, .. },
                    ..
                }) = serde_json::from_str(&row.made)
                {
                    let sops = instances.iter().cloned();
                    hidden.extend(sops.map(|sop| (study.study.clone(), sop)));
                }
            }
            match rows.last() {
                Some(last) if rows.len() >= CORRECTIONS_AT_ONCE && last.position < as_of => {
                    from = last.position.next();
                }
                _ => return Ok(hidden),
            }
        }
    }

    /// Enters refused instances; those without a date under the day on which they came.
    fn refusals(&mut self, hospital: &str) -> Result<(), ViewsError> {
        let mut rows: Vec<RefusalRow> = Vec::new();
        let views = self.views;
        let mut keep = |row| {
            rows.push(row);
            if rows.len() > EXAMS_LOOKED_AT_LIMIT {
                Walk::Stop
            } else {
                Walk::On
            }
        };
        views.visit_refusals(hospital, "", "", &mut keep)?;
        views.visit_refusals(hospital, &self.from, &self.to, &mut keep)?;
        if rows.len() > EXAMS_LOOKED_AT_LIMIT {
            return Err(ViewsError::TooMany {
                limit: EXAMS_LOOKED_AT_LIMIT,
            });
        }
        rows.retain(|row| self.counts(row.position));
        for row in rows {
            let refused = &row.refused;
            let date = match refused.date.as_str() {
                "" => self.day_of(row.time_ms),
                date => date.to_owned(),
            };
            if self.within(&date) {
                let place = self.place(hospital, &date, &refused.class);
                let (sender, reason) = (&refused.sender, refused.reason);
                self.book.refuse(&place, sender, reason, refused.count);
            }
        }
        Ok(())
    }

    /// Enters held instances, by the images' own date and modality: mostly no exam is known.
    fn held(&mut self, hospitals: &[HospitalCode]) -> Result<(), ViewsError> {
        let mut groups: Vec<(Place, HeldSummary)> = Vec::new();
        let views = self.views;
        views.visit_held(&mut |study, held| {
            for group in &held.groups {
                if !self.counts(group.position) || !hospitals.contains(&group.group.hospital) {
                    continue;
                }
                let date = self.date_of(group);
                if self.within(&date) {
                    let modality = group.group.series.modality.as_str();
                    let place = self.place(group.group.hospital.as_str(), &date, modality);
                    groups.push((place, HeldSummary::of(&study, group)));
                }
            }
            Walk::On
        })?;
        for (place, held) in groups {
            let (sender, count) = (&held.sender, held.count);
            self.book
                .hold(&place, sender, held.reason, count, &held.study);
        }
        Ok(())
    }

    fn date_of(&self, held: &HeldGroup) -> String {
        held.group
            .study
            .date
            .trim()
            .parse()
            .ok()
            .and_then(|number| LocalDate::from_number(number).ok())
            .map_or_else(|| self.day_of(held.time_ms), |date| date.to_string())
    }
}

struct HeldSummary {
    study: StudyUid,
    sender: yingku_core::ids::AeTitle,
    reason: yingku_core::instance::HoldReason,
    count: u32,
}

impl HeldSummary {
    fn of(study: &StudyUid, held: &HeldGroup) -> Self {
        Self {
            study: study.clone(),
            sender: held.group.sender.clone(),
            reason: held.reason,
            count: u32::try_from(held.group.instances.len()).unwrap_or(u32::MAX),
        }
    }
}

/// Lists that mark exams: suspected reuse by exam, further versions by study.
struct Lists {
    reuse: HashMap<String, u32>,
    further: HashMap<String, u32>,
}

impl Lists {
    fn read(gathering: &Gathering<'_>, hospital: &HospitalCode) -> Result<Self, ViewsError> {
        let list = |kind| {
            gathering
                .views
                .findings(kind, Some(hospital), FINDINGS_LIMIT)
        };
        let mut lists = Self {
            reuse: HashMap::new(),
            further: HashMap::new(),
        };
        for (_, row) in list(FindingKind::NumberReuse)? {
            if gathering.counts(row.position) {
                for exam in row.exams {
                    *lists.reuse.entry(exam).or_default() += 1;
                }
            }
        }
        for (key, row) in list(FindingKind::FurtherVersion)? {
            // Subject: hospital/study/SOP instance; UIDs hold no slash.
            let study = key.subject.rsplit('/').nth(1);
            if let Some(study) = study.filter(|_| gathering.counts(row.position)) {
                *lists.further.entry(study.to_owned()).or_default() += 1;
            }
        }
        Ok(lists)
    }

    fn marks(&self, row: &ExamRow) -> Marks {
        let mut marks = Marks::default();
        if !self.reuse.is_empty() {
            marks.suspected_reuse = self.reuse.get(&row.key.to_string()).copied().unwrap_or(0);
        }
        for study in &row.studies {
            let found = self.further.get(study.uid.as_str()).copied();
            marks.further_versions += found.unwrap_or(0);
        }
        marks
    }
}
