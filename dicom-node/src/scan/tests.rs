#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::Write;

use super::*;

const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const BIG: &str = "1.2.840.10008.1.2.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const JPEG: &str = "1.2.840.10008.1.2.4.50";

/// Writes elements in any of the three encodings.
struct Builder {
    bytes: Vec<u8>,
    encoding: Encoding,
}

impl Builder {
    fn new(syntax: &str) -> Self {
        Self {
            bytes: Vec::new(),
            encoding: Encoding::of(syntax),
        }
    }

    fn head(mut self, tag: Tag, vr: &[u8; 2], length: u32) -> Self {
        let encoding = self.encoding;
        self.bytes.extend(encoding.u16_bytes(tag.0));
        self.bytes.extend(encoding.u16_bytes(tag.1));
        if encoding.explicit && tag.0 != 0xFFFE {
            self.bytes.extend(vr);
            if [b"OB", b"OW", b"SQ", b"UN", b"UT"].contains(&vr) {
                self.bytes.extend([0, 0]);
            } else {
                self.bytes.extend(encoding.u16_bytes(length as u16));
                return self;
            }
        }
        self.bytes.extend(encoding.u32_bytes(length));
        self
    }

    fn put(self, tag: Tag, vr: &[u8; 2], value: &[u8]) -> Self {
        let mut value = value.to_vec();
        if value.len() % 2 == 1 {
            value.push(if vr == b"UI" { 0 } else { b' ' });
        }
        let mut built = self.head(tag, vr, value.len() as u32);
        built.bytes.extend(value);
        built
    }

    fn identity(self) -> Self {
        let (rows, columns) = (self.encoding.u16_bytes(512), self.encoding.u16_bytes(256));
        self.put(Tag(8, 5), b"CS", b"GB18030")
            .put(Tag(8, 0x16), b"UI", b"1.2.840.10008.5.1.4.1.1.2")
            .put(Tag(8, 0x18), b"UI", b"1.2.3.4")
            .put(Tag(8, 0x50), b"SH", b"ACC1")
            .put(Tag(8, 0x60), b"CS", b"CT")
            .put(Tag(0x10, 0x10), b"PN", b"\xd5\xc5^\xd0\xa1\xb6\xab")
            .put(Tag(0x10, 0x20), b"LO", b"P1")
            .put(Tag(0x20, 0x0D), b"UI", b"1.2.3")
            .put(Tag(0x20, 0x0E), b"UI", b"1.2.3.1")
            .put(Tag(0x20, 0x11), b"IS", b"0")
            .put(Tag(0x28, 0x08), b"IS", b"7")
            .put(Tag(0x28, 0x10), b"US", &rows)
            .put(Tag(0x28, 0x11), b"US", &columns)
    }

    fn pixels(self) -> Self {
        self.put(Tag(0x7FE0, 0x10), b"OW", &[7; 4096])
    }
}

fn check(syntax: &str, bytes: &[u8]) -> Result<InstanceFacts, ScanError> {
    let whole = scan(syntax, bytes, Undeclared::Gb18030);
    for size in [1, 3, 7, 64, 1000] {
        let mut scanner = Scanner::new(syntax, Undeclared::Gb18030);
        for piece in bytes.chunks(size) {
            let _ = scanner.feed(piece);
        }
        assert_eq!(scanner.finish(), whole, "fed in pieces of {size}");
    }
    whole
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

#[test]
fn facts_are_the_same_in_every_encoding() {
    for syntax in [EXPLICIT, IMPLICIT, BIG] {
        let facts = check(syntax, &Builder::new(syntax).identity().pixels().bytes).unwrap();
        assert_eq!(facts.patient.name, "张^小东");
        assert_eq!(facts.study.accession_no, "ACC1");
        assert_eq!(facts.series.number, "0");
        assert_eq!((facts.image.rows, facts.image.columns), (512, 256));
        assert_eq!(facts.image.frames, 7);
        assert_eq!(facts.image.transfer_syntax.as_str(), syntax);
    }
    let plain = Builder::new(EXPLICIT).identity().pixels().bytes;
    let facts = check(DEFLATED, &deflate(&plain)).unwrap();
    assert_eq!(facts.patient.name, "张^小东");
}

/// Every cut but one at an element's boundary after the identity is refused.
#[test]
fn a_data_set_cut_within_an_element_is_refused() {
    let sequence = Builder::new(EXPLICIT)
        .identity()
        .head(Tag(0x40, 0x275), b"SQ", u32::MAX)
        .head(Tag(0xFFFE, 0xE000), b"  ", u32::MAX)
        .put(Tag(0x40, 7), b"LO", b"step")
        .head(Tag(0xFFFE, 0xE00D), b"  ", 0)
        .head(Tag(0xFFFE, 0xE0DD), b"  ", 0);
    let identity = Builder::new(EXPLICIT).identity().bytes.len();
    let (whole, sequence) = (sequence.pixels().bytes, 12 + 8 + 12 + 8 + 8);
    for end in identity + 1..whole.len() {
        let cut = scan(EXPLICIT, &whole[..end], Undeclared::Gb18030);
        assert_eq!(cut.is_ok(), end == identity + sequence, "{end}: {cut:?}");
    }
    assert!(scan(EXPLICIT, &whole, Undeclared::Gb18030).is_ok());
}

#[test]
fn truncated_pixel_data_is_refused() {
    let mut native = Builder::new(EXPLICIT).identity().pixels().bytes;
    native.truncate(native.len() - 2);
    assert!(matches!(
        check(EXPLICIT, &native),
        Err(ScanError::Truncated(_))
    ));
    let encapsulated = Builder::new(JPEG)
        .identity()
        .head(Tag(0x7FE0, 0x10), b"OB", u32::MAX)
        .head(Tag(0xFFFE, 0xE000), b"  ", 0)
        .put(Tag(0xFFFE, 0xE000), b"  ", &[1, 2, 3, 4]);
    assert!(matches!(
        check(JPEG, &encapsulated.bytes),
        Err(ScanError::Truncated(_))
    ));
    let ended = encapsulated.head(Tag(0xFFFE, 0xE0DD), b"  ", 0);
    assert!(check(JPEG, &ended.bytes).is_ok());
    let deflated = deflate(&Builder::new(EXPLICIT).identity().bytes);
    let cut = &deflated[..deflated.len() - 4];
    assert!(check(DEFLATED, cut).is_err());
}

#[test]
fn a_length_of_4_gib_allocates_nothing_and_is_refused() {
    let bytes = Builder::new(EXPLICIT)
        .identity()
        .head(Tag(0x7FE0, 0x10), b"OB", 0xFFFF_FFFE)
        .bytes;
    assert!(matches!(
        check(EXPLICIT, &bytes),
        Err(ScanError::Truncated(_))
    ));
    let text = Builder::new(EXPLICIT)
        .identity()
        .head(Tag(0x40, 0xA160), b"UT", 0xFFFF_FFF0)
        .bytes;
    assert!(matches!(
        check(EXPLICIT, &text),
        Err(ScanError::TextTooLong { .. })
    ));
    let inner = Builder::new(EXPLICIT)
        .identity()
        .head(Tag(0x40, 0x275), b"SQ", 20)
        .head(Tag(0xFFFE, 0xE000), b"  ", 0xFFFF_FFF0)
        .bytes;
    assert!(matches!(
        check(EXPLICIT, &inner),
        Err(ScanError::TooLong { .. })
    ));
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    for (depth, allowed) in [
        (DEPTH_LIMIT, true),
        (DEPTH_LIMIT + 1, false),
        (200_000, false),
    ] {
        let mut built = Builder::new(EXPLICIT).identity();
        for _ in 0..depth {
            built = built.head(Tag(0x40, 0x275), b"SQ", u32::MAX).head(
                Tag(0xFFFE, 0xE000),
                b"  ",
                u32::MAX,
            );
        }
        for _ in 0..depth {
            built = built
                .head(Tag(0xFFFE, 0xE00D), b"  ", 0)
                .head(Tag(0xFFFE, 0xE0DD), b"  ", 0);
        }
        let outcome = scan(EXPLICIT, &built.bytes, Undeclared::Gb18030);
        assert_eq!(outcome.is_ok(), allowed, "{depth}");
    }
}

/// A data set whose pixels are `megabytes` of zeros, deflated.
fn blank(megabytes: usize) -> Vec<u8> {
    let length = megabytes << 20;
    let plain = Builder::new(EXPLICIT)
        .identity()
        .head(Tag(0x7FE0, 0x10), b"OW", length as u32);
    let mut bytes = plain.bytes;
    bytes.resize(bytes.len() + length, 0);
    deflate(&bytes)
}

#[test]
fn a_deflated_bomb_is_refused_before_it_is_inflated_whole() {
    let image = blank(48);
    assert!(image.len() < 1 << 20);
    assert!(check(DEFLATED, &image).is_ok());
    let bomb = blank(512);
    assert_eq!(check(DEFLATED, &bomb), Err(ScanError::InflatesTooMuch));
}

#[test]
fn odd_but_readable_data_sets_pass() {
    // UN of undefined length is a sequence in Implicit VR (PS3.5 §6.2.2).
    let mut unknown = Builder::new(EXPLICIT)
        .identity()
        .head(Tag(0x41, 0x10), b"UN", u32::MAX);
    unknown.encoding = Encoding::IMPLICIT_LITTLE;
    let mut unknown = unknown
        .head(Tag(0xFFFE, 0xE000), b"  ", u32::MAX)
        .put(Tag(0x10, 0x20), b"LO", b"other")
        .head(Tag(0xFFFE, 0xE00D), b"  ", 0)
        .head(Tag(0xFFFE, 0xE0DD), b"  ", 0);
    unknown.encoding = Encoding::EXPLICIT_LITTLE;
    let facts = check(EXPLICIT, &unknown.pixels().bytes).unwrap();
    assert_eq!(
        facts.patient.id, "P1",
        "a nested patient is not the patient"
    );
    // Elements out of order, and a VR of the future.
    let mut odd = Builder::new(EXPLICIT).pixels();
    odd.bytes
        .extend(b"\x40\x00\x99\x99ZZ\x00\x00\x02\x00\x00\x00ab");
    assert!(check(EXPLICIT, &odd.identity().bytes).is_ok());
}

#[test]
fn what_two_readers_would_see_differently_is_refused() {
    let twice = Builder::new(EXPLICIT)
        .identity()
        .put(Tag(0x10, 0x20), b"LO", b"P2");
    assert_eq!(
        check(EXPLICIT, &twice.bytes),
        Err(ScanError::Contradiction(Tag(0x10, 0x20)))
    );
    let meta = Builder::new(EXPLICIT)
        .identity()
        .put(Tag(2, 0x10), b"UI", b"1.2");
    assert!(matches!(
        check(EXPLICIT, &meta.bytes),
        Err(ScanError::OutOfPlace { .. })
    ));
    let other = Builder::new(IMPLICIT).identity();
    assert!(
        check(EXPLICIT, &other.bytes).is_err(),
        "not the syntax that was agreed on"
    );
}

#[test]
fn a_missing_or_impossible_uid_is_named() {
    let none = Builder::new(EXPLICIT)
        .put(Tag(8, 0x18), b"UI", b"1.2")
        .bytes;
    assert_eq!(
        check(EXPLICIT, &none),
        Err(ScanError::Missing("StudyInstanceUID"))
    );
    assert_eq!(check(EXPLICIT, &[]), Err(ScanError::Empty));
    let bad = Builder::new(EXPLICIT)
        .put(Tag(0x20, 0x0D), b"UI", b"1.2.x")
        .bytes;
    assert!(matches!(
        check(EXPLICIT, &bad),
        Err(ScanError::Invalid { .. })
    ));
}

/// Mutations of whole data sets: whatever comes of them, the walk ends, in bounds, and pieces agree with the whole.
#[test]
fn mutated_data_sets_never_panic() {
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for syntax in [EXPLICIT, IMPLICIT, BIG, DEFLATED] {
        let plain = if Encoding::is_deflated(syntax) {
            EXPLICIT
        } else {
            syntax
        };
        let built = Builder::new(plain)
            .identity()
            .head(Tag(0x40, 0x275), b"SQ", u32::MAX)
            .head(Tag(0xFFFE, 0xE000), b"  ", 12)
            .put(Tag(0x40, 7), b"LO", b"step")
            .head(Tag(0xFFFE, 0xE0DD), b"  ", 0)
            .put(Tag(0x7FE0, 0x10), b"OW", &[9; 64]);
        let original = if plain == syntax {
            built.bytes
        } else {
            deflate(&built.bytes)
        };
        for _ in 0..20_000 {
            let mut bytes = original.clone();
            for _ in 0..1 + random() % 4 {
                let at = random() as usize % bytes.len();
                match random() % 4 {
                    0 => bytes[at] = 0xFF,
                    1 => bytes[at] = random() as u8,
                    2 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, random() as u8),
                }
            }
            let whole = scan(syntax, &bytes, Undeclared::Gb18030);
            let mut scanner = Scanner::new(syntax, Undeclared::Gb18030);
            for piece in bytes.chunks(1 + random() as usize % 50) {
                let _ = scanner.feed(piece);
            }
            let pieces = scanner.finish();
            if plain == syntax {
                assert_eq!(pieces, whole);
            } else {
                // How much is inflated before damage is noticed depends on the pieces.
                assert_eq!(pieces.ok(), whole.ok());
            }
        }
    }
}

#[test]
fn papyrus_3_is_implicit_vr() {
    let data = Builder::new(IMPLICIT).identity().bytes;
    let facts = scan("1.2.840.10008.1.20", &data, Undeclared::Gb18030).unwrap();
    let plain = scan(IMPLICIT, &data, Undeclared::Gb18030).unwrap();
    assert_eq!(facts.patient.name, plain.patient.name);
    assert_eq!(facts.image.rows, 512);
}
