//! How long a killed archive takes to be ready again whose open pack holds many small instances: `restart [INSTANCES]`.
//!
//! A process stores small instances of one series until all of them lie in one open pack, and is killed. Then the
//! served binary is started on its directory: the time until its first line, which says that it is ready.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod generate;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use bytes::Bytes;
use futures::{StreamExt, stream};
use generate::{City, registry_event};
use yingku_core::ids::{AeTitle, HospitalCode};
use yingku_storage::archive::{Admission, Archive, ArchiveOptions, Incoming, Submission};
use yingku_storage::keys::ClusterKey;
use yingku_storage::log::EmbeddedLogOptions;
use yingku_storage::packs::PackOptions;

const INSTANCES: u64 = 60_000;
const INSTANCE_BYTES: usize = 2_048;
const STORED_AT_ONCE: usize = 256;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let instances = arguments
        .iter()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(INSTANCES);
    if let Some(at) = arguments.iter().position(|argument| argument == "--fill") {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(fill(Path::new(&arguments[at + 1]), instances));
    }
    let dir = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/target"))
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let data = dir.path().join("data");
    let mut filling = Command::new(std::env::current_exe().unwrap())
        .arg(instances.to_string())
        .arg("--fill")
        .arg(&data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    first_line(&mut filling);
    kill(filling);

    for what in ["after a kill", "after another"] {
        let began = Instant::now();
        let mut served = serve(&data);
        first_line(&mut served);
        let ready = began.elapsed().as_secs_f64();
        println!(
            "| restart {what}, {instances} small instances in an open pack | ready in {ready:.2} s | ≤ 5 s |"
        );
        kill(served);
    }
}

fn serve(data: &Path) -> Child {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/demo/yingku.toml");
    Command::new(env!("CARGO_BIN_EXE_yingku"))
        .args(["serve", "--config", config, "--data"])
        .arg(data)
        .args(["--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn first_line(process: &mut Child) {
    let mut line = String::new();
    let mut out = BufReader::new(process.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "the process ended before it was ready");
}

/// kill -9
fn kill(mut process: Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}

/// Fills an archive, says so, and waits for its end.
async fn fill(dir: &Path, instances: u64) {
    // Where the demo's settings have it.
    std::fs::create_dir_all(dir.join("keys")).unwrap();
    let options = ArchiveOptions {
        log: EmbeddedLogOptions::default(),
        packs: PackOptions::default(),
    };
    let key = ClusterKey::load(&dir.join("keys/cluster.key"), true).unwrap();
    let archive = Archive::open(dir, options, key).await.unwrap();
    let city = City {
        seed: 5,
        exams: 1,
        instances_of_exam: instances,
    };
    let exam = &city.exam(0);
    archive.log().append(registry_event()).await.unwrap();
    let push = Submission {
        hospital: None,
        actor: "app:demo-pacs".to_owned(),
        event: exam.push_event(),
    };
    archive.submit(push).await.unwrap();
    let archive = &archive;
    stream::iter(0..instances)
        .for_each_concurrent(STORED_AT_ONCE, |index| async move {
            let data = Bytes::from(vec![7; INSTANCE_BYTES]);
            let mut digest = [0; 32];
            digest[..16].copy_from_slice(&exam.digest(index));
            let incoming = Incoming {
                admission: Admission::Shown(HospitalCode::new(exam.hospital).unwrap()),
                sender: AeTitle::new("CT1").unwrap(),
                facts: exam.instance(index),
                digest,
                crc: crc32c::crc32c(&data),
                data: vec![data],
            };
            archive.store(incoming).await.unwrap();
        })
        .await;
    archive.settle().await.unwrap();
    println!("filled");
    std::future::pending().await
}
