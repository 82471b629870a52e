//! C-FIND of the Modality Worklist (PS3.4 annex K): a machine's list of patients, as the machine asks for it.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Map, Value};
use yingku_dicom_node::dataset::{DataSetWriter, Nested, tag_of};
use yingku_dicom_node::scu::{WORKLIST, service_context};
use yingku_dicom_node::text::CharacterSet;

use super::node::{self, Address};
use crate::table::Table;

/// What is asked of the patient and of the procedure.
const ROOT: [&str; 9] = [
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "RequestedProcedureDescription",
    "RequestedProcedureID",
];
/// And of the step that is scheduled.
const STEP: [&str; 7] = [
    "Modality",
    "ScheduledStationAETitle",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "ScheduledPerformingPhysicianName",
    "ScheduledProcedureStepDescription",
    "ScheduledProcedureStepID",
];
const STEPS: &str = "ScheduledProcedureStepSequence";

/// Columns of the table, and which attribute is in each.
const COLUMNS: [(&str, &str); 10] = [
    ("日期", "ScheduledProcedureStepStartDate"),
    ("时间", "ScheduledProcedureStepStartTime"),
    ("类型", "Modality"),
    ("姓名", "PatientName"),
    ("性别", "PatientSex"),
    ("出生日期", "PatientBirthDate"),
    ("检查号", "PatientID"),
    ("申请单", "AccessionNumber"),
    ("项目", "RequestedProcedureDescription"),
    ("StudyInstanceUID", "StudyInstanceUID"),
];

#[derive(Debug, Args)]
pub struct Worklist {
    #[command(flatten)]
    address: Address,
    /// 日期或范围，如 20260704 或 20260704-20260705 (day or range)
    #[arg(long, default_value = "", value_name = "日期")]
    date: String,
    /// 设备类型，如 CT (modality)
    #[arg(long, default_value = "", value_name = "类型")]
    modality: String,
    /// 姓名，可用 * ? (patient's name, with wildcards)
    #[arg(long, default_value = "", value_name = "姓名")]
    name: String,
    /// PatientID
    #[arg(long, default_value = "", value_name = "检查号")]
    patient_id: String,
    /// AccessionNumber
    #[arg(long, default_value = "", value_name = "申请单号")]
    accession: String,
    /// 设备的 AE (station's AE title)
    #[arg(long, default_value = "", value_name = "AE")]
    station: String,
    /// 每项一行 JSON (one line of JSON for each entry)
    #[arg(long)]
    json: bool,
}

impl Worklist {
    pub async fn run(self) -> anyhow::Result<bool> {
        let mut scu = self
            .address
            .connect(vec![service_context(WORKLIST)])
            .await?;
        let mut found = Vec::new();
        let outcome = scu
            .find_in_worklist(&self.keys(), &CharacterSet::utf8(), |entry| {
                found.push(row(&entry));
                true
            })
            .await?;
        scu.release().await?;
        if self.json {
            for row in &found {
                let object: Map<String, Value> = row
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), Value::from(value.as_str())))
                    .collect();
                println!("{}", Value::Object(object));
            }
        } else {
            print!("{}", table(&found));
        }
        eprintln!("{} 项 (entries); {}", found.len(), node::words(&outcome));
        Ok(outcome.status.is_done())
    }

    fn keys(&self) -> DataSetWriter {
        let of_root = [
            ("PatientName", &self.name),
            ("PatientID", &self.patient_id),
            ("AccessionNumber", &self.accession),
        ];
        let of_step = [
            ("Modality", &self.modality),
            ("ScheduledStationAETitle", &self.station),
            ("ScheduledProcedureStepStartDate", &self.date),
        ];
        let mut root = keys(&ROOT, &of_root);
        if let Some(tag) = tag_of(STEPS) {
            root.put_items(tag, vec![keys(&STEP, &of_step)]);
        }
        root
    }
}

fn keys(asked: &[&str], values: &[(&str, &String)]) -> DataSetWriter {
    let mut writer = DataSetWriter::new();
    for keyword in asked {
        let value = values.iter().find(|(key, _)| key == keyword);
        let value = value.map(|(_, value)| value.as_str()).unwrap_or_default();
        if let Some(tag) = tag_of(keyword) {
            writer.put(tag, value);
        }
    }
    writer
}

/// An entry as keyword → value, its step's among them.
fn row(entry: &Nested) -> BTreeMap<&'static str, String> {
    let steps = tag_of(STEPS).map_or(&[][..], |steps| entry.items(steps));
    let mut row = BTreeMap::new();
    put(&mut row, &ROOT, entry);
    if let Some(step) = steps.first() {
        put(&mut row, &STEP, step);
    }
    row
}

fn put(row: &mut BTreeMap<&'static str, String>, keywords: &[&'static str], from: &Nested) {
    for keyword in keywords {
        if let Some(tag) = tag_of(keyword) {
            row.insert(*keyword, from.text(tag).to_owned());
        }
    }
}

fn table(found: &[BTreeMap<&'static str, String>]) -> String {
    let mut table = Table::new(COLUMNS.map(|(title, _)| title));
    for row in found {
        table.row(COLUMNS.map(|(_, keyword)| row.get(keyword).cloned().unwrap_or_default()));
    }
    table.render()
}
