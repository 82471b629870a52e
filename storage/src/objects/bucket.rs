//! Single requests to the bucket: each has a time limit and a few attempts, and fails in words.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::Path as FilePath;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode,
    PutPayload, RetryConfig,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::{ObjectsError, ObjectsErrorKind};
use super::{Location, ObjectsOptions};

/// Attempts after the first, of one request; longer absences are for whoever asks.
const RETRIES: usize = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Bytes of one request of a file's way up or down.
const PART_BYTES: u64 = 32 << 20;
/// Parts on their way down at once.
const PARTS_AT_ONCE: usize = 4;

/// A place in a bucket, open for requests.
pub struct Bucket {
    pub(super) store: AmazonS3,
    /// For what `object_store` does not do.
    pub(super) http: reqwest::Client,
    location: Location,
    request_timeout: Duration,
    upload_timeout: Duration,
}

/// A multipart upload that the server knows, and its parts so far, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultipartUpload {
    pub id: String,
    /// As the server named them, with their checksums.
    pub parts: Vec<String>,
}

impl Bucket {
    /// Makes no request yet.
    pub fn open(options: &ObjectsOptions) -> Result<Self, ObjectsError> {
        // Whoever was first installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let location = options.location.clone();
        let credentials = &options.credentials;
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: FIRST_PAUSE,
                max_backoff: LONGEST_PAUSE,
                base: 2.0,
            },
            max_retries: RETRIES,
            retry_timeout: options.upload_timeout,
        };
        let client = ClientOptions::new()
            .with_allow_http(true)
            .with_connect_timeout(options.connect_timeout)
            .with_timeout(options.upload_timeout);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&location.bucket)
            .with_region(location.region.as_ref().unwrap_or(&options.region))
            .with_virtual_hosted_style_request(!location.path_style.unwrap_or(options.path_style))
            .with_access_key_id(credentials.key_id.as_str())
            .with_secret_access_key(credentials.secret.as_str())
            .with_client_options(client)
            .with_retry(retry);
        if let Some(token) = &credentials.token {
            builder = builder.with_token(token.as_str());
        }
        if let Some(endpoint) = &location.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if options.checksums {
            builder = builder.with_checksum_algorithm(Checksum::SHA256);
        }
        let http = reqwest::Client::builder()
            .connect_timeout(options.connect_timeout)
            .timeout(options.request_timeout)
            .build()
            .map_err(ObjectsError::of_http)?;
        Ok(Self {
            store: builder.build()?,
            http,
            location,
            request_timeout: options.request_timeout,
            upload_timeout: options.upload_timeout,
        })
    }

    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Longest time that a read takes.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    pub(super) fn path(&self, key: &str) -> Path {
        if self.location.prefix.is_empty() {
            Path::from(key)
        } else {
            Path::from(format!("{}/{key}", self.location.prefix))
        }
    }

    /// Bytes of the object; `None` if there is none.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, ObjectsError> {
        let path = self.path(key);
        let head = limited(self.request_timeout, self.store.head(&path)).await;
        match head {
            Ok(meta) => Ok(Some(meta.size)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A part of the object, as long as asked for, and how large the object is.
    pub async fn range(&self, key: &str, range: Range<u64>) -> Result<(Bytes, u64), ObjectsError> {
        let path = self.path(key);
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let read = async {
            let found = self.store.get_opts(&path, options).await?;
            let size = found.meta.size;
            Ok((found.bytes().await?, size))
        };
        let (bytes, size) = limited(self.request_timeout, read).await?;
        if bytes.len() as u64 != range.end - range.start {
            let words = "it gave fewer bytes than were asked for";
            return Err(ObjectsError::new(ObjectsErrorKind::Refused, words));
        }
        Ok((bytes, size))
    }

    /// A whole small object; `None` if there is none.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectsError> {
        let path = self.path(key);
        let read = async { self.store.get(&path).await?.bytes().await };
        match limited(self.request_timeout, read).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_missing() && !error.to_string().contains("NoSuchBucket") => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        let path = self.path(key);
        let put = self.store.put(&path, PutPayload::from(bytes));
        limited(self.upload_timeout, put).await.map(drop)
    }

    /// Only if there is no such object yet.
    pub async fn put_new(&self, key: &str, bytes: Bytes) -> Result<(), ObjectsError> {
        let path = self.path(key);
        let payload = PutPayload::from(bytes);
        let put = self.store.put_opts(&path, payload, PutMode::Create.into());
        limited(self.request_timeout, put).await.map(drop)
    }

    /// Names behind `folder/` and sizes of all objects in it.
    pub async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, ObjectsError> {
        let path = self.path(folder);
        // Pages of a thousand, each a request of its own: no limit for all of them together.
        let mut pages = self.store.list(Some(&path));
        let mut found = Vec::new();
        while let Some(meta) = limited(self.request_timeout, pages.try_next()).await? {
            if let Some(name) = meta.location.filename() {
                found.push((name.to_owned(), meta.size));
            }
        }
        Ok(found)
    }

    /// Uploads a file, whatever its size. Durable at the server on return.
    pub async fn put_file(&self, key: &str, path: &FilePath) -> Result<(), ObjectsError> {
        let failed = |error: io::Error| {
            let words = format!("a file to be uploaded cannot be read: {error}");
            ObjectsError::new(ObjectsErrorKind::Refused, words)
        };
        let mut file = tokio::fs::File::open(path).await.map_err(failed)?;
        let first = read_part(&mut file).await.map_err(failed)?;
        if (first.len() as u64) < PART_BYTES {
            return self.put(key, first).await;
        }
        let mut upload = self.begin_upload(key).await?;
        let mut next = first;
        while !next.is_empty() {
            let index = upload.parts.len();
            let part = self.upload_part(key, &upload.id, index, next).await?;
            upload.parts.push(part);
            next = read_part(&mut file).await.map_err(failed)?;
        }
        self.complete_upload(key, upload).await
    }

    /// Fetches an object of `size` bytes into a file.
    pub async fn get_file(
        &self,
        key: &str,
        size: u64,
        path: &FilePath,
    ) -> Result<(), ObjectsError> {
        let failed = |error: io::Error| {
            let words = format!("what came cannot be written: {error}");
            ObjectsError::new(ObjectsErrorKind::Refused, words)
        };
        let mut file = tokio::fs::File::create(path).await.map_err(failed)?;
        let starts = (0..size).step_by(PART_BYTES as usize);
        let mut parts = stream::iter(starts)
            .map(|start| self.range(key, start..size.min(start + PART_BYTES)))
            .buffered(PARTS_AT_ONCE);
        while let Some(part) = parts.next().await {
            file.write_all(&part?.0).await.map_err(failed)?;
        }
        file.sync_all().await.map_err(failed)
    }

    /// An object that is not there is gone already.
    pub async fn delete(&self, key: &str) -> Result<(), ObjectsError> {
        let path = self.path(key);
        match limited(self.request_timeout, self.store.delete(&path)).await {
            Err(error) if !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }

    pub async fn begin_upload(&self, key: &str) -> Result<MultipartUpload, ObjectsError> {
        let path = self.path(key);
        let id = limited(self.request_timeout, self.store.create_multipart(&path)).await?;
        Ok(MultipartUpload {
            id,
            parts: Vec::new(),
        })
    }

    /// The name that the server gave the part.
    pub async fn upload_part(
        &self,
        key: &str,
        upload: &str,
        index: usize,
        bytes: Bytes,
    ) -> Result<String, ObjectsError> {
        let path = self.path(key);
        let upload = upload.to_owned();
        let put = self
            .store
            .put_part(&path, &upload, index, PutPayload::from(bytes));
        let part = limited(self.upload_timeout, put).await?;
        Ok(part.content_id)
    }

    pub async fn complete_upload(
        &self,
        key: &str,
        upload: MultipartUpload,
    ) -> Result<(), ObjectsError> {
        let path = self.path(key);
        let parts = upload.parts.into_iter();
        let parts = parts.map(|content_id| PartId { content_id }).collect();
        let complete = self.store.complete_multipart(&path, &upload.id, parts);
        limited(self.upload_timeout, complete).await.map(drop)
    }
}

/// The next part of a file; shorter at its end.
async fn read_part(file: &mut tokio::fs::File) -> io::Result<Bytes> {
    let mut part = Vec::new();
    file.take(PART_BYTES).read_to_end(&mut part).await?;
    Ok(part.into())
}

pub(super) async fn limited<T>(
    limit: Duration,
    request: impl Future<Output = object_store::Result<T>>,
) -> Result<T, ObjectsError> {
    match tokio::time::timeout(limit, request).await {
        Ok(done) => done.map_err(ObjectsError::from),
        Err(_) => Err(ObjectsError::new(
            ObjectsErrorKind::Away,
            format!("no answer within {} s", limit.as_secs()),
        )),
    }
}
