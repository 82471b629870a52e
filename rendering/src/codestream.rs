//! What a compressed frame says of itself, before a codec is let at it. Codecs fill what they are given: a frame that is smaller
//! than its data set says would come out askew, and nobody would be told.

/// Size and depth in a compressed frame's own head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub rows: u32,
    pub columns: u32,
    /// Bits of a sample.
    pub precision: u8,
    pub lossless: bool,
}

/// Reads the head of a JPEG (ITU-T T.81 §B.2) or JPEG 2000 codestream (T.800 §A.5.1); `None`: it is neither, as far as can
/// be seen.
pub fn head_of(frame: &[u8]) -> Option<Head> {
    match frame {
        [0xFF, 0xD8, rest @ ..] => head_of_jpeg(rest),
        [0xFF, 0x4F, 0xFF, 0x51, _, _, _, _, rest @ ..] => head_of_j2k(rest),
        _ => None,
    }
}

fn head_of_jpeg(mut segments: &[u8]) -> Option<Head> {
    loop {
        let [0xFF, marker, rest @ ..] = segments else {
            return None;
        };
        match marker {
            // Fill bytes.
            0xFF => segments = segments.get(1..)?,
            // Frame headers but for DHT, JPG and DAC, which lie between them.
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                let [_, _, precision, a, b, c, d, ..] = rest else {
                    return None;
                };
                return Some(Head {
                    rows: u32::from(u16::from_be_bytes([*a, *b])),
                    columns: u32::from(u16::from_be_bytes([*c, *d])),
                    precision: *precision,
                    lossless: *marker == 0xC3,
                });
            }
            _ => {
                let [high, low, ..] = rest else { return None };
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                segments = rest.get(length.max(2)..)?;
            }
        }
    }
}

fn head_of_j2k(siz: &[u8]) -> Option<Head> {
    let (numbers, rest) = siz.split_at_checked(32)?;
    let number = |at: usize| {
        let bytes = numbers.get(4 * at..4 * at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    // Components (2 bytes), then the first one's depth less one, the sign aside.
    let depth = *rest.get(2)?;
    Some(Head {
        columns: number(0)?.checked_sub(number(2)?)?,
        rows: number(1)?.checked_sub(number(3)?)?,
        precision: (depth & 0x7F) + 1,
        lossless: true,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_jpeg_says_its_size_behind_other_segments() {
        let jpeg = b"\xFF\xD8\xFF\xFE\x00\x04hi\xFF\xFF\xC3\x00\x0B\x0C\x01\x02\x00\x05";
        let head = head_of(jpeg).unwrap();
        assert_eq!((head.rows, head.columns), (258, 5));
        assert_eq!((head.precision, head.lossless), (12, true));
        for end in 0..jpeg.len() {
            assert_eq!(head_of(jpeg.get(..end).unwrap()), None, "cut at {end}");
        }
    }

    #[test]
    fn a_codestream_says_its_size_less_its_offset() {
        let mut stream = b"\xFF\x4F\xFF\x51\x00\x29\x00\x00".to_vec();
        for number in [110_u32, 60, 10, 20, 0, 0, 0, 0] {
            stream.extend_from_slice(&number.to_be_bytes());
        }
        stream.extend_from_slice(&[0, 1, 0x8F]);
        let head = head_of(&stream).unwrap();
        assert_eq!((head.columns, head.rows, head.precision), (100, 40, 16));
    }
}
