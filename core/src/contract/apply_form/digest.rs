//! The digest by which two forms are of the same content (R14): over the typed form, so that neither blanks, nor the
//! order of elements, nor the way in which an item is written, nor a number's prefix make another content of it. The
//! licence and the sending program are no content.

use crate::time::{LocalDate, LocalDateTime};

/// An encoding in which every length stands before what it measures and absent fields leave nothing, so that a field
/// that a later release adds changes no digest of a form without it.
#[derive(Default)]
pub(super) struct Encoding(Vec<u8>);

/// What is part of the digest.
pub(super) trait Canonical {
    fn is_absent(&self) -> bool {
        false
    }

    fn encode(&self, out: &mut Encoding);
}

impl Encoding {
    fn put(&mut self, mark: u8, bytes: &[u8]) {
        self.0.push(mark);
        // A message is far below 4 GiB.
        self.0
            .extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }

    pub fn open(&mut self) {
        self.0.push(b'o');
    }

    pub fn close(&mut self) {
        self.0.push(b'e');
    }

    pub fn field(&mut self, name: &str, value: &(impl Canonical + ?Sized)) {
        if !value.is_absent() {
            self.put(b'k', name.as_bytes());
            value.encode(self);
        }
    }

    /// Bytes so far: no fewer than postcard takes for the same content, some tags aside.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The first 128 bits of BLAKE3.
    pub fn digest(&self) -> [u8; 16] {
        let mut digest = [0; 16];
        blake3::Hasher::new()
            .update(&self.0)
            .finalize_xof()
            .fill(&mut digest);
        digest
    }
}

impl Canonical for str {
    fn encode(&self, out: &mut Encoding) {
        out.put(b't', self.as_bytes());
    }
}

impl Canonical for String {
    fn encode(&self, out: &mut Encoding) {
        self.as_str().encode(out);
    }
}

macro_rules! as_text {
    ($($name:ty),*) => {
        $(impl Canonical for $name {
            fn encode(&self, out: &mut Encoding) {
                self.to_string().encode(out);
            }
        })*
    };
}
as_text!(LocalDate, LocalDateTime, u32);

impl<T: Canonical> Canonical for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn encode(&self, out: &mut Encoding) {
        if let Some(value) = self {
            value.encode(out);
        }
    }
}

impl<T: Canonical> Canonical for Vec<T> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn encode(&self, out: &mut Encoding) {
        out.open();
        self.iter().for_each(|item| item.encode(out));
        out.close();
    }
}
