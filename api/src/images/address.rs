//! What an address of an image holds: sealed under the cluster key, so that it says nothing to who has it and every node
//! knows its own.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use yingku_core::ids::{ExamKey, ExamNo, HospitalCode, SopInstanceUid, StudyUid};
use yingku_storage::keys::{ClusterKey, KeyError, Purpose};

/// Characters of a token at most: some 12 fields of 64 bytes in Base64.
const TOKEN_LIMIT: usize = 1_200;
const VERSION: &str = "1";

/// For whom an address was made; the record of each opening says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageReader {
    /// `app:ID`, or who else reads.
    pub reader: String,
    /// Code of the hospital that it is read for.
    pub read_for: String,
    /// Code of who reads there.
    pub user: String,
    /// `visit`, `consent`, `emergency` or empty.
    pub reason: String,
}

/// One frame that an address opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedImage {
    pub reader: ImageReader,
    pub exam: ExamKey,
    pub study: StudyUid,
    pub instance: SopInstanceUid,
    /// From 0.
    pub frame: u32,
    /// Unix seconds.
    pub expires: i64,
}

impl SignedImage {
    pub fn seal(&self, key: &ClusterKey) -> Result<String, KeyError> {
        let generation = self.exam.generation.to_string();
        let (frame, expires) = (self.frame.to_string(), self.expires.to_string());
        let fields = [
            VERSION,
            &expires,
            &self.reader.reader,
            &self.reader.read_for,
            &self.reader.user,
            &self.reader.reason,
            self.exam.hospital.as_str(),
            self.exam.exam_no.as_str(),
            &generation,
            self.study.as_str(),
            self.instance.as_str(),
            &frame,
        ];
        // None of them holds a control character; one that did would open nothing.
        let sealed = key.seal_bytes(Purpose::Image, fields.join("\n").as_bytes())?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// `None`: it is not one of ours, or was changed.
    pub fn open(key: &ClusterKey, token: &str) -> Option<Self> {
        if token.len() > TOKEN_LIMIT {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(token).ok()?;
        let plain = key.open_bytes(Purpose::Image, &sealed).ok()?;
        let fields: Vec<&str> = std::str::from_utf8(&plain).ok()?.split('\n').collect();
        let [
            VERSION,
            expires,
            reader,
            read_for,
            user,
            reason,
            hospital,
            exam_no,
            generation,
            study,
            instance,
            frame,
        ] = fields.as_slice()
        else {
            return None;
        };
        Some(Self {
            reader: ImageReader {
                reader: (*reader).to_owned(),
                read_for: (*read_for).to_owned(),
                user: (*user).to_owned(),
                reason: (*reason).to_owned(),
            },
            exam: ExamKey {
                hospital: HospitalCode::new(*hospital).ok()?,
                exam_no: ExamNo::new(*exam_no).ok()?,
                generation: generation.parse().ok()?,
            },
            study: StudyUid::new(*study).ok()?,
            instance: SopInstanceUid::new(*instance).ok()?,
            frame: frame.parse().ok()?,
            expires: expires.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn image() -> SignedImage {
        SignedImage {
            reader: ImageReader {
                reader: "app:demo".to_owned(),
                read_for: "350006".to_owned(),
                user: "d01".to_owned(),
                reason: String::new(),
            },
            exam: ExamKey {
                hospital: HospitalCode::new("350006").unwrap(),
                exam_no: ExamNo::new("CT1").unwrap(),
                generation: 2,
            },
            study: StudyUid::new("1.2.3").unwrap(),
            instance: SopInstanceUid::new("1.2.3.4").unwrap(),
            frame: 7,
            expires: 1_800_000_000,
        }
    }

    #[test]
    fn a_token_says_what_was_sealed_and_nothing_to_others() {
        let key = ClusterKey::from_hex(&"ab".repeat(32)).unwrap();
        let token = image().seal(&key).unwrap();
        assert_eq!(SignedImage::open(&key, &token), Some(image()));
        assert!(!token.contains("1.2.3") && !token.contains("CT1"));
        let other = ClusterKey::from_hex(&"cd".repeat(32)).unwrap();
        assert_eq!(SignedImage::open(&other, &token), None);
        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged.get_mut(at).map(|byte| *byte ^= 1).unwrap();
            let forged = String::from_utf8_lossy(&forged).into_owned();
            assert_ne!(SignedImage::open(&key, &forged), Some(image()), "{at}");
        }
    }

    #[test]
    fn a_field_with_a_line_of_its_own_opens_nothing() {
        let key = ClusterKey::from_hex(&"ab".repeat(32)).unwrap();
        let mut odd = image();
        odd.reader.user = "a\nb".to_owned();
        assert_eq!(SignedImage::open(&key, &odd.seal(&key).unwrap()), None);
    }
}
