//! Storing, reading, sealing when nothing goes wrong.

use super::*;

#[tokio::test]
async fn what_is_stored_is_read_back_and_survives_a_restart() {
    let dir = tempfile::TempDir::new().unwrap();
    let (packs, recovered) = open(dir.path());
    assert_eq!(recovered, Recovered::default());
    let placed = append(&packs, 5).await;
    placed
        .iter()
        .enumerate()
        .for_each(|(n, p)| assert_whole(&packs, n, *p));
    drop(packs);

    let (packs, recovered) = open(dir.path());
    let pack = placed[0].pack;
    assert_eq!(recovered.packs, [RecoveredPack { pack, records: 5 }]);
    assert!(recovered.cut.is_empty() && recovered.damage.is_empty());
    placed
        .iter()
        .enumerate()
        .for_each(|(n, p)| assert_whole(&packs, n, *p));
    let listed: Vec<RecordInfo> = packs.records(pack).unwrap().map(Result::unwrap).collect();
    for (n, info) in listed.iter().enumerate() {
        assert_eq!(
            (info.offset, info.data_len),
            (placed[n].offset, placed[n].length)
        );
        assert_eq!((&info.facts, info.digest), (&facts(n), [n as u8; 32]));
    }
    // New instances go into a new pack; an old one is never appended to.
    assert_eq!(
        append(&packs, 1).await[0].pack,
        PackId::new(3, pack.number() + 1)
    );
}

#[tokio::test]
async fn a_pack_is_sealed_when_full_and_logged_and_reads_the_same() {
    let dir = tempfile::TempDir::new().unwrap();
    let disk = TestDisk::new();
    let small = PackOptions {
        seal_bytes: 1000,
        ..options(&disk)
    };
    let (packs, _) = Packs::open(dir.path(), small).unwrap();
    let placed = append(&packs, 20).await;
    let first = placed[0].pack;
    let of_first = placed.iter().filter(|p| p.pack == first).count() as u64;
    assert!(of_first < 20, "a full pack gets no more");

    // Given that the log lacks one of its records, it stays unsealed; when the last is logged, it is sealed.
    let mut sealed = packs.watch_sealed();
    packs.logged(first, of_first - 1);
    assert!(file_of(dir.path(), first, "open").exists());
    packs.logged(first, 1);
    sealed.wait_for(|sealed| *sealed == 1).await.unwrap();

    assert!(!file_of(dir.path(), first, "open").exists());
    placed
        .iter()
        .enumerate()
        .for_each(|(n, p)| assert_whole(&packs, n, *p));
    let report = packs.verify(|_| ()).unwrap();
    assert_eq!((report.records, report.damaged), (20, 0));
    let listed = packs.list().unwrap();
    assert_eq!(
        listed[0],
        PackInfo {
            pack: first,
            sealed: true,
            bytes: listed[0].bytes
        }
    );
    assert_eq!(packs.usage().unwrap().packs, listed.len() as u64);

    // After a restart it is not among those whose records the log may lack.
    drop(packs);
    let (packs, recovered) = open(dir.path());
    assert!(recovered.packs.iter().all(|p| p.pack != first));
    placed
        .iter()
        .enumerate()
        .for_each(|(n, p)| assert_whole(&packs, n, *p));
    assert_eq!(packs.records(first).unwrap().count() as u64, of_first);
}

#[tokio::test]
async fn an_idle_pack_is_sealed() {
    let dir = tempfile::TempDir::new().unwrap();
    let idle = PackOptions {
        seal_idle: Duration::from_millis(20),
        ..options(&TestDisk::new())
    };
    let (packs, _) = Packs::open(dir.path(), idle).unwrap();
    let placed = append(&packs, 1).await;
    seal(&packs, placed[0].pack).await;
    assert!(file_of(dir.path(), placed[0].pack, "pack").exists());
    assert_whole(&packs, 0, placed[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_instances_share_syncs_and_are_readable_at_once() {
    const CALLERS: usize = 64;
    const EACH: usize = 10;
    let dir = tempfile::TempDir::new().unwrap();
    let disk = TestDisk::new();
    let (packs, _) = Packs::open(dir.path(), options(&disk)).unwrap();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let packs = packs.clone();
            tokio::spawn(async move {
                for n in (0..EACH).map(|i| caller * EACH + i) {
                    let placed = packs.append(instance(n, 50 + 9 * n)).await.unwrap();
                    assert_whole(&packs, n, placed);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(disk.syncs() < CALLERS * EACH, "{} syncs", disk.syncs());
    let report = packs.verify(|_| ()).unwrap();
    assert_eq!(
        (report.records, report.damaged),
        ((CALLERS * EACH) as u64, 0)
    );
}

#[tokio::test]
async fn packs_are_opened_once_and_closed_packs_refuse() {
    let dir = tempfile::TempDir::new().unwrap();
    let (packs, _) = open(dir.path());
    let second = Packs::open(dir.path(), options(&TestDisk::new()))
        .err()
        .unwrap();
    assert!(matches!(second, PackOpenError::InUse { .. }));
    packs.close();
    assert!(matches!(
        packs.append(instance(0, 9)).await,
        Err(PackError::Closed)
    ));
    assert!(matches!(
        packs.read(PackId(9), 64),
        Err(PackError::Missing { .. })
    ));
}

#[tokio::test]
async fn a_pack_number_that_the_log_knows_is_not_used_again() {
    let dir = tempfile::TempDir::new().unwrap();
    let (packs, _) = open(dir.path());
    packs.continue_after(PackId::new(3, 40));
    assert_eq!(append(&packs, 1).await[0].pack, PackId::new(3, 41));
}

/// The file was made from the tables in `format.rs` by other code. It must stay readable for ever.
#[tokio::test]
async fn a_pack_of_version_1_is_read() {
    let dir = tempfile::TempDir::new().unwrap();
    let pack = PackId::new(3, 42);
    let golden = include_bytes!("golden/version-1.pack");
    fs::write(file_of(dir.path(), pack, "pack"), golden).unwrap();

    let (packs, _) = open(dir.path());
    assert_eq!(packs.verify(|_| ()).unwrap().damage, []);
    let listed: Vec<RecordInfo> = packs.records(pack).unwrap().map(Result::unwrap).collect();
    let [first, second] = listed.as_slice() else {
        panic!("{listed:?}");
    };
    let first = packs.read(pack, first.offset).unwrap();
    assert_eq!(
        (&first.data[..], &first.facts[..]),
        (&b"first data set"[..], &b"first facts"[..])
    );
    assert_eq!(first.digest, [1; 32]);
    let second = packs.read(pack, second.offset).unwrap();
    assert_eq!(
        (second.data.len(), second.facts.len(), second.digest),
        (0, 0, [2; 32])
    );

    // And what this version writes today differs in nothing but what it is told.
    let new = append(&packs, 1).await[0];
    assert_eq!(new.pack, PackId::new(3, 43));
    let written = fs::read(file_of(dir.path(), new.pack, "open")).unwrap();
    assert_eq!(written[..16], golden[..16]);
}
