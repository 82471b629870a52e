//! `s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME&path_style=BOOL]`.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// A place in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub bucket: String,
    /// Without slashes at its ends; empty for the bucket itself.
    pub prefix: String,
    /// `http://HOST:PORT` or `https://HOST`; `None` for AWS.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    #[error(
        "{0:?} is no object location; write s3://BUCKET/PREFIX?endpoint=https://HOST (without endpoint: AWS)"
    )]
    NotS3(String),
    #[error(
        "{0:?} is no bucket name: 3 to 63 lower-case letters, digits, dots and hyphens are (S3 rules)"
    )]
    Bucket(String),
    #[error("the endpoint {0:?} of the object location is not http://HOST:PORT or https://HOST")]
    Endpoint(String),
    #[error(
        "the object location has an unknown part {0:?}; endpoint, region and path_style are known"
    )]
    Unknown(String),
    #[error("path_style of the object location is true or false, not {0:?}")]
    PathStyle(String),
    #[error(
        "the object location holds a user name or password; give credentials by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or by objects.credentials_file"
    )]
    Secret,
}

impl Location {
    /// Whether both mean the same objects.
    pub fn is_same_place(&self, other: &Self) -> bool {
        (&self.bucket, &self.prefix, &self.endpoint)
            == (&other.bucket, &other.prefix, &other.endpoint)
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let not_s3 = || LocationError::NotS3(shown(text));
        let url = Url::parse(text).map_err(|_| not_s3())?;
        if url.scheme() != "s3" {
            return Err(not_s3());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(LocationError::Secret);
        }
        let bucket = url.host_str().ok_or_else(not_s3)?;
        let mut location = Self {
            bucket: checked_bucket(bucket)?,
            prefix: checked_prefix(url.path()).ok_or_else(not_s3)?,
            endpoint: None,
            region: None,
            path_style: None,
        };
        for (name, value) in url.query_pairs() {
            match &*name {
                "endpoint" => location.endpoint = Some(checked_endpoint(&value)?),
                "region" => location.region = Some(value.into_owned()),
                "path_style" => {
                    let yes = value.parse();
                    let yes = yes.map_err(|_| LocationError::PathStyle(value.into_owned()))?;
                    location.path_style = Some(yes);
                }
                other => return Err(LocationError::Unknown(other.to_owned())),
            }
        }
        Ok(location)
    }
}

/// As it can be read again.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        let mut separator = '?';
        let path_style = self.path_style.map(|yes| yes.to_string());
        for (name, value) in [
            ("endpoint", &self.endpoint),
            ("region", &self.region),
            ("path_style", &path_style),
        ] {
            if let Some(value) = value {
                write!(f, "{separator}{name}={value}")?;
                separator = '&';
            }
        }
        Ok(())
    }
}

/// What may be told of a text that might hold a password.
fn shown(text: &str) -> String {
    let shown = match text.rsplit_once('@') {
        Some((_, behind)) => behind,
        None => text,
    };
    shown.chars().take(200).collect()
}

fn checked_bucket(name: &str) -> Result<String, LocationError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    if (3..=63).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(name.to_owned())
    } else {
        Err(LocationError::Bucket(name.to_owned()))
    }
}

/// Plain names between slashes: they mean the same in a path, in a URL and in a signature.
fn checked_prefix(path: &str) -> Option<String> {
    let prefix = path.trim_matches('/');
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let valid = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
    (prefix.is_empty() || prefix.split('/').all(valid)).then(|| prefix.to_owned())
}

fn checked_endpoint(text: &str) -> Result<String, LocationError> {
    let wrong = || LocationError::Endpoint(shown(text));
    let url = Url::parse(text).map_err(|_| wrong())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(LocationError::Secret);
    }
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(wrong());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_location_reads_back_as_it_is_shown() {
        for text in [
            "s3://images",
            "s3://images/city/archive?endpoint=http://127.0.0.1:7070",
            "s3://images?endpoint=https://s3.example&region=cn-north-1&path_style=false",
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), text);
        }
    }

    #[test]
    fn slashes_and_encoded_endpoints_mean_the_same_place() {
        let plain: Location = "s3://images/a?endpoint=http://127.0.0.1:7070"
            .parse()
            .unwrap();
        let other: Location = "s3://images/a/?endpoint=http%3A%2F%2F127.0.0.1%3A7070%2F&region=x"
            .parse()
            .unwrap();
        assert!(plain.is_same_place(&other));
        let elsewhere: Location = "s3://images/b?endpoint=http://127.0.0.1:7070"
            .parse()
            .unwrap();
        assert!(!plain.is_same_place(&elsewhere));
    }

    #[test]
    fn what_is_no_location_is_refused() {
        for text in [
            "/data/packs",
            "http://images/",
            "s3:///x",
            "s3://IM",
            "s3://images/a//b",
            "s3://images/影像",
            "s3://images?endpoint=127.0.0.1:7070",
            "s3://images?endpoint=http://host/path",
            "s3://images?path_style=maybe",
            "s3://images?bucket=other",
        ] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_in_a_location_is_refused_and_not_repeated() {
        for text in [
            "s3://key:secret@images",
            "s3://images?endpoint=http://key:secret@host",
            "https://key:secret@images",
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert!(!error.to_string().contains("secret@"), "{error}");
            assert!(!format!("{error:?}").contains("key:"), "{error:?}");
        }
    }
}
