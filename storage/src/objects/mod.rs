//! The object store: a bucket of an S3 server in which sealed packs lie.
//!
//! | object | what |
//! |---|---|
//! | `PREFIX/archive` | the archive that the place belongs to ([`claim`]) |
//! | `PREFIX/nodes/NODE` | written by each start of a node: the place takes what it is given |
//! | `PREFIX/packs/ID.pack` | a sealed pack, byte for byte the file that its node wrote |
//! | `PREFIX/cold-packs/ID.pack` | the same, of images that are wanted rarely |
//! | `PREFIX/snapshots/…`, `PREFIX/snapshot-files/…` | snapshots of the views (`archive/snapshot.rs`) |
//!
//! [`Bucket`] does single requests, each within a time limit and tried a few times; whoever uses it decides what comes
//! after a failure. Errors are told in words of ours: what a server writes into its own may name the account.

mod bucket;
mod claim;
mod credentials;
mod error;
mod location;
mod uploads;

use std::time::Duration;

pub(crate) use self::bucket::{Bucket, MultipartUpload};
pub use self::claim::{ClaimError, forget, remember, remembered};
pub(crate) use self::claim::{belongs_to, claim};
pub use self::credentials::{Credentials, CredentialsError};
pub use self::error::{ObjectsError, ObjectsErrorKind};
pub use self::location::{Location, LocationError};

/// How the object store is used.
#[derive(Debug, Clone)]
pub struct ObjectsOptions {
    pub location: Location,
    /// Where the location names none.
    pub region: String,
    /// Bucket in the path (true) or in the host's name; where the location does not say.
    pub path_style: bool,
    /// The server checks each part against its SHA-256. For servers that know `x-amz-checksum-sha256`.
    pub checksums: bool,
    pub credentials: Credentials,
    pub connect_timeout: Duration,
    /// A read has so long, with all attempts.
    pub request_timeout: Duration,
    /// A part of 32 MiB has so long, with all attempts.
    pub upload_timeout: Duration,
    /// Local bytes of packs beyond which uploaded ones are evicted.
    pub cache_bytes: u64,
}
