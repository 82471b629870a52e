//! Packs that were cut or changed behind our back.

use super::*;

#[tokio::test]
async fn cut_at_any_byte_exactly_the_whole_instances_before_are_served() {
    // Given a pack of five instances, unsealed
    let dir = tempfile::TempDir::new().unwrap();
    let (live, crashed) = (dir.path().join("live"), dir.path().join("crashed"));
    let (packs, _) = open(&live);
    let placed = append(&packs, 5).await;
    let pack = placed[0].pack;
    let length = fs::metadata(file_of(&live, pack, "open")).unwrap().len();
    let ends: Vec<u64> = placed[1..]
        .iter()
        .map(|p| p.offset)
        .chain([length])
        .collect();

    // When it is cut at any byte of the last three
    for cut in ends[1]..length {
        crash_copy(&live, &crashed);
        let file = file_of(&crashed, pack, "open");
        let before = fs::read(&file).unwrap();
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(cut)
            .unwrap();

        // Then the whole ones are served, and the bytes of the incomplete one lie aside
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let (packs, recovered) = open(&crashed);
        assert_eq!(
            recovered.packs,
            [RecoveredPack {
                pack,
                records: whole as u64
            }]
        );
        assert!(recovered.damage.is_empty());
        for (n, placed) in placed.iter().enumerate() {
            match n < whole {
                true => assert_whole(&packs, n, *placed),
                false => assert!(packs.read(pack, placed.offset).is_err()),
            }
        }
        let end = ends[whole - 1];
        match recovered.cut.as_slice() {
            [] => assert_eq!(cut, end),
            [aside] => {
                assert_eq!((aside.offset, aside.bytes), (end, cut - end));
                assert!(!aside.whole_length);
                let kept = fs::read(aside.moved_to.as_ref().unwrap()).unwrap();
                assert_eq!(kept, before[end as usize..cut as usize]);
            }
            more => panic!("{more:?}"),
        }
        assert_eq!(packs.verify(|_| ()).unwrap().damaged, 0);
    }
}

#[tokio::test]
async fn any_flipped_byte_of_a_sealed_pack_is_found_and_never_served() {
    let dir = tempfile::TempDir::new().unwrap();
    let (whole, flipped) = (dir.path().join("whole"), dir.path().join("flipped"));
    let (packs, _) = open(&whole);
    let placed = append(&packs, 4).await;
    let pack = placed[0].pack;
    drop(packs);
    let (packs, _) = open(&whole);
    seal(&packs, pack).await;
    let bytes = fs::read(file_of(&whole, pack, "pack")).unwrap();

    for byte in 0..bytes.len() {
        crash_copy(&whole, &flipped);
        let mut changed = bytes.clone();
        changed[byte] ^= 1 << (byte % 8);
        fs::write(file_of(&flipped, pack, "pack"), changed).unwrap();

        let (packs, _) = open(&flipped);
        let report = packs.verify(|_| ()).unwrap();
        assert!(report.damaged > 0, "byte {byte} went unnoticed");
        let mut unreadable = 0;
        for (n, placed) in placed.iter().enumerate() {
            match packs.read(pack, placed.offset) {
                Ok(_) => assert_whole(&packs, n, *placed),
                Err(error) => {
                    assert!(matches!(error, PackError::Damaged { .. }));
                    unreadable += 1;
                }
            }
        }
        assert!(unreadable <= 1, "one byte takes one instance");
        // A rescan skips nothing but what is damaged.
        let listed = packs.records(pack).unwrap().filter(Result::is_ok).count();
        assert!(listed >= 3);
    }
}

#[tokio::test]
async fn a_flipped_byte_before_the_last_instance_of_an_unsealed_pack_is_kept_and_reported() {
    let dir = tempfile::TempDir::new().unwrap();
    let (live, crashed) = (dir.path().join("live"), dir.path().join("crashed"));
    let (packs, _) = open(&live);
    let placed = append(&packs, 4).await;
    let pack = placed[0].pack;
    let bytes = fs::read(file_of(&live, pack, "open")).unwrap();

    for byte in (placed[1].offset..placed[2].offset).step_by(3) {
        crash_copy(&live, &crashed);
        let mut changed = bytes.clone();
        changed[byte as usize] ^= 0x40;
        fs::write(file_of(&crashed, pack, "open"), &changed).unwrap();

        let (packs, recovered) = open(&crashed);
        assert!(recovered.cut.is_empty());
        let range = placed[1].offset..placed[2].offset;
        assert_eq!(recovered.damage.len(), 1);
        assert_eq!(recovered.damage[0].range, range);
        assert_eq!(recovered.packs, [RecoveredPack { pack, records: 3 }]);
        assert!(packs.read(pack, placed[1].offset).is_err());
        for n in [0, 2, 3] {
            assert_whole(&packs, n, placed[n]);
        }

        // Sealing keeps the damaged bytes, and every verification names them.
        seal(&packs, pack).await;
        let sealed = fs::read(file_of(&crashed, pack, "pack")).unwrap();
        assert!(sealed.starts_with(&changed));
        let report = packs.verify(|_| ()).unwrap();
        assert_eq!(
            report
                .damage
                .iter()
                .map(|d| d.range.clone())
                .collect::<Vec<_>>(),
            [range]
        );
        assert_eq!(report.records, 3);
    }
}

#[tokio::test]
async fn a_flipped_byte_in_the_last_instance_of_an_unsealed_pack_is_moved_aside_with_a_word() {
    let dir = tempfile::TempDir::new().unwrap();
    let (live, crashed) = (dir.path().join("live"), dir.path().join("crashed"));
    let (packs, _) = open(&live);
    let placed = append(&packs, 2).await;
    crash_copy(&live, &crashed);
    let file = file_of(&crashed, placed[1].pack, "open");
    let mut bytes = fs::read(&file).unwrap();
    let data_byte = placed[1].offset as usize + format::RECORD_HEADER_BYTES + 5;
    bytes[data_byte] ^= 1;
    fs::write(&file, &bytes).unwrap();

    let (packs, recovered) = open(&crashed);
    assert_whole(&packs, 0, placed[0]);
    assert!(packs.read(placed[1].pack, placed[1].offset).is_err());
    assert!(recovered.cut[0].whole_length);
    let kept = fs::read(recovered.cut[0].moved_to.as_ref().unwrap()).unwrap();
    assert_eq!(kept, bytes[placed[1].offset as usize..]);
}

#[tokio::test]
async fn an_unsealed_pack_with_a_wrong_header_still_gives_its_instances() {
    let dir = tempfile::TempDir::new().unwrap();
    let (live, crashed) = (dir.path().join("live"), dir.path().join("crashed"));
    let (packs, _) = open(&live);
    let placed = append(&packs, 2).await;
    crash_copy(&live, &crashed);
    let file = file_of(&crashed, placed[0].pack, "open");
    let mut bytes = fs::read(&file).unwrap();
    bytes[20] ^= 1;
    fs::write(&file, bytes).unwrap();

    let (packs, recovered) = open(&crashed);
    assert_eq!(recovered.damage[0].range, 0..64);
    assert_whole(&packs, 0, placed[0]);
    assert_whole(&packs, 1, placed[1]);
}

#[tokio::test]
async fn room_that_was_only_reserved_is_no_damage() {
    let dir = tempfile::TempDir::new().unwrap();
    let (live, crashed) = (dir.path().join("live"), dir.path().join("crashed"));
    let (packs, _) = open(&live);
    let placed = append(&packs, 2).await;
    crash_copy(&live, &crashed);
    let file = file_of(&crashed, placed[0].pack, "open");
    let length = fs::metadata(&file).unwrap().len();
    File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(length + 100_000)
        .unwrap();

    let (_packs, recovered) = open(&crashed);
    assert!(recovered.cut.is_empty() && recovered.damage.is_empty());
    assert_eq!(fs::metadata(&file).unwrap().len(), length);
}
