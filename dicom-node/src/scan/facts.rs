//! The values that are kept while a data set passes, and the facts that are made of them.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use yingku_core::ids::{IdError, SeriesUid, SopInstanceUid, StudyUid, Uid};
use yingku_core::instance::{ImageFacts, InstanceFacts, PatientFacts, SeriesFacts, StudyFacts};

use super::element::Encoding;
use super::{KEPT_VALUE_LIMIT, ScanError};
use crate::text::{CharacterSet, Undeclared};

/// Characters kept of one fact: longer values break the standard's own limits and stay whole in the pack only.
const FACT_CHARACTERS: usize = 256;

/// Identity: two different values of one of these would let two readers see two different instances.
const IDENTITY: [Tag; 6] = [
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::ACCESSION_NUMBER,
    tags::PATIENT_ID,
    tags::STUDY_INSTANCE_UID,
    tags::SERIES_INSTANCE_UID,
];

/// Values at the data set's root that are wanted, as their bytes came.
pub struct Kept {
    encoding: Encoding,
    values: Vec<(Tag, Vec<u8>)>,
    current: Vec<u8>,
}

impl Kept {
    pub fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            values: Vec::with_capacity(36),
            current: Vec::new(),
        }
    }

    pub fn wants(tag: Tag) -> bool {
        matches!(
            tag,
            tags::SPECIFIC_CHARACTER_SET
                | tags::SOP_CLASS_UID
                | tags::SOP_INSTANCE_UID
                | tags::STUDY_DATE
                | tags::SERIES_DATE
                | tags::STUDY_TIME
                | tags::SERIES_TIME
                | tags::ACCESSION_NUMBER
                | tags::MODALITY
                | tags::MANUFACTURER
                | tags::INSTITUTION_NAME
                | tags::REFERRING_PHYSICIAN_NAME
                | tags::STATION_NAME
                | tags::STUDY_DESCRIPTION
                | tags::SERIES_DESCRIPTION
                | tags::PATIENT_NAME
                | tags::PATIENT_ID
                | tags::PATIENT_BIRTH_DATE
                | tags::PATIENT_SEX
                | tags::PATIENT_AGE
                | tags::BODY_PART_EXAMINED
                | tags::PROTOCOL_NAME
                | tags::STUDY_INSTANCE_UID
                | tags::SERIES_INSTANCE_UID
                | tags::STUDY_ID
                | tags::SERIES_NUMBER
                | tags::INSTANCE_NUMBER
                | tags::LATERALITY
                | tags::NUMBER_OF_FRAMES
                | tags::ROWS
                | tags::COLUMNS
                | tags::BITS_ALLOCATED
        )
    }

    pub fn begin(&mut self) {
        self.current.clear();
    }

    pub fn append(&mut self, piece: &[u8]) {
        let room = KEPT_VALUE_LIMIT.saturating_sub(self.current.len());
        self.current
            .extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    /// The value of `tag` is over. The first of several equal elements counts.
    pub fn complete(&mut self, tag: Tag) -> Result<(), ScanError> {
        if let Some((_, first)) = self.values.iter().find(|(known, _)| *known == tag) {
            if IDENTITY.contains(&tag) && *first != self.current {
                return Err(ScanError::Contradiction(tag));
            }
            return Ok(());
        }
        self.values.push((tag, self.current.as_slice().to_vec()));
        Ok(())
    }

    fn bytes(&self, tag: Tag) -> &[u8] {
        self.values
            .iter()
            .find(|(known, _)| *known == tag)
            .map_or(&[], |(_, value)| value.as_slice())
    }

    /// A US value; 0 if absent.
    fn number(&self, tag: Tag) -> u16 {
        self.bytes(tag)
            .first_chunk::<2>()
            .map_or(0, |bytes| self.encoding.u16(*bytes))
    }
}

pub fn facts(
    kept: &Kept,
    transfer_syntax: &str,
    undeclared: Undeclared,
) -> Result<InstanceFacts, ScanError> {
    let charset = CharacterSet::from_element(kept.bytes(tags::SPECIFIC_CHARACTER_SET), undeclared);
    let text = |tag| shorten(&charset.decode(kept.bytes(tag)));
    let name = |tag| shorten(&charset.decode_person_name(kept.bytes(tag)));
    let code = |tag| shorten(&String::from_utf8_lossy(kept.bytes(tag)));
    Ok(InstanceFacts {
        study_uid: id(
            "StudyInstanceUID",
            &code(tags::STUDY_INSTANCE_UID),
            StudyUid::new,
        )?,
        series_uid: id(
            "SeriesInstanceUID",
            &code(tags::SERIES_INSTANCE_UID),
            SeriesUid::new,
        )?,
        patient: PatientFacts {
            name: name(tags::PATIENT_NAME),
            id: text(tags::PATIENT_ID),
            birth_date: code(tags::PATIENT_BIRTH_DATE),
            sex: code(tags::PATIENT_SEX),
        },
        study: StudyFacts {
            date: code(tags::STUDY_DATE),
            time: code(tags::STUDY_TIME),
            accession_no: text(tags::ACCESSION_NUMBER),
            id: text(tags::STUDY_ID),
            description: text(tags::STUDY_DESCRIPTION),
            referring_physician: name(tags::REFERRING_PHYSICIAN_NAME),
            patient_age: code(tags::PATIENT_AGE),
            institution: text(tags::INSTITUTION_NAME),
        },
        series: SeriesFacts {
            modality: code(tags::MODALITY),
            number: code(tags::SERIES_NUMBER),
            description: text(tags::SERIES_DESCRIPTION),
            date: code(tags::SERIES_DATE),
            time: code(tags::SERIES_TIME),
            body_part: code(tags::BODY_PART_EXAMINED),
            protocol: text(tags::PROTOCOL_NAME),
            station: text(tags::STATION_NAME),
            manufacturer: text(tags::MANUFACTURER),
            laterality: code(tags::LATERALITY),
        },
        image: ImageFacts {
            sop_instance: id(
                "SOPInstanceUID",
                &code(tags::SOP_INSTANCE_UID),
                SopInstanceUid::new,
            )?,
            sop_class: id("SOPClassUID", &code(tags::SOP_CLASS_UID), Uid::new)?,
            transfer_syntax: id("TransferSyntaxUID", transfer_syntax, Uid::new)?,
            number: code(tags::INSTANCE_NUMBER),
            rows: u32::from(kept.number(tags::ROWS)),
            columns: u32::from(kept.number(tags::COLUMNS)),
            bits_allocated: kept.number(tags::BITS_ALLOCATED),
            frames: code(tags::NUMBER_OF_FRAMES).parse().unwrap_or(1).max(1),
        },
    })
}

fn id<T>(
    what: &'static str,
    text: &str,
    make: impl Fn(String) -> Result<T, IdError>,
) -> Result<T, ScanError> {
    make(text.to_owned()).map_err(|reason| match reason {
        IdError::Empty { .. } => ScanError::Missing(what),
        reason => ScanError::Invalid { what, reason },
    })
}

/// Padding and whatever lies beyond the limit aside.
fn shorten(text: &str) -> String {
    text.trim_matches([' ', '\0', '\t', '\r', '\n'])
        .chars()
        .take(FACT_CHARACTERS)
        .collect()
}
