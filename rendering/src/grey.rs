//! Grey pixels as 8 bits: rescale, window or lookup table, MONOCHROME1 turned over (PS3.3 §C.11).

use dicom_pixeldata::{Rescale, VoiLutFunction};

use crate::Window;

/// How samples lie in their bytes (PS3.5 §8.1.1). Little endian.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a> {
    pub bytes: &'a [u8],
    /// 8, 16 or 32.
    pub allocated: u16,
    pub stored: u16,
    pub high: u16,
    pub signed: bool,
}

impl Samples<'_> {
    fn width(&self) -> usize {
        usize::from(self.allocated / 8).max(1)
    }

    /// Stored values, without what other planes have left in the bits around them.
    pub fn values(&self) -> impl Iterator<Item = i64> {
        let stored = u32::from(self.stored.clamp(1, 32));
        let shift = (u32::from(self.high) + 1).saturating_sub(stored).min(31);
        let (mask, signed) = ((1_i64 << stored) - 1, self.signed);
        self.bytes.chunks_exact(self.width()).map(move |bytes| {
            let raw = bytes
                .iter()
                .rev()
                .fold(0_i64, |value, byte| value << 8 | i64::from(*byte));
            let value = raw >> shift & mask;
            match signed && value >> (stored - 1) == 1 {
                true => value - mask - 1,
                false => value,
            }
        })
    }
}

/// VOI LUT (0028,3010).
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    pub first: i32,
    pub bits: u8,
    pub data: &'a [u16],
}

/// From stored values to what is shown.
#[derive(Debug, Clone)]
pub struct Showing<'a> {
    pub rescale: Rescale,
    pub window: Option<Window>,
    pub function: VoiLutFunction,
    pub table: Option<Table<'a>>,
    /// Values of no pixel: both ends included.
    pub padding: Option<(i64, i64)>,
    /// MONOCHROME1: the least value is white.
    pub turned: bool,
}

impl Showing<'_> {
    /// One byte a pixel. What is padding is black.
    pub fn show(&self, samples: &Samples<'_>) -> Vec<u8> {
        let is_padding = |value: i64| {
            self.padding
                .is_some_and(|(first, last)| (first..=last).contains(&value))
        };
        let curve = self.curve(samples.values().filter(|value| !is_padding(*value)));
        let shown = samples.values().map(|value| {
            if is_padding(value) {
                return 0;
            }
            let grey = curve.of(self.rescale.apply(value as f64));
            // Between 0 and 255, so nothing is lost.
            let grey = (grey.clamp(0., 1.) * 255.).round() as u8;
            if self.turned { 255 - grey } else { grey }
        });
        shown.collect()
    }

    fn curve(&self, values: impl Iterator<Item = i64>) -> Curve<'_> {
        match (self.window, self.table) {
            (Some(window), _) => Curve::Window(window, self.function),
            (None, Some(table)) => Curve::Table(table),
            (None, None) => {
                let ends = values.fold(None, |ends, value| match ends {
                    None => Some((value, value)),
                    Some((least, most)) => Some((value.min(least), value.max(most))),
                });
                let (least, most) = ends.unwrap_or_default();
                let one = self.rescale.apply(least as f64);
                let other = self.rescale.apply(most as f64);
                Curve::Range(one.min(other), one.max(other))
            }
        }
    }
}

enum Curve<'a> {
    Window(Window, VoiLutFunction),
    Table(Table<'a>),
    Range(f64, f64),
}

impl Curve<'_> {
    /// 0 (black) to 1; PS3.3 §C.11.2.1.2 and §C.11.2.1.3.
    fn of(&self, value: f64) -> f64 {
        match self {
            Self::Window(window, function) => of_window(*window, function, value),
            Self::Table(table) => {
                let last = table.data.len().saturating_sub(1) as f64;
                let at = (value - f64::from(table.first)).clamp(0., last);
                let entry = table.data.get(at as usize).copied().unwrap_or_default();
                f64::from(entry) / f64::from((1_u32 << table.bits.clamp(1, 16)) - 1)
            }
            // A frame of one value has no contrast to show.
            Self::Range(least, most) if least == most => 0.5,
            Self::Range(least, most) => (value - least) / (most - least),
        }
    }
}

fn of_window(window: Window, function: &VoiLutFunction, value: f64) -> f64 {
    let Window { center, width } = window;
    match function {
        VoiLutFunction::Sigmoid => 1. / (1. + (-4. * (value - center) / width.max(1.)).exp()),
        VoiLutFunction::LinearExact => (value - center) / width.max(f64::MIN_POSITIVE) + 0.5,
        VoiLutFunction::Linear => {
            let (center, width) = (center - 0.5, width.max(1.) - 1.);
            if width == 0. {
                return f64::from(u8::from(value > center));
            }
            (value - center) / width + 0.5
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(bytes: &[u8]) -> Samples<'_> {
        Samples {
            bytes,
            allocated: 16,
            stored: 12,
            high: 11,
            signed: false,
        }
    }

    fn showing() -> Showing<'static> {
        Showing {
            rescale: Rescale::new(1., 0.),
            window: None,
            function: VoiLutFunction::Linear,
            table: None,
            padding: None,
            turned: false,
        }
    }

    fn shown(showing: &Showing<'_>, values: &[u16]) -> Vec<u8> {
        let bytes: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        showing.show(&samples(&bytes))
    }

    #[test]
    fn bits_above_the_stored_ones_are_no_part_of_a_value() {
        let signed = Samples {
            signed: true,
            ..samples(&[0xFF, 0xFF, 0x00, 0xF8, 0x07, 0x10])
        };
        assert_eq!(signed.values().collect::<Vec<_>>(), [-1, -2048, 7]);
        let bytes = [0xFF; 4];
        let wide = Samples {
            allocated: 32,
            stored: 32,
            high: 31,
            ..samples(&bytes)
        };
        assert_eq!(wide.values().collect::<Vec<_>>(), [0xFFFF_FFFF]);
    }

    #[test]
    fn without_a_window_the_values_there_are_fill_the_range() {
        assert_eq!(shown(&showing(), &[100, 150, 200]), [0, 128, 255]);
        assert_eq!(shown(&showing(), &[7, 7]), [128, 128]);
        let turned = Showing {
            turned: true,
            ..showing()
        };
        assert_eq!(shown(&turned, &[100, 200]), [255, 0]);
        let padded = Showing {
            padding: Some((0, 5)),
            ..turned
        };
        assert_eq!(shown(&padded, &[3, 100, 200]), [0, 255, 0]);
    }

    #[test]
    fn a_window_is_in_the_unit_of_the_rescaled_values() {
        let window = Some(Window {
            center: 40.,
            width: 400.,
        });
        let showing = Showing {
            rescale: Rescale::new(1., -1024.),
            window,
            ..showing()
        };
        // -1024, -160, 40 and 3071 HU
        assert_eq!(shown(&showing, &[0, 864, 1064, 4095]), [0, 0, 128, 255]);
        let thin = Showing {
            window: Some(Window {
                center: 10.,
                width: 1.,
            }),
            ..self::showing()
        };
        assert_eq!(shown(&thin, &[9, 10]), [0, 255]);
    }

    #[test]
    fn a_lookup_table_goes_on_beyond_its_ends() {
        let table = Some(Table {
            first: 10,
            bits: 8,
            data: &[0, 51, 255],
        });
        let showing = Showing { table, ..showing() };
        assert_eq!(
            shown(&showing, &[0, 10, 11, 12, 4000]),
            [0, 0, 51, 255, 255]
        );
    }
}
