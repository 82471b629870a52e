//! A receiver that scans and hashes every instance and throws it away: what the network side alone can reach.
//!
//! `cargo run --release -p yingku-dicom-node --example discard -- 127.0.0.1:11112`

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, ready};
use tokio_util::sync::CancellationToken;
use yingku_dicom_node::door::{OpenDoor, PlacesPerAe};
use yingku_dicom_node::server::{Node, NodeConfig, Services};
use yingku_dicom_node::store::{Announced, Arrived, InstanceSink, InstanceStore, StoreRefusal};

struct Discard;

impl InstanceStore for Discard {
    fn begin(&self, _: Announced) -> BoxFuture<'_, Result<Box<dyn InstanceSink>, StoreRefusal>> {
        Box::pin(ready(Ok(Box::new(Discard) as Box<dyn InstanceSink>)))
    }
}

impl InstanceSink for Discard {
    fn write(&mut self, _: Bytes) -> BoxFuture<'_, Result<(), StoreRefusal>> {
        Box::pin(ready(Ok(())))
    }

    fn finish(self: Box<Self>, _: Arrived) -> BoxFuture<'static, Result<(), StoreRefusal>> {
        Box::pin(ready(Ok(())))
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let address = address.parse().map_err(std::io::Error::other)?;
    let services = Services {
        query: None,
        gatekeeper: Arc::new(OpenDoor {
            called: None,
            places: PlacesPerAe::new(1000),
        }),
        store: Arc::new(Discard),
    };
    let node = Node::bind(address, NodeConfig::default(), services).await?;
    println!("{}", node.local_address()?);
    node.run(CancellationToken::new()).await;
    Ok(())
}
