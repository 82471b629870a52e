//! Images that are sent again, because the copy that is here is damaged or for no reason.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use serde_json::json;
use yingku_core::contract::push::{ExamPushedBody, Flags};
use yingku_core::event::{Event, RegistryChanged};
use yingku_core::ids::{
    AeTitle, HospitalCode, PackId, SeriesUid, SopInstanceUid, StudyKey, StudyUid, Uid,
};
use yingku_core::instance::{
    HeldInstance, ImageFacts, InstanceFacts, PatientFacts, SeriesFacts, StudyFacts,
};
use yingku_core::registry::RegistryChange;

use super::intake::{encode_facts, group_of};
use super::{Admission, Archive, ArchiveOptions, Incoming, OpenError, Submission};
use crate::keys::ClusterKey;
use crate::log::EmbeddedLogOptions;
use crate::packs::{NewInstance, PackOptions};

const STUDY: &str = "1.2.1";
const DATA: &[u8] = b"pixels of an image, as they came; a byte of them is flipped";
const DIGEST: [u8; 32] = [7; 32];

fn hospital() -> HospitalCode {
    HospitalCode::new("350006").unwrap()
}

pub(super) async fn try_open(dir: &Path) -> Result<Archive, OpenError> {
    let reserve_bytes = 1 << 20;
    let options = ArchiveOptions {
        log: EmbeddedLogOptions {
            reserve_bytes,
            ..Default::default()
        }
        .into(),
        packs: PackOptions {
            reserve_bytes,
            ..Default::default()
        },
    };
    let key = ClusterKey::from_hex(&"ab".repeat(32)).unwrap();
    Archive::open(dir, options, key).await
}

pub(super) async fn open(dir: &Path) -> Archive {
    try_open(dir).await.unwrap()
}

pub(super) async fn submit(archive: &Archive, event: Event) {
    let submission = Submission {
        hospital: None,
        actor: "node:0".to_owned(),
        event,
    };
    archive.submit(submission).await.unwrap();
}

/// A hospital that holds what does not match, and an exam of it.
pub(super) async fn push_exam(archive: &Archive) {
    let entry = json!({"code": "350006", "name": "示例医院", "mode": "live", "hold_days": 3});
    let change = RegistryChange::PutHospital(serde_json::from_value(entry).unwrap());
    let changes = vec![change];
    submit(archive, Event::RegistryChanged(RegistryChanged { changes })).await;
    let exam = json!({
        "hospitalCode": "350006", "examNo": "E1",
        "patientInfo": {"sickId": "S1", "name": "王一"},
        "examInfo": {"applyNo": "F1", "patientID": "C1", "examStatus": "70", "examTime": "2026-07-04 08:00:00", "examClass": "CT"},
        "imageList": [{"studyUID": STUDY, "imageCount": "1"}],
    });
    let pushed = Event::ExamPushed(ExamPushedBody {
        digest: [1; 16],
        flags: Flags::default(),
        warnings: Vec::new(),
        json: serde_json::to_vec(&exam).unwrap().into(),
    });
    submit(archive, pushed).await;
}

fn facts() -> InstanceFacts {
    InstanceFacts {
        study_uid: StudyUid::new(STUDY).unwrap(),
        series_uid: SeriesUid::new("1.2.1.1").unwrap(),
        patient: PatientFacts {
            id: "C1".to_owned(),
            ..PatientFacts::default()
        },
        study: StudyFacts::default(),
        series: SeriesFacts::default(),
        image: ImageFacts {
            sop_instance: SopInstanceUid::new("1.2.1.1.1").unwrap(),
            sop_class: Uid::new("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            transfer_syntax: Uid::new("1.2.840.10008.1.2.1").unwrap(),
            number: "1".to_owned(),
            rows: 1,
            columns: 1,
            bits_allocated: 8,
            frames: 1,
        },
    }
}

fn sender() -> AeTitle {
    AeTitle::new("CT1").unwrap()
}

async fn send(archive: &Archive, admission: &Admission) {
    let incoming = Incoming {
        admission: admission.clone(),
        sender: sender(),
        facts: facts(),
        digest: DIGEST,
        data: vec![Bytes::from_static(DATA)],
        crc: crc32c::crc32c(DATA),
    };
    archive.store(incoming).await.unwrap();
    archive.settle().await.unwrap();
}

async fn stream(archive: &Archive, admission: &Admission) {
    let mut incoming = archive.store_large().await.unwrap();
    incoming.write(Bytes::from_static(DATA)).await.unwrap();
    incoming
        .finish(admission, sender(), facts(), DIGEST)
        .await
        .unwrap();
    archive.settle().await.unwrap();
}

/// Where the image lies, shown or held.
fn place(archive: &Archive) -> (PackId, u64) {
    let views = archive.views();
    let key = StudyKey::new(hospital(), StudyUid::new(STUDY).unwrap());
    let admission = Admission::Shown(hospital());
    let group = group_of(&admission, sender(), facts(), &DIGEST);
    let instance = &group.instances[0];
    let sop_instance = &instance.image.sop_instance;
    match views
        .covered_instance(&archive.registry(), &key, sop_instance, &instance.digest)
        .unwrap()
    {
        Some(entry) => (entry.pack, entry.stored.offset),
        None => {
            let held = HeldInstance::of(&key.study, instance);
            views.held_place(&held).unwrap().unwrap()
        }
    }
}

fn is_sound(archive: &Archive) -> bool {
    let (pack, offset) = place(archive);
    archive.packs().read(pack, offset).is_ok()
}

/// Flips one bit of every copy of the image's bytes.
fn damage(dir: &Path) {
    let mut damaged = 0;
    for file in fs::read_dir(dir.join("packs")).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        for at in memchr::memmem::find_iter(&bytes, DATA) {
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(&[DATA[0] ^ 1], at as u64).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0);
}

#[tokio::test]
async fn a_damaged_image_that_is_sent_again_is_whole_again() {
    // Given an image that is damaged on disk, shown or held
    for admission in [Admission::Shown(hospital()), Admission::Held(hospital())] {
        let dir = tempfile::tempdir().unwrap();
        let archive = open(dir.path()).await;
        if matches!(admission, Admission::Shown(_)) {
            push_exam(&archive).await;
        }
        send(&archive, &admission).await;
        let first = place(&archive);
        send(&archive, &admission).await;
        assert_eq!(place(&archive), first, "a whole image is not stored again");
        damage(dir.path());
        assert!(!is_sound(&archive));
        // When it is sent again, then its new copy is read
        send(&archive, &admission).await;
        assert!(is_sound(&archive), "{admission:?}");
        // And again when that is damaged, streaming in this time
        damage(dir.path());
        stream(&archive, &admission).await;
        assert!(is_sound(&archive), "{admission:?}");
        // And views made anew say the same
        let replaced = place(&archive);
        let views = archive.views().digest().unwrap();
        let rebuilding = archive.clone();
        let rebuild = tokio::task::spawn_blocking(move || rebuilding.rebuild().unwrap());
        rebuild.await.unwrap();
        assert_eq!(archive.views().digest().unwrap(), views);
        assert_eq!(place(&archive), replaced);
        archive.close().await;
    }
}

/// One run of an archive: its tasks end with it, so that another can be opened.
fn run<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

#[test]
fn a_copy_that_a_crash_kept_from_the_log_takes_the_damaged_ones_place() {
    let dir = tempfile::tempdir().unwrap();
    let placed = run(async {
        // Given a damaged image
        let archive = open(dir.path()).await;
        push_exam(&archive).await;
        let admission = Admission::Shown(hospital());
        send(&archive, &admission).await;
        damage(dir.path());
        // And copies of it that came again and are in the pack only: one that takes its place, and a mere repeat
        let group = group_of(&admission, sender(), facts(), &DIGEST);
        let mut placed = Vec::new();
        for anew in [true, false] {
            let instance = NewInstance {
                data: vec![Bytes::from_static(DATA)],
                facts: encode_facts(&group, anew).unwrap().into(),
                digest: DIGEST,
                crc: crc32c::crc32c(DATA),
            };
            placed.push(archive.packs().append(instance).await.unwrap());
        }
        archive.close().await;
        placed
    });
    run(async {
        // When the archive starts, then the first is read
        let archive = open(dir.path()).await;
        assert_eq!(place(&archive), (placed[0].pack, placed[0].offset));
        assert!(is_sound(&archive));
        archive.close().await;
    });
}
