//! What supervision asks of a canonical push beside what `decide` needs of it.

use serde::Deserialize;

use super::summary::SummaryError;
use crate::identity::persons;
use crate::supervision::{NAMES_KEPT, SupervisedContent, part_of};
use crate::time::{LocalDate, LocalDateTime};

impl SupervisedContent {
    /// Reads canonical JSON. `sender` stays empty: it is not the content's.
    pub fn from_json(json: &[u8]) -> Result<Self, SummaryError> {
        let push: Push = serde_json::from_slice(json).map_err(SummaryError)?;
        let (patient, exam) = (push.patient_info, push.exam_info);
        let time = |text: &str| LocalDateTime::parse(text).ok();
        let mut modalities = push.image_list.into_iter().map(|image| image.modality);
        let organs = exam.exam_organ_list.iter();
        let items = exam.exam_item_list.into_iter();
        let mut told = Self {
            sender: String::new(),
            positive: positive_of(&push.report_list),
            device: exam.device,
            modality: modalities.find(|text| !text.is_empty()).unwrap_or_default(),
            parts: names(organs.map(|organ| part_of(&organ.organ_name))),
            items: names(items.map(|item| item.item_code)),
            technician: exam.technican_code,
            physician: exam.req_physician_code,
            requested: time(&exam.req_time),
            persons: persons(
                patient
                    .identity
                    .iter()
                    .map(|it| (it.id_type.as_str(), it.id_number.as_str())),
                [patient.si_card.as_str(), patient.mi_card.as_str()],
            ),
            sex: sex_of(&patient.sex),
            birth: LocalDate::parse(&patient.birth_date).map_or(0, LocalDate::number),
            ..Self::default()
        };
        // The last report is the latest: a supplement follows what it supplements.
        if let Some(report) = push.report_list.into_iter().next_back() {
            told.reported = time(&report.report_time);
            told.affirmed = time(&report.affirm_time);
            told.reporter = report.reporter;
            told.affirmer = report.affirm_reporter;
        }
        Ok(told)
    }
}

fn positive_of(reports: &[Report]) -> Option<bool> {
    let says = |flag: &str| reports.iter().any(|report| report.ab_normal_flag == flag);
    match (says("1"), says("0")) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}

fn sex_of(text: &str) -> u8 {
    match text {
        "男" => 1,
        "女" => 2,
        _ => 0,
    }
}

fn names(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(NAMES_KEPT);
    names
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Push {
    patient_info: Patient,
    exam_info: Exam,
    #[serde(default)]
    report_list: Vec<Report>,
    #[serde(default)]
    image_list: Vec<Image>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Patient {
    si_card: String,
    mi_card: String,
    sex: String,
    birth_date: String,
    identity: Vec<Identity>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Identity {
    id_type: String,
    id_number: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Exam {
    exam_item_list: Vec<Item>,
    exam_organ_list: Vec<Organ>,
    device: String,
    technican_code: String,
    req_physician_code: String,
    req_time: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Item {
    item_code: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Organ {
    organ_name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Report {
    ab_normal_flag: String,
    reporter: String,
    report_time: String,
    affirm_reporter: String,
    affirm_time: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Image {
    modality: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn what_supervision_asks_is_read_of_a_push() {
        let push = json!({
            "patientInfo": {
                "sickId": "S1", "name": "张三", "sex": "女", "birthDate": "1949-12-31",
                "miCard": "11010519491231002X",
                "identity": [{"idType": "1", "idNumber": "11010519491231002x"}, {"idName": "无"}],
            },
            "examInfo": {
                "device": "320排CT", "technicanCode": "T1", "reqPhysicianCode": "D9",
                "reqTime": "2026-07-04 07:00:00",
                "examItemList": [{"itemName": "平扫", "itemCode": "B"}, {"itemName": "增强"}, {"itemName": "x", "itemCode": "A"}],
                "examOrganList": [{"organName": "胸部 CT"}, {"organName": "腹部"}, {"organName": "胸部ＣＴ"}],
            },
            "reportList": [
                {"abNormalFlag": "0", "reporter": "甲", "reportTime": "2026-07-04 09:00:00"},
                {"abNormalFlag": "1", "reporter": "乙", "affirmReporter": "丙", "affirmTime": "2026-07-04 10:00:00"},
            ],
            "imageList": [{"studyUID": "1.2"}, {"studyUID": "1.3", "modality": "CT"}],
        });
        let told = SupervisedContent::from_json(push.to_string().as_bytes()).unwrap();
        assert_eq!(told.positive, Some(true));
        assert_eq!(
            (told.device.as_str(), told.modality.as_str()),
            ("320排CT", "CT")
        );
        assert_eq!(told.parts, ["胸部ct", "腹部"]);
        assert_eq!(told.items, ["A", "B"]);
        assert_eq!(
            (told.reporter.as_str(), told.affirmer.as_str()),
            ("乙", "丙")
        );
        assert_eq!(
            (told.reported, told.affirmed.map(|time| time.time().0)),
            (None, Some(10))
        );
        // The card's number is the document's: one patient
        assert_eq!(
            (told.persons.len(), told.sex, told.birth),
            (1, 2, 19_491_231)
        );
        assert_eq!(told.technician, "T1");
        assert_eq!(
            (told.physician.as_str(), told.requested.is_some()),
            ("D9", true)
        );
    }

    #[test]
    fn a_push_that_tells_little_has_empty_fields() {
        let told = SupervisedContent::from_json(br#"{"patientInfo":{},"examInfo":{}}"#).unwrap();
        assert!(told == SupervisedContent::default());
        let flags = |flags: &[&str]| {
            let reports: Vec<_> = flags
                .iter()
                .map(|flag| json!({"abNormalFlag": flag}))
                .collect();
            let push = json!({"patientInfo": {}, "examInfo": {}, "reportList": reports});
            SupervisedContent::from_json(push.to_string().as_bytes())
                .unwrap()
                .positive
        };
        assert_eq!(
            [flags(&["0"]), flags(&["0", "x"]), flags(&["9"])],
            [Some(false), Some(false), None]
        );
    }
}
