//! A node that keeps what it receives in memory, and instances to send.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, ready};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use yingku_dicom_node::association::Peer;
use yingku_dicom_node::door::{OpenDoor, PlacesPerAe};
use yingku_dicom_node::part10::FileMeta;
use yingku_dicom_node::pdu::Timeouts;
use yingku_dicom_node::server::{Node, NodeConfig, Services};
use yingku_dicom_node::store::{Announced, Arrived, InstanceSink, InstanceStore, StoreRefusal};

pub const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// An instance as the sink got it.
#[derive(Clone)]
pub struct Kept {
    pub announced: Announced,
    pub arrived: Arrived,
    pub data_set: Vec<u8>,
}

#[derive(Clone, Default)]
pub struct Shelf {
    pub kept: Arc<Mutex<Vec<Kept>>>,
    pub refused: Arc<Mutex<Vec<StoreRefusal>>>,
}

struct Sink {
    shelf: Shelf,
    announced: Announced,
    data_set: Vec<u8>,
}

impl InstanceStore for Shelf {
    fn begin(
        &self,
        announced: Announced,
    ) -> BoxFuture<'_, Result<Box<dyn InstanceSink>, StoreRefusal>> {
        let sink = Sink {
            shelf: self.clone(),
            announced,
            data_set: Vec::new(),
        };
        Box::pin(ready(Ok(Box::new(sink) as Box<dyn InstanceSink>)))
    }

    fn refused(&self, _: &Peer, refusal: &StoreRefusal) {
        self.refused.lock().unwrap().push(refusal.clone());
    }
}

impl InstanceSink for Sink {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, Result<(), StoreRefusal>> {
        self.data_set.extend_from_slice(&chunk);
        Box::pin(ready(Ok(())))
    }

    fn finish(self: Box<Self>, arrived: Arrived) -> BoxFuture<'static, Result<(), StoreRefusal>> {
        let Sink {
            shelf,
            announced,
            data_set,
        } = *self;
        shelf.kept.lock().unwrap().push(Kept {
            announced,
            arrived,
            data_set,
        });
        Box::pin(ready(Ok(())))
    }
}

pub struct Running {
    pub address: SocketAddr,
    pub shelf: Shelf,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn start() -> Self {
        Self::start_with(|_| {}, 100).await
    }

    pub async fn start_with(change: impl FnOnce(&mut NodeConfig), per_ae: usize) -> Self {
        let mut config = NodeConfig::default();
        change(&mut config);
        let shelf = Shelf::default();
        let door = OpenDoor {
            called: Some("YINGKU".into()),
            places: PlacesPerAe::new(per_ae),
        };
        let services = Services {
            query: None,
            gatekeeper: Arc::new(door),
            store: Arc::new(shelf.clone()),
        };
        let node = Node::bind("127.0.0.1:0".parse().unwrap(), config, services)
            .await
            .unwrap();
        let address = node.local_address().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(node.run(stop.clone()));
        Self {
            address,
            shelf,
            stop,
            task,
        }
    }

    pub fn port(&self) -> String {
        self.address.port().to_string()
    }

    pub fn kept(&self) -> Vec<Kept> {
        self.shelf.kept.lock().unwrap().clone()
    }

    /// Stops the node and waits until every association has ended.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// Short waits, so that a test of them is short.
pub fn impatient() -> Timeouts {
    Timeouts {
        negotiation: Duration::from_millis(400),
        idle: Duration::from_millis(800),
        pdu: Duration::from_millis(400),
        write: Duration::from_millis(400),
        response: Duration::from_secs(5),
    }
}

pub fn element(group: u16, element: u16, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(group.to_le_bytes());
    bytes.extend(element.to_le_bytes());
    bytes.extend(vr);
    let padded = value.len() + value.len() % 2;
    if [b"OB", b"OW", b"SQ", b"UN", b"UT"].contains(&vr) {
        bytes.extend([0, 0]);
        bytes.extend((padded as u32).to_le_bytes());
    } else {
        bytes.extend((padded as u16).to_le_bytes());
    }
    bytes.extend(value);
    bytes.resize(
        bytes.len() + value.len() % 2,
        if vr == b"UI" { 0 } else { b' ' },
    );
    bytes
}

/// A CT slice in Explicit VR Little Endian; `pixels` bytes of pixel data.
pub fn ct(number: usize, pixels: usize) -> Vec<u8> {
    let side = ((pixels / 2) as f64).sqrt() as u16;
    let body: Vec<u8> = (0..pixels).map(|i| (i * 31 + number * 7) as u8).collect();
    [
        element(8, 0x05, b"CS", b"GB18030"),
        element(8, 0x16, b"UI", CT.as_bytes()),
        element(
            8,
            0x18,
            b"UI",
            format!("1.2.826.0.1.3680043.8.498.1.1.{number}").as_bytes(),
        ),
        element(8, 0x20, b"DA", b"20260101"),
        element(8, 0x50, b"SH", b"ACC1"),
        element(8, 0x60, b"CS", b"CT"),
        element(0x10, 0x10, b"PN", b"\xd5\xc5^\xd0\xa1\xb6\xab"),
        element(0x10, 0x20, b"LO", b"P1"),
        element(0x20, 0x0D, b"UI", b"1.2.826.0.1.3680043.8.498.1"),
        element(0x20, 0x0E, b"UI", b"1.2.826.0.1.3680043.8.498.1.1"),
        element(0x20, 0x13, b"IS", number.to_string().as_bytes()),
        element(0x28, 0x10, b"US", &side.to_le_bytes()),
        element(0x28, 0x11, b"US", &side.to_le_bytes()),
        element(0x28, 0x100, b"US", &16u16.to_le_bytes()),
        element(0x7FE0, 0x10, b"OW", &body),
    ]
    .concat()
}

pub fn sop_instance(number: usize) -> String {
    format!("1.2.826.0.1.3680043.8.498.1.1.{number}")
}

/// Writes the data set as a Part 10 file.
pub fn file(folder: &Path, number: usize, data_set: &[u8]) -> PathBuf {
    let meta = FileMeta {
        sop_class: CT.into(),
        sop_instance: sop_instance(number),
        transfer_syntax: EXPLICIT.into(),
        source_ae: String::new(),
    };
    let path = folder.join(format!("{number:05}.dcm"));
    std::fs::write(&path, [meta.encode().as_ref(), data_set].concat()).unwrap();
    path
}
