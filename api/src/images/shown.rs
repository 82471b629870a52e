//! Which images of an exam a reader sees, in the order in which they are paged through.

use yingku_core::exam::{ExamFlag, ExamRow};
use yingku_core::ids::{SeriesUid, SopInstanceUid, StudyKey, StudyUid};
use yingku_core::instance::{ChunkEntry, SeriesRow, StudyRow, is_image_class};
use yingku_core::registry::Registry;
use yingku_storage::views::{Views, ViewsError};

/// Images of one exam that are listed: a CT of several phases has some thousand, and a list of more nobody pages through.
pub const SHOWN_LIMIT: usize = 20_000;

/// What there is to show of an exam.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// As the exam names them.
    pub studies: Vec<ShownStudy>,
    /// Whether there is more than [`SHOWN_LIMIT`].
    pub more: bool,
}

#[derive(Debug, Clone)]
pub struct ShownStudy {
    pub uid: StudyUid,
    pub description: String,
    /// By number; scanned apply forms stand last.
    pub series: Vec<ShownSeries>,
}

#[derive(Debug, Clone)]
pub struct ShownSeries {
    pub uid: SeriesUid,
    pub modality: String,
    pub number: String,
    pub description: String,
    pub body_part: String,
    /// Series 0 (contract §2.4): scanned apply forms, to be shown beside.
    pub is_apply_form: bool,
    /// By number, else as they came.
    pub images: Vec<ShownImage>,
}

#[derive(Debug, Clone)]
pub struct ShownImage {
    pub instance: SopInstanceUid,
    pub number: String,
    /// At least 1.
    pub frames: u32,
    /// 0: not said.
    pub rows: u32,
    pub columns: u32,
    /// Whether it has pixels to show, as far as its header says: reports, PDF and key objects have none.
    pub has_pixels: bool,
}

/// Studies of an exam that are its own and that a claim in force covers (`core::instance::covers`).
fn studies(
    views: &Views,
    registry: &Registry,
    exam: &ExamRow,
) -> Result<Vec<StudyRow>, ViewsError> {
    let mut rows = Vec::new();
    if exam.withdrawn.is_some() || exam.has(ExamFlag::Superseded) {
        return Ok(rows);
    }
    for uid in exam.own_studies() {
        let key = StudyKey::new(exam.key.hospital.clone(), uid.clone());
        rows.extend(views.visible_study(registry, &key)?);
    }
    Ok(rows)
}

/// Everything of an exam that may be shown now.
pub fn shown(views: &Views, registry: &Registry, exam: &ExamRow) -> Result<Shown, ViewsError> {
    let mut shown = Shown::default();
    let mut left = SHOWN_LIMIT;
    for row in studies(views, registry, exam)? {
        let mut series = Vec::new();
        for (index, one) in row.series.iter().enumerate() {
            if one.instances == 0 {
                continue;
            }
            let mut images: Vec<ShownImage> = views
                .instances(&row, index)?
                .iter()
                .map(ShownImage::of)
                .collect();
            images.sort_by_key(|image| order(&image.number));
            shown.more |= images.len() > left;
            images.truncate(left);
            left -= images.len();
            series.push(ShownSeries::of(one, images));
        }
        series.sort_by_key(|one| (one.is_apply_form, order(&one.number)));
        let (_, study) = row.answered();
        shown.studies.push(ShownStudy {
            uid: row.key.study.clone(),
            description: study.description.clone(),
            series,
        });
    }
    Ok(shown)
}

/// One image of an exam, with the study and the series that it lies in; `None`: there is none to be shown. `study`: only
/// in this one.
pub fn image(
    views: &Views,
    registry: &Registry,
    exam: &ExamRow,
    study: Option<&StudyUid>,
    instance: &SopInstanceUid,
) -> Result<Option<(StudyUid, SeriesUid, ChunkEntry)>, ViewsError> {
    for row in studies(views, registry, exam)? {
        if study.is_some_and(|study| *study != row.key.study) {
            continue;
        }
        let Some((series, entry)) = views.visible_instance(&row, instance)? else {
            continue;
        };
        if let Some(series) = row.series.get(series) {
            return Ok(Some((row.key.study.clone(), series.uid.clone(), entry)));
        }
    }
    Ok(None)
}

/// SeriesNumber and InstanceNumber are text; what is no number comes last.
fn order(number: &str) -> i64 {
    number.trim().parse().unwrap_or(i64::MAX)
}

impl ShownSeries {
    fn of(row: &SeriesRow, images: Vec<ShownImage>) -> Self {
        Self {
            uid: row.uid.clone(),
            modality: row.facts.modality.clone(),
            number: row.facts.number.clone(),
            description: row.facts.description.clone(),
            body_part: row.facts.body_part.clone(),
            is_apply_form: row.is_zero(),
            images,
        }
    }
}

impl ShownImage {
    fn of(entry: &ChunkEntry) -> Self {
        let image = entry.image();
        Self {
            instance: image.sop_instance.clone(),
            number: image.number.clone(),
            frames: image.frames.max(1),
            rows: image.rows,
            columns: image.columns,
            has_pixels: is_image_class(&image.sop_class) && image.rows > 0 && image.columns > 0,
        }
    }
}
