//! The archive's DICOM services on a loopback port, and a peer that uses them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use dicom_dictionary_std::tags;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use yingku_core::instance::InstanceFacts;
use yingku_dicom_node::association::{ProposedContext, Requestor};
use yingku_dicom_node::dataset::DataSetWriter;
use yingku_dicom_node::pdu::Timeouts;
use yingku_dicom_node::scp::{self, Doors, Scp, ScpSettings};
use yingku_dicom_node::scu::{Model, Outgoing, Scu, Whole, service_context};
use yingku_dicom_node::server::NodeConfig;
use yingku_dicom_node::status::Status;
use yingku_dicom_node::text::{CharacterSet, Undeclared};
use yingku_storage::archive::Archive;

use crate::generate::Exam;

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const CLASSES: [&str; 3] = [
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.1.1",
];
/// Pixels of an instance: 24 × 24 of 16 bits.
const PIXEL_BYTES: usize = 1_152;

pub struct Served {
    address: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    pub async fn start(archive: Archive) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let settings = ScpSettings {
            ae_title: "YINGKU".to_owned(),
            accept_any_calling_ae: true,
            max_associations_per_ae: 100,
            undeclared: Undeclared::default(),
            timeouts: Timeouts::default(),
        };
        let stop = CancellationToken::new();
        let config = NodeConfig::default();
        let task = tokio::spawn(scp::serve(
            Doors {
                clear: listener,
                tls: None,
            },
            Scp::new(archive, settings),
            config,
            stop.clone(),
        ));
        Self {
            address,
            stop,
            task,
        }
    }

    pub async fn peer(&self, calling: &str) -> Peer {
        let mut contexts: Vec<_> = CLASSES
            .iter()
            .map(|class| ProposedContext {
                abstract_syntax: (*class).to_owned(),
                transfer_syntaxes: vec![EXPLICIT.to_owned()],
                we_are_scp: false,
            })
            .collect();
        contexts.push(service_context(Model::StudyRoot.find()));
        let requestor = Requestor {
            calling: calling.to_owned(),
            called: "YINGKU".to_owned(),
            contexts,
            timeouts: Timeouts::default(),
        };
        Peer(Scu::new(requestor.connect(&self.address).await.unwrap()))
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

pub struct Peer(Scu);

impl Peer {
    /// How many matches there are.
    pub async fn find(&mut self, keys: &DataSetWriter) -> usize {
        let mut found = 0;
        let outcome = self
            .0
            .find(Model::StudyRoot, keys, &CharacterSet::utf8(), |_| {
                found += 1;
                true
            })
            .await
            .unwrap();
        assert_eq!(outcome.status, Status::SUCCESS);
        found
    }

    pub async fn store(&mut self, facts: &InstanceFacts) {
        let outgoing = Outgoing {
            sop_class: facts.image.sop_class.to_string(),
            sop_instance: facts.image.sop_instance.to_string(),
            transfer_syntax: EXPLICIT.to_owned(),
            move_originator: None,
        };
        let mut source = Whole(Some(data_set(facts).into()));
        let outcome = self.0.store(&outgoing, &mut source).await.unwrap();
        assert_eq!(outcome.status, Status::SUCCESS, "{}", outcome.comment);
    }

    pub async fn release(self) {
        self.0.release().await.unwrap();
    }
}

/// A query at study level.
pub fn keys(by: &str, exam: &Exam) -> DataSetWriter {
    let mut keys = DataSetWriter::new();
    keys.put(tags::QUERY_RETRIEVE_LEVEL, "STUDY");
    for asked in [
        tags::STUDY_INSTANCE_UID,
        tags::ACCESSION_NUMBER,
        tags::PATIENT_ID,
        tags::PATIENT_NAME,
        tags::STUDY_DATE,
        tags::MODALITIES_IN_STUDY,
        tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
    ] {
        keys.put(asked, "");
    }
    match by {
        "study UID" => keys.put(tags::STUDY_INSTANCE_UID, exam.study_uid()),
        "accession number" => keys.put(tags::ACCESSION_NUMBER, exam.accession_no()),
        _ => keys.put(tags::PATIENT_ID, exam.patient_id()),
    };
    keys
}

fn element(group: u16, element: u16, vr: &[u8; 2], value: &[u8], out: &mut Vec<u8>) {
    out.extend(group.to_le_bytes());
    out.extend(element.to_le_bytes());
    out.extend(vr);
    let padded = value.len() + value.len() % 2;
    if vr == b"OW" {
        out.extend([0, 0]);
        out.extend((padded as u32).to_le_bytes());
    } else {
        out.extend((padded as u16).to_le_bytes());
    }
    out.extend(value);
    if value.len() % 2 == 1 {
        out.push(if vr == b"UI" { 0 } else { b' ' });
    }
}

/// A small slice with the attributes that the scan reads.
fn data_set(facts: &InstanceFacts) -> Vec<u8> {
    let (patient, study, series, image) =
        (&facts.patient, &facts.study, &facts.series, &facts.image);
    let mut out = Vec::with_capacity(PIXEL_BYTES + 1024);
    let mut text = |group, number, vr, value: &str| {
        element(group, number, vr, value.as_bytes(), &mut out);
    };
    text(0x0008, 0x0005, b"CS", "ISO_IR 192");
    text(0x0008, 0x0016, b"UI", image.sop_class.as_str());
    text(0x0008, 0x0018, b"UI", image.sop_instance.as_str());
    text(0x0008, 0x0020, b"DA", &study.date);
    text(0x0008, 0x0030, b"TM", &study.time);
    text(0x0008, 0x0050, b"SH", &study.accession_no);
    text(0x0008, 0x0060, b"CS", &series.modality);
    text(0x0008, 0x0070, b"LO", &series.manufacturer);
    text(0x0008, 0x1030, b"LO", &study.description);
    text(0x0008, 0x103E, b"LO", &series.description);
    text(0x0010, 0x0010, b"PN", &patient.name);
    text(0x0010, 0x0020, b"LO", &patient.id);
    text(0x0010, 0x0030, b"DA", &patient.birth_date);
    text(0x0010, 0x0040, b"CS", &patient.sex);
    text(0x0018, 0x0015, b"CS", &series.body_part);
    text(0x0020, 0x000D, b"UI", facts.study_uid.as_str());
    text(0x0020, 0x000E, b"UI", facts.series_uid.as_str());
    text(0x0020, 0x0011, b"IS", &series.number);
    text(0x0020, 0x0013, b"IS", &image.number);
    element(0x0028, 0x0010, b"US", &24u16.to_le_bytes(), &mut out);
    element(0x0028, 0x0011, b"US", &24u16.to_le_bytes(), &mut out);
    element(0x0028, 0x0100, b"US", &16u16.to_le_bytes(), &mut out);
    let pixels: Vec<u8> = image
        .sop_instance
        .as_str()
        .bytes()
        .cycle()
        .take(PIXEL_BYTES)
        .collect();
    element(0x7FE0, 0x0010, b"OW", &pixels, &mut out);
    out
}
