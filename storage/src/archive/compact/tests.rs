//! Packs that are compacted, and what becomes of them when something goes wrong meanwhile.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use serde_json::json;
use yingku_core::contract::push::{ExamPushedBody, Flags};
use yingku_core::event::TestDataPurged;
use yingku_core::ids::{
    AeTitle, ExamKey, ExamNo, HospitalCode, SeriesUid, SopInstanceUid, StudyUid, Uid,
};
use yingku_core::instance::{
    ImageFacts, InPack, InstanceFacts, MovedInstance, PatientFacts, SeriesFacts, StudyFacts,
};
use yingku_core::registry::RegistryChange;

use super::*;
use crate::archive::{Admission, Archive, ArchiveOptions, Copies, Incoming};
use crate::keys::ClusterKey;
use crate::log::EmbeddedLogOptions;
use crate::packs::PackOptions;
use crate::space::{FileSystem, FreeSpace};

/// Of one image: a pack of the tests holds some ten.
const IMAGE_BYTES: usize = 100_000;
const PACK_BYTES: u64 = 1 << 20;

const NOW: Compaction = Compaction {
    after: Duration::ZERO,
    max_bytes: u64::MAX,
    bytes_per_second: 0,
    dry_run: false,
};

async fn open(dir: &Path) -> Archive {
    open_on(dir, Arc::new(FileSystem)).await
}

/// A disk with as many free bytes as somebody says.
struct Disk(AtomicU64);

impl FreeSpace for Disk {
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.0.load(Ordering::Relaxed))
    }
}

async fn open_on(dir: &Path, free_space: Arc<dyn FreeSpace>) -> Archive {
    let reserve_bytes = 1 << 20;
    let options = ArchiveOptions {
        log: EmbeddedLogOptions {
            reserve_bytes,
            ..Default::default()
        }
        .into(),
        packs: PackOptions {
            reserve_bytes,
            seal_bytes: PACK_BYTES,
            free_space,
            ..Default::default()
        },
    };
    let key = ClusterKey::from_hex(&"ab".repeat(32)).unwrap();
    Archive::open(dir, options, key).await.unwrap()
}

/// One run of an archive: its tasks end with it, so that another can be opened.
fn run<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(work)
}

async fn submit(archive: &Archive, event: Event) {
    let submission = Submission {
        hospital: None,
        actor: "operator:o".to_owned(),
        event,
    };
    archive.submit(submission).await.unwrap();
}

/// Hospitals that hold what does not match, and an exam with a study of each.
async fn furnish(archive: &Archive, hospitals: &[(&str, &str)]) {
    for (code, mode) in hospitals {
        let entry = json!({"code": code, "name": "示例医院", "mode": mode, "hold_days": 3});
        let changes = vec![RegistryChange::PutHospital(
            serde_json::from_value(entry).unwrap(),
        )];
        let event = Event::RegistryChanged(yingku_core::event::RegistryChanged { changes });
        submit(archive, event).await;
        let exam = json!({
            "hospitalCode": code, "examNo": "E1",
            "patientInfo": {"sickId": "S1", "name": "王一"},
            "examInfo": {
                "applyNo": "F1", "patientID": "C1", "examStatus": "70", "examTime": "2026-07-04 08:00:00",
                "examClass": "CT"
            },
            "imageList": [{"studyUID": study(code).as_str(), "imageCount": "1"}],
        });
        let pushed = ExamPushedBody {
            digest: [1; 16],
            flags: Flags::default(),
            warnings: Vec::new(),
            json: serde_json::to_vec(&exam).unwrap().into(),
        };
        submit(archive, Event::ExamPushed(pushed)).await;
    }
}

fn study(hospital: &str) -> StudyUid {
    StudyUid::new(format!("1.2.{hospital}")).unwrap()
}

fn data_of(hospital: &str, number: u8) -> Bytes {
    let mut data = vec![number; IMAGE_BYTES];
    data[..6].copy_from_slice(hospital.as_bytes());
    data.into()
}

/// Stores an image of the hospital's study, known or held.
async fn store(archive: &Archive, hospital: &str, number: u8, held: bool) {
    let code = HospitalCode::new(hospital).unwrap();
    let data = data_of(hospital, number);
    let study_uid = match held {
        true => StudyUid::new("1.2.9").unwrap(),
        false => study(hospital),
    };
    let facts = InstanceFacts {
        series_uid: SeriesUid::new(format!("{study_uid}.1")).unwrap(),
        patient: PatientFacts {
            id: "C1".to_owned(),
            ..PatientFacts::default()
        },
        study: StudyFacts {
            date: "20260704".to_owned(),
            ..StudyFacts::default()
        },
        series: SeriesFacts::default(),
        image: ImageFacts {
            sop_instance: SopInstanceUid::new(format!("{study_uid}.1.{number}")).unwrap(),
            sop_class: Uid::new("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            transfer_syntax: Uid::new("1.2.840.10008.1.2.1").unwrap(),
            number: number.to_string(),
            rows: 1,
            columns: 1,
            bits_allocated: 8,
            frames: 1,
        },
        study_uid,
    };
    let incoming = Incoming {
        admission: match held {
            true => Admission::Held(code),
            false => Admission::Shown(code),
        },
        sender: AeTitle::new("CT1").unwrap(),
        facts,
        digest: *blake3::hash(&data).as_bytes(),
        crc: crc32c::crc32c(&data),
        data: vec![data],
    };
    archive.store(incoming).await.unwrap();
}

/// Every image that the views lead to, read from where it lies.
fn images(archive: &Archive) -> BTreeMap<String, Option<Bytes>> {
    let views = archive.views();
    let frozen = views.freeze();
    let mut places = Vec::new();
    frozen
        .visit_places(|study, instances| {
            places.extend(
                instances
                    .iter()
                    .map(|it| (study.to_string(), it.pack, it.offset)),
            );
            Ok(())
        })
        .unwrap();
    frozen
        .visit_held(&mut |held| {
            let instances = held.group.instances.iter();
            places.extend(instances.map(|it| ("held".to_owned(), held.pack, it.offset)));
        })
        .unwrap();
    let read = places.iter().map(|(study, pack, offset)| {
        let record = archive.packs().read(*pack, *offset).ok();
        let number = record.as_ref().map_or(0, |record| record.data[10]);
        (
            format!("{study} {number} {offset}"),
            record.map(|record| record.data),
        )
    });
    let mut images = BTreeMap::new();
    for (name, data) in read {
        let name = name.rsplit_once(' ').unwrap().0.to_owned();
        assert!(images.insert(name.clone(), data).is_none(), "{name} twice");
    }
    images
}

/// Where the images of a hospital's study lie.
fn places_of(archive: &Archive, hospital: &str) -> Vec<InPack> {
    let views = archive.views();
    let mut found = Vec::new();
    let frozen = views.freeze();
    let visited = frozen.visit_places(|study, places| {
        if study.hospital.as_str() == hospital {
            found.extend_from_slice(places);
        }
        Ok(())
    });
    visited.unwrap();
    found
}

/// Two hospitals' images by turns, so that each pack has some of both, and some that are held.
async fn mixed(archive: &Archive) {
    furnish(archive, &[("350006", "live"), ("350007", "test")]).await;
    for number in 1..=20 {
        store(archive, "350006", number, false).await;
        store(archive, "350007", number, false).await;
        if number % 5 == 0 {
            store(archive, "350006", 100 + number, true).await;
        }
    }
    archive.settle().await.unwrap();
    sealed(archive).await;
}

/// What was full is sealed by and by; the last pack stays open.
async fn sealed(archive: &Archive) {
    let mut sealed = archive.packs().watch_sealed();
    while archive.packs().sealed_here().unwrap().len() < 4 {
        sealed.changed().await.unwrap();
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("packs")).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|path| {
        path.extension()
            .is_some_and(|it| it == "pack" || it == "whole")
    });
    files.sort();
    files
}

async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn remove_compacted(archive: &Archive) -> (u64, u64) {
    let archive = archive.clone();
    in_thread(move || archive.remove_compacted(Duration::ZERO).unwrap()).await
}

/// Purges the exam of the hospital that tries out.
async fn purge(archive: &Archive) {
    let exam = ExamKey {
        hospital: HospitalCode::new("350007").unwrap(),
        exam_no: ExamNo::new("E1").unwrap(),
        generation: 0,
    };
    let purged = TestDataPurged {
        exams: vec![exam],
        ..TestDataPurged::default()
    };
    submit(archive, Event::TestDataPurged(purged)).await;
}

/// The hospitals of which each pack has instances.
fn hospitals_of_packs(archive: &Archive) -> BTreeMap<PackId, HashSet<String>> {
    let mut packs: BTreeMap<PackId, HashSet<String>> = BTreeMap::new();
    let views = archive.views();
    let frozen = views.freeze();
    frozen
        .visit_places(|study, places| {
            for place in places {
                let hospitals = packs.entry(place.pack).or_default();
                hospitals.insert(study.hospital.to_string());
            }
            Ok(())
        })
        .unwrap();
    packs
}

#[test]
fn packs_are_regrouped_by_hospital_and_no_image_changes() {
    let dir = tempfile::tempdir().unwrap();
    let (before, digest) = run(async {
        // Given packs with images of two hospitals
        let archive = open(dir.path()).await;
        mixed(&archive).await;
        let before = images(&archive);
        assert_eq!(before.len(), 44);
        let packs = hospitals_of_packs(&archive);
        assert!(packs.values().all(|hospitals| hospitals.len() == 2));
        // What is only looked at stays as it is
        let dry_run = Compaction {
            dry_run: true,
            ..NOW
        };
        let looked = archive.compact(dry_run).await.unwrap();
        assert!(looked.packs >= 4 && looked.made == 0);
        assert_eq!(hospitals_of_packs(&archive), packs);
        // When they are compacted
        let report = archive.compact(NOW).await.unwrap();
        // Then sealed packs have one hospital's each, as far as that fills them
        assert_eq!((report.packs, report.unreadable), (looked.packs, 0));
        assert_eq!(report.given_up, report.packs);
        let regrouped = hospitals_of_packs(&archive);
        let of_one = regrouped.values().filter(|hospitals| hospitals.len() == 1);
        assert!(of_one.count() >= 3, "{regrouped:?}");
        // and every image is the one that it was
        assert!(images(&archive) == before);
        // Files stay while somebody may read them, and go after that
        assert_eq!(
            in_thread({
                let archive = archive.clone();
                move || {
                    archive
                        .remove_compacted(Duration::from_secs(3_600))
                        .unwrap()
                }
            })
            .await,
            (0, 0)
        );
        let (removed, bytes) = remove_compacted(&archive).await;
        assert_eq!((removed, bytes), (report.given_up, report.given_up_bytes));
        assert!(images(&archive) == before);
        assert!(archive.packs().verify(|_| ()).unwrap().damage.is_empty());
        // There is nothing more to do
        let again = archive.compact(NOW).await.unwrap();
        assert_eq!((again.packs, again.made), (0, 0), "{again:?}");
        // Views made anew are the same
        let digest = archive.views().digest().unwrap();
        let rebuilding = archive.clone();
        in_thread(move || rebuilding.rebuild().unwrap()).await;
        assert_eq!(archive.views().digest().unwrap(), digest);
        archive.close().await;
        (before, digest)
    });
    run(async {
        // And after a restart, which gives no pack's number again, and a look at all packs for what the log lacks
        let archive = open(dir.path()).await;
        let highest = archive.views().packs(0).unwrap().last().unwrap().0;
        store(&archive, "350006", 50, false).await;
        archive.settle().await.unwrap();
        let newest = archive.views().packs(0).unwrap().last().unwrap().0;
        assert!(newest > highest);
        assert_eq!(archive.rescan(Copies::Known).await.unwrap(), 0);
        let mut after = images(&archive);
        assert!(after.remove("350006/1.2.350006 50").is_some());
        assert!(after == before);
        assert_ne!(archive.views().digest().unwrap(), digest);
        archive.close().await;
    });
}

#[test]
fn what_nobody_needs_gives_its_space_back() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        // Given packs half of whose images were purged
        let archive = open(dir.path()).await;
        mixed(&archive).await;
        archive.compact(NOW).await.unwrap();
        remove_compacted(&archive).await;
        purge(&archive).await;
        let before = images(&archive);
        let bytes = archive.packs().usage().unwrap().bytes;
        // When they are compacted, then the purged images are in no pack any more
        let report = archive.compact(NOW).await.unwrap();
        assert!(report.given_up >= 2, "{report:?}");
        remove_compacted(&archive).await;
        let left = archive.packs().usage().unwrap().bytes;
        assert!(bytes - left >= 17 * IMAGE_BYTES as u64, "{bytes} {left}");
        assert!(images(&archive) == before);
        archive.close().await;
    });
}

#[test]
fn an_image_that_cannot_be_read_stays_where_it_is_and_its_pack_with_it() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let archive = open(dir.path()).await;
        mixed(&archive).await;
        // Given an image of which a byte is flipped
        let wanted = data_of("350006", 3);
        let (path, at) = files(dir.path())
            .into_iter()
            .find_map(|path| {
                let bytes = fs::read(&path).unwrap();
                memchr::memmem::find(&bytes, &wanted).map(|at| (path, at))
            })
            .unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0xFF], at as u64 + 99).unwrap();
        let before = images(&archive);
        assert_eq!(before.values().filter(|data| data.is_none()).count(), 1);
        // When the packs are compacted
        let report = archive.compact(NOW).await.unwrap();
        // Then the others are, and it stays, damaged as it is
        assert_eq!(report.unreadable, 1);
        assert_eq!(report.given_up, report.packs - 1);
        remove_compacted(&archive).await;
        assert!(path.exists());
        assert!(images(&archive) == before);
        archive.close().await;
    });
}

#[test]
fn copies_that_a_crash_kept_from_the_log_go_and_are_not_taken_for_images() {
    let dir = tempfile::tempdir().unwrap();
    let before = run(async {
        let archive = open(dir.path()).await;
        mixed(&archive).await;
        let InPack { pack, offset, .. } = places_of(&archive, "350006")[0];
        // Given a whole pack of copies, one that is not whole, and a log that tells of neither
        let mut whole = archive.packs().copied_pack(false).unwrap();
        whole.copy(pack, offset).unwrap();
        let whole = whole.finish().unwrap().id();
        let packs = dir.path().join("packs");
        let begun = packs.join(format!("{}.whole", PackId::new(0, 0xFF)));
        fs::copy(packs.join(format!("{whole}.pack")), begun).unwrap();
        assert!(archive.packs().has(whole));
        let before = images(&archive);
        archive.close().await;
        before
    });
    run(async {
        let archive = open(dir.path()).await;
        // When the archive starts, then nothing of them comes into the log
        assert!(images(&archive) == before);
        assert!(
            files(dir.path())
                .iter()
                .all(|path| path.extension().unwrap() == "pack")
        );
        let packs = archive.packs().list().unwrap().len();
        // and the next run takes them away
        archive.compact(NOW).await.unwrap();
        let copies = files(dir.path())
            .iter()
            .filter(|path| {
                let pack = PackId::parse(path.file_stem().unwrap().to_str().unwrap()).unwrap();
                archive.views().pack(pack).unwrap().is_none()
            })
            .count();
        assert_eq!(copies, 0);
        assert!(packs > 0);
        assert!(images(&archive) == before);
        archive.close().await;
    });
}

#[test]
fn a_run_that_is_broken_off_loses_nothing_and_the_next_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let archive = open(dir.path()).await;
        mixed(&archive).await;
        let before = images(&archive);
        // Given runs that end in the midst of their work
        for milliseconds in [1, 5, 20, 50, 100] {
            let slow = Compaction {
                bytes_per_second: 4 << 20,
                ..NOW
            };
            let limit = Duration::from_millis(milliseconds);
            let _ = tokio::time::timeout(limit, archive.compact(slow)).await;
            assert!(images(&archive) == before);
        }
        // When one gets through
        let report = loop {
            match archive.compact(NOW).await {
                Err(CompactError::Running) => tokio::task::yield_now().await,
                done => break done.unwrap(),
            }
        };
        // Then all is there, once
        assert_eq!(report.unreadable, 0);
        remove_compacted(&archive).await;
        assert!(images(&archive) == before);
        archive.close().await;
    });
}

#[test]
fn where_there_is_no_room_what_nobody_needs_goes_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk(AtomicU64::new(u64::MAX)));
    run(async {
        // Given packs of one hospital each, one hospital's images purged, and a disk that is nearly full
        let archive = open_on(dir.path(), disk.clone()).await;
        mixed(&archive).await;
        archive.compact(NOW).await.unwrap();
        remove_compacted(&archive).await;
        purge(&archive).await;
        let before = images(&archive);
        disk.0.store(2 << 20, Ordering::Relaxed);
        // When they are compacted, then no pack is begun, and those that hold nothing else give their space back
        let report = archive.compact(NOW).await.unwrap();
        assert!(
            report.short && report.made == 0 && report.given_up >= 1,
            "{report:?}"
        );
        assert!(remove_compacted(&archive).await.0 >= 1);
        assert!(
            files(dir.path())
                .iter()
                .all(|path| path.extension().unwrap() == "pack")
        );
        assert!(images(&archive) == before);
        // With room again the rest is done
        disk.0.store(u64::MAX, Ordering::Relaxed);
        let report = archive.compact(NOW).await.unwrap();
        assert!(!report.short && report.made >= 1, "{report:?}");
        assert!(images(&archive) == before);
        archive.close().await;
    });
}

#[test]
fn copies_of_which_a_crash_let_the_log_tell_in_part_are_given_up() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let archive = open(dir.path()).await;
        mixed(&archive).await;
        archive.compact(NOW).await.unwrap();
        remove_compacted(&archive).await;
        let before = images(&archive);
        // Given a pack of two copies, of one of which the log tells
        let places = places_of(&archive, "350006");
        let mut begun = archive.packs().copied_pack(false).unwrap();
        let offsets = [0, 1].map(|at| begun.copy(places[at].pack, places[at].offset).unwrap());
        let partial = begun.finish().unwrap().id();
        let moved = MovedInstance {
            from: places[0].pack,
            from_offset: places[0].offset,
            offset: offsets[0],
        };
        let told = InstancesMoved {
            pack: partial,
            studies: vec![MovedStudy {
                study: study("350006"),
                instances: vec![moved],
            }],
            is_last: false,
        };
        submit(&archive, Event::InstancesMoved(told)).await;
        assert_eq!(places_of(&archive, "350006")[0].pack, partial);
        assert!(images(&archive) == before);
        // When packs are compacted, then it is given up, with the copy that nobody knows
        archive.compact(NOW).await.unwrap();
        remove_compacted(&archive).await;
        assert!(!archive.packs().has(partial));
        assert!(images(&archive) == before);
        archive.close().await;
    });
}
