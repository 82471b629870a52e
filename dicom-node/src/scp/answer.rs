//! Attributes that queries match and answers carry, at each level (PS3.4 tables C.6-1 to C.6-4).

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use yingku_core::instance::{ChunkEntry, SeriesRow, StudyRow};

use super::query::Level;
use crate::dataset::DataSetWriter;

/// A value of the patient or study level; `None` if the attribute is of another level or not supported.
pub fn study_value(tag: Tag, row: &StudyRow) -> Option<String> {
    let (patient, study) = row.answered();
    let text = match tag {
        tags::PATIENT_NAME => &patient.name,
        tags::PATIENT_ID => &patient.id,
        tags::PATIENT_BIRTH_DATE => &patient.birth_date,
        tags::PATIENT_SEX => &patient.sex,
        tags::STUDY_DATE => &study.date,
        tags::STUDY_TIME => &study.time,
        tags::ACCESSION_NUMBER => &study.accession_no,
        tags::STUDY_ID => &study.id,
        tags::STUDY_DESCRIPTION => &study.description,
        tags::REFERRING_PHYSICIAN_NAME => &study.referring_physician,
        tags::PATIENT_AGE => &study.patient_age,
        tags::INSTITUTION_NAME => &study.institution,
        tags::ISSUER_OF_PATIENT_ID => return Some(row.key.hospital.to_string()),
        tags::STUDY_INSTANCE_UID => return Some(row.key.study.to_string()),
        tags::MODALITIES_IN_STUDY => return Some(modalities(row)),
        tags::SOP_CLASSES_IN_STUDY => return Some(classes(row)),
        _ => return None,
    };
    Some(text.clone())
}

/// Counts, which are answered and never matched.
fn study_count(tag: Tag, row: &StudyRow) -> Option<String> {
    match tag {
        tags::NUMBER_OF_STUDY_RELATED_SERIES => Some(visible_series(row).count().to_string()),
        tags::NUMBER_OF_STUDY_RELATED_INSTANCES => Some(row.visible_instances().to_string()),
        _ => None,
    }
}

pub fn visible_series(row: &StudyRow) -> impl Iterator<Item = (usize, &SeriesRow)> {
    row.series
        .iter()
        .enumerate()
        .filter(|(_, series)| series.instances > 0)
}

fn modalities(row: &StudyRow) -> String {
    distinct(visible_series(row).map(|(_, series)| series.facts.modality.as_str()))
}

fn classes(row: &StudyRow) -> String {
    distinct(visible_series(row).flat_map(|(_, series)| series.classes.iter().map(|c| c.as_str())))
}

fn distinct<'a>(values: impl Iterator<Item = &'a str>) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for value in values {
        if !value.is_empty() && !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen.join("\\")
}

pub fn series_value(tag: Tag, series: &SeriesRow) -> Option<String> {
    let text = match tag {
        tags::MODALITY => &series.facts.modality,
        tags::SERIES_NUMBER => &series.facts.number,
        tags::SERIES_DESCRIPTION => &series.facts.description,
        tags::SERIES_DATE => &series.facts.date,
        tags::SERIES_TIME => &series.facts.time,
        tags::BODY_PART_EXAMINED => &series.facts.body_part,
        tags::PROTOCOL_NAME => &series.facts.protocol,
        tags::STATION_NAME => &series.facts.station,
        tags::MANUFACTURER => &series.facts.manufacturer,
        tags::LATERALITY => &series.facts.laterality,
        tags::SERIES_INSTANCE_UID => return Some(series.uid.to_string()),
        _ => return None,
    };
    Some(text.clone())
}

pub fn image_value(tag: Tag, entry: &ChunkEntry) -> Option<String> {
    let image = entry.image();
    let number = |value: u32| {
        if value == 0 {
            String::new()
        } else {
            value.to_string()
        }
    };
    Some(match tag {
        tags::SOP_INSTANCE_UID => image.sop_instance.to_string(),
        tags::SOP_CLASS_UID => image.sop_class.to_string(),
        tags::INSTANCE_NUMBER => image.number.clone(),
        tags::ROWS => number(image.rows),
        tags::COLUMNS => number(image.columns),
        tags::BITS_ALLOCATED => number(u32::from(image.bits_allocated)),
        tags::NUMBER_OF_FRAMES => image.frames.to_string(),
        tags::AVAILABLE_TRANSFER_SYNTAX_UID => image.transfer_syntax.to_string(),
        _ => return None,
    })
}

/// Studies, series and instances of a patient; absent where it is not known which they are, or nobody asked.
pub type Counts = Option<[u32; 3]>;

pub fn is_patient_count(tag: Tag) -> bool {
    patient_count(tag, [0; 3]).is_some()
}

fn patient_count(tag: Tag, [studies, series, instances]: [u32; 3]) -> Option<u32> {
    match tag {
        tags::NUMBER_OF_PATIENT_RELATED_STUDIES => Some(studies),
        tags::NUMBER_OF_PATIENT_RELATED_SERIES => Some(series),
        tags::NUMBER_OF_PATIENT_RELATED_INSTANCES => Some(instances),
        _ => None,
    }
}

/// What one answer is about: the levels from the top down to the one asked for.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    pub level: Level,
    pub study: &'a StudyRow,
    pub series: Option<&'a SeriesRow>,
    pub image: Option<&'a ChunkEntry>,
    /// At levels PATIENT and STUDY, if they are asked for.
    pub patient: Counts,
}

/// What an answer at level PATIENT carries besides counts.
const OF_PATIENTS: [Tag; 5] = [
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::ISSUER_OF_PATIENT_ID,
];

impl Found<'_> {
    fn value(&self, tag: Tag) -> Option<String> {
        if self.level <= Level::Study && is_patient_count(tag) {
            let count = self.patient.and_then(|counts| patient_count(tag, counts));
            return Some(count.map(|count| count.to_string()).unwrap_or_default());
        }
        if self.level == Level::Patient && !OF_PATIENTS.contains(&tag) {
            return None;
        }
        let of_series = self.series.and_then(|series| match tag {
            tags::NUMBER_OF_SERIES_RELATED_INSTANCES => Some(series.instances.to_string()),
            _ => series_value(tag, series),
        });
        self.image
            .and_then(|image| image_value(tag, image))
            .or(of_series)
            .or_else(|| study_value(tag, self.study))
            .or_else(|| study_count(tag, self.study))
    }

    /// The answer to the keys asked for: what is not known or supported comes back empty.
    pub fn answer(&self, keys: impl Iterator<Item = Tag>, ae_title: &str) -> DataSetWriter {
        let mut answer = DataSetWriter::new();
        for tag in keys {
            answer.put(tag, self.value(tag).unwrap_or_default());
        }
        for tag in unique_keys(self.level) {
            answer.put(*tag, self.value(*tag).unwrap_or_default());
        }
        answer.put(tags::QUERY_RETRIEVE_LEVEL, self.level.name());
        answer.put(tags::RETRIEVE_AE_TITLE, ae_title);
        answer.put(tags::INSTANCE_AVAILABILITY, "ONLINE");
        answer
    }
}

fn unique_keys(level: Level) -> &'static [Tag] {
    match level {
        // PatientID is unique only together with its issuer.
        Level::Patient => &[tags::PATIENT_ID, tags::ISSUER_OF_PATIENT_ID],
        Level::Study => &[tags::STUDY_INSTANCE_UID],
        Level::Series => &[tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID],
        Level::Image => &[
            tags::STUDY_INSTANCE_UID,
            tags::SERIES_INSTANCE_UID,
            tags::SOP_INSTANCE_UID,
        ],
    }
}

/// Keys that the level asked for does not know: an answer says so (0xFF01).
pub fn has_unsupported(keys: impl Iterator<Item = Tag>, found: Found<'_>) -> bool {
    let mut keys = keys;
    keys.any(|tag| {
        !matches!(
            tag,
            tags::QUERY_RETRIEVE_LEVEL
                | tags::RETRIEVE_AE_TITLE
                | tags::INSTANCE_AVAILABILITY
                | tags::TIMEZONE_OFFSET_FROM_UTC
        ) && found.value(tag).is_none()
    })
}
