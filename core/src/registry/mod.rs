//! The registry: hospitals, apps, peers and the settings that rules read. Changed by events, so every node and every
//! replay has the same one.

mod clinic;
mod gateway;
mod his;
mod image_url;
mod index;
mod jiwei;
mod node;
mod own_only;
mod peer;
mod retention;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::contract::policy::ValidationPolicy;
use crate::dictionaries::{ClassAliases, Placeholders};
use crate::ids::{AeTitle, AppId, HisId, HospitalCode};
use crate::national_index::CreditCode;

pub use clinic::{Clinic, ClinicFault, NETWORKS_LIMIT, Network, NetworkError, Origin, OriginError};
pub use gateway::{GATEWAY_ASSOCIATIONS_LIMIT, Gateway, Hours, HoursError, ImageWay, PullMethod};
pub use his::{
    Escaping, His, IMAGE_URL_PLACES, NoticeCharset, Receiver, SoapVersion, unknown_place_of,
};
pub use image_url::ImageUrl;
pub use index::{ID_TYPE_LIMIT, IndexSettings};
pub use jiwei::{AppJiwei, HisJiwei};
pub use node::{Lease, Node};
pub use own_only::OwnOnly;
pub use peer::{Peer, Service};
pub use retention::{RULES_LIMIT, RetentionRule, SHORTEST_MONTHS, canonical as canonical_source};

/// Everything that is registered, as of one position of the log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Registry {
    pub hospitals: BTreeMap<HospitalCode, Hospital>,
    pub apps: BTreeMap<AppId, App>,
    pub peers: BTreeMap<AeTitle, Peer>,
    /// Since rules version 5.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub his: BTreeMap<HisId, His>,
    pub settings: Settings,
    /// By number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<u16, Node>,
    /// By duty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leases: BTreeMap<String, Lease>,
    /// The rules version in force; a newer one is used only after an event activates it, so that nodes of two
    /// releases agree.
    pub rules: u32,
}

/// How a hospital takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum HospitalMode {
    /// Fully checked, but marked, uncounted and purgeable.
    Test,
    #[default]
    Live,
    /// Nothing new is taken; what is there stays readable.
    Suspended,
}

/// How PatientID and AccessionNumber of an instance are compared with what was pushed (R8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    Exact,
    /// Blanks and leading zeros aside, accession cut at 16 characters, an absent accessionNo not compared.
    #[default]
    Normalised,
    /// By Study Instance UID only.
    Study,
}

/// What registers a hospital's exams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum ExamWay {
    /// Its PACS pushes each (contract §2.3).
    #[default]
    Push,
    /// Scenario 3: there is no push, or a late one; images and procedure steps that are for an apply form register its exam
    /// (R16).
    Forms,
}

impl ExamWay {
    fn is_push(&self) -> bool {
        *self == Self::Push
    }
}

/// 医院: one hospital and all its codes (R15).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hospital {
    pub code: HospitalCode,
    pub name: String,
    /// 医院ID: prefix of this hospital's numbers in other systems, `7173` in `7173_brid00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// This hospital's code in 基卫.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yyid00: Option<String>,
    #[serde(default)]
    pub mode: HospitalMode,
    #[serde(default)]
    pub matching: Matching,
    /// Days for which instances without a pushed exam are kept aside; absent: they are refused (R8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_days: Option<u16>,
    #[serde(default)]
    pub validation: ValidationPolicy,
    /// Generation of exam numbers in use (R6).
    #[serde(default)]
    pub generation: u16,
    /// By which way images come (contract §2.3). Since rules version 5.
    #[serde(default, skip_serializing_if = "ImageWay::is_store")]
    pub images: ImageWay,
    /// From where they are fetched. Since rules version 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// What registers its exams. Since rules version 6.
    #[serde(default, skip_serializing_if = "ExamWay::is_push")]
    pub exams: ExamWay,
    /// Exams that readers of other hospitals never see. Since rules version 6.
    #[serde(default, skip_serializing_if = "OwnOnly::is_empty")]
    pub own_only: OwnOnly,
    /// 统一社会信用代码 of the unit, for the national imaging index. Since rules version 7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_code: Option<CreditCode>,
    /// Whose browsers may open the clinic page without a signed link. Since rules version 7.
    #[serde(default, skip_serializing_if = "Clinic::is_empty")]
    pub clinic: Clinic,
}

impl Hospital {
    /// Whether what is pushed is fetched by itself.
    pub fn is_pulled(&self) -> bool {
        self.images == ImageWay::Pull && self.gateway.is_some()
    }
}

/// Hospitals that something extends to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Scope(BTreeSet<String>);

impl Scope {
    pub fn all() -> Self {
        Self(BTreeSet::from(["*".to_owned()]))
    }

    pub fn of<'a>(codes: impl IntoIterator<Item = &'a HospitalCode>) -> Self {
        Self(
            codes
                .into_iter()
                .map(|code| code.as_str().to_owned())
                .collect(),
        )
    }

    pub fn is_all(&self) -> bool {
        self.0.contains("*")
    }

    pub fn has(&self, hospital: &HospitalCode) -> bool {
        self.is_all() || self.0.contains(hospital.as_str())
    }

    /// The only hospital that it names, if it names exactly one.
    pub fn single(&self) -> Option<HospitalCode> {
        match (self.is_all(), self.0.len(), self.0.first()) {
            (false, 1, Some(code)) => HospitalCode::new(code).ok(),
            _ => None,
        }
    }

    /// Named codes, `*` for all.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// What an app may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// push, uploadStatistics, uploadDetail, withdraw of what it pushed
    Push,
    Read,
    Cite,
    Supervise,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum EnvelopeShape {
    #[default]
    Flat,
    /// `{"content":{…}}` (R2)
    Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum StatusType {
    #[default]
    Number,
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum HttpStatus {
    /// HTTP 200 with `status` in the body: usual Java and .NET clients drop the body of a 4xx (R2).
    #[default]
    Envelope,
    /// 401 and 403 as HTTP knows them.
    Real,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum ResultShape {
    #[default]
    Object,
    Array,
}

/// A client of the interfaces: a vendor's PACS, a health record.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    pub id: AppId,
    /// The hospital that a sign names as `orgId`, besides those of `hospitals`.
    pub org: HospitalCode,
    pub hospitals: Scope,
    pub rights: BTreeSet<Right>,
    pub enabled: bool,
    /// Raised when tokens must end: disabling, a new license (R4).
    pub epoch: u32,
    pub license: Sealed,
    /// PKCS#8 of the RSA private key.
    pub private_key: Sealed,
    /// SubjectPublicKeyInfo, DER in Base64.
    pub public_key: String,
    #[serde(default)]
    pub envelope: EnvelopeShape,
    #[serde(default)]
    pub status_type: StatusType,
    #[serde(default)]
    pub http_status: HttpStatus,
    #[serde(default)]
    pub result_shape: ResultShape,
    #[serde(default)]
    pub require_time: bool,
    #[serde(default = "default_time_window_minutes")]
    pub time_window_minutes: u16,
    /// For its questions in the way of 基卫; absent: it has none. Since rules version 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jiwei: Option<AppJiwei>,
}

/// R3: a sign's time must lie within ten minutes.
pub fn default_time_window_minutes() -> u16 {
    10
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("id", &self.id)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// A secret sealed under the cluster key, in Base64; what is in it only `storage::keys` can say.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub String);

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed(…)")
    }
}

/// Settings that rules read, besides those of each hospital.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// IANA name; times of the contract are local times.
    pub time_zone: String,
    /// What vendors call a class, upper case → dictionary code (R10).
    pub class_aliases: ClassAliases,
    /// Apply-form numbers that stand for none (R10).
    pub placeholder_apply_nos: Placeholders,
    /// How long images are kept, the first rule that fits. Since rules version 4.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retention: Vec<RetentionRule>,
    /// The project's unified code: a prefix of numbers beside the hospitals' own (R15). Since rules version 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_prefix: Option<String>,
    /// Address that opens an exam's images, with `{studyUID}`, `{examNo}`, `{hospitalCode}`, `{expires}` and `{signature}`
    /// in it; absent: notices carry none. Since rules version 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url: Option<ImageUrl>,
    /// Hours after the planned time from which a form without an exam is overdue, where nobody asks for others. Since
    /// rules version 5.
    #[serde(skip_serializing_if = "is_usual_overdue")]
    pub form_overdue_hours: u32,
    /// How the national imaging index is made; absent: it is not. Since rules version 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub national_index: Option<IndexSettings>,
}

/// Three days: weekends and appointments that were moved by a day are nothing unusual.
const USUAL_FORM_OVERDUE_HOURS: u32 = 72;

fn is_usual_overdue(hours: &u32) -> bool {
    *hours == USUAL_FORM_OVERDUE_HOURS
}

impl Settings {
    /// Whether it says something that only rules version 5 knows.
    pub fn needs_forms(&self) -> bool {
        self.project_prefix.is_some()
            || self.image_url.is_some()
            || !is_usual_overdue(&self.form_overdue_hours)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time_zone: "Asia/Shanghai".to_owned(),
            class_aliases: ClassAliases::default(),
            placeholder_apply_nos: Placeholders::default(),
            retention: Vec::new(),
            project_prefix: None,
            image_url: None,
            form_overdue_hours: USUAL_FORM_OVERDUE_HOURS,
            national_index: None,
        }
    }
}

/// One change of the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", content = "value", rename_all = "camelCase")]
pub enum RegistryChange {
    PutHospital(Hospital),
    RemoveHospital(HospitalCode),
    PutApp(App),
    RemoveApp(AppId),
    PutPeer(Peer),
    RemovePeer(AeTitle),
    PutSettings(Settings),
    PutHis(His),
    RemoveHis(HisId),
}

/// Why nothing is taken of a hospital.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    Unknown,
    Suspended,
}

impl Closed {
    /// What is wrong and what to do, for whoever sent it.
    pub fn message(self) -> &'static str {
        match self {
            Self::Unknown => {
                "医院代码未在平台登记，请核对平台分配的代码 (hospitalCode is not registered: check the code given by the platform)"
            }
            Self::Suspended => {
                "该医院已暂停接入，请联系平台管理员 (this hospital is suspended: ask the operator)"
            }
        }
    }
}

impl Registry {
    /// The node of a data directory.
    pub fn node_of(&self, id: &Uuid) -> Option<&Node> {
        self.nodes
            .values()
            .find(|node| node.id.as_ref() == Some(id))
    }

    /// Whether and why a hospital may bring nothing.
    pub fn closed(&self, hospital: &HospitalCode) -> Option<Closed> {
        match self.hospitals.get(hospital).map(|entry| entry.mode) {
            None => Some(Closed::Unknown),
            Some(HospitalMode::Suspended) => Some(Closed::Suspended),
            Some(HospitalMode::Live | HospitalMode::Test) => None,
        }
    }

    pub fn apply(&mut self, change: RegistryChange) {
        match change {
            RegistryChange::PutHospital(hospital) => {
                self.hospitals.insert(hospital.code.clone(), hospital);
            }
            RegistryChange::RemoveHospital(code) => {
                self.hospitals.remove(&code);
            }
            RegistryChange::PutApp(app) => {
                self.apps.insert(app.id.clone(), app);
            }
            RegistryChange::RemoveApp(id) => {
                self.apps.remove(&id);
            }
            RegistryChange::PutPeer(peer) => {
                self.peers.insert(peer.ae.clone(), peer);
            }
            RegistryChange::RemovePeer(ae) => {
                self.peers.remove(&ae);
            }
            RegistryChange::PutSettings(settings) => self.settings = settings,
            RegistryChange::PutHis(his) => {
                self.his.insert(his.id.clone(), his);
            }
            RegistryChange::RemoveHis(id) => {
                self.his.remove(&id);
            }
        }
    }
}
