//! Packs with an object store: a real S3 server, and a proxy before it that can be told to fail.

mod away;
mod belonging;
mod groups;
mod proxy;
mod reading;
mod server;
mod uploading;

use std::collections::BTreeSet;

use uuid::Uuid;

use self::proxy::{Fault, Proxy};
use self::server::Server;
use super::*;
use crate::objects::{Credentials, ObjectsOptions};

const KEY_ID: &str = "test-account";
const SECRET: &str = "test-secret-of-the-account";
const BUCKET: &str = "yingku";

/// A server, a proxy before it, and the directory of one archive that uses them.
struct Place {
    server: Server,
    proxy: Proxy,
    dir: tempfile::TempDir,
    archive: Uuid,
}

impl Place {
    async fn new() -> Self {
        let server = Server::start();
        let proxy = Proxy::start(server.port()).await;
        Self {
            server,
            proxy,
            dir: tempfile::TempDir::new().unwrap(),
            archive: Uuid::now_v7(),
        }
    }

    /// Uploads and evicts at once.
    fn objects(&self) -> ObjectsOptions {
        let port = self.proxy.port();
        ObjectsOptions {
            location: format!("s3://{BUCKET}/city?endpoint=http://127.0.0.1:{port}")
                .parse()
                .unwrap(),
            region: "us-east-1".to_owned(),
            path_style: true,
            checksums: true,
            credentials: Credentials::new(KEY_ID, SECRET, None),
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(2),
            upload_timeout: Duration::from_secs(5),
            cache_bytes: 0,
        }
    }

    fn options(&self) -> PackOptions {
        PackOptions {
            // Three instances of `append` have less, four have more.
            seal_bytes: 600,
            objects: Some(self.objects()),
            ..options(&TestDisk::new())
        }
    }

    fn packs_dir(&self) -> PathBuf {
        self.dir.path().join("packs")
    }

    async fn open(&self) -> Packs {
        self.open_with(self.options()).await.unwrap()
    }

    async fn open_with(&self, options: PackOptions) -> Result<Packs, PackOpenError> {
        let (packs, _) = Packs::open(&self.packs_dir(), options)?;
        packs
            .use_objects(self.archive, self.dir.path(), None)
            .await?;
        Ok(packs)
    }

    /// The file that the server keeps of a pack.
    fn object(&self, pack: PackId) -> PathBuf {
        self.server
            .data()
            .join(format!("{BUCKET}/city/packs/{pack}.pack"))
    }

    /// Files of packs that lie here.
    fn local(&self, extension: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(self.packs_dir()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(extension)).collect()
    }
}

/// Four instances, which are a pack.
async fn sealed_pack(packs: &Packs) -> Vec<Placed> {
    let placed = append(packs, 4).await;
    let pack = placed[0].pack;
    assert!(placed.iter().all(|placed| placed.pack == pack));
    seal(packs, pack).await;
    placed
}

/// Waits until the object store stands so.
async fn until(packs: &Packs, wanted: impl Fn(&ObjectsHealth) -> bool) -> ObjectsHealth {
    let mut health = packs.watch_objects().unwrap();
    let reached = health.wait_for(|health| wanted(health));
    let reached = tokio::time::timeout(Duration::from_secs(120), reached).await;
    reached.unwrap().unwrap().clone()
}

async fn until_evicted(packs: &Packs, uploaded: u64) {
    until(packs, |health| {
        health.uploaded_packs == uploaded && health.backlog_packs == 0 && health.local_bytes == 0
    })
    .await;
}

fn assert_all_whole(packs: &Packs, placed: &[Placed]) {
    for (n, placed) in placed.iter().enumerate() {
        assert_whole(packs, n, *placed);
    }
}
