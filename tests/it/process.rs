//! The archive as a process of its own, on free ports of the loopback and a directory of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use yingku_core::ids::Position;
use yingku_storage::log::{EmbeddedLog, EventLog};

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yingku"));
    // A developer's own settings must not reach the tests.
    for name in [
        "URL",
        "APP",
        "LICENSE",
        "ORG",
        "KEY",
        "DATA",
        "CONFIG",
        "DICOM",
        "CALLING",
        "CLUSTER_KEY",
    ] {
        command.env_remove(format!("YINGKU_{name}"));
    }
    command
}

pub struct Archive {
    home: TempDir,
    process: Option<Child>,
    pub http: String,
    pub dicom: String,
}

impl Archive {
    /// An archive with the demo's settings.
    pub fn start() -> Self {
        let mut archive = Self {
            home: tempfile::tempdir().unwrap(),
            process: None,
            http: String::new(),
            dicom: String::new(),
        };
        archive.start_again();
        archive
    }

    pub fn data(&self) -> PathBuf {
        // Longer than the path of a socket may be.
        self.home
            .path()
            .join("a-data-directory-with-quite-a-long-name".repeat(4))
    }

    pub fn start_again(&mut self) {
        let mut process = binary()
            .arg("serve")
            .arg("--config")
            .arg(repository().join("deploy/demo/yingku.toml"))
            .arg("--data")
            .arg(self.data())
            .args(["--http", "127.0.0.1:0", "--dicom", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let Ok(addresses) = serde_json::from_str::<Value>(&line) else {
            let mut words = String::new();
            process
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut words)
                .unwrap();
            panic!("the archive did not start: {words}");
        };
        // Nobody reads its log from here on; it must not fill a pipe.
        let mut log = process.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        self.http = addresses["http"].as_str().unwrap().to_owned();
        self.dicom = addresses["dicom"].as_str().unwrap().to_owned();
        self.process = Some(process);
    }

    /// kill -9
    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// SIGTERM, and waits.
    pub fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().unwrap();
        let killed = Command::new("kill")
            .arg(process.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
        process.wait().unwrap()
    }

    /// An operator's command on this archive's data.
    pub fn command(&self, arguments: &[&str]) -> Output {
        binary()
            .args(arguments)
            .arg("--data")
            .arg(self.data())
            .output()
            .unwrap()
    }

    /// What an operator's command prints; it must succeed.
    pub fn said(&self, arguments: &[&str]) -> String {
        text(&self.command(arguments))
    }

    /// What the audit stream of a stopped archive holds.
    pub fn audited(&self) -> Vec<Value> {
        let log = EmbeddedLog::open(&self.data().join("audit"), Default::default()).unwrap();
        let records = log.read(Position(0), usize::MAX, usize::MAX).unwrap();
        records
            .iter()
            .map(|record| serde_json::from_slice(&record.bytes).unwrap())
            .collect()
    }

    /// A vendor's command with the demo's credentials.
    pub fn contract(&self, arguments: &[&str]) -> Output {
        let key = self.data().join("keys/demo-pacs.pub.pem");
        binary()
            .args([
                "client",
                "--app",
                "demo-pacs",
                "--license",
                "demo-license",
                "--org",
                "350006",
            ])
            .args([
                "--url",
                &format!("http://{}", self.http),
                "--key",
                path(&key),
            ])
            .args(arguments)
            .output()
            .unwrap()
    }

    /// A vendor's command with this archive's DICOM node.
    pub fn node(&self, command: &str, arguments: &[&str]) -> Output {
        binary()
            .args([
                "client",
                command,
                "--dicom",
                &format!("YINGKU@{}", self.dicom),
                "--calling",
                "DEMO",
            ])
            .args(arguments)
            .output()
            .unwrap()
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The standard output of what succeeded.
pub fn text(output: &Output) -> String {
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{words}{}",
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// All that was said by what failed.
pub fn failure(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}
