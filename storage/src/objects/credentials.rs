//! The account of the object store: from the AWS environment variables, or from a credentials file of AWS's form.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
const TOKEN: &str = "AWS_SESSION_TOKEN";
const PROFILE: &str = "AWS_PROFILE";

#[derive(Clone)]
pub struct Credentials {
    pub(super) key_id: Zeroizing<String>,
    pub(super) secret: Zeroizing<String>,
    pub(super) token: Option<Zeroizing<String>>,
}

#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error(
        "no account for the object store: set {KEY_ID} and {SECRET}, or objects.credentials_file"
    )]
    Absent,
    #[error("the credentials file {} cannot be read", file.display())]
    Read {
        file: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "the credentials file {} has no aws_access_key_id and aws_secret_access_key under [{profile}]",
        file.display()
    )]
    Incomplete { file: PathBuf, profile: String },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    pub fn new(key_id: &str, secret: &str, token: Option<&str>) -> Self {
        let kept = |text: &str| Zeroizing::new(text.to_owned());
        Self {
            key_id: kept(key_id),
            secret: kept(secret),
            token: token.map(kept),
        }
    }

    /// From the file if one is named, else from the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, CredentialsError> {
        match file {
            Some(file) => Self::from_file(file),
            None => Self::from_environment(),
        }
    }

    fn from_environment() -> Result<Self, CredentialsError> {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (set(KEY_ID), set(SECRET)) {
            (Some(key_id), Some(secret)) => Ok(Self::new(&key_id, &secret, set(TOKEN).as_deref())),
            _ => Err(CredentialsError::Absent),
        }
    }

    fn from_file(file: &Path) -> Result<Self, CredentialsError> {
        let text = std::fs::read_to_string(file).map_err(|source| CredentialsError::Read {
            file: file.to_owned(),
            source,
        })?;
        let text = Zeroizing::new(text);
        let profile = std::env::var(PROFILE).unwrap_or_else(|_| "default".to_owned());
        Self::of_profile(&text, &profile).ok_or_else(|| CredentialsError::Incomplete {
            file: file.to_owned(),
            profile,
        })
    }

    fn of_profile(text: &str, profile: &str) -> Option<Self> {
        let heading = format!("[{profile}]");
        let mut lines = text.lines().map(str::trim);
        lines.find(|line| *line == heading)?;
        let (mut key_id, mut secret, mut token) = (None, None, None);
        for line in lines.take_while(|line| !line.starts_with('[')) {
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            let value = Some(value.trim()).filter(|value| !value.is_empty());
            match name.trim() {
                "aws_access_key_id" => key_id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
        Some(Self::new(key_id?, secret?, token))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FILE: &str = "# two accounts\n[other]\naws_access_key_id = O\naws_secret_access_key = P\n\n\
        [default]\naws_access_key_id=KEY\n aws_secret_access_key = a=b/c \n[third]\naws_session_token = T\n";

    #[test]
    fn a_profile_is_read_to_its_end_and_no_further() {
        let credentials = Credentials::of_profile(FILE, "default").unwrap();
        assert_eq!(*credentials.key_id, "KEY");
        assert_eq!(*credentials.secret, "a=b/c");
        assert!(credentials.token.is_none());
        assert!(Credentials::of_profile(FILE, "third").is_none());
        assert!(Credentials::of_profile(FILE, "absent").is_none());
    }

    #[test]
    fn credentials_are_not_shown() {
        let shown = format!("{:?}", Credentials::of_profile(FILE, "default").unwrap());
        assert!(
            !shown.contains("KEY") && !shown.contains("a=b/c"),
            "{shown}"
        );
    }
}
