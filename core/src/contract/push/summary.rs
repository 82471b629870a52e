//! The few fields of a canonical push that `decide` and the views need, read fast and borrowed from the event's bytes:
//! a replay reads a million of these.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::status::ExamStatus;
use crate::time::{LocalDate, LocalDateTime};

/// A push as `decide` sees it. Empty text is an absent field. No values in `Debug` but the exam's numbers.
#[derive(Clone, PartialEq, Eq)]
pub struct ExamSummary<'a> {
    pub hospital_code: Cow<'a, str>,
    pub exam_no: Cow<'a, str>,
    pub sick_id: Cow<'a, str>,
    pub card_no: Cow<'a, str>,
    pub inpatient_no: Cow<'a, str>,
    pub out_patient_no: Cow<'a, str>,
    pub name: Cow<'a, str>,
    pub sex: Cow<'a, str>,
    pub patient_source: Cow<'a, str>,
    pub birth_date: Option<LocalDate>,
    pub identities: Vec<IdentitySummary<'a>>,
    pub apply_no: Cow<'a, str>,
    /// 检查号 (examInfo.patientID), DICOM's PatientID (R7)
    pub patient_id: Cow<'a, str>,
    pub exam_status: ExamStatus,
    pub exam_time: LocalDateTime,
    /// As the hospital wrote it; `dictionaries::canonical_class` makes the code.
    pub exam_class: Cow<'a, str>,
    pub req_hospital_code: Cow<'a, str>,
    pub device: Cow<'a, str>,
    pub reports: Vec<ReportSummary<'a>>,
    pub images: Vec<ImageSummary<'a>>,
}

/// A document or number by which the patient is known elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentitySummary<'a> {
    pub id_type: Cow<'a, str>,
    pub number: Cow<'a, str>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct ReportSummary<'a> {
    pub report_no: Cow<'a, str>,
    /// abNormalFlag: some for 0 and 1
    pub abnormal: Option<bool>,
    /// Whether findings or impression are there.
    pub has_text: bool,
    pub affirm_time: Option<LocalDateTime>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct ImageSummary<'a> {
    pub study_uid: Cow<'a, str>,
    pub image_count: Option<u32>,
    pub accession_no: Cow<'a, str>,
    pub modality: Cow<'a, str>,
    pub patient_id: Cow<'a, str>,
    pub has_image_url: bool,
    /// storeCode or storePath is there.
    pub has_store: bool,
}

/// Why bytes of an event are no canonical push: the event is damaged or was made by other rules.
#[derive(Debug, thiserror::Error)]
#[error("the event's JSON is no canonical push")]
pub struct SummaryError(#[source] pub(super) serde_json::Error);

impl<'a> ExamSummary<'a> {
    /// Reads canonical JSON; what has not passed the check need not be understood.
    pub fn from_json(json: &'a [u8]) -> Result<Self, SummaryError> {
        let wire: WirePush<'a> = serde_json::from_slice(json).map_err(SummaryError)?;
        let (patient, exam) = (wire.patient_info, wire.exam_info);
        let lacks = |what: &'static str| SummaryError(de::Error::missing_field(what));
        Ok(Self {
            hospital_code: wire.hospital_code.0,
            exam_no: wire.exam_no.0,
            sick_id: patient.sick_id.0,
            card_no: patient.card_no.0,
            inpatient_no: patient.inpatient_no.0,
            out_patient_no: patient.out_patient_no.0,
            name: patient.name.0,
            sex: patient.sex.0,
            patient_source: patient.patient_source.0,
            birth_date: LocalDate::parse(&patient.birth_date.0).ok(),
            identities: patient
                .identity
                .into_iter()
                .map(|it| IdentitySummary {
                    id_type: it.id_type.0,
                    number: it.id_number.0,
                })
                .collect(),
            apply_no: exam.apply_no.0,
            patient_id: exam.patient_id.0,
            exam_status: ExamStatus::from_recorded(&exam.exam_status.0)
                .ok_or_else(|| lacks("examStatus"))?,
            exam_time: LocalDateTime::parse(&exam.exam_time.0).map_err(|_| lacks("examTime"))?,
            exam_class: exam.exam_class.0,
            req_hospital_code: exam.req_hospital_code.0,
            device: exam.device.0,
            reports: wire
                .report_list
                .into_iter()
                .map(ReportSummary::from)
                .collect(),
            images: wire
                .image_list
                .into_iter()
                .map(ImageSummary::from)
                .collect(),
        })
    }
}

impl ExamSummary<'_> {
    /// The exam's own fields, apart from the event's bytes; without reports and images.
    pub fn into_owned(self) -> ExamSummary<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let identities = self.identities.into_iter();
        let identities = identities.map(|it| IdentitySummary {
            id_type: own(it.id_type),
            number: own(it.number),
        });
        ExamSummary {
            hospital_code: own(self.hospital_code),
            exam_no: own(self.exam_no),
            sick_id: own(self.sick_id),
            card_no: own(self.card_no),
            inpatient_no: own(self.inpatient_no),
            out_patient_no: own(self.out_patient_no),
            name: own(self.name),
            sex: own(self.sex),
            patient_source: own(self.patient_source),
            birth_date: self.birth_date,
            identities: identities.collect(),
            apply_no: own(self.apply_no),
            patient_id: own(self.patient_id),
            exam_status: self.exam_status,
            exam_time: self.exam_time,
            exam_class: own(self.exam_class),
            req_hospital_code: own(self.req_hospital_code),
            device: own(self.device),
            reports: Vec::new(),
            images: Vec::new(),
        }
    }
}

impl fmt::Debug for ExamSummary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExamSummary")
            .field("hospital", &self.hospital_code)
            .field("exam_no", &self.exam_no)
            .field("status", &self.exam_status)
            .finish_non_exhaustive()
    }
}

impl<'a> From<WireReport<'a>> for ReportSummary<'a> {
    fn from(wire: WireReport<'a>) -> Self {
        Self {
            report_no: wire.report_no.0,
            abnormal: match wire.abnormal_flag.0.as_ref() {
                "0" => Some(false),
                "1" => Some(true),
                _ => None,
            },
            has_text: wire.description.0 || wire.impression.0,
            affirm_time: LocalDateTime::parse(&wire.affirm_time.0).ok(),
        }
    }
}

impl<'a> From<WireImage<'a>> for ImageSummary<'a> {
    fn from(wire: WireImage<'a>) -> Self {
        Self {
            study_uid: wire.study_uid.0,
            image_count: wire.image_count.0.parse().ok(),
            accession_no: wire.accession_no.0,
            modality: wire.modality.0,
            patient_id: wire.patient_id.0,
            has_image_url: wire.image_url.0,
            has_store: wire.store_code.0 || wire.store_path.0,
        }
    }
}

/// Text that borrows where nothing was escaped. (`Cow` alone would always own.)
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Visitor).map(Text)
    }
}

/// Whether a field is there: the canonical form leaves absent ones out.
#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        de::IgnoredAny::deserialize(deserializer).map(|_| Present(true))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePush<'a> {
    #[serde(borrow)]
    hospital_code: Text<'a>,
    #[serde(borrow)]
    exam_no: Text<'a>,
    #[serde(borrow)]
    patient_info: WirePatient<'a>,
    #[serde(borrow)]
    exam_info: WireExam<'a>,
    #[serde(borrow, default)]
    report_list: Vec<WireReport<'a>>,
    #[serde(borrow, default)]
    image_list: Vec<WireImage<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WirePatient<'a> {
    #[serde(borrow)]
    sick_id: Text<'a>,
    #[serde(borrow)]
    card_no: Text<'a>,
    #[serde(borrow)]
    inpatient_no: Text<'a>,
    #[serde(borrow)]
    out_patient_no: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    sex: Text<'a>,
    #[serde(borrow)]
    patient_source: Text<'a>,
    #[serde(borrow)]
    birth_date: Text<'a>,
    #[serde(borrow)]
    identity: Vec<WireIdentity<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireIdentity<'a> {
    #[serde(borrow)]
    id_type: Text<'a>,
    #[serde(borrow)]
    id_number: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireExam<'a> {
    #[serde(borrow)]
    apply_no: Text<'a>,
    #[serde(borrow, rename = "patientID")]
    patient_id: Text<'a>,
    #[serde(borrow)]
    exam_status: Text<'a>,
    #[serde(borrow)]
    exam_time: Text<'a>,
    #[serde(borrow)]
    exam_class: Text<'a>,
    #[serde(borrow)]
    req_hospital_code: Text<'a>,
    #[serde(borrow)]
    device: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireReport<'a> {
    #[serde(borrow)]
    report_no: Text<'a>,
    #[serde(borrow, rename = "abNormalFlag")]
    abnormal_flag: Text<'a>,
    description: Present,
    impression: Present,
    #[serde(borrow)]
    affirm_time: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireImage<'a> {
    #[serde(borrow, rename = "studyUID")]
    study_uid: Text<'a>,
    #[serde(borrow)]
    image_count: Text<'a>,
    #[serde(borrow)]
    accession_no: Text<'a>,
    #[serde(borrow)]
    modality: Text<'a>,
    #[serde(borrow, rename = "patientID")]
    patient_id: Text<'a>,
    image_url: Present,
    store_code: Present,
    store_path: Present,
}
