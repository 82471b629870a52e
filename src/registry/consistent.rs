//! What a registry file must not say beside what is registered: two hospitals of one number, hospitals that are not there.

use std::collections::BTreeMap;

use yingku_core::ids::HospitalCode;
use yingku_core::registry::{Hospital, Registry, Scope};

use super::file::RegistryFile;
use super::jiwei;

/// Refuses a file whose entries contradict each other or what stays registered. What it does not name is not looked at.
pub(super) fn check_against(registry: &Registry, file: &RegistryFile) -> anyhow::Result<()> {
    let mut hospitals: BTreeMap<&HospitalCode, &Hospital> = registry.hospitals.iter().collect();
    hospitals.extend(file.hospitals.iter().map(|it| (&it.code, it)));
    // R15: a number's prefix identifies the hospital; so does yyid00 in 基卫.
    one_hospital_each(file, &hospitals, "prefix", |it| it.prefix.as_deref())?;
    one_hospital_each(file, &hospitals, "yyid00", |it| it.yyid00.as_deref())?;
    let settings = file.settings.as_ref().unwrap_or(&registry.settings);
    one_meaning_each(file, &hospitals, settings.project_prefix.as_deref())?;
    jiwei::one_app_each(registry, file)?;
    let known = |who: &str, code: &str| {
        let known = hospitals.keys().any(|known| known.as_str() == code);
        anyhow::ensure!(
            known,
            "{who}: 没有登记医院 {code}，请先登记 (hospital {code} is not registered)"
        );
        Ok(())
    };
    // What is registered so is exported so, and an export must come back.
    let all_known = |who: &str, scope: &Scope, registered: Option<&Scope>| {
        let new = scope.codes().filter(|code| *code != "*");
        let mut new = new.filter(|code| !registered.is_some_and(|it| names(it, code)));
        new.try_for_each(|code| known(who, code))
    };
    for app in &file.apps {
        let who = format!("app {}", app.id);
        let registered = registry.apps.get(&app.id);
        if registered.is_none_or(|registered| registered.org != app.org) {
            known(&who, app.org.as_str())?;
        }
        all_known(&who, &app.hospitals, registered.map(|it| &it.hospitals))?;
    }
    for peer in &file.peers {
        let registered = registry.peers.get(&peer.ae);
        let who = format!("peer {}", peer.ae);
        all_known(&who, &peer.hospitals, registered.map(|it| &it.hospitals))?;
    }
    for his in &file.his {
        let registered = registry.his.get(&his.id);
        let who = format!("his {}", his.id);
        all_known(&who, &his.hospitals, registered.map(|it| &it.hospitals))?;
    }
    Ok(())
}

/// Whether a scope names a hospital by its code, not as one of all.
pub(super) fn names(scope: &Scope, code: &str) -> bool {
    scope.codes().any(|named| named == code)
}

fn one_hospital_each(
    file: &RegistryFile,
    hospitals: &BTreeMap<&HospitalCode, &Hospital>,
    key: &str,
    number: fn(&Hospital) -> Option<&str>,
) -> anyhow::Result<()> {
    for hospital in &file.hospitals {
        let Some(own) = number(hospital) else {
            continue;
        };
        let other = hospitals
            .values()
            .find(|other| other.code != hospital.code && number(other) == Some(own));
        if let Some(other) = other {
            anyhow::bail!(
                "医院 {} 与 {} 的 {key} 同为 {own}，请改正 (hospitals {} and {} have one {key})",
                hospital.code,
                other.code,
                hospital.code,
                other.code
            );
        }
    }
    Ok(())
}

/// A number is split at its first underscore, and what stands before it is any of a hospital's codes (R15): none has an
/// underscore, and none is another hospital's, or the project's.
fn one_meaning_each(
    file: &RegistryFile,
    hospitals: &BTreeMap<&HospitalCode, &Hospital>,
    project: Option<&str>,
) -> anyhow::Result<()> {
    for hospital in &file.hospitals {
        for (key, own) in codes(hospital) {
            anyhow::ensure!(
                !own.contains('_'),
                "医院 {}: {key} 不能含下划线，号码在第一个下划线处拆分 (must have no underscore: numbers are split at the first)",
                hospital.code
            );
            anyhow::ensure!(
                project != Some(own),
                "医院 {} 的 {key} 与 settings.project_prefix 同为 {own}，请改正 (is the project's prefix too)",
                hospital.code
            );
            let others = hospitals.values().filter(|it| it.code != hospital.code);
            for other in others {
                if let Some((its, _)) = codes(other).find(|(_, code)| *code == own) {
                    anyhow::bail!(
                        "医院 {} 的 {key} 与医院 {} 的 {its} 同为 {own}，号码不知归谁，请改正 ({key} of hospital {} is {its} of hospital {})",
                        hospital.code,
                        other.code,
                        hospital.code,
                        other.code
                    );
                }
            }
        }
    }
    Ok(())
}

/// What may stand before a number of the hospital's.
fn codes(hospital: &Hospital) -> impl Iterator<Item = (&'static str, &str)> {
    let own = [
        ("code", Some(hospital.code.as_str())),
        ("prefix", hospital.prefix.as_deref()),
        ("yyid00", hospital.yyid00.as_deref()),
    ];
    own.into_iter().filter_map(|(key, code)| Some((key, code?)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use yingku_core::registry::RegistryChange;

    fn hospital(code: &str, more: &str) -> String {
        format!("[[hospital]]\ncode = \"{code}\"\nname = \"甲\"\n{more}\n")
    }

    fn registered(text: &str) -> Registry {
        let mut registry = Registry::default();
        for hospital in RegistryFile::parse(text).unwrap().hospitals {
            registry.apply(RegistryChange::PutHospital(hospital));
        }
        registry
    }

    fn refusal(registry: &Registry, text: &str) -> String {
        let file = RegistryFile::parse(text).unwrap();
        check_against(registry, &file).unwrap_err().to_string()
    }

    #[test]
    fn two_hospitals_of_one_number_are_both_named() {
        let one = hospital("1", "prefix = \"7173\"\nyyid00 = \"6930\"");
        for more in ["prefix = \"7173\"", "yyid00 = \"6930\""] {
            let two = hospital("2", more);
            for said in [
                refusal(&registered(&one), &two),
                refusal(&Registry::default(), &(one.clone() + &two)),
            ] {
                assert!(said.contains('1') && said.contains('2'), "{said}");
                assert!(said.contains(more.split(' ').next().unwrap()), "{said}");
            }
        }
        // the number of a hospital that gives it up in the same file is free
        let moved = hospital("1", "prefix = \"1\"") + &hospital("2", "prefix = \"7173\"");
        let file = RegistryFile::parse(&moved).unwrap();
        check_against(&registered(&one), &file).unwrap();
    }

    #[test]
    fn what_stands_before_a_number_means_one_hospital() {
        let one = registered(&hospital("350006", "prefix = \"7173\"\nyyid00 = \"6930\""));
        for more in [
            "prefix = \"350006\"",
            "prefix = \"6930\"",
            "yyid00 = \"7173\"",
        ] {
            let said = refusal(&one, &hospital("2", more));
            assert!(said.contains("350006") && said.contains('2'), "{said}");
        }
        assert!(refusal(&one, &hospital("7173", "")).contains("7173"));
        assert!(refusal(&one, &hospital("2", "prefix = \"71_73\"")).contains("下划线"));
        let project = "[settings]\nproject_prefix = \"3500\"\n".to_owned();
        let text = project + &hospital("2", "prefix = \"3500\"");
        assert!(refusal(&one, &text).contains("project_prefix"));
        // One hospital's own codes may be the same
        let same = hospital("2", "prefix = \"2\"\nyyid00 = \"2\"");
        check_against(&one, &RegistryFile::parse(&same).unwrap()).unwrap();
    }

    #[test]
    fn an_app_or_peer_of_a_hospital_that_is_not_there_is_refused_with_both_names() {
        let registry = registered(&hospital("1", ""));
        let app = |org: &str, hospitals: &str| {
            format!(
                "[[app]]\nid = \"vendor\"\nlicense = \"x\"\norg = \"{org}\"\nrights = [\"push\"]\nhospitals = [\"{hospitals}\"]"
            )
        };
        let peer = "[[peer]]\nae = \"CT\"\nhost = \"h\"\nport = 1\nhospitals = [\"9\"]";
        for (text, who) in [
            (app("9", "1"), "app vendor"),
            (app("1", "9"), "app vendor"),
            (peer.to_owned(), "peer CT"),
        ] {
            let said = refusal(&registry, &text);
            assert!(said.contains(who) && said.contains("医院 9"), "{said}");
        }
        let good = RegistryFile::parse(&app("1", "*")).unwrap();
        check_against(&registry, &good).unwrap();
    }
}
