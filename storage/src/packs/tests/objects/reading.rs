//! What comes from the object store is checked as if it came from the disk.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_in_an_object_are_found_and_never_served() {
    let place = Place::new().await;
    let packs = place.open().await;
    let placed = sealed_pack(&packs).await;
    until_evicted(&packs, 1).await;
    let object = place.object(placed[0].pack);
    let whole = fs::read(&object).unwrap();
    let end_of_records = whole.len() - 32 - 4 * 24;
    drop(packs);

    for byte in (64..end_of_records).step_by(19) {
        let mut changed = whole.clone();
        changed[byte] ^= 1 << (byte % 8);
        fs::write(&object, &changed).unwrap();
        let packs = place.open().await;
        let mut damaged = 0;
        for (n, placed) in placed.iter().enumerate() {
            match packs.read(placed.pack, placed.offset) {
                Ok(_) => assert_whole(&packs, n, *placed),
                Err(error) => {
                    assert!(matches!(error, PackError::Damaged { .. }), "{error}");
                    damaged += 1;
                }
            }
        }
        assert_eq!(damaged, 1, "byte {byte}");
        assert!(packs.verify(|_| ()).unwrap().damaged > 0, "byte {byte}");
        // What was wrong on the way only is right the next time
        fs::write(&object, &whole).unwrap();
        for placed in &placed {
            let _ = packs.read(placed.pack, placed.offset);
        }
        assert_all_whole(&packs, &placed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_cut_or_removed_is_an_error_of_its_own_instances() {
    let place = Place::new().await;
    let packs = place.open().await;
    let (cut, gone) = (sealed_pack(&packs).await, sealed_pack(&packs).await);
    let whole = sealed_pack(&packs).await;
    until_evicted(&packs, 3).await;
    let bytes = fs::read(place.object(cut[0].pack)).unwrap();
    fs::write(place.object(cut[0].pack), &bytes[..bytes.len() / 2]).unwrap();
    fs::remove_file(place.object(gone[0].pack)).unwrap();

    assert!(packs.read(cut[0].pack, cut[0].offset).is_err());
    let error = packs.read(gone[0].pack, gone[0].offset).unwrap_err();
    assert!(matches!(error, PackError::Missing { .. }), "{error}");
    assert_all_whole(&packs, &whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_of_another_node_is_read_from_the_object_store() {
    let place = Place::new().await;
    let packs = place.open().await;
    let placed = sealed_pack(&packs).await;
    until_evicted(&packs, 1).await;

    let other = tempfile::TempDir::new().unwrap();
    let options = PackOptions {
        node: 4,
        ..place.options()
    };
    let (reader, _) = Packs::open(&other.path().join("packs"), options).unwrap();
    reader
        .use_objects(place.archive, other.path(), None)
        .await
        .unwrap();
    assert_all_whole(&reader, &placed);
    let missing = PackId::new(3, 999);
    assert!(matches!(
        reader.read(missing, 64),
        Err(PackError::Missing { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_for_blocks_still_serves_them() {
    struct Full;
    impl crate::space::FreeSpace for Full {
        fn free_bytes(&self, _: &Path) -> io::Result<u64> {
            Ok(0)
        }
    }
    let place = Place::new().await;
    let packs = place.open().await;
    let placed = sealed_pack(&packs).await;
    until_evicted(&packs, 1).await;
    drop(packs);

    let full = PackOptions {
        free_space: Arc::new(Full),
        reserve_bytes: 1,
        ..place.options()
    };
    let packs = place.open_with(full).await.unwrap();
    assert_all_whole(&packs, &placed);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_the_same_block_ask_for_it_once() {
    let place = Place::new().await;
    let packs = place.open().await;
    let placed = sealed_pack(&packs).await;
    until_evicted(&packs, 1).await;
    place.proxy.take_seen();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_all_whole(&packs, &placed));
        }
    });
    let asked = place.proxy.take_seen();
    assert_eq!(asked.len(), 1, "{asked:#?}");
}
