//! An object store that fails in every way that the proxy knows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::*;
use crate::space::FreeSpace;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_instances_are_taken_and_the_backlog_goes_afterwards() {
    for fault in [
        Fault::Unavailable(5),
        Fault::Unavailable(50),
        Fault::Unavailable(100),
        Fault::Hang,
        Fault::RefuseAccount,
        Fault::CutAnswers,
    ] {
        let place = Place::new().await;
        let packs = place.open().await;
        until(&packs, |health| health.problem.is_none()).await;

        // Given a store that fails while packs are sealed
        place.proxy.set(fault);
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(sealed_pack(&packs).await);
        }
        let lasting = !matches!(fault, Fault::Unavailable(5 | 50));
        if lasting {
            let failing =
                |health: &ObjectsHealth| health.problem.is_some() && health.backlog_packs == 3;
            let health = until(&packs, failing).await;
            let problem = health.problem.unwrap();
            assert!(
                !problem.contains(KEY_ID) && !problem.contains(SECRET),
                "{problem}"
            );
            if fault == Fault::RefuseAccount {
                assert!(problem.contains("AWS_ACCESS_KEY_ID"), "{problem}");
            }
            all.push(sealed_pack(&packs).await);
            assert_eq!(place.local(".pack").len(), 4, "{fault:?}");
        }

        // When it recovers, everything goes, and is what it was
        place.proxy.set(Fault::None);
        until_evicted(&packs, all.len() as u64).await;
        for placed in &all {
            assert_all_whole(&packs, placed);
        }
        assert_eq!(place.server.uploads(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_store_fails_a_read_in_its_time_and_the_next_ones_at_once() {
    let place = Place::new().await;
    let packs = place.open().await;
    let placed = sealed_pack(&packs).await;
    until_evicted(&packs, 1).await;

    place.proxy.set(Fault::Hang);
    let limit = place.objects().request_timeout;
    let began = Instant::now();
    let error = packs.read(placed[0].pack, placed[0].offset).unwrap_err();
    assert!(matches!(error, PackError::Remote { .. }), "{error}");
    assert!(began.elapsed() < 2 * limit, "{:?}", began.elapsed());
    // Seen by nobody: the store is not asked again for a while
    place.proxy.take_seen();
    for placed in &placed {
        assert!(packs.read(placed.pack, placed.offset).is_err());
    }
    assert!(
        !place
            .proxy
            .take_seen()
            .iter()
            .any(|line| line.starts_with("GET "))
    );

    place.proxy.set(Fault::None);
    let read = async {
        while packs.read(placed[0].pack, placed[0].offset).is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await; // between two attempts
        }
    };
    tokio::time::timeout(Duration::from_secs(30), read)
        .await
        .unwrap();
    assert_all_whole(&packs, &placed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_the_store_takes_instances_and_goes_on_with_it_later() {
    let place = Place::new().await;
    let packs = place.open().await;
    let first = sealed_pack(&packs).await;
    until_evicted(&packs, 1).await;
    drop(packs);

    place.proxy.set(Fault::Unavailable(100));
    let packs = place.open().await;
    let second = sealed_pack(&packs).await;
    until(&packs, |health| health.problem.is_some()).await;
    assert!(second[0].pack > first[0].pack);
    assert!(packs.read(first[0].pack, first[0].offset).is_err());

    place.proxy.set(Fault::None);
    until_evicted(&packs, 2).await;
    assert_all_whole(&packs, &second);
}

/// A disk of a certain size, less the pack files that lie on it.
struct SmallDisk(AtomicU64);

impl FreeSpace for SmallDisk {
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let used: u64 = fs::read_dir(dir)?
            .filter_map(Result::ok)
            .filter(|entry| entry.path().extension().is_some_and(|e| e == "pack"))
            .filter_map(|entry| entry.metadata().ok())
            .map(|metadata| metadata.len())
            .sum();
        Ok(self.0.load(Ordering::SeqCst).saturating_sub(used))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_copies_make_room_and_then_instances_are_refused() {
    let place = Place::new().await;
    let disk = Arc::new(SmallDisk(AtomicU64::new(u64::MAX)));
    let mut small = PackOptions {
        free_space: Arc::clone(&disk) as Arc<dyn FreeSpace>,
        ..place.options()
    };
    small.objects.as_mut().unwrap().cache_bytes = u64::MAX;
    let packs = place.open_with(small).await.unwrap();

    // Given uploaded copies and little space: they go before anything is refused for long, also now
    let mut all = vec![sealed_pack(&packs).await, sealed_pack(&packs).await];
    until(&packs, |health| {
        health.uploaded_packs == 2 && health.backlog_packs == 0
    })
    .await;
    assert_eq!(place.local(".pack").len(), 2);
    place.proxy.set(Fault::Unavailable(100));
    disk.0.store(1000, Ordering::SeqCst);
    let _ = packs.append(instance(0, 900)).await;
    until(&packs, |health| health.local_bytes == 0).await;
    packs.append(instance(0, 900)).await.unwrap();

    // and then instances are taken until the space ends, and no longer
    disk.0.store(1800, Ordering::SeqCst);
    all.push(sealed_pack(&packs).await);
    all.push(sealed_pack(&packs).await);
    let refusal = packs.append(instance(0, 900)).await.unwrap_err();
    assert!(matches!(refusal, PackError::Full(_)), "{refusal}");

    // until it returns
    place.proxy.set(Fault::None);
    until_evicted(&packs, 4).await;
    packs.append(instance(0, 900)).await.unwrap();
    disk.0.store(u64::MAX, Ordering::SeqCst);
    for placed in &all {
        assert_all_whole(&packs, placed);
    }
}
