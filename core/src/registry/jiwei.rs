//! 基卫 (contract §1) both ways: which apps may ask the platform for forms, and where the platform asks for them.
//! Since rules version 5.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{App, His, Hospital, Registry, Sealed};
use crate::contract::jiwei::Carrier;
use crate::ids::HospitalCode;

/// What an app asks with (R11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppJiwei {
    /// 16 characters that both sides share.
    pub key: Sealed,
    /// Addresses that it may call from, and by which it is known where its address names no app; empty: any, and none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub addresses: BTreeSet<IpAddr>,
}

/// A 基卫 that the platform asks. It serves the hospitals of its HIS, each asked for by its own `yyid00`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HisJiwei {
    /// `http://` or `https://`.
    pub url: String,
    /// 16 characters that both sides share.
    pub key: Sealed,
    /// How it wants to be asked (R11).
    #[serde(default)]
    pub carrier: Carrier,
    #[serde(default = "enabled")]
    pub enabled: bool,
}

fn enabled() -> bool {
    true
}

impl Registry {
    /// The enabled app that calls from an address, if one names it.
    pub fn app_of_address(&self, address: IpAddr) -> Option<&App> {
        let address = address.to_canonical();
        let calls_from = |app: &&App| {
            let jiwei = app.jiwei.as_ref();
            app.enabled && jiwei.is_some_and(|jiwei| jiwei.addresses.contains(&address))
        };
        self.apps.values().find(calls_from)
    }

    /// The hospital that a `yyid00` means: as 基卫 numbers it, by its ID, or by its code (R15).
    pub fn hospital_of_yyid00(&self, yyid00: &str) -> Option<&Hospital> {
        let find = |is: &dyn Fn(&Hospital) -> bool| self.hospitals.values().find(|it| is(it));
        find(&|it| it.yyid00.as_deref() == Some(yyid00))
            .or_else(|| find(&|it| it.prefix.as_deref() == Some(yyid00)))
            .or_else(|| find(&|it| it.code.as_str() == yyid00))
    }

    /// The 基卫 that a hospital's forms are asked from: one that names the hospital comes before one of all hospitals.
    pub fn jiwei_of(&self, hospital: &HospitalCode) -> Option<(&His, &HisJiwei)> {
        let enabled = || {
            let all = self.his.values().filter(|his| his.enabled);
            all.filter_map(|his| Some((his, his.jiwei.as_ref().filter(|jiwei| jiwei.enabled)?)))
                .filter(|(his, _)| his.hospitals.has(hospital))
        };
        let named = enabled().find(|(his, _)| !his.hospitals.is_all());
        named.or_else(|| enabled().next())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ids::HisId;
    use crate::registry::Scope;

    fn his(id: &str, hospitals: &str, enabled: bool) -> His {
        His {
            id: HisId::new(id).unwrap(),
            hospitals: match hospitals {
                "*" => Scope::all(),
                code => Scope::of([&HospitalCode::new(code).unwrap()]),
            },
            enabled: true,
            license: Sealed("x".to_owned()),
            receiver: None,
            jiwei: Some(HisJiwei {
                url: format!("http://{id}"),
                key: Sealed("x".to_owned()),
                carrier: Carrier::Raw,
                enabled,
            }),
        }
    }

    #[test]
    fn a_hospital_is_asked_for_at_the_one_that_names_it() {
        let mut registry = Registry::default();
        for his in [
            his("a", "*", true),
            his("b", "1", true),
            his("c", "2", false),
        ] {
            registry.his.insert(his.id.clone(), his);
        }
        let asked = |code: &str| {
            let code = HospitalCode::new(code).unwrap();
            registry.jiwei_of(&code).map(|(his, _)| his.id.to_string())
        };
        assert_eq!(asked("1").unwrap(), "b");
        assert_eq!(asked("2").unwrap(), "a");
        assert_eq!(asked("3").unwrap(), "a");
    }

    #[test]
    fn a_yyid00_is_found_before_a_prefix_and_a_code() {
        let hospital = |code: &str, more: &str| -> Hospital {
            let text = format!(r#"{{"code":"{code}","name":"x"{more}}}"#);
            serde_json::from_str(&text).unwrap()
        };
        let mut registry = Registry::default();
        for hospital in [
            hospital("7173", ""),
            hospital("1", r#","prefix":"7173""#),
            hospital("2", r#","yyid00":"7173""#),
        ] {
            registry.hospitals.insert(hospital.code.clone(), hospital);
        }
        let found = |registry: &Registry| {
            let found = registry.hospital_of_yyid00("7173");
            found.map(|it| it.code.to_string())
        };
        for code in ["2", "1", "7173"] {
            assert_eq!(found(&registry).as_deref(), Some(code));
            registry.hospitals.remove(&HospitalCode::new(code).unwrap());
        }
        assert_eq!(found(&registry), None);
    }
}
