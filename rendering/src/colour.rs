//! Colour pixels as RGB of 8 bits: planes, palettes, YBR (PS3.3 §C.7.6.3.1).

/// Samples of a frame side by side, three a pixel: what came plane by plane is interleaved.
pub fn interleaved(bytes: &[u8], width: usize) -> Vec<u8> {
    let plane = bytes.len() / 3;
    let (red, rest) = bytes.split_at(plane);
    let (green, blue) = rest.split_at(plane.min(rest.len()));
    let mut out = Vec::with_capacity(bytes.len());
    let planes = red
        .chunks_exact(width)
        .zip(green.chunks_exact(width))
        .zip(blue.chunks_exact(width));
    for ((red, green), blue) in planes {
        out.extend_from_slice(red);
        out.extend_from_slice(green);
        out.extend_from_slice(blue);
    }
    out
}

/// The upper 8 of the bits that are stored, of samples of 16 bits.
pub fn to_bytes(bytes: &[u8], stored: u16) -> Vec<u8> {
    let shift = u32::from(stored.clamp(8, 16)) - 8;
    bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| u8::try_from((u16::from_le_bytes(*pair) >> shift) & 0xFF).unwrap_or(u8::MAX))
        .collect()
}

/// YBR_FULL to RGB, in place.
pub fn rgb_of_ybr(bytes: &mut [u8]) {
    for pixel in bytes.as_chunks_mut::<3>().0 {
        *pixel = rgb(*pixel);
    }
}

/// YBR_FULL_422 of an uncompressed frame: Y Y Cb Cr for two pixels of a row.
pub fn rgb_of_ybr_422(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / 4 * 6);
    for [first, second, blue, red] in bytes.as_chunks::<4>().0 {
        out.extend_from_slice(&rgb([*first, *blue, *red]));
        out.extend_from_slice(&rgb([*second, *blue, *red]));
    }
    out
}

fn rgb([luma, blue, red]: [u8; 3]) -> [u8; 3] {
    let (luma, blue, red) = (
        f32::from(luma),
        f32::from(blue) - 128.,
        f32::from(red) - 128.,
    );
    let byte = |value: f32| value.round().clamp(0., 255.) as u8;
    [
        byte(luma + 1.402 * red),
        byte(luma - 0.344_136 * blue - 0.714_136 * red),
        byte(luma + 1.772 * blue),
    ]
}

/// One lookup table of PALETTE COLOR, as bytes.
pub struct Palette {
    first: i64,
    entries: Vec<u8>,
}

impl Palette {
    /// `descriptor`: entries (0: 65,536), the first value mapped, bits of an entry.
    pub fn new(descriptor: [i64; 3], data: &[u8]) -> Option<Self> {
        let [count, first, bits] = descriptor;
        let count = match count {
            0 => 65_536,
            count => usize::try_from(count).ok()?,
        };
        // Some write entries of 8 bits into 16.
        let is_wide = data.len() >= 2 * count;
        let entries: Vec<u8> = match is_wide {
            true => {
                let wide = data.as_chunks::<2>().0.iter().take(count);
                let wide = wide.map(|pair| u16::from_le_bytes(*pair));
                let shift = if bits > 8 { 8 } else { 0 };
                wide.map(|entry| u8::try_from(entry >> shift & 0xFF).unwrap_or(u8::MAX))
                    .collect()
            }
            false => data.iter().take(count).copied().collect(),
        };
        (entries.len() == count).then_some(Self { first, entries })
    }

    /// Values before the first and after the last have the first's and the last's colour.
    pub fn of(&self, value: i64) -> u8 {
        let last = self.entries.len().saturating_sub(1);
        let at = usize::try_from(value.saturating_sub(self.first)).unwrap_or(0);
        self.entries.get(at.min(last)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn planes_are_interleaved() {
        assert_eq!(interleaved(&[1, 2, 3, 4, 5, 6], 1), [1, 3, 5, 2, 4, 6]);
        let wide = [1, 0, 2, 0, 3, 0];
        assert_eq!(interleaved(&wide, 2), wide);
        assert_eq!(to_bytes(&[0xFF, 0x0F, 0x10, 0x00], 12), [0xFF, 0x01]);
    }

    #[test]
    fn ybr_becomes_rgb() {
        let mut pixels = [255, 128, 128, 76, 85, 255, 0, 128, 128];
        rgb_of_ybr(&mut pixels);
        assert_eq!(pixels, [255, 255, 255, 254, 0, 0, 0, 0, 0]);
        assert_eq!(
            rgb_of_ybr_422(&[255, 0, 128, 128]),
            [255, 255, 255, 0, 0, 0]
        );
    }

    #[test]
    fn a_palette_has_entries_of_either_width() {
        let narrow = Palette::new([3, 1, 8], &[9, 8, 7]).unwrap();
        assert_eq!([0, 1, 3, 99].map(|value| narrow.of(value)), [9, 9, 7, 7]);
        let wide = Palette::new([2, 0, 16], &[0, 0x12, 0xFF, 0xFE]).unwrap();
        assert_eq!([0, 1].map(|value| wide.of(value)), [0x12, 0xFE]);
        assert!(Palette::new([4, 0, 8], &[1, 2, 3]).is_none());
    }
}
