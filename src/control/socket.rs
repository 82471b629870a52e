//! `control.sock` in the data directory, mode 0600: who may use it may read the data anyway.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

const NAME: &str = "control.sock";

/// A socket's path has at most 107 bytes, a data directory's may have more: the open directory stands for it.
fn short(dir: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{NAME}", dir.as_raw_fd()))
}

/// Binds the socket. Whoever calls this has the archive open, so that a socket already there is a dead server's.
pub fn bind(data: &Path) -> io::Result<UnixListener> {
    let dir = File::open(data)?;
    remove(data)?;
    let listener = UnixListener::bind(short(&dir))?;
    fs::set_permissions(data.join(NAME), fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A connection to the server that holds the directory; `None` if none runs.
pub async fn connect(data: &Path) -> io::Result<Option<UnixStream>> {
    let dir = match File::open(data) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match UnixStream::connect(short(&dir)).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

pub fn remove(data: &Path) -> io::Result<()> {
    match fs::remove_file(data.join(NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
