//! Up and away: what is uploaded is the file, and the local one goes.

use super::*;

/// Data of an instance of a CT slice.
const SLICE_BYTES: usize = 512 * 1024;

/// Packs are full with so many slices.
fn packs_of(place: &Place, slices: usize) -> PackOptions {
    PackOptions {
        seal_bytes: (slices * SLICE_BYTES) as u64,
        ..place.options()
    }
}

async fn store_slices(packs: &Packs, count: usize) -> Vec<Placed> {
    let mut placed = Vec::new();
    for n in 0..count {
        placed.push(packs.append(instance(n, SLICE_BYTES)).await.unwrap());
    }
    let pack = placed[0].pack;
    assert!(placed.iter().all(|placed| placed.pack == pack));
    seal(packs, pack).await;
    placed
}

fn assert_slice(packs: &Packs, placed: &[Placed], n: usize) {
    let record = packs.read(placed[n].pack, placed[n].offset).unwrap();
    assert_eq!(record.data, sample(n, SLICE_BYTES));
}

#[tokio::test(flavor = "multi_thread")]
async fn uploaded_packs_leave_the_disk_and_come_back_byte_for_byte() {
    let place = Place::new().await;
    let packs = place.open().await;
    let first = sealed_pack(&packs).await;
    let second = sealed_pack(&packs).await;
    until_evicted(&packs, 2).await;

    // Nothing of them is left here
    assert!(place.local(".pack").is_empty());
    assert_all_whole(&packs, &first);
    assert_all_whole(&packs, &second);

    // Everything that works on packs works on these
    let listed: Vec<PackId> = packs.list().unwrap().iter().map(|info| info.pack).collect();
    assert_eq!(listed, [first[0].pack, second[0].pack]);
    assert_eq!(
        packs
            .records(first[0].pack)
            .unwrap()
            .filter(Result::is_ok)
            .count(),
        4
    );
    let report = packs.verify(|_| ()).unwrap();
    assert_eq!((report.packs, report.records, report.damaged), (2, 8, 0));

    // also after a restart, which gives no number twice
    drop(packs);
    let packs = place.open().await;
    assert_all_whole(&packs, &first);
    let third = sealed_pack(&packs).await;
    assert!(third[0].pack > second[0].pack);
    until(&packs, |health| health.uploaded_packs == 3).await;
    assert_all_whole(&packs, &second);
    assert_all_whole(&packs, &third);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_takes_few_requests_up_and_a_study_few_down() {
    let place = Place::new().await;
    let packs = place.open_with(packs_of(&place, 512)).await.unwrap();
    let placed = store_slices(&packs, 512).await;
    until_evicted(&packs, 1).await;

    let mut up = place.proxy.take_seen();
    up.retain(|line| line.contains("/packs/"));
    assert!(up.len() * 40 <= 512, "{} requests: {up:#?}", up.len());
    for n in 0..400 {
        assert_slice(&packs, &placed, n);
    }
    let down = place.proxy.take_seen();
    assert!(down.len() <= 30, "{} requests: {down:#?}", down.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_a_restart_where_the_server_has_got() {
    let place = Place::new().await;
    let packs = place.open_with(packs_of(&place, 320)).await.unwrap();
    place.proxy.set(Fault::HangBehindFirstPart);
    let placed = store_slices(&packs, 320).await;
    // The fourth part is begun when the first is known to be there.
    place.proxy.saw("partNumber=4&").await;
    drop(packs);

    place.proxy.set(Fault::None);
    place.proxy.take_seen();
    let packs = place.open_with(packs_of(&place, 320)).await.unwrap();
    until_evicted(&packs, 1).await;
    let seen = place.proxy.take_seen();
    let sent = |number: usize| {
        let part = format!("partNumber={number}&");
        seen.iter().filter(|line| line.contains(&part)).count()
    };
    assert_eq!([1, 2, 3, 4, 5].map(sent), [0, 1, 1, 1, 1], "{seen:#?}");
    assert_eq!(place.server.uploads(), 0);
    for n in [0, 100, 319] {
        assert_slice(&packs, &placed, n);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_nobody_remembers_is_aborted_and_begun_again() {
    let place = Place::new().await;
    let packs = place.open_with(packs_of(&place, 320)).await.unwrap();
    place.proxy.set(Fault::HangBehindFirstPart);
    let placed = store_slices(&packs, 320).await;
    place.proxy.saw("partNumber=4&").await;
    drop(packs);
    assert_eq!(place.server.uploads(), 1);

    // Given a crash that took what was known of it
    fs::remove_file(file_of(&place.packs_dir(), placed[0].pack, "upload")).unwrap();
    place.proxy.set(Fault::None);
    let packs = place.open_with(packs_of(&place, 320)).await.unwrap();
    until_evicted(&packs, 1).await;
    assert_eq!(place.server.uploads(), 0);
    assert_slice(&packs, &placed, 319);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_server_forgot_is_begun_again() {
    let place = Place::new().await;
    let packs = place.open_with(packs_of(&place, 320)).await.unwrap();
    place.proxy.set(Fault::HangBehindFirstPart);
    let placed = store_slices(&packs, 320).await;
    place.proxy.saw("partNumber=4&").await;
    drop(packs);
    let kept = place.server.data().join(BUCKET).join(".sgwtmp/multipart");
    fs::remove_dir_all(kept).unwrap();

    place.proxy.set(Fault::None);
    let packs = place.open_with(packs_of(&place, 320)).await.unwrap();
    until_evicted(&packs, 1).await;
    assert_slice(&packs, &placed, 319);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copies_that_were_not_read_for_longest_go_first() {
    let place = Place::new().await;
    let mut roomy = place.options();
    roomy.objects.as_mut().unwrap().cache_bytes = u64::MAX;
    let packs = place.open_with(roomy).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(sealed_pack(&packs).await);
    }
    let full = until(&packs, |health| {
        health.uploaded_packs == 3 && health.backlog_packs == 0
    })
    .await;
    assert_eq!(place.local(".pack").len(), 3);
    drop(packs);

    // Given room for two and a third sealed, with the first read last
    let mut tight = place.options();
    tight.objects.as_mut().unwrap().cache_bytes = full.local_bytes;
    let packs = place.open_with(tight).await.unwrap();
    assert_all_whole(&packs, &all[0]);
    let fourth = sealed_pack(&packs).await;
    until(&packs, |health| {
        health.uploaded_packs == 4 && health.local_bytes <= full.local_bytes
    })
    .await;
    let left = place.local(".pack");
    assert!(
        left.contains(&format!("{}.pack", all[0][0].pack)),
        "{left:?}"
    );
    assert!(
        !left.contains(&format!("{}.pack", all[1][0].pack)),
        "{left:?}"
    );
    all.push(fourth);
    for placed in &all {
        assert_all_whole(&packs, placed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_object_was_removed_is_uploaded_again_before_it_goes() {
    let place = Place::new().await;
    let mut roomy = place.options();
    roomy.objects.as_mut().unwrap().cache_bytes = u64::MAX;
    let packs = place.open_with(roomy).await.unwrap();
    let placed = sealed_pack(&packs).await;
    until(&packs, |health| health.uploaded_packs == 1).await;
    drop(packs);
    fs::remove_file(place.object(placed[0].pack)).unwrap();

    let packs = place.open().await;
    until_evicted(&packs, 1).await;
    assert!(place.local(".pack").is_empty());
    assert_all_whole(&packs, &placed);
}
