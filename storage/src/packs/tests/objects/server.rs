//! The S3 server of `deploy/dev/s3.sh`, one for each test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{KEY_ID, SECRET};

pub struct Server {
    dir: tempfile::TempDir,
    port: u16,
}

impl Server {
    pub fn start() -> Self {
        let server = Self {
            dir: tempfile::TempDir::new().unwrap(),
            port: TcpListener::bind("127.0.0.1:0")
                .and_then(|probe| probe.local_addr())
                .unwrap()
                .port(),
        };
        let port = server.port.to_string();
        server.script(&["start", server.dir.path().to_str().unwrap(), &port]);
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A folder for each bucket, objects as files.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Multipart uploads that the server keeps.
    pub fn uploads(&self) -> usize {
        let root = self.data().join(super::BUCKET).join(".sgwtmp/multipart");
        let Ok(objects) = root.read_dir() else {
            return 0;
        };
        objects
            .map(|object| object.unwrap().path().read_dir().unwrap().count())
            .sum()
    }

    fn script(&self, arguments: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dev/s3.sh");
        let done = Command::new(script)
            .args(arguments)
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.script(&["stop", self.dir.path().to_str().unwrap()]);
    }
}
