//! Facts: what C-FIND answers at patient, study, series and image level without opening a pack again.
//!
//! The list is fixed by [`FACTS_VERSION`]; a longer list is another version. Text is UTF-8, decoded
//! from the element's own bytes with the data set's Specific Character Set (PS3.5 §6.1), trimmed of padding.
//! A value that the data set lacks is an empty text.

use serde::{Deserialize, Serialize};

use crate::ids::{AeTitle, HospitalCode, PackId, SeriesUid, SopInstanceUid, StudyUid, Uid};
use crate::time::LocalDate;

/// Version of the attribute list below.
pub const FACTS_VERSION: u16 = 1;

/// Facts of one instance as the header scan reads them, before anything is known of where it will lie.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceFacts {
    pub study_uid: StudyUid,
    pub series_uid: SeriesUid,
    pub patient: PatientFacts,
    pub study: StudyFacts,
    pub series: SeriesFacts,
    pub image: ImageFacts,
}

/// Patient level (PS3.4 table C.6-1).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct PatientFacts {
    /// (0010,0010), component groups separated by `=`, as in the data set.
    pub name: String,
    /// (0010,0020)
    pub id: String,
    /// (0010,0030) `YYYYMMDD`
    pub birth_date: String,
    /// (0010,0040)
    pub sex: String,
}

impl PatientFacts {
    /// Takes what is empty from another instance.
    pub fn fill(&mut self, from: &Self) {
        fill(&mut self.name, &from.name);
        fill(&mut self.id, &from.id);
        fill(&mut self.birth_date, &from.birth_date);
        fill(&mut self.sex, &from.sex);
    }

    /// Whether what it says of the person is what the other says: name, birth date and sex, as far as it has them.
    pub fn is_said_by(&self, other: &Self) -> bool {
        let same = |mine: &str, others: &str| mine.is_empty() || mine == others;
        same(&self.name, &other.name)
            && same(&self.birth_date, &other.birth_date)
            && same(&self.sex, &other.sex)
    }
}

fn fill(value: &mut String, from: &str) {
    if value.is_empty() {
        from.clone_into(value);
    }
}

/// Study level (PS3.4 table C.6-2).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct StudyFacts {
    /// (0008,0020) `YYYYMMDD`
    pub date: String,
    /// (0008,0030) `HHMMSS[.ffffff]`
    pub time: String,
    /// (0008,0050)
    pub accession_no: String,
    /// (0020,0010)
    pub id: String,
    /// (0008,1030)
    pub description: String,
    /// (0008,0090)
    pub referring_physician: String,
    /// (0010,1010)
    pub patient_age: String,
    /// (0008,0080)
    pub institution: String,
}

impl StudyFacts {
    /// Takes what is empty from another instance.
    pub fn fill(&mut self, from: &Self) {
        fill(&mut self.date, &from.date);
        fill(&mut self.time, &from.time);
        fill(&mut self.accession_no, &from.accession_no);
        fill(&mut self.id, &from.id);
        fill(&mut self.description, &from.description);
        fill(&mut self.referring_physician, &from.referring_physician);
        fill(&mut self.patient_age, &from.patient_age);
        fill(&mut self.institution, &from.institution);
    }

    /// Study Date, if it is one.
    pub fn day(&self) -> Option<LocalDate> {
        let number = self.date.trim().parse().ok()?;
        LocalDate::from_number(number).ok()
    }
}

/// Series level (PS3.4 table C.6-3).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct SeriesFacts {
    /// (0008,0060)
    pub modality: String,
    /// (0020,0011); series 0 holds scanned apply forms (contract §2.4).
    pub number: String,
    /// (0008,103E)
    pub description: String,
    /// (0008,0021) `YYYYMMDD`
    pub date: String,
    /// (0008,0031)
    pub time: String,
    /// (0018,0015)
    pub body_part: String,
    /// (0018,1030)
    pub protocol: String,
    /// (0008,1010)
    pub station: String,
    /// (0008,0070)
    pub manufacturer: String,
    /// (0020,0060)
    pub laterality: String,
}

/// Image level (PS3.4 table C.6-4).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    pub sop_instance: SopInstanceUid,
    pub sop_class: Uid,
    /// Transfer syntax of the stored bytes.
    pub transfer_syntax: Uid,
    /// (0020,0013), empty if absent
    pub number: String,
    /// (0028,0010); 0 if absent
    pub rows: u32,
    /// (0028,0011); 0 if absent
    pub columns: u32,
    /// (0028,0100); 0 if absent
    pub bits_allocated: u16,
    /// (0028,0008); 1 if absent
    pub frames: u32,
}

/// Body of the event: instances that lie durable in one pack, grouped by series so that many fit a record.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancesStored {
    pub facts_version: u16,
    pub pack: PackId,
    pub groups: Vec<SeriesGroup>,
}

/// Body of the event: copies of instances lie durable in a pack, and their places so far need not be kept. Since rules
/// version 4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstancesMoved {
    /// Where the copies lie.
    pub pack: PackId,
    pub studies: Vec<MovedStudy>,
    /// All that lies in that pack is told by now.
    pub is_last: bool,
}

/// Instances of one study that were copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedStudy {
    pub study: StudyUid,
    pub instances: Vec<MovedInstance>,
}

/// Where an instance lay, and where its copy lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedInstance {
    pub from: PackId,
    /// Offset of its record there.
    pub from_offset: u64,
    pub offset: u64,
}

/// Instances of one series that came from one sender.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesGroup {
    /// The hospital that the instance was matched with, or the sender's if it is held.
    pub hospital: HospitalCode,
    pub sender: AeTitle,
    pub study_uid: StudyUid,
    pub series_uid: SeriesUid,
    pub patient: PatientFacts,
    pub study: StudyFacts,
    pub series: SeriesFacts,
    pub instances: Vec<StoredInstance>,
}

/// One instance and where its record lies in the pack.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredInstance {
    pub image: ImageFacts,
    /// Byte offset of the record in the pack file.
    pub offset: u64,
    /// Bytes of the Part 10 stream.
    pub length: u64,
    /// First 128 bits of BLAKE3 over transfer syntax UID and data set (preamble and group 0002 aside).
    pub digest: [u8; 16],
}

impl std::fmt::Debug for InstanceFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstanceFacts")
            .field("study", &self.study_uid)
            .field("series", &self.series_uid)
            .field("instance", &self.image.sop_instance)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for InstancesStored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let instances: usize = self.groups.iter().map(|g| g.instances.len()).sum();
        f.debug_struct("InstancesStored")
            .field("pack", &self.pack)
            .field("groups", &self.groups.len())
            .field("instances", &instances)
            .finish_non_exhaustive()
    }
}
