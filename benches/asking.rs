//! The archive's DICOM services on a loopback port, and a machine that asks for its worklist.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use dicom_dictionary_std::tags;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use yingku_dicom_node::association::{Association, Event, Requestor};
use yingku_dicom_node::dataset::{DataSetWriter, IDENTIFIER_LIMIT, Nested};
use yingku_dicom_node::message::{Command, Operation};
use yingku_dicom_node::pdu::Timeouts;
use yingku_dicom_node::scp::{self, Doors, Scp, ScpSettings};
use yingku_dicom_node::scu::{WORKLIST, service_context};
use yingku_dicom_node::server::NodeConfig;
use yingku_dicom_node::status::{Status, StatusClass};
use yingku_dicom_node::text::{CharacterSet, Undeclared};
use yingku_storage::archive::Archive;

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
            accept_any_calling_ae: false,
            max_associations_per_ae: 10,
            undeclared: Undeclared::default(),
            timeouts: Timeouts::default(),
        };
        let stop = CancellationToken::new();
        let doors = Doors {
            clear: listener,
            tls: None,
        };
        let scp = Scp::new(archive, settings);
        let task = tokio::spawn(scp::serve(doors, scp, NodeConfig::default(), stop.clone()));
        Self {
            address,
            stop,
            task,
        }
    }

    pub async fn machine(&self, calling: &str) -> Machine {
        let requestor = Requestor {
            calling: calling.to_owned(),
            called: "YINGKU".to_owned(),
            contexts: vec![service_context(WORKLIST)],
            timeouts: Timeouts::default(),
        };
        let association = requestor.connect(&self.address).await.unwrap();
        Machine { association }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// An association of a machine, which asks one question.
pub struct Machine {
    association: Association,
}

pub struct Answer(Nested);

impl Answer {
    pub fn number(&self) -> String {
        self.0.text(tags::ACCESSION_NUMBER).to_owned()
    }
}

/// Keys, among what a scanner's worklist shows and its images take over.
fn identifier(keys: &[(&'static str, String)]) -> DataSetWriter {
    let (mut root, mut step) = (DataSetWriter::new(), DataSetWriter::new());
    for tag in [
        tags::ACCESSION_NUMBER,
        tags::REFERRING_PHYSICIAN_NAME,
        tags::PATIENT_NAME,
        tags::PATIENT_ID,
        tags::PATIENT_BIRTH_DATE,
        tags::PATIENT_SEX,
        tags::PATIENT_SIZE,
        tags::PATIENT_WEIGHT,
        tags::STUDY_INSTANCE_UID,
        tags::REQUESTING_PHYSICIAN,
        tags::REQUESTING_SERVICE,
        tags::REQUESTED_PROCEDURE_DESCRIPTION,
        tags::ADMISSION_ID,
        tags::CURRENT_PATIENT_LOCATION,
        tags::REQUESTED_PROCEDURE_ID,
        tags::REQUESTED_PROCEDURE_PRIORITY,
    ] {
        root.put(tag, "");
    }
    for tag in [
        tags::MODALITY,
        tags::SCHEDULED_STATION_AE_TITLE,
        tags::SCHEDULED_PROCEDURE_STEP_START_DATE,
        tags::SCHEDULED_PROCEDURE_STEP_START_TIME,
        tags::SCHEDULED_PERFORMING_PHYSICIAN_NAME,
        tags::SCHEDULED_PROCEDURE_STEP_DESCRIPTION,
        tags::SCHEDULED_PROCEDURE_STEP_ID,
        tags::SCHEDULED_STATION_NAME,
        tags::SCHEDULED_PROCEDURE_STEP_LOCATION,
    ] {
        step.put(tag, "");
    }
    for (key, value) in keys {
        match *key {
            "AccessionNumber" => root.put(tags::ACCESSION_NUMBER, value.clone()),
            "PatientID" => root.put(tags::PATIENT_ID, value.clone()),
            "PatientName" => root.put(tags::PATIENT_NAME, value.clone()),
            "Day" => step.put(tags::SCHEDULED_PROCEDURE_STEP_START_DATE, value.clone()),
            "Modality" => step.put(tags::MODALITY, value.clone()),
            "Station" => step.put(tags::SCHEDULED_STATION_AE_TITLE, value.clone()),
            other => panic!("no key {other}"),
        };
    }
    root.put_items(tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE, vec![step]);
    root
}

impl Machine {
    /// Asks in GB18030, as most machines here do; the answers are read when all of them are here.
    pub async fn ask(&mut self, keys: &[(&'static str, String)]) -> (Duration, Vec<Answer>) {
        let context = &self.association.contexts()[0];
        let (id, syntax) = (context.id, context.transfer_syntax.to_string());
        let charset = CharacterSet::from_element(b"GB18030", Undeclared::Gb18030);
        let keys = identifier(keys).encode(&syntax, &charset);
        let request = Command::request(Operation::Find, 1, WORKLIST).with_data_set();
        let mut came: Vec<Bytes> = Vec::new();
        let began = Instant::now();
        self.association
            .send_with(id, &request, &keys)
            .await
            .unwrap();
        let took = loop {
            let Event::Command { command, .. } = self.association.next_response().await.unwrap()
            else {
                panic!("the archive released the association");
            };
            let status = command.status.unwrap();
            if status.class() != StatusClass::Pending {
                assert_eq!(status, Status::SUCCESS, "{:?}", command.error_comment);
                break began.elapsed();
            }
            let read = self.association.read_data_set("answer", IDENTIFIER_LIMIT);
            came.push(read.await.unwrap());
        };
        let read = |bytes: Bytes| {
            Nested::decode(&bytes, &syntax, Undeclared::default())
                .unwrap()
                .0
        };
        (
            took,
            came.into_iter().map(|bytes| Answer(read(bytes))).collect(),
        )
    }

    pub async fn release(self) {
        self.association.release().await.unwrap();
    }
}
