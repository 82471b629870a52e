//! Large instances.

use super::*;

const LARGE: usize = 3 * CHUNK_BYTES + 12_345;

async fn store_large(packs: &Packs, n: usize) -> Placed {
    let mut lease = packs.lease().await.unwrap();
    lease.write(sample(n, LARGE)).await.unwrap();
    lease.finish(facts(n), [n as u8; 32]).await.unwrap()
}

fn read_large(packs: &Packs, placed: Placed) -> Result<Vec<u8>, PackError> {
    let mut reader = packs.reader(placed.pack, placed.offset)?;
    let mut data = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        assert!(chunk.len() <= CHUNK_BYTES);
        data.extend_from_slice(&chunk);
    }
    Ok(data)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_the_disk_does_not_stay_in_memory() {
    let dir = tempfile::TempDir::new().unwrap();
    let disk = TestDisk::new();
    let roomy = PackOptions {
        seal_bytes: 64 << 20,
        ..options(&disk)
    };
    let (packs, _) = Packs::open(dir.path(), roomy).unwrap();
    let first = store_large(&packs, 0).await;
    disk.order(|orders| assert_eq!(orders.forgotten, []));
    let second = store_large(&packs, 1).await;
    disk.order(|orders| assert_eq!(orders.forgotten.last(), Some(&(0..second.offset))));
    assert!(second.offset > first.offset + first.length);
    store_large(&packs, 2).await;
    disk.order(|orders| {
        // With the page that the first one ended in.
        let next = orders.forgotten.last().unwrap();
        assert_eq!(next.start, second.offset - second.offset % 4096);
        assert!(next.end > second.offset + second.length);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_instance_streams_in_and_out() {
    let dir = tempfile::TempDir::new().unwrap();
    let (packs, _) = open(dir.path());
    // More at once than there are leases
    let stores: Vec<_> = (0..2 * MAX_LEASES)
        .map(|n| {
            let packs = packs.clone();
            tokio::spawn(async move { store_large(&packs, n).await })
        })
        .collect();
    let mut placed = Vec::new();
    for store in stores {
        placed.push(store.await.unwrap());
    }
    for (n, placed) in placed.iter().enumerate() {
        assert_eq!(placed.length, LARGE as u64);
        assert_eq!(read_large(&packs, *placed).unwrap(), sample(n, LARGE));
        packs
            .reader(placed.pack, placed.offset)
            .unwrap()
            .verify()
            .unwrap();
        assert_eq!(
            packs.read(placed.pack, placed.offset).unwrap().facts,
            facts(n)
        );
    }
    let report = packs.verify(|_| ()).unwrap();
    assert_eq!((report.records, report.damaged), (2 * MAX_LEASES as u64, 0));
    drop(packs);
    let (packs, recovered) = open(dir.path());
    assert_eq!(
        recovered.packs.iter().map(|p| p.records).sum::<u64>(),
        2 * MAX_LEASES as u64
    );
    assert_eq!(read_large(&packs, placed[0]).unwrap(), sample(0, LARGE));
}

#[tokio::test]
async fn a_large_instance_that_does_not_come_to_its_end_leaves_nothing() {
    let dir = tempfile::TempDir::new().unwrap();
    let large_packs = PackOptions {
        seal_bytes: 1 << 30,
        ..options(&TestDisk::new())
    };
    let (packs, _) = Packs::open(dir.path(), large_packs).unwrap();
    let before = store_large(&packs, 0).await;
    packs.inner.pool.idle().await;
    let length = |p: Placed| {
        fs::metadata(file_of(dir.path(), p.pack, "open"))
            .unwrap()
            .len()
    };
    let whole = length(before);

    let mut lease = packs.lease().await.unwrap();
    lease.write(sample(1, LARGE)).await.unwrap();
    drop(lease);
    packs.inner.pool.idle().await;

    assert_eq!(length(before), whole);
    let report = packs.verify(|_| ()).unwrap();
    assert_eq!((report.records, report.damaged), (1, 0));
    assert_eq!(read_large(&packs, before).unwrap(), sample(0, LARGE));
}

#[tokio::test]
async fn the_last_lease_is_for_an_instance_that_cannot_do_without() {
    let dir = tempfile::TempDir::new().unwrap();
    let (packs, _) = open(dir.path());
    let streaming: Vec<_> = std::iter::from_fn(|| packs.try_lease()).collect();
    assert_eq!(streaming.len(), MAX_LEASES - 1);
    let large = packs.lease().await.unwrap();
    drop(streaming);
    drop(large);
    packs.inner.pool.idle().await;
}

#[tokio::test]
async fn a_crash_amid_a_large_instance_keeps_those_before_it() {
    let dir = tempfile::TempDir::new().unwrap();
    let (live, crashed) = (dir.path().join("live"), dir.path().join("crashed"));
    let disk = TestDisk::new();
    let large_packs = PackOptions {
        seal_bytes: 1 << 30,
        ..options(&disk)
    };
    let (packs, _) = Packs::open(&live, large_packs).unwrap();
    let before = store_large(&packs, 0).await;
    packs.inner.pool.idle().await;
    let written = *disk.written.borrow();
    let mut lease = packs.lease().await.unwrap();
    lease.write(sample(1, LARGE)).await.unwrap();
    disk.written(written + LARGE as u64).await;

    // When the machine dies while it streams in, and also when only its header was not finished
    crash_copy(&live, &crashed);
    let streaming = fs::read(file_of(&crashed, before.pack, "open")).unwrap();
    let placed = lease.finish(facts(1), [1; 32]).await.unwrap();
    assert_eq!(placed.pack, before.pack);
    let mut unfinished = fs::read(file_of(&live, before.pack, "open")).unwrap();
    let header = placed.offset as usize..placed.offset as usize + format::RECORD_HEADER_BYTES;
    unfinished[header.clone()].copy_from_slice(&streaming[header]);
    for bytes in [streaming, unfinished] {
        crash_copy(&live, &crashed);
        fs::write(file_of(&crashed, before.pack, "open"), &bytes).unwrap();

        let (packs, recovered) = open(&crashed);
        assert_eq!(
            recovered.packs,
            [RecoveredPack {
                pack: before.pack,
                records: 1
            }]
        );
        assert_eq!(recovered.cut[0].offset, placed.offset);
        assert!(recovered.damage.is_empty());
        assert_eq!(read_large(&packs, before).unwrap(), sample(0, LARGE));
        assert!(packs.reader(placed.pack, placed.offset).is_err());
    }
}

#[tokio::test]
async fn of_a_damaged_large_instance_the_last_chunk_is_never_given() {
    let dir = tempfile::TempDir::new().unwrap();
    let (live, flipped) = (dir.path().join("live"), dir.path().join("flipped"));
    let (packs, _) = open(&live);
    let placed = store_large(&packs, 0).await;
    drop(packs);
    let (packs, _) = open(&live);
    seal(&packs, placed.pack).await;
    crash_copy(&live, &flipped);
    let file = file_of(&flipped, placed.pack, "pack");
    let mut bytes = fs::read(&file).unwrap();
    bytes[placed.offset as usize + 1000] ^= 1;
    fs::write(&file, bytes).unwrap();

    let (packs, _) = open(&flipped);
    let mut reader = packs.reader(placed.pack, placed.offset).unwrap();
    assert!(matches!(reader.verify(), Err(PackError::Damaged { .. })));
    let mut given = 0;
    let error = loop {
        match reader.next_chunk() {
            Ok(chunk) => given += chunk.unwrap().len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, PackError::Damaged { .. }));
    assert_eq!(given, 3 * CHUNK_BYTES);
}

#[tokio::test]
async fn a_full_disk_ends_a_large_instance_with_a_reason() {
    let dir = tempfile::TempDir::new().unwrap();
    let disk = TestDisk::new();
    let (packs, _) = Packs::open(dir.path(), options(&disk)).unwrap();
    disk.order(|o| o.write_limit = Some((CHUNK_BYTES + 500, io::ErrorKind::StorageFull)));
    let mut lease = packs.lease().await.unwrap();
    let stored = async {
        lease.write(sample(0, LARGE)).await?;
        lease.finish(facts(0), [0; 32]).await
    };
    assert!(matches!(stored.await, Err(PackError::Full(_))));
    disk.order(|o| o.write_limit = None);
    packs.inner.pool.idle().await;
    let placed = store_large(&packs, 1).await;
    assert_eq!(read_large(&packs, placed).unwrap(), sample(1, LARGE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leased_pack_that_idles_is_sealed_while_others_store() {
    let dir = tempfile::TempDir::new().unwrap();
    let idle = PackOptions {
        seal_bytes: 1 << 30,
        seal_idle: Duration::from_millis(400),
        ..options(&TestDisk::new())
    };
    let (packs, _) = Packs::open(dir.path(), idle).unwrap();
    let leased = store_large(&packs, 0).await.pack;
    packs.all_logged(leased);
    // given small instances without a pause
    let ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let storing = {
        let (packs, ended) = (packs.clone(), Arc::clone(&ended));
        tokio::spawn(async move {
            let mut n = 0;
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                packs.append(instance(n % 100, 50)).await.unwrap();
                n += 1;
            }
        })
    };
    // then the other pack is sealed in the meantime
    let mut sealed = packs.watch_sealed();
    let waited = tokio::time::timeout(Duration::from_secs(20), sealed.wait_for(|n| *n > 0)).await;
    ended.store(true, std::sync::atomic::Ordering::Relaxed);
    storing.await.unwrap();
    assert!(waited.is_ok(), "a pack that nobody uses stays open");
    assert!(file_of(dir.path(), leased, "pack").exists());
}
