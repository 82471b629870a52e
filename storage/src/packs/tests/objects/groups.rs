//! What the object store has before it is acknowledged.

use super::*;

impl Place {
    fn acknowledging(&self) -> PackOptions {
        PackOptions {
            ack: Ack::Object,
            ..self.options()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_the_loss_of_the_disk() {
    let place = Place::new().await;
    let packs = place.open_with(place.acknowledging()).await.unwrap();
    // Given instances of many senders, and a large one that streams in
    let many = (0..40).map(|n| {
        let packs = packs.clone();
        tokio::spawn(async move { packs.append(instance(n, 50 + 9 * n)).await.unwrap() })
    });
    let mut placed = Vec::new();
    for stored in many.collect::<Vec<_>>() {
        placed.push(stored.await.unwrap());
    }
    assert!(packs.try_lease().is_none(), "small ones go in groups");
    let mut large = packs.lease().await.unwrap();
    for _ in 0..4 {
        large.write(sample(7, 1 << 20)).await.unwrap();
    }
    let large = large.finish(facts(7), [7; 32]).await.unwrap();
    // Then each was in the object store when it was acknowledged, many in one group
    let groups: BTreeSet<PackId> = placed.iter().map(|placed| placed.pack).collect();
    assert!(groups.len() < placed.len(), "{} groups", groups.len());
    for pack in groups.iter().chain([&large.pack]) {
        assert!(place.object(*pack).exists(), "{pack}");
        assert!(packs.is_uploaded(*pack));
    }
    // And can be read without anything that this disk had
    drop(packs);
    fs::remove_dir_all(place.packs_dir()).unwrap();
    let packs = place.open_with(place.acknowledging()).await.unwrap();
    assert_all_whole(&packs, &placed);
    let reader = packs.reader(large.pack, large.offset).unwrap();
    assert_eq!(reader.info().data_len, 4 << 20);
    reader.verify().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_lets_nothing_be_acknowledged_and_nothing_stays() {
    for fault in [Fault::Unavailable(100), Fault::Hang, Fault::RefuseAccount] {
        let place = Place::new().await;
        let packs = place.open_with(place.acknowledging()).await.unwrap();
        let before = append(&packs, 1).await;
        place.proxy.set(fault);
        // Given a store that fails, when instances come, then they are refused
        let (one, other) = (packs.append(instance(1, 59)), packs.append(instance(2, 68)));
        for refused in [one.await, other.await] {
            let refused = refused.unwrap_err();
            assert!(
                matches!(refused, PackError::Remote { .. }),
                "{fault:?}: {refused}"
            );
            assert!(!refused.to_string().contains(SECRET));
        }
        let mut large = packs.lease().await.unwrap();
        large.write(sample(3, 1 << 20)).await.unwrap();
        assert!(large.finish(facts(3), [3; 32]).await.is_err());
        // And nothing of them is kept, so that nothing is uploaded behind their senders' backs
        assert_eq!(packs.list().unwrap().len(), 1, "{fault:?}");
        // When it recovers, then they are taken
        place.proxy.set(Fault::None);
        let placed = packs.append(instance(1, 59)).await.unwrap();
        assert_whole(&packs, 0, before[0]);
        assert_whole(&packs, 1, placed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_at_times_is_asked_again() {
    let place = Place::new().await;
    let packs = place.open_with(place.acknowledging()).await.unwrap();
    place.proxy.set(Fault::Unavailable(20));
    let mut acknowledged = 0;
    for n in 0..20 {
        if let Ok(placed) = packs.append(instance(n, 50 + 9 * n)).await {
            assert!(place.object(placed.pack).exists());
            assert_whole(&packs, n, placed);
            acknowledged += 1;
        }
    }
    assert!(acknowledged >= 15, "{acknowledged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_half_written_goes() {
    let place = Place::new().await;
    drop(place.open_with(place.acknowledging()).await.unwrap());
    fs::write(place.packs_dir().join("0000-000000000009.whole"), b"half").unwrap();
    let packs = place.open_with(place.acknowledging()).await.unwrap();
    assert!(place.local(".whole").is_empty());
    let placed = append(&packs, 1).await;
    assert_whole(&packs, 0, placed[0]);
}
