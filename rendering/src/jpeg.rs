//! A picture of 8 bits a sample, scaled down and written as JPEG.

use image::imageops::{FilterType, resize};
use image::{GrayImage, RgbImage};
use jpeg_encoder::{ColorType, Encoder};

use crate::{Fault, Rendered};

/// Of 100: no difference that a clinician sees, at a tenth of the pixels' bytes.
const QUALITY: u8 = 90;

/// A frame as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picture {
    Grey(GrayImage),
    Colour(RgbImage),
}

impl Picture {
    fn size(&self) -> (u32, u32) {
        match self {
            Self::Grey(picture) => picture.dimensions(),
            Self::Colour(picture) => picture.dimensions(),
        }
    }

    /// Scaled down so that the longer side is `side` at most.
    fn within(self, side: u32) -> Self {
        let (columns, rows) = self.size();
        let longer = columns.max(rows);
        if longer <= side {
            return self;
        }
        let scaled = |length: u32| {
            let exact = u64::from(length) * u64::from(side) / u64::from(longer);
            u32::try_from(exact).unwrap_or(side).max(1)
        };
        let (columns, rows) = (scaled(columns), scaled(rows));
        match self {
            Self::Grey(picture) => {
                Self::Grey(resize(&picture, columns, rows, FilterType::Triangle))
            }
            Self::Colour(picture) => {
                Self::Colour(resize(&picture, columns, rows, FilterType::Triangle))
            }
        }
    }
}

/// Writes a picture whose longer side is `side` at most.
pub fn encode(picture: Picture, side: u32) -> Result<Rendered, Fault> {
    let picture = picture.within(side);
    let (columns, rows) = picture.size();
    let sizes = u16::try_from(columns).ok().zip(u16::try_from(rows).ok());
    let (width, height) = sizes.ok_or(Fault::TooLarge)?;
    let mut jpeg = Vec::new();
    let encoder = Encoder::new(&mut jpeg, QUALITY);
    let written = match &picture {
        Picture::Grey(picture) => encoder.encode(picture.as_raw(), width, height, ColorType::Luma),
        Picture::Colour(picture) => encoder.encode(picture.as_raw(), width, height, ColorType::Rgb),
    };
    written.map_err(|_| Fault::Damaged)?;
    Ok(Rendered {
        jpeg,
        columns,
        rows,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_longer_side_is_what_was_asked_for_and_small_pictures_stay() {
        let wide = Picture::Grey(GrayImage::new(1000, 10));
        let written = encode(wide.clone(), 100).unwrap();
        assert_eq!((written.columns, written.rows), (100, 1));
        assert!(written.jpeg.starts_with(&[0xFF, 0xD8]));
        let same = encode(wide, 2000).unwrap();
        assert_eq!((same.columns, same.rows), (1000, 10));
        let colour = encode(Picture::Colour(RgbImage::new(3, 700)), 64).unwrap();
        assert_eq!((colour.columns, colour.rows), (1, 64));
    }
}
