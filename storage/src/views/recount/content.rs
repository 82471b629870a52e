//! What a push says.

use serde_json::Value;

#[derive(Clone)]
pub(super) struct Study {
    pub(super) uid: String,
    pub(super) accession: Option<String>,
    pub(super) count: Option<u32>,
    pub(super) linked: bool,
}

#[derive(Clone)]
pub(super) struct Content {
    pub(super) sick_id: String,
    pub(super) name: String,
    pub(super) patient_id: String,
    pub(super) apply_no: String,
    pub(super) status: u8,
    pub(super) date: String,
    pub(super) class: String,
    pub(super) studies: Vec<Study>,
    /// It broke a rule that the hospital only warns of.
    pub(super) warned: bool,
}

pub(super) fn text(value: &Value, path: &str) -> String {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned()
}

pub(super) fn is_placeholder(apply_no: &str) -> bool {
    matches!(apply_no, "0" | "无")
}

pub(super) fn content(json: &Value, warned: bool) -> Content {
    let mut studies: Vec<Study> = Vec::new();
    for image in json["imageList"].as_array().into_iter().flatten() {
        let row = Study {
            uid: text(image, "/studyUID"),
            accession: Some(text(image, "/accessionNo")).filter(|text| !text.is_empty()),
            count: text(image, "/imageCount").parse().ok(),
            linked: image.get("imageUrl").is_some(),
        };
        match studies.iter_mut().find(|study| study.uid == row.uid) {
            Some(study) => {
                study.linked &= row.linked;
                study.accession = study.accession.take().or(row.accession);
                if let Some(more) = row.count {
                    study.count = Some(study.count.unwrap_or(0) + more);
                }
            }
            None => studies.push(row),
        }
    }
    Content {
        sick_id: text(json, "/patientInfo/sickId"),
        name: text(json, "/patientInfo/name"),
        patient_id: text(json, "/examInfo/patientID"),
        apply_no: text(json, "/examInfo/applyNo"),
        status: text(json, "/examInfo/examStatus").parse().unwrap(),
        date: text(json, "/examInfo/examTime")[..10].to_owned(),
        class: text(json, "/examInfo/examClass"),
        studies,
        warned,
    }
}
