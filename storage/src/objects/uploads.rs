//! Multipart uploads that were begun and never ended: the server keeps their parts, and charges for them, until they are
//! aborted. `object_store` cannot list them, so that request is made here.

use std::collections::HashSet;
use std::time::Duration;

use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use serde::Deserialize;

use super::bucket::{Bucket, limited};
use super::error::{ObjectsError, ObjectsErrorKind};

/// How long the signature of a request is valid.
const SIGNED_FOR: Duration = Duration::from_secs(300);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
    #[serde(default, rename = "Upload")]
    uploads: Vec<Listed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key: String,
    upload_id: String,
}

impl Bucket {
    /// Aborts the uploads whose keys begin with `prefix`, but for the `known` ones; those of them that are there.
    pub async fn sweep_uploads(
        &self,
        prefix: &str,
        known: &HashSet<String>,
    ) -> Result<HashSet<String>, ObjectsError> {
        let prefix = self.path(prefix).to_string();
        let (mut key_marker, mut upload_marker) = (String::new(), String::new());
        let mut there = HashSet::new();
        loop {
            let query = [
                ("uploads", ""),
                ("prefix", &prefix),
                ("key-marker", &key_marker),
                ("upload-id-marker", &upload_marker),
            ];
            let page = self.list_uploads(&query).await?;
            for upload in page.uploads {
                if known.contains(&upload.upload_id) {
                    there.insert(upload.upload_id);
                } else {
                    self.abort(&upload).await?;
                    tracing::info!(key = %upload.key, "an upload that was begun and not ended was aborted");
                }
            }
            match (page.is_truncated, page.next_key_marker) {
                (true, Some(next)) if next != key_marker => key_marker = next,
                _ => return Ok(there),
            }
            upload_marker = page.next_upload_id_marker.unwrap_or_default();
        }
    }

    async fn abort(&self, orphan: &Listed) -> Result<(), ObjectsError> {
        let key = Path::from(orphan.key.as_str());
        let abort = self.store.abort_multipart(&key, &orphan.upload_id);
        match limited(self.request_timeout(), abort).await {
            // Somebody was faster.
            Err(error) if error.is_missing() => Ok(()),
            other => other,
        }
    }

    async fn list_uploads(&self, query: &[(&str, &str)]) -> Result<Listing, ObjectsError> {
        let given = query
            .iter()
            .filter(|(name, value)| *name == "uploads" || !value.is_empty());
        let options = SignedUrlOptions::default().with_query(given.copied());
        let root = Path::default();
        let sign = self
            .store
            .signed_url_opts(reqwest::Method::GET, &root, SIGNED_FOR, &options);
        let url = limited(self.request_timeout(), sign).await?;
        let answer = self.http.get(url).send().await;
        let answer = answer.map_err(ObjectsError::of_http)?;
        let status = answer.status();
        let body = answer.text().await.map_err(ObjectsError::of_http)?;
        if !status.is_success() {
            return Err(ObjectsError::of_status(status.as_u16(), &body));
        }
        quick_xml::de::from_str(&body).map_err(|_| {
            let words = "its list of uploads is not what S3 says";
            ObjectsError::new(ObjectsErrorKind::Refused, words)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_listing_is_read_with_uploads_and_without() {
        let empty = "<ListMultipartUploadsResult><Bucket>b</Bucket><IsTruncated>false</IsTruncated>\
            </ListMultipartUploadsResult>";
        let listing: Listing = quick_xml::de::from_str(empty).unwrap();
        assert!(listing.uploads.is_empty() && !listing.is_truncated);
        let two = "<ListMultipartUploadsResult><NextKeyMarker>k2</NextKeyMarker><IsTruncated>true</IsTruncated>\
            <Upload><Key>k1</Key><UploadId>u&amp;1</UploadId><Owner><ID>o</ID></Owner></Upload>\
            <Upload><Key>k2</Key><UploadId>u2</UploadId></Upload></ListMultipartUploadsResult>";
        let listing: Listing = quick_xml::de::from_str(two).unwrap();
        let ids: Vec<_> = listing
            .uploads
            .iter()
            .map(|u| u.upload_id.as_str())
            .collect();
        assert_eq!(ids, ["u&1", "u2"]);
        assert_eq!(listing.next_key_marker.as_deref(), Some("k2"));
    }
}
