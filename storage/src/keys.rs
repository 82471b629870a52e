//! The cluster key, and what is sealed under it: app licences, private keys, keys of 基卫, tokens.
//!
//! Sealed = nonce (12 bytes) + AES-256-GCM over the secret, the purpose as associated data, so that a sealed licence
//! never opens as a token.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore;
use rand::rngs::OsRng;
use rsa::pkcs8::{DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use yingku_core::registry::Sealed;
use zeroize::Zeroizing;

/// Environment variable that holds the cluster key in hex, before any file.
pub const CLUSTER_KEY_VARIABLE: &str = "YINGKU_CLUSTER_KEY";

const NONCE_BYTES: usize = 12;
/// Bits of an app's RSA key. A sign of one block is 256 bytes: 344 characters of Base64, 512 of hex; R3 allows four.
pub const APP_KEY_BITS: usize = 2048;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "there is no cluster key: set {CLUSTER_KEY_VARIABLE}, write 64 hex digits to {0}, or allow generating one"
    )]
    Missing(String),
    #[error("the cluster key must be 64 hex digits (32 bytes)")]
    Malformed,
    #[error("the cluster key file cannot be used")]
    File(#[from] io::Error),
    #[error("a sealed value does not open under this cluster key: is it the archive's own?")]
    Unseal,
    #[error("an RSA key cannot be made or encoded")]
    Rsa(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a sealed value is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    License,
    PrivateKey,
    Token,
    /// Page tokens: a reader must not make up positions.
    Page,
    /// Requests of one node to another.
    Node,
    /// Keys of 基卫 (contract §1).
    Jiwei,
    /// Addresses of images: which, for whom and until when.
    Image,
    /// What the clinic page's own links carry on of a link that a HIS signed.
    Clinic,
    /// Cursors of the feed: a reader must not make up positions.
    Feed,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::License => b"license",
            Self::PrivateKey => b"private-key",
            Self::Token => b"token",
            Self::Page => b"page",
            Self::Node => b"node",
            Self::Jiwei => b"jiwei",
            Self::Image => b"image",
            Self::Clinic => b"clinic",
            Self::Feed => b"feed",
        }
    }
}

/// The cluster key, ready for use.
#[derive(Clone)]
pub struct ClusterKey {
    cipher: Aes256Gcm,
    /// For signatures of addresses: derived, so that no use of one tells of the other.
    signing: Zeroizing<[u8; 32]>,
}

const SIGNING_CONTEXT: &str = "yingku 2026 signed addresses";

impl std::fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterKey(…)")
    }
}

impl ClusterKey {
    /// Reads the key from the environment or the file; makes the file if that is allowed and there is none.
    pub fn load(file: &Path, generate: bool) -> Result<Self, KeyError> {
        if let Ok(hex) = std::env::var(CLUSTER_KEY_VARIABLE) {
            return Self::from_hex(&Zeroizing::new(hex));
        }
        match fs::read_to_string(file) {
            Ok(hex) => Self::from_hex(&Zeroizing::new(hex)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && generate => {
                Self::generate(file)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(KeyError::Missing(file.display().to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn generate(file: &Path) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0u8; 32]);
        OsRng.fill_bytes(bytes.as_mut());
        let hex = Zeroizing::new(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>());
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut out = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file)?;
        out.write_all(hex.as_bytes())?;
        out.sync_all()?;
        Self::from_hex(&hex)
    }

    pub fn from_hex(hex: &str) -> Result<Self, KeyError> {
        let hex = hex.trim();
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(KeyError::Malformed);
        }
        let mut bytes = Zeroizing::new([0u8; 32]);
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let text = std::str::from_utf8(pair).map_err(|_| KeyError::Malformed)?;
            *byte = u8::from_str_radix(text, 16).map_err(|_| KeyError::Malformed)?;
        }
        let cipher = Aes256Gcm::new_from_slice(bytes.as_ref()).map_err(|_| KeyError::Malformed)?;
        let signing = Zeroizing::new(blake3::derive_key(SIGNING_CONTEXT, bytes.as_ref()));
        Ok(Self { cipher, signing })
    }

    /// Signs what an address says, in hex: BLAKE3 keyed, the same on every node.
    pub fn sign_address(&self, said: &str) -> String {
        let mac = blake3::keyed_hash(&self.signing, said.as_bytes());
        mac.to_hex().to_string()
    }

    pub fn seal_bytes(&self, purpose: Purpose, secret: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut nonce = [0u8; NONCE_BYTES];
        OsRng.fill_bytes(&mut nonce);
        let payload = Payload {
            msg: secret,
            aad: purpose.label(),
        };
        let sealed = self
            .cipher
            .encrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| KeyError::Unseal)?;
        let mut out = nonce.to_vec();
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    pub fn open_bytes(
        &self,
        purpose: Purpose,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let (nonce, body) = sealed
            .split_at_checked(NONCE_BYTES)
            .ok_or(KeyError::Unseal)?;
        let payload = Payload {
            msg: body,
            aad: purpose.label(),
        };
        self.cipher
            .decrypt(Nonce::from_slice(nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| KeyError::Unseal)
    }

    /// Seals a secret of the registry.
    pub fn seal(&self, purpose: Purpose, secret: &[u8]) -> Result<Sealed, KeyError> {
        Ok(Sealed(hex_of(&self.seal_bytes(purpose, secret)?)))
    }

    pub fn open(&self, purpose: Purpose, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        self.open_bytes(purpose, &bytes_of_hex(&sealed.0).ok_or(KeyError::Unseal)?)
    }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of_hex(hex: &str) -> Option<Vec<u8>> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// A new RSA key pair for an app: PKCS#8 DER of the private key, SubjectPublicKeyInfo DER of the public one.
pub struct AppKeyPair {
    pub private_der: Zeroizing<Vec<u8>>,
    pub public_der: Vec<u8>,
}

/// Makes a key pair. Takes up to a second.
pub fn generate_app_keys() -> Result<AppKeyPair, KeyError> {
    let rsa = |error: Box<dyn std::error::Error + Send + Sync>| KeyError::Rsa(error);
    let private = RsaPrivateKey::new(&mut OsRng, APP_KEY_BITS).map_err(|e| rsa(Box::new(e)))?;
    let public_der = RsaPublicKey::from(&private)
        .to_public_key_der()
        .map_err(|e| rsa(Box::new(e)))?
        .into_vec();
    let private_der = private
        .to_pkcs8_der()
        .map_err(|e| rsa(Box::new(e)))?
        .to_bytes();
    Ok(AppKeyPair {
        private_der,
        public_der,
    })
}

/// An app's public key in every form that it is handed out in (R3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeyForms {
    /// SubjectPublicKeyInfo as PEM: OpenSSL, Python.
    pub pem: String,
    /// The same as DER in Base64, in one line: Java's X509EncodedKeySpec.
    pub der_base64: String,
    /// .NET's RSA.FromXmlString.
    pub xml: String,
}

impl PublicKeyForms {
    /// `der_base64`: as the registry holds it.
    pub fn of(der_base64: &str) -> Result<Self, KeyError> {
        let rsa = |error: Box<dyn std::error::Error + Send + Sync>| KeyError::Rsa(error);
        let der = STANDARD.decode(der_base64).map_err(|e| rsa(Box::new(e)))?;
        let key = RsaPublicKey::from_public_key_der(&der).map_err(|e| rsa(Box::new(e)))?;
        let pem = key.to_public_key_pem(LineEnding::LF);
        let number = |number: &rsa::BigUint| STANDARD.encode(number.to_bytes_be());
        Ok(Self {
            pem: pem.map_err(|e| rsa(Box::new(e)))?,
            der_base64: der_base64.to_owned(),
            xml: format!(
                "<RSAKeyValue><Modulus>{}</Modulus><Exponent>{}</Exponent></RSAKeyValue>",
                number(key.n()),
                number(key.e())
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key() -> ClusterKey {
        ClusterKey::from_hex(&"ab".repeat(32)).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_only() {
        let sealed = key().seal(Purpose::License, b"demo-license").unwrap();
        assert_eq!(
            key().open(Purpose::License, &sealed).unwrap().as_slice(),
            b"demo-license"
        );
        assert!(matches!(
            key().open(Purpose::Token, &sealed),
            Err(KeyError::Unseal)
        ));
        let other = ClusterKey::from_hex(&"cd".repeat(32)).unwrap();
        assert!(matches!(
            other.open(Purpose::License, &sealed),
            Err(KeyError::Unseal)
        ));
    }

    #[test]
    fn a_public_key_is_the_same_in_every_form() {
        let pair = generate_app_keys().unwrap();
        let forms = PublicKeyForms::of(&STANDARD.encode(&pair.public_der)).unwrap();
        let key = RsaPublicKey::from_public_key_pem(&forms.pem).unwrap();
        assert_eq!(STANDARD.decode(&forms.der_base64).unwrap(), pair.public_der);
        let (_, rest) = forms.xml.split_once("<Modulus>").unwrap();
        let (modulus, rest) = rest.split_once("</Modulus>").unwrap();
        assert_eq!(STANDARD.decode(modulus).unwrap(), key.n().to_bytes_be());
        assert_eq!(rest, "<Exponent>AQAB</Exponent></RSAKeyValue>");
    }

    #[test]
    fn a_generated_key_file_is_private_and_read_again() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys/cluster.key");
        let first = ClusterKey::load(&file, true).unwrap();
        let sealed = first.seal(Purpose::License, b"x").unwrap();
        let again = ClusterKey::load(&file, false).unwrap();
        assert_eq!(
            again.open(Purpose::License, &sealed).unwrap().as_slice(),
            b"x"
        );
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}
