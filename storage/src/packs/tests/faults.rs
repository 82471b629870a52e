//! Disks that are full or fail.

use super::*;
use crate::space::FreeSpace;
use std::sync::atomic::{AtomicU64, Ordering};

#[tokio::test]
async fn a_disk_that_fills_amid_a_write_refuses_and_goes_on_when_space_returns() {
    let dir = tempfile::TempDir::new().unwrap();
    let disk = TestDisk::new();
    let (packs, _) = Packs::open(dir.path(), options(&disk)).unwrap();
    let first = append(&packs, 1).await[0];

    // Wherever the disk fills up, nothing of the refused instance stays
    let file = file_of(dir.path(), first.pack, "open");
    let length = fs::metadata(&file).unwrap().len();
    for bytes in [0, 1, 23, 24, 30, 90, 130] {
        disk.order(|o| o.write_limit = Some((bytes, io::ErrorKind::StorageFull)));
        let refusal = packs.append(instance(1, 59)).await.unwrap_err();
        assert!(matches!(refusal, PackError::Full(_)), "{refusal}");
        assert!(packs.health().full.is_some());
        assert_eq!(fs::metadata(&file).unwrap().len(), length);
    }

    disk.order(|o| o.write_limit = None);
    let second = packs.append(instance(1, 59)).await.unwrap();
    assert_eq!(second.offset, length);
    assert_whole(&packs, 0, first);
    assert_whole(&packs, 1, second);
    assert_eq!(
        packs.health(),
        PackHealth {
            latched: None,
            full: None,
            short: None,
            waiting: 0
        }
    );
}

#[tokio::test]
async fn a_new_pack_that_does_not_fit_leaves_nothing_behind() {
    let dir = tempfile::TempDir::new().unwrap();
    let disk = TestDisk::new();
    let (packs, _) = Packs::open(dir.path(), options(&disk)).unwrap();
    disk.order(|o| o.write_limit = Some((10, io::ErrorKind::StorageFull)));
    assert!(matches!(
        packs.append(instance(0, 50)).await,
        Err(PackError::Full(_))
    ));
    assert!(packs.list().unwrap().is_empty());
    disk.order(|o| o.write_limit = None);
    assert_whole(&packs, 0, append(&packs, 1).await[0]);
}

#[tokio::test]
async fn a_failed_sync_is_not_tried_again_and_nothing_more_is_acknowledged() {
    let dir = tempfile::TempDir::new().unwrap();
    let disk = TestDisk::new();
    let (packs, _) = Packs::open(dir.path(), options(&disk)).unwrap();
    let stored = append(&packs, 1).await[0];

    disk.order(|o| o.sync_fails = true);
    let refusal = packs.append(instance(1, 99)).await.unwrap_err();
    assert!(
        refusal.to_string().contains("the platter is gone"),
        "{refusal}"
    );

    // The kernel would now say that all is well
    disk.order(|o| o.sync_fails = false);
    let syncs = disk.syncs();
    assert!(matches!(
        packs.append(instance(2, 99)).await,
        Err(PackError::Latched { .. })
    ));
    assert!(matches!(
        packs.lease().await.err(),
        Some(PackError::Latched { .. })
    ));
    packs.all_logged(stored.pack);
    assert_whole(&packs, 0, stored);
    assert!(packs.health().latched.is_some());
    drop(packs);
    assert_eq!(
        disk.syncs(),
        syncs,
        "after a failed sync no other is believed"
    );
    assert!(file_of(dir.path(), stored.pack, "open").exists());
}

#[tokio::test]
async fn a_failed_write_latches_and_so_does_a_full_disk_that_cannot_be_cut() {
    for (kind, truncate_fails) in [
        (io::ErrorKind::Other, false),
        (io::ErrorKind::StorageFull, true),
    ] {
        let dir = tempfile::TempDir::new().unwrap();
        let disk = TestDisk::new();
        let (packs, _) = Packs::open(dir.path(), options(&disk)).unwrap();
        let stored = append(&packs, 1).await[0];
        disk.order(|o| {
            o.write_limit = Some((40, kind));
            o.truncate_fails = truncate_fails;
        });
        assert!(matches!(
            packs.append(instance(1, 99)).await,
            Err(PackError::Latched { .. })
        ));
        disk.order(|o| *o = Orders::default());
        assert!(matches!(
            packs.append(instance(1, 99)).await,
            Err(PackError::Latched { .. })
        ));
        drop(packs);

        // The next start cuts what was half written.
        let (packs, recovered) = open(dir.path());
        assert_eq!(recovered.cut.len(), 1);
        assert_whole(&packs, 0, stored);
    }
}

struct Space(AtomicU64);

impl FreeSpace for Space {
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.0.load(Ordering::SeqCst))
    }
}

#[tokio::test]
async fn the_reserve_of_free_space_is_not_touched() {
    let dir = tempfile::TempDir::new().unwrap();
    let space = Arc::new(Space(AtomicU64::new(1_000_099)));
    let reserved = PackOptions {
        reserve_bytes: 1_000_000,
        free_space: Arc::clone(&space) as Arc<dyn FreeSpace>,
        ..options(&TestDisk::new())
    };
    let (packs, _) = Packs::open(dir.path(), reserved).unwrap();
    packs.append(instance(0, 99)).await.unwrap();
    let refusal = packs.append(instance(1, 100)).await.unwrap_err();
    assert!(matches!(
        refusal,
        PackError::Full(Shortage {
            free_bytes: 1_000_099,
            reserve_bytes: 1_000_000
        })
    ));
    let mut lease = packs.lease().await.unwrap();
    let written = async {
        lease.write(sample(1, 100)).await?;
        lease.finish(facts(1), [1; 32]).await
    };
    assert!(matches!(written.await, Err(PackError::Full(_))));
    space.0.store(u64::MAX, Ordering::SeqCst);
    packs.append(instance(1, 100)).await.unwrap();
}

#[tokio::test]
async fn a_new_pack_reserves_no_room_that_must_stay_free() {
    const RESERVE: u64 = 1_000_000;
    let seal_bytes = options(&TestDisk::new()).seal_bytes;
    // Given a disk that has room for one pack beside the reserve, and one that has room for two
    for (free, reserved) in [
        (RESERVE + seal_bytes + 1, 0),
        (RESERVE + 2 * seal_bytes, seal_bytes),
    ] {
        let dir = tempfile::TempDir::new().unwrap();
        let disk = TestDisk::new();
        let reserving = PackOptions {
            reserve_bytes: RESERVE,
            free_space: Arc::new(Space(AtomicU64::new(free))),
            ..options(&disk)
        };
        let (packs, _) = Packs::open(dir.path(), reserving).unwrap();
        // When an instance comes, then it is stored, and what comes next finds room as well
        assert_whole(&packs, 0, append(&packs, 1).await[0]);
        assert_eq!(disk.reserved(), reserved, "{free} bytes were free");
        drop(packs);
    }
}
