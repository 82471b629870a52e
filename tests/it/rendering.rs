//! Pictures made by processes of this program: what becomes of the node's side when one of them dies, hangs or is too busy.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{Mutex, MutexGuard, mpsc};
use yingku_rendering::{Asked, Fault, RenderError, Rendered, Renderer, RendererOptions};

/// Tests here tell their workers from others by being alone with them.
static ALONE: Mutex<()> = Mutex::const_new(());

const ASKED: Asked = Asked {
    frame: 0,
    window: None,
    side: 512,
};

async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}

fn renderer(waiting: usize, time_limit: Duration) -> Renderer {
    Renderer::new(RendererOptions {
        program: PathBuf::from(env!("CARGO_BIN_EXE_yingku")),
        arguments: vec!["render-worker".into()],
        workers: 1,
        waiting,
        time_limit,
    })
}

fn usual() -> Renderer {
    renderer(8, Duration::from_secs(60))
}

fn element(group: u16, element: u16, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut out = [group.to_le_bytes(), element.to_le_bytes()].concat();
    out.extend_from_slice(vr.as_bytes());
    if ["OB", "OW"].contains(&vr) {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    } else {
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    }
    out.extend_from_slice(value);
    out
}

/// A grey instance of 8 bits, Explicit VR Little Endian, with as many pixels as given.
fn instance(rows: u16, columns: u16, pixels: &[u8]) -> Vec<u8> {
    let meta = [
        element(2, 1, "OB", &[0, 1]),
        element(2, 2, "UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
        element(2, 3, "UI", b"1.2.3.4\0"),
        element(2, 0x10, "UI", b"1.2.840.10008.1.2.1\0"),
        element(2, 0x12, "UI", b"1.2.3\0"),
    ]
    .concat();
    let number = |value: u16| value.to_le_bytes();
    let length = (meta.len() as u32).to_le_bytes();
    [
        vec![0; 128],
        b"DICM".to_vec(),
        element(2, 0, "UL", &length),
        meta,
        element(0x28, 2, "US", &number(1)),
        element(0x28, 4, "CS", b"MONOCHROME2 "),
        element(0x28, 0x10, "US", &number(rows)),
        element(0x28, 0x11, "US", &number(columns)),
        element(0x28, 0x100, "US", &number(8)),
        element(0x28, 0x101, "US", &number(8)),
        element(0x28, 0x102, "US", &number(7)),
        element(0x28, 0x103, "US", &number(0)),
        element(0x7FE0, 0x10, "OB", pixels),
    ]
    .concat()
}

fn good() -> Vec<u8> {
    let pixels: Vec<u8> = (0..=255).collect();
    instance(16, 16, &pixels)
}

async fn render(renderer: &Renderer, instance: Vec<u8>) -> Result<Rendered, RenderError> {
    let (sender, pieces) = mpsc::channel(1);
    let length = instance.len() as u64;
    let sent = sender.send(Ok(Bytes::from(instance)));
    let (rendered, _) = tokio::join!(renderer.render(length, pieces, &ASKED), sent);
    rendered
}

async fn renders(renderer: &Renderer) {
    let rendered = render(renderer, good()).await.unwrap();
    assert_eq!((rendered.columns, rendered.rows), (16, 16));
    assert!(rendered.jpeg.starts_with(&[0xFF, 0xD8]));
}

/// Processes of ours that make pictures.
fn workers() -> Vec<Pid> {
    let own = std::process::id().to_string();
    let is_ours = |pid: &i32| {
        let read =
            |name| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let stat = read("stat");
        let mut after_name = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let is_alive = after_name.next().is_some_and(|state| state != "Z");
        is_alive && after_name.next() == Some(&own) && read("cmdline").contains("render-worker")
    };
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse().ok()
    });
    pids.filter(is_ours).filter_map(Pid::from_raw).collect()
}

#[tokio::test]
async fn a_worker_that_is_killed_in_the_middle_costs_one_picture() {
    let _alone = alone().await;
    let renderer = usual();
    // given a picture of which a worker has the first bytes
    let instance = Bytes::from(instance(1024, 1024, &[7; 1 << 20]));
    let (sender, pieces) = mpsc::channel(1);
    let length = instance.len() as u64;
    let of_task = renderer.clone();
    let rendered = tokio::spawn(async move { of_task.render(length, pieces, &ASKED).await });
    for at in [0..100, 100..200, 200..300] {
        sender.send(Ok(instance.slice(at))).await.unwrap();
    }
    let worker = workers();
    assert_eq!(worker.len(), 1);
    // when it dies, and the rest is sent
    kill_process(worker[0], Signal::KILL).unwrap();
    while !workers().is_empty() {
        tokio::task::yield_now().await;
    }
    // Nobody may be there to take it any more.
    let _ = sender.send(Ok(instance.slice(300..))).await;
    // then that one is not made, and the next one is
    let error = rendered.await.unwrap().unwrap_err();
    assert!(matches!(error, RenderError::Died), "{error:?}");
    renders(&renderer).await;
}

#[tokio::test]
async fn a_worker_that_died_while_nobody_asked_is_replaced() {
    let _alone = alone().await;
    let renderer = usual();
    renders(&renderer).await;
    let before = workers();
    assert_eq!(before.len(), 1);
    kill_process(before[0], Signal::KILL).unwrap();
    while !workers().is_empty() {
        tokio::task::yield_now().await;
    }
    renders(&renderer).await;
    assert_ne!(workers(), before);
}

#[tokio::test]
async fn what_takes_too_long_is_given_up_and_its_worker_is_killed() {
    let _alone = alone().await;
    let renderer = renderer(0, Duration::from_millis(200));
    // given an instance that never comes to its end
    let (sender, pieces) = mpsc::channel(1);
    let error = renderer.render(1000, pieces, &ASKED).await.unwrap_err();
    assert!(matches!(error, RenderError::TimedOut), "{error:?}");
    drop(sender);
    while !workers().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn beyond_those_that_may_wait_one_is_told_to_come_again() {
    let _alone = alone().await;
    let renderer = renderer(0, Duration::from_secs(60));
    let (sender, pieces) = mpsc::channel(1);
    let of_task = renderer.clone();
    let first = tokio::spawn(async move { of_task.render(1000, pieces, &ASKED).await });
    for _ in 0..3 {
        sender.send(Ok(Bytes::from_static(b"x"))).await.unwrap();
    }
    let second = render(&renderer, good()).await.unwrap_err();
    assert!(matches!(second, RenderError::Busy), "{second:?}");
    // The first one's instance is cut short, and its place is free again.
    drop(sender);
    let error = first.await.unwrap().unwrap_err();
    assert!(matches!(error, RenderError::Source(_)), "{error:?}");
    renders(&renderer).await;
}

#[tokio::test]
async fn what_is_hostile_is_a_fault_and_the_worker_goes_on() {
    let _alone = alone().await;
    let renderer = usual();
    renders(&renderer).await;
    let worker = workers();
    for (hostile, fault) in [
        (instance(16, 16, &[1; 100]), Fault::Damaged),
        (instance(65_535, 65_535, &[1; 100]), Fault::TooLarge),
        (instance(0, 16, &[1; 100]), Fault::Damaged),
        (b"no DICOM at all".to_vec(), Fault::Damaged),
        (Vec::new(), Fault::Damaged),
    ] {
        match render(&renderer, hostile).await {
            Err(RenderError::Fault(found)) => assert_eq!(found, fault),
            other => panic!("{other:?}"),
        }
    }
    renders(&renderer).await;
    assert_eq!(workers(), worker);
}
