//! Whose packs lie in a place, and which place an archive uses.

use super::*;
use crate::objects::remembered;

fn location(place: &Place, path: &str) -> crate::objects::Location {
    let port = place.proxy.port();
    format!("s3://{path}?endpoint=http://127.0.0.1:{port}")
        .parse()
        .unwrap()
}

fn elsewhere(place: &Place, path: &str) -> PackOptions {
    let mut options = place.options();
    options.objects.as_mut().unwrap().location = location(place, path);
    options
}

async fn refusal(place: &Place, options: PackOptions) -> String {
    let refused = place.open_with(options).await.err().unwrap();
    let words = refused.to_string();
    assert!(
        !words.contains(SECRET) && !words.contains(KEY_ID),
        "{words}"
    );
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_of_another_archive_is_refused() {
    let mut place = Place::new().await;
    drop(place.open().await);
    place.dir = tempfile::TempDir::new().unwrap();
    place.archive = Uuid::now_v7();
    let words = refusal(&place, place.options()).await;
    assert!(words.contains("belongs to another archive"), "{words}");
    // A prefix of its own is all right
    place
        .open_with(elsewhere(&place, "yingku/town"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_stays_in_its_place() {
    let place = Place::new().await;
    let packs = place.open().await;
    let placed = sealed_pack(&packs).await;
    until_evicted(&packs, 1).await;
    drop(packs);

    let words = refusal(&place, elsewhere(&place, "yingku/town")).await;
    assert!(words.contains("objects.location"), "{words}");
    let none = PackOptions {
        objects: None,
        ..place.options()
    };
    assert!(refusal(&place, none).await.contains("keeps its packs in"));

    // A copy of the objects, its name included, is as good
    let bucket = place.server.data().join(BUCKET);
    fs::rename(bucket.join("city"), bucket.join("moved")).unwrap();
    let packs = place
        .open_with(elsewhere(&place, "yingku/moved"))
        .await
        .unwrap();
    assert_all_whole(&packs, &placed);
    let now = remembered(place.dir.path()).unwrap().unwrap();
    assert!(now.is_same_place(&location(&place, "yingku/moved")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_cannot_be_used_is_refused_in_words() {
    let place = Place::new().await;
    let words = refusal(&place, elsewhere(&place, "no-such-bucket")).await;
    assert!(words.contains("the bucket is not there"), "{words}");

    let mut wrong = place.options();
    wrong.objects.as_mut().unwrap().credentials = Credentials::new(KEY_ID, "another", None);
    let words = refusal(&place, wrong).await;
    assert!(words.contains("AWS_SECRET_ACCESS_KEY"), "{words}");

    place.proxy.set(Fault::Unavailable(100));
    let words = refusal(&place, place.options()).await;
    assert!(words.contains("503"), "{words}");
    place.proxy.set(Fault::None);
    place.open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_journal_is_made_again_and_no_number_is_given_twice() {
    let place = Place::new().await;
    let packs = place.open().await;
    let first = sealed_pack(&packs).await;
    until_evicted(&packs, 1).await;
    drop(packs);
    fs::remove_file(place.packs_dir().join("uploaded.journal")).unwrap();

    // Without the store nobody knows which numbers are taken
    place.proxy.set(Fault::Unavailable(100));
    refusal(&place, place.options()).await;
    place.proxy.set(Fault::None);
    let packs = place.open().await;
    assert_eq!(packs.list().unwrap().len(), 1);
    let second = sealed_pack(&packs).await;
    assert!(second[0].pack > first[0].pack);
    until_evicted(&packs, 2).await;
    assert_all_whole(&packs, &first);
}
