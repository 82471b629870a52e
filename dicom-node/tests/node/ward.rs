//! An archive behind a node, apply forms in it, and a machine that asks for them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use yingku_core::apply_form::{ApplyFormRow, FormSource};
use yingku_core::contract::apply_form::{FormContext, parse};
use yingku_core::contract::xml;
use yingku_core::event::{ApplyFormReceived, Event, RegistryChanged};
use yingku_core::ids::{FormKey, HospitalCode};
use yingku_core::outcome::Outcome;
use yingku_core::registry::{Hospital, Peer, RegistryChange};
use yingku_dicom_node::association::{Association, Event as Arrived, Requestor};
use yingku_dicom_node::dataset::{DataSetWriter, Nested};
use yingku_dicom_node::message::{Command, Operation};
use yingku_dicom_node::pdu::Timeouts;
use yingku_dicom_node::scp::{self, Doors, Scp, ScpSettings};
use yingku_dicom_node::scu::service_context;
use yingku_dicom_node::server::NodeConfig;
use yingku_dicom_node::status::{Status, StatusClass};
use yingku_dicom_node::text::{CharacterSet, Undeclared};
use yingku_storage::archive::{Archive, ArchiveOptions, Submission};
use yingku_storage::keys::ClusterKey;
use yingku_storage::log::EmbeddedLogOptions;
use yingku_storage::packs::PackOptions;

pub const WORKLIST: &str = "1.2.840.10008.5.1.4.31";
pub const MPPS: &str = "1.2.840.10008.3.1.2.3.3";
pub const TITLE: &str = "YINGKU";

const SAMPLE: &str = include_str!("../../../tests/fixtures/contract/syn_apply_info.xml");

/// An archive of two hospitals, prefixes 7173 and 7174, with a node in front.
pub struct Ward {
    pub archive: Archive,
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// What a form says, where it differs from the contract's sample.
#[derive(Clone)]
pub struct Form<'a> {
    pub apply_no: &'a str,
    pub name: &'a str,
    pub phonetic: &'a str,
    pub sick_no: &'a str,
    pub class: &'a str,
    pub scheduled: &'a str,
    pub device: &'a str,
    pub prefix: &'a str,
    pub sex: &'a str,
}

impl Default for Form<'_> {
    fn default() -> Self {
        Self {
            apply_no: "A1",
            name: "张小东",
            phonetic: "",
            sick_no: "P1",
            class: "CT",
            scheduled: "2026-07-04 10:30:00",
            device: "",
            prefix: "7173",
            sex: "女",
        }
    }
}

impl Form<'_> {
    fn document(&self, action: &str) -> String {
        let Form { prefix, .. } = self;
        let hospital = if *prefix == "7173" {
            "350006"
        } else {
            "350007"
        };
        SAMPLE
            .replace("<Action>INSERT<", &format!("<Action>{action}<"))
            .replace("7173_00000001", &format!("{prefix}_{}", self.apply_no))
            .replace("7173_C0001", &format!("{prefix}_{}", self.sick_no))
            .replace("肖萍", self.name)
            .replace(
                "xiaoping",
                if self.phonetic.is_empty() {
                    "123"
                } else {
                    self.phonetic
                },
            )
            .replace("<ExamClass>CT<", &format!("<ExamClass>{}<", self.class))
            .replace("<Device>320排CT<", &format!("<Device>{}<", self.device))
            .replace("<Sex>女<", &format!("<Sex>{}<", self.sex))
            .replace(
                "<ScheduledTime/>",
                &format!("<ScheduledTime>{}</ScheduledTime>", self.scheduled),
            )
            .replace("code=\"350006\"", &format!("code=\"{hospital}\""))
    }
}

impl Ward {
    pub async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = ArchiveOptions {
            log: EmbeddedLogOptions {
                reserve_bytes: 1 << 20,
                ..Default::default()
            }
            .into(),
            packs: PackOptions {
                reserve_bytes: 1 << 20,
                ..Default::default()
            },
        };
        let key = ClusterKey::from_hex(&"ab".repeat(32)).unwrap();
        let archive = Archive::open(folder.path(), options, key).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let settings = ScpSettings {
            ae_title: TITLE.to_owned(),
            accept_any_calling_ae: false,
            max_associations_per_ae: 8,
            undeclared: Undeclared::default(),
            timeouts: Timeouts::default(),
        };
        let doors = Doors {
            clear: listener,
            tls: None,
        };
        let task = tokio::spawn(scp::serve(
            doors,
            Scp::new(archive.clone(), settings),
            NodeConfig::default(),
            stop.clone(),
        ));
        let ward = Self {
            archive,
            address,
            stop,
            task,
            _folder: folder,
        };
        ward.hospital("350006", "7173", "live").await;
        ward.hospital("350007", "7174", "live").await;
        ward.peer("CT01", &["store", "worklist", "mpps"], &["350006"])
            .await;
        ward
    }

    async fn change(&self, change: RegistryChange) {
        self.submit(Event::RegistryChanged(RegistryChanged {
            changes: vec![change],
        }))
        .await;
    }

    pub async fn hospital(&self, code: &str, prefix: &str, mode: &str) {
        let json = serde_json::json!({
            "code": code, "name": "示例县医院", "prefix": prefix, "mode": mode
        });
        let hospital: Hospital = serde_json::from_value(json).unwrap();
        self.change(RegistryChange::PutHospital(hospital)).await;
    }

    pub async fn peer(&self, title: &str, services: &[&str], hospitals: &[&str]) {
        let json = serde_json::json!({
            "ae": title, "host": "127.0.0.1", "port": 1, "services": services, "hospitals": hospitals
        });
        let peer: Peer = serde_json::from_value(json).unwrap();
        self.change(RegistryChange::PutPeer(peer)).await;
    }

    async fn submit(&self, event: Event) -> Outcome {
        let submission = Submission {
            hospital: None,
            actor: "operator:test".to_owned(),
            event,
        };
        self.archive.submit(submission).await.unwrap().outcome
    }

    /// What the archive says of a form's message: `Err` with the rule by which it is refused.
    pub async fn send(&self, action: &str, form: &Form<'_>) -> Result<(), String> {
        let root = xml::read(&form.document(action)).unwrap();
        let registry = self.archive.registry();
        let context = FormContext {
            registry: &registry,
        };
        let parsed = parse(&root, context).unwrap();
        let outcome = self
            .submit(Event::ApplyFormReceived(ApplyFormReceived {
                hospital: parsed.hospital,
                source: FormSource::Soap,
                body: parsed.body,
            }))
            .await;
        match outcome {
            Outcome::Refused(refusal) => Err(refusal.rule),
            _ => Ok(()),
        }
    }

    pub fn row(&self, apply_no: &str) -> ApplyFormRow {
        let key = FormKey {
            hospital: HospitalCode::new("350006").unwrap(),
            apply_no: apply_no.to_owned(),
            generation: 0,
        };
        self.archive.views().apply_form(&key).unwrap().unwrap()
    }

    pub async fn machine(&self, title: &str) -> Machine {
        let requestor = Requestor {
            calling: title.to_owned(),
            called: TITLE.to_owned(),
            contexts: vec![service_context(WORKLIST), service_context(MPPS)],
            timeouts: Timeouts {
                response: Duration::from_secs(30),
                ..Timeouts::default()
            },
        };
        let association = requestor.connect(&self.address.to_string()).await.unwrap();
        Machine {
            association,
            last: 0,
        }
    }

    pub async fn close(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// The other end of an association.
pub struct Machine {
    pub association: Association,
    last: u16,
}

/// What a question came to.
pub struct Found {
    pub entries: Vec<Nested>,
    pub pending: Vec<Status>,
    pub status: Status,
    pub comment: String,
    /// Of the last answer: how it was written, byte for byte.
    pub charset: String,
    pub raw: Vec<u8>,
}

impl Found {
    pub fn numbers(&self) -> Vec<&str> {
        let tag = dicom_dictionary_std::tags::ACCESSION_NUMBER;
        self.entries.iter().map(|entry| entry.text(tag)).collect()
    }
}

impl Machine {
    pub fn context(&self, class: &str) -> (u8, String) {
        let contexts = self.association.contexts().iter();
        let mut agreed = contexts.filter(|context| &*context.abstract_syntax == class);
        let context = agreed.next().expect("agreed");
        (context.id, context.transfer_syntax.to_string())
    }

    pub async fn find(&mut self, keys: &DataSetWriter, charset: &str) -> Found {
        let (context, syntax) = self.context(WORKLIST);
        self.last += 1;
        let request = Command::request(Operation::Find, self.last, WORKLIST).with_data_set();
        let charset = CharacterSet::from_element(charset.as_bytes(), Undeclared::Gb18030);
        let keys = keys.encode(&syntax, &charset);
        self.association
            .send_with(context, &request, &keys)
            .await
            .unwrap();
        let mut found = Found {
            entries: Vec::new(),
            pending: Vec::new(),
            status: Status::SUCCESS,
            comment: String::new(),
            charset: String::new(),
            raw: Vec::new(),
        };
        loop {
            let answer = self.answer().await;
            let status = answer.status.unwrap();
            if status.class() != StatusClass::Pending {
                found.status = status;
                found.comment = answer.error_comment.unwrap_or_default();
                return found;
            }
            let bytes = self.data_set().await;
            let (entry, charset) = Nested::decode(&bytes, &syntax, Undeclared::Gb18030).unwrap();
            found.charset = charset.terms().to_owned();
            found.entries.push(entry);
            found.pending.push(status);
            found.raw = bytes;
        }
    }

    /// N-CREATE or N-SET.
    pub async fn report(
        &mut self,
        operation: Operation,
        step: Option<&str>,
        attributes: &DataSetWriter,
    ) -> Command {
        let (context, syntax) = self.context(MPPS);
        self.last += 1;
        let mut request = Command::request(operation, self.last, MPPS).with_data_set();
        request.sop_instance = step.map(str::to_owned);
        let bytes = attributes.encode(&syntax, &CharacterSet::utf8());
        self.association
            .send_with(context, &request, &bytes)
            .await
            .unwrap();
        let answer = self.answer().await;
        assert_eq!(answer.operation, operation);
        answer
    }

    pub async fn answer(&mut self) -> Command {
        match self.association.next_response().await.unwrap() {
            Arrived::Command { command, .. } => command,
            Arrived::Release => panic!("released"),
        }
    }

    pub async fn data_set(&mut self) -> Vec<u8> {
        let bytes = self.association.read_data_set("answer", 1 << 20).await;
        bytes.unwrap().to_vec()
    }
}
