//! HIS 医院信息系统: who sends apply forms, and where its status notices go (contract §3).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{HisJiwei, Registry, Scope, Sealed};
use crate::ids::{HisId, HospitalCode};
use crate::notice::NoticeStatus;

/// A HIS of one hospital or of several.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct His {
    pub id: HisId,
    /// Hospitals whose forms it sends, and of whose exams it is told.
    pub hospitals: Scope,
    pub enabled: bool,
    /// `Header/License` of its messages.
    pub license: Sealed,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<Receiver>,
    /// Where its forms are asked for by card number (§1); absent: it sends them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jiwei: Option<HisJiwei>,
}

impl std::fmt::Debug for His {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("His")
            .field("id", &self.id)
            .field("hospitals", &self.hospitals)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

impl His {
    /// Where notices of a hospital and a status go, if they are wanted.
    pub fn wants(&self, hospital: &HospitalCode, status: NoticeStatus) -> Option<&Receiver> {
        let receiver = self.receiver.as_ref()?;
        let is_wanted = self.enabled && receiver.enabled && self.hospitals.has(hospital);
        (is_wanted && receiver.statuses.contains(&status)).then_some(receiver)
    }
}

/// A receiver of notices and how it wants them (R12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// `http://` or `https://`.
    pub url: String,
    #[serde(default = "enabled")]
    pub enabled: bool,
    #[serde(default)]
    pub soap: SoapVersion,
    /// Of the operation's element; empty: none.
    #[serde(default = "usual_namespace")]
    pub namespace: String,
    #[serde(default = "usual_operation")]
    pub operation: String,
    #[serde(default = "usual_parameter")]
    pub parameter: String,
    /// Whether the parameter's element is of the namespace too, as .NET's services want it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub qualified: bool,
    /// SOAPAction; empty: `""`.
    #[serde(default)]
    pub action: String,
    #[serde(default)]
    pub escaping: Escaping,
    #[serde(default)]
    pub charset: NoticeCharset,
    #[serde(default = "all_statuses")]
    pub statuses: BTreeSet<NoticeStatus>,
}

fn enabled() -> bool {
    true
}

fn usual_namespace() -> String {
    "urn:yingku:syn-info".to_owned()
}

fn usual_operation() -> String {
    "SynStatusInfo".to_owned()
}

fn usual_parameter() -> String {
    "inputString".to_owned()
}

fn all_statuses() -> BTreeSet<NoticeStatus> {
    BTreeSet::from(NoticeStatus::ALL)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum SoapVersion {
    #[default]
    #[serde(rename = "1.1")]
    Soap11,
    #[serde(rename = "1.2")]
    Soap12,
}

/// How the notice's own XML stands in the parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Escaping {
    #[default]
    Escaped,
    Cdata,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum NoticeCharset {
    #[default]
    #[serde(rename = "UTF-8")]
    Utf8,
    #[serde(rename = "GBK")]
    Gbk,
}

impl Registry {
    /// Receivers of a hospital's notices of a status.
    pub fn told_of<'r>(
        &'r self,
        hospital: &'r HospitalCode,
        status: NoticeStatus,
    ) -> impl Iterator<Item = &'r His> {
        let all = self.his.values();
        all.filter(move |his| his.wants(hospital, status).is_some())
    }
}

/// Places that an address of images may have.
pub const IMAGE_URL_PLACES: [&str; 5] =
    ["studyUID", "examNo", "hospitalCode", "expires", "signature"];

/// The first `{…}` of a pattern of addresses that stands for nothing.
pub fn unknown_place_of(pattern: &str) -> Option<&str> {
    let mut places = pattern.split('{').skip(1);
    places.find_map(|rest| {
        let place = rest.split_once('}').map_or(rest, |(place, _)| place);
        (!IMAGE_URL_PLACES.contains(&place)).then_some(place)
    })
}
