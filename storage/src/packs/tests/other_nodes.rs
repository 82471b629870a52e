//! Reading what lies at another node, while that still writes it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use uuid::Uuid;

use super::*;

/// The way to another node's packs, without a network.
struct Way {
    to: Packs,
    is_away: AtomicBool,
    asked_bytes: AtomicU64,
}

impl OtherNodes for Way {
    fn range(
        &self,
        pack: PackId,
        range: Range<u64>,
    ) -> BoxFuture<'static, Result<NodePart, NodeError>> {
        self.asked_bytes
            .fetch_add(range.end - range.start, Ordering::Relaxed);
        let answer = match self.is_away.load(Ordering::Relaxed) {
            true => Err(NodeError::Away("nobody answers".to_owned())),
            false => self
                .to
                .local_part(pack, range)
                .map_err(|error| match error {
                    PackError::Missing { .. } => NodeError::Missing,
                    other => NodeError::Away(other.to_string()),
                }),
        };
        std::future::ready(answer).boxed()
    }
}

async fn two_nodes() -> (tempfile::TempDir, Packs, Packs, Arc<Way>) {
    let dir = tempfile::TempDir::new().unwrap();
    let (writer, _) = open(&dir.path().join("writer"));
    let options = PackOptions {
        node: 4,
        ..options(&TestDisk::new())
    };
    let (reader, _) = Packs::open(&dir.path().join("reader"), options).unwrap();
    let way = Arc::new(Way {
        to: writer.clone(),
        is_away: AtomicBool::new(false),
        asked_bytes: AtomicU64::new(0),
    });
    let nodes: Arc<dyn OtherNodes> = Arc::clone(&way) as _;
    reader
        .use_objects(Uuid::nil(), dir.path(), Some(nodes))
        .await
        .unwrap();
    (dir, writer, reader, way)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_pack_of_another_node_is_read_as_it_grows_and_when_it_is_sealed() {
    let (_dir, writer, reader, way) = two_nodes().await;
    let mut placed = Vec::new();
    for n in 0..20 {
        placed.push(writer.append(instance(n, 50 + 9 * n)).await.unwrap());
        assert_whole(&reader, n, placed[n]);
    }
    // What came once is read here
    let asked = way.asked_bytes.load(Ordering::Relaxed);
    assert_whole(&reader, 7, placed[7]);
    assert_eq!(way.asked_bytes.load(Ordering::Relaxed), asked);
    // A record that is not there yet is no record
    let behind = placed[19].offset + 10_000;
    assert!(matches!(
        reader.read(placed[19].pack, behind),
        Err(PackError::Damaged { .. })
    ));
    writer.close();
    for (n, placed) in placed.iter().enumerate() {
        assert_whole(&reader, n, *placed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_is_named_and_read_again_when_it_is_back() {
    let (_dir, writer, reader, way) = two_nodes().await;
    let placed = append(&writer, 3).await;
    way.is_away.store(true, Ordering::Relaxed);
    let error = reader.read(placed[0].pack, placed[0].offset).unwrap_err();
    assert!(
        matches!(error, PackError::AtNode { node: 3, .. }),
        "{error}"
    );
    way.is_away.store(false, Ordering::Relaxed);
    assert_whole(&reader, 0, placed[0]);
    // A pack that its node does not know is missing, and one of this node's own is not asked for
    assert!(matches!(
        reader.read(PackId::new(3, 99), 64),
        Err(PackError::Missing { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_were_spoilt_on_the_way_are_not_given_on_and_do_not_stay() {
    struct Spoiler(Arc<Way>, AtomicBool);
    impl OtherNodes for Spoiler {
        fn range(
            &self,
            pack: PackId,
            range: Range<u64>,
        ) -> BoxFuture<'static, Result<NodePart, NodeError>> {
            let part = self.0.range(pack, range).now_or_never().unwrap();
            let spoil = self.1.load(Ordering::Relaxed);
            let part = part.map(|mut part| {
                let mut bytes = part.bytes.to_vec();
                if let Some(byte) = bytes.get_mut(200).filter(|_| spoil) {
                    *byte ^= 1;
                }
                part.bytes = bytes.into();
                part
            });
            std::future::ready(part).boxed()
        }
    }
    let (dir, writer, _, way) = two_nodes().await;
    let options = PackOptions {
        node: 5,
        ..options(&TestDisk::new())
    };
    let (reader, _) = Packs::open(&dir.path().join("third"), options).unwrap();
    let spoiler = Arc::new(Spoiler(way, AtomicBool::new(true)));
    let nodes: Arc<dyn OtherNodes> = Arc::clone(&spoiler) as _;
    reader
        .use_objects(Uuid::nil(), dir.path(), Some(nodes))
        .await
        .unwrap();
    let placed = append(&writer, 5).await;
    let damaged = placed
        .iter()
        .filter(|placed| reader.read(placed.pack, placed.offset).is_err());
    assert!(damaged.count() > 0);
    spoiler.1.store(false, Ordering::Relaxed);
    for (n, placed) in placed.iter().enumerate() {
        assert_whole(&reader, n, *placed);
    }
}
