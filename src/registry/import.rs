//! Brings a registry file into the log: what differs from the registry in force becomes events.

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore;
use rand::rngs::OsRng;
use yingku_core::event::{
    CARE_SINCE_RULES, CLINIC_SINCE_RULES, Event, FORMS_SINCE_RULES, INDEX_SINCE_RULES,
    PULLS_SINCE_RULES, REGISTRATION_SINCE_RULES, RegistryChanged,
};
use yingku_core::ids::{AeTitle, AppId, HisId, HospitalCode};
use yingku_core::notice::NoticeState;
use yingku_core::outcome::Outcome;
use yingku_core::registry::{App, ExamWay, His, Registry, RegistryChange, Sealed, Service};
use yingku_storage::archive::{Archive, Submission};
use yingku_storage::keys::{ClusterKey, Purpose, generate_app_keys};
use yingku_storage::views::Walk;

use super::consistent::{check_against, names};
use super::file::{AppEntry, HisEntry, RegistryFile, SealedSecrets};

/// Changes of one record: an app with its sealed keys takes some 6 KB of the log's 1 MiB.
const CHANGES_OF_RECORD: usize = 50;

/// A license that nobody may guess.
const UNKNOWN_LICENSE_BYTES: usize = 32;

/// Behind every day that a declaration may name.
const LAST_DAY: &str = "9999-12-31";

/// What an import did, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub unchanged: usize,
}

/// Puts what the file names; what it does not name stays.
pub async fn import(
    archive: &Archive,
    file: RegistryFile,
    actor: &str,
) -> anyhow::Result<ImportReport> {
    let registry = archive.registry();
    let key = archive.key().clone();
    // An app that was removed and comes again must not find its old tokens' epoch: the log's positions never repeat,
    // and an epoch is raised by one at most with each record, so it stays behind them.
    let first_epoch = archive.views().cursor()?.next.0 as u32;
    // RSA keys are made here: seconds for a large file.
    let (changes, report) =
        tokio::task::spawn_blocking(move || plan(&registry, &key, file, first_epoch)).await??;
    submit(archive, changes, actor).await?;
    Ok(report)
}

/// Takes an entry out of the registry. A hospital goes only when nothing needs it: without it its images are nobody's,
/// and its numbers would start again at the first generation.
pub async fn remove(archive: &Archive, kind: &str, name: &str, actor: &str) -> anyhow::Result<()> {
    archive.catch_up().await?;
    let registry = archive.registry();
    let (known, change) = match kind {
        "hospital" => {
            let code = HospitalCode::new(name)?;
            named_by_none(&registry, &code)?;
            anyhow::ensure!(
                !archive.views().has_exams(&code)?,
                "hospital {code} 有检查，不能移除：不再接收请设 mode = \"suspended\"；仅有测试数据的可先 yingku purge-test-data {code} (has exams and stays: set its mode to suspended, or purge what was tested first)"
            );
            let mut declared = false;
            let mut visit = |_, _| {
                declared = true;
                Walk::Stop
            };
            archive
                .views()
                .visit_declarations(&code, "", LAST_DAY, &mut visit)?;
            anyhow::ensure!(
                !declared,
                "hospital {code} 有申报数，不能移除：不再接收请设 mode = \"suspended\" (has declarations and stays: set its mode to suspended)"
            );
            (
                registry.hospitals.contains_key(&code),
                RegistryChange::RemoveHospital(code),
            )
        }
        "app" => {
            let id = AppId::new(name)?;
            (
                registry.apps.contains_key(&id),
                RegistryChange::RemoveApp(id),
            )
        }
        "peer" => {
            let ae = AeTitle::new(name)?;
            (
                registry.peers.contains_key(&ae),
                RegistryChange::RemovePeer(ae),
            )
        }
        "his" => {
            let id = HisId::new(name)?;
            let mut is_owed = false;
            for state in [NoticeState::Open, NoticeState::Stopped] {
                let mut visit = |_| {
                    is_owed = true;
                    Walk::Stop
                };
                archive
                    .views()
                    .visit_notices(&id, state, None, &mut visit)?;
            }
            anyhow::ensure!(
                !is_owed,
                "his {id} 尚有未收下的状态通知，不能移除：见 yingku notices list；不再发送请设 receiver.enabled = false (has notices that were not taken and stays: see yingku notices list)"
            );
            (
                registry.his.contains_key(&id),
                RegistryChange::RemoveHis(id),
            )
        }
        _ => bail!("{kind}: 只有 hospital、app、peer、his (one of hospital, app, peer, his)"),
    };
    anyhow::ensure!(known, "没有登记 {kind} {name} (is not registered)");
    submit(archive, vec![change], actor).await
}

/// Refuses if an app, a peer or a HIS names the hospital: what is exported could not be imported any more.
fn named_by_none(registry: &Registry, code: &HospitalCode) -> anyhow::Result<()> {
    let names = |scope| names(scope, code.as_str());
    let apps = registry.apps.values();
    let apps = apps.filter(|app| app.org == *code || names(&app.hospitals));
    let peers = registry.peers.values();
    let peers = peers.filter(|peer| names(&peer.hospitals));
    let his = registry.his.values();
    let his = his.filter(|his| names(&his.hospitals));
    let named_by: Vec<String> = apps
        .map(|app| format!("app {}", app.id))
        .chain(peers.map(|peer| format!("peer {}", peer.ae)))
        .chain(his.map(|his| format!("his {}", his.id)))
        .collect();
    anyhow::ensure!(
        named_by.is_empty(),
        "hospital {code} 由 {0} 引用，不能移除：请先改这些登记项，或将该医院设 mode = \"suspended\" (is named by {0}: change those first, or set its mode to suspended)",
        named_by.join("、")
    );
    Ok(())
}

async fn submit(
    archive: &Archive,
    mut changes: Vec<RegistryChange>,
    actor: &str,
) -> anyhow::Result<()> {
    while !changes.is_empty() {
        let rest = changes.split_off(changes.len().min(CHANGES_OF_RECORD));
        let event = Event::RegistryChanged(RegistryChanged { changes });
        let submission = Submission {
            hospital: None,
            actor: actor.to_owned(),
            event,
        };
        if let Outcome::Refused(refusal) = archive.submit(submission).await?.outcome {
            bail!("{}", refusal.message);
        }
        changes = rest;
    }
    Ok(())
}

pub(super) fn plan(
    registry: &Registry,
    key: &ClusterKey,
    file: RegistryFile,
    first_epoch: u32,
) -> anyhow::Result<(Vec<RegistryChange>, ImportReport)> {
    check_against(registry, &file)?;
    let mut changes = Vec::new();
    let mut report = ImportReport::default();
    let mut put = |standing: Standing, name: String, change: RegistryChange| {
        match standing {
            Standing::Unchanged => {
                report.unchanged += 1;
                return;
            }
            Standing::Changed => report.changed.push(name),
            Standing::New => report.added.push(name),
        }
        changes.push(change);
    };
    if let Some(settings) = file.settings {
        anyhow::ensure!(
            settings.retention.is_empty() || registry.rules >= CARE_SINCE_RULES,
            "settings.retention: 须先启用规则版本 {CARE_SINCE_RULES}：yingku activate-rules (activate the rules of this release first)"
        );
        if settings.needs_forms() {
            let named = "settings.project_prefix, settings.image_url, settings.form_overdue_hours";
            forms_are_active(registry, named)?;
        }
        if settings.national_index.is_some() {
            rules_are_active(registry, INDEX_SINCE_RULES, "settings.national_index")?;
        }
        put(
            Standing::of(Some(&registry.settings), &settings),
            "settings".to_owned(),
            RegistryChange::PutSettings(settings),
        );
    }
    for mut hospital in file.hospitals {
        let known = registry.hospitals.get(&hospital.code);
        // A ruling may have opened a new generation of numbers (R6): a file that is older must not undo it.
        hospital.generation = hospital
            .generation
            .max(known.map_or(0, |known| known.generation));
        let standing = Standing::of(known, &hospital);
        let name = format!("hospital {}", hospital.code);
        if !hospital.images.is_store() || hospital.gateway.is_some() {
            rules_are_active(registry, PULLS_SINCE_RULES, &name)?;
        }
        if hospital.exams != ExamWay::Push || !hospital.own_only.is_empty() {
            rules_are_active(registry, REGISTRATION_SINCE_RULES, &name)?;
        }
        if hospital.credit_code.is_some() {
            rules_are_active(registry, INDEX_SINCE_RULES, &name)?;
        }
        if !hospital.clinic.is_empty() {
            rules_are_active(registry, CLINIC_SINCE_RULES, &name)?;
        }
        put(standing, name, RegistryChange::PutHospital(hospital));
    }
    for entry in file.apps {
        let known = registry.apps.get(&entry.id);
        let name = format!("app {}", entry.id);
        if entry.jiwei.is_some() {
            forms_are_active(registry, &name)?;
        }
        let app = app_of(entry, known, key, first_epoch).with_context(|| name.clone())?;
        put(Standing::of(known, &app), name, RegistryChange::PutApp(app));
    }
    for peer in file.peers {
        let standing = Standing::of(registry.peers.get(&peer.ae), &peer);
        let name = format!("peer {}", peer.ae);
        let is_new = |service| peer.services.contains(service);
        if Service::SINCE_FORMS.iter().any(is_new) {
            forms_are_active(registry, &name)?;
        }
        put(standing, name, RegistryChange::PutPeer(peer));
    }
    for entry in file.his {
        let known = registry.his.get(&entry.id);
        let name = format!("his {}", entry.id);
        forms_are_active(registry, &name)?;
        let his = his_of(entry, known, key).with_context(|| name.clone())?;
        put(Standing::of(known, &his), name, RegistryChange::PutHis(his));
    }
    Ok((changes, report))
}

/// Nodes of an earlier release would stop at what they do not know.
fn forms_are_active(registry: &Registry, what: &str) -> anyhow::Result<()> {
    rules_are_active(registry, FORMS_SINCE_RULES, what)
}

fn rules_are_active(registry: &Registry, since: u32, what: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        registry.rules >= since,
        "{what}: 须先启用规则版本 {since}：yingku activate-rules (activate the rules of this release first)"
    );
    Ok(())
}

/// The HIS as it will be: without a new license it keeps its own.
fn his_of(entry: HisEntry, known: Option<&His>, key: &ClusterKey) -> anyhow::Result<His> {
    let license = match (entry.sealed_license, entry.license, known) {
        (Some(sealed), ..) => {
            key.open(Purpose::License, &sealed)?;
            sealed
        }
        (None, None, Some(known)) => known.license.clone(),
        // It is asked and sends nothing: a license that nobody knows.
        (None, None, None) if entry.jiwei.is_some() => {
            let mut secret = [0; UNKNOWN_LICENSE_BYTES];
            OsRng.fill_bytes(&mut secret);
            key.seal(Purpose::License, &secret)?
        }
        (None, None, None) => bail!("新 HIS 须给出 license (a new HIS needs a license)"),
        (None, Some(license), Some(known)) if opens_to(key, &known.license, &license)? => {
            known.license.clone()
        }
        (None, Some(license), _) => key.seal(Purpose::License, license.as_bytes())?,
    };
    let known = known.and_then(|known| known.jiwei.as_ref());
    let jiwei = entry.jiwei.map(|jiwei| jiwei.seal(known, key));
    Ok(His {
        id: entry.id,
        hospitals: entry.hospitals,
        enabled: entry.enabled,
        license,
        receiver: entry.receiver,
        jiwei: jiwei.transpose()?,
    })
}

/// How an entry of the file stands to the registry in force.
enum Standing {
    New,
    Changed,
    Unchanged,
}

impl Standing {
    fn of<T: PartialEq>(known: Option<&T>, entry: &T) -> Self {
        match known {
            None => Self::New,
            Some(known) if known == entry => Self::Unchanged,
            Some(_) => Self::Changed,
        }
    }
}

/// The app as it will be: without a new license it keeps its own, and it always keeps its keys, since its vendor has
/// the public one. A new license, and disabling, end its tokens (R4).
fn app_of(
    entry: AppEntry,
    known: Option<&App>,
    key: &ClusterKey,
    first_epoch: u32,
) -> anyhow::Result<App> {
    let secrets = secrets_of(&entry, known, key)?;
    let epoch = known.map_or(first_epoch, |known| {
        let new_license = known.license != secrets.license;
        let disabled = known.enabled && !entry.enabled;
        known.epoch.wrapping_add(u32::from(new_license || disabled))
    });
    let known = known.and_then(|known| known.jiwei.as_ref());
    let jiwei = entry.jiwei.map(|jiwei| jiwei.seal(known, key));
    Ok(App {
        id: entry.id,
        org: entry.org,
        hospitals: entry.hospitals,
        rights: entry.rights,
        enabled: entry.enabled,
        epoch,
        license: secrets.license,
        private_key: secrets.private_key,
        public_key: secrets.public_key,
        envelope: entry.envelope,
        status_type: entry.status_type,
        http_status: entry.http_status,
        result_shape: entry.result_shape,
        require_time: entry.require_time,
        time_window_minutes: entry.time_window_minutes,
        jiwei: jiwei.transpose()?,
    })
}

fn secrets_of(
    entry: &AppEntry,
    known: Option<&App>,
    key: &ClusterKey,
) -> anyhow::Result<SealedSecrets> {
    if let Some(sealed) = &entry.sealed {
        key.open(Purpose::License, &sealed.license)?;
        key.open(Purpose::PrivateKey, &sealed.private_key)?;
        return Ok(sealed.clone());
    }
    let license = match (&entry.license, known) {
        (None, Some(known)) => known.license.clone(),
        (None, None) => bail!("新应用须给出 license (a new app needs a license)"),
        (Some(license), known) => match known {
            // Sealing differs each time: the same license must not look like a new one.
            Some(known) if opens_to(key, &known.license, license)? => known.license.clone(),
            _ => key.seal(Purpose::License, license.as_bytes())?,
        },
    };
    let (private_key, public_key) = match known {
        Some(known) => (known.private_key.clone(), known.public_key.clone()),
        None => {
            let pair = generate_app_keys()?;
            (
                key.seal(Purpose::PrivateKey, &pair.private_der)?,
                STANDARD.encode(&pair.public_der),
            )
        }
    };
    Ok(SealedSecrets {
        license,
        private_key,
        public_key,
    })
}

fn opens_to(key: &ClusterKey, known: &Sealed, license: &str) -> anyhow::Result<bool> {
    let opened = key.open(Purpose::License, known)?;
    Ok(opened.as_slice() == license.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::registry::export;
    use yingku_storage::archive::ArchiveOptions;
    use yingku_storage::log::EmbeddedLogOptions;
    use yingku_storage::packs::PackOptions;

    const FIRST_EPOCH: u32 = 7;

    fn key() -> ClusterKey {
        ClusterKey::from_hex(&"ab".repeat(32)).unwrap()
    }

    fn file(license: &str, enabled: bool) -> RegistryFile {
        RegistryFile::parse(&format!(
            "[[hospital]]\ncode = \"1\"\nname = \"一\"\n[[app]]\nid = \"a\"\norg = \"1\"\nrights = [\"push\"]\nhospitals = [\"1\"]\n{license}\nenabled = {enabled}"
        ))
        .unwrap()
    }

    fn imported(registry: &Registry, file: RegistryFile) -> (Registry, ImportReport) {
        let (changes, report) = plan(registry, &key(), file, FIRST_EPOCH).unwrap();
        let mut next = registry.clone();
        changes.into_iter().for_each(|change| next.apply(change));
        (next, report)
    }

    fn app(registry: &Registry) -> &App {
        &registry.apps[&AppId::new("a").unwrap()]
    }

    #[test]
    fn tokens_end_with_a_new_license_and_with_disabling_only() {
        let (first, _) = imported(&Registry::default(), file("license = \"x\"", true));
        assert_eq!(app(&first).epoch, FIRST_EPOCH);
        // the same license, or none, changes nothing
        for same in ["license = \"x\"", ""] {
            let (again, report) = imported(&first, file(same, true));
            assert_eq!((again, report.unchanged), (first.clone(), 2));
        }
        let (renewed, _) = imported(&first, file("license = \"y\"", true));
        assert_eq!(app(&renewed).epoch, FIRST_EPOCH + 1);
        assert_eq!(app(&renewed).public_key, app(&first).public_key);
        let (disabled, _) = imported(&renewed, file("", false));
        assert_eq!(app(&disabled).epoch, FIRST_EPOCH + 2);
    }

    #[test]
    fn retention_waits_for_the_rules_that_know_it() {
        let retention = || {
            let text = "[settings]\n[[settings.retention]]\nname = \"a\"\ndelete_after_months = 60";
            RegistryFile::parse(text).unwrap()
        };
        let mut registry = Registry {
            rules: CARE_SINCE_RULES - 1,
            ..Registry::default()
        };
        let refused = plan(&registry, &key(), retention(), FIRST_EPOCH)
            .err()
            .unwrap();
        assert!(format!("{refused:#}").contains("activate-rules"));
        registry.rules = CARE_SINCE_RULES;
        let (changed, _) = imported(&registry, retention());
        assert_eq!(changed.settings.retention.len(), 1);
    }

    #[test]
    fn a_time_for_forms_waits_for_the_rules_that_know_it_and_the_usual_one_is_left_out() {
        let hours = |hours: u32| {
            let text = format!("[settings]\nform_overdue_hours = {hours}");
            RegistryFile::parse(&text).unwrap()
        };
        let mut registry = Registry {
            rules: FORMS_SINCE_RULES - 1,
            ..Registry::default()
        };
        let (usual, _) = imported(&registry, hours(72));
        assert_eq!(usual.settings, Default::default());
        let text = serde_json::to_string(&usual.settings).unwrap();
        assert!(!text.contains("form_overdue_hours"), "{text}");
        let refused = plan(&registry, &key(), hours(24), FIRST_EPOCH)
            .err()
            .unwrap();
        assert!(format!("{refused:#}").contains("activate-rules"));
        registry.rules = FORMS_SINCE_RULES;
        let (changed, _) = imported(&registry, hours(24));
        assert_eq!(changed.settings.form_overdue_hours, 24);
    }

    #[test]
    fn a_gateway_waits_for_the_rules_that_know_it_and_comes_back_by_export() {
        let file = || {
            let text = "[[hospital]]\ncode = \"1\"\nname = \"一\"\nimages = \"pull\"\n[hospital.gateway]\nae = \"GATE\"\nhost = \"h\"\nport = 104\nhours = [\"19:00-07:00\"]\nsweep = true";
            RegistryFile::parse(text).unwrap()
        };
        let mut registry = Registry {
            rules: PULLS_SINCE_RULES - 1,
            ..Registry::default()
        };
        let refused = plan(&registry, &key(), file(), FIRST_EPOCH).err().unwrap();
        assert!(format!("{refused:#}").contains("activate-rules"));
        registry.rules = PULLS_SINCE_RULES;
        let (changed, _) = imported(&registry, file());
        let exported = export(&changed, false).unwrap();
        let (_, report) = imported(&changed, RegistryFile::parse(&exported).unwrap());
        assert_eq!(
            (report.unchanged, report.changed.len()),
            (2, 0),
            "{exported}"
        );
    }

    #[test]
    fn exams_of_forms_wait_for_the_rules_that_know_them_and_come_back_by_export() {
        let file = || {
            let text = "[[hospital]]\ncode = \"1\"\nname = \"一\"\nexams = \"forms\"";
            RegistryFile::parse(text).unwrap()
        };
        let mut registry = Registry {
            rules: REGISTRATION_SINCE_RULES - 1,
            ..Registry::default()
        };
        let refused = plan(&registry, &key(), file(), FIRST_EPOCH).err().unwrap();
        assert!(format!("{refused:#}").contains("activate-rules"));
        registry.rules = REGISTRATION_SINCE_RULES;
        let (changed, _) = imported(&registry, file());
        let exported = export(&changed, false).unwrap();
        assert!(exported.contains("exams = \"forms\""), "{exported}");
        let (_, report) = imported(&changed, RegistryFile::parse(&exported).unwrap());
        assert!(report.changed.is_empty(), "{exported}");
    }

    #[test]
    fn what_is_new_is_called_added() {
        let (first, report) = imported(&Registry::default(), file("license = \"x\"", true));
        assert_eq!(report.added, ["hospital 1", "app a"]);
        assert!(report.changed.is_empty());
        let (_, report) = imported(&first, file("license = \"y\"", true));
        assert_eq!(report.changed, ["app a"]);
        assert!(report.added.is_empty());
    }

    #[test]
    fn a_new_app_needs_a_license() {
        let error = plan(&Registry::default(), &key(), file("", true), FIRST_EPOCH)
            .err()
            .unwrap();
        assert!(format!("{error:#}").contains("license"));
    }

    #[test]
    fn an_export_shows_no_secret_and_comes_back_sealed() {
        let (registry, _) = imported(&Registry::default(), file("license = \"secret-x\"", true));
        let open = export(&registry, false).unwrap();
        assert!(
            !open.contains("secret-x") && !open.contains("sealed"),
            "{open}"
        );
        let sealed = export(&registry, true).unwrap();
        let (copy, _) = imported(&Registry::default(), RegistryFile::parse(&sealed).unwrap());
        assert_eq!(app(&copy), app(&registry));
    }

    #[test]
    fn a_peer_names_a_service_of_forms_once_the_rules_for_them_are_active() {
        let peer = |services: &str| {
            let text =
                format!("[[peer]]\nae = \"CT\"\nhost = \"h\"\nport = 1\nservices = [{services}]");
            RegistryFile::parse(&text).unwrap()
        };
        let mut registry = Registry {
            rules: FORMS_SINCE_RULES - 1,
            ..Registry::default()
        };
        for service in ["\"worklist\"", "\"store\", \"mpps\""] {
            let refused = plan(&registry, &key(), peer(service), 0).unwrap_err();
            assert!(refused.to_string().contains("peer CT"), "{refused}");
        }
        imported(&registry, peer("\"store\", \"find\""));
        registry.rules = FORMS_SINCE_RULES;
        imported(&registry, peer("\"store\", \"worklist\", \"mpps\""));
    }

    async fn archive() -> (tempfile::TempDir, Archive) {
        let dir = tempfile::tempdir().unwrap();
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
        let archive = Archive::open(dir.path(), options, key()).await;
        (dir, archive.unwrap())
    }

    #[tokio::test]
    async fn an_app_that_is_removed_and_comes_again_never_has_an_earlier_epoch() {
        let (_dir, archive) = archive().await;
        let mut epochs = Vec::new();
        for license in ["one", "two", "three"] {
            let named = format!("license = \"{license}\"");
            import(&archive, file(&named, true), "operator:o")
                .await
                .unwrap();
            epochs.push(app(&archive.registry()).epoch);
            // its license changes once before it goes
            let named = format!("license = \"{license} again\"");
            import(&archive, file(&named, true), "operator:o")
                .await
                .unwrap();
            epochs.push(app(&archive.registry()).epoch);
            remove(&archive, "app", "a", "operator:o").await.unwrap();
        }
        assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    }

    #[tokio::test]
    async fn a_hospital_that_is_named_or_has_exams_stays_and_an_export_comes_back() {
        let (_dir, archive) = archive().await;
        let peer = "[[peer]]\nae = \"CT\"\nhost = \"h\"\nport = 1\nhospitals = [\"1\"]";
        for file in [
            file("license = \"x\"", true),
            RegistryFile::parse(peer).unwrap(),
        ] {
            import(&archive, file, "operator:o").await.unwrap();
        }
        let refusal = async || {
            let removed = remove(&archive, "hospital", "1", "operator:o").await;
            removed.err().unwrap().to_string()
        };
        // While an app and a peer name it
        let said = refusal().await;
        assert!(said.contains("app a") && said.contains("peer CT"), "{said}");
        assert!(said.contains("suspended"), "{said}");
        let exported = export(&archive.registry(), false).unwrap();
        let again = import(
            &archive,
            RegistryFile::parse(&exported).unwrap(),
            "operator:o",
        )
        .await;
        assert_eq!(again.unwrap().unchanged, 4);
        // While it has exams
        remove(&archive, "app", "a", "operator:o").await.unwrap();
        remove(&archive, "peer", "CT", "operator:o").await.unwrap();
        let sample = include_bytes!("../../tests/fixtures/contract/exam_push.json");
        let mut push: serde_json::Value = serde_json::from_slice(sample).unwrap();
        push["hospitalCode"] = "1".into();
        let registry = archive.registry();
        let pushed = yingku_core::contract::push::parse(
            push.to_string().as_bytes(),
            None,
            yingku_core::contract::push::PushContext {
                policy: &Default::default(),
                aliases: &registry.settings.class_aliases,
                placeholders: &registry.settings.placeholder_apply_nos,
            },
        );
        let submission = Submission {
            hospital: None,
            actor: "app:a".to_owned(),
            event: Event::ExamPushed(pushed.unwrap().body),
        };
        archive.submit(submission).await.unwrap();
        let said = refusal().await;
        assert!(
            said.contains("有检查") && said.contains("suspended"),
            "{said}"
        );
        // And one that nothing needs goes
        let other = "[[hospital]]\ncode = \"2\"\nname = \"二\"";
        import(&archive, RegistryFile::parse(other).unwrap(), "operator:o")
            .await
            .unwrap();
        remove(&archive, "hospital", "2", "operator:o")
            .await
            .unwrap();
        assert_eq!(archive.registry().hospitals.len(), 1);
    }
}
