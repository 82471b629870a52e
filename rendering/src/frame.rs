//! From an instance's bytes to one frame's picture. Runs in a worker only: what it calls may panic, or take what memory
//! there is.

use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, FileDicomObject, InMemDicomObject, Tag};
use dicom_pixeldata::{
    DecodedPixelData, PhotometricInterpretation, PixelDecoder, PixelRepresentation,
    PlanarConfiguration, Rescale, VoiLutFunction,
};
use image::{GrayImage, RgbImage};

use crate::grey::{Samples, Showing, Table};
use crate::jpeg::{self, Picture};
use crate::{
    Asked, FRAMES_LIMIT, Fault, PIXELS_LIMIT, Rendered, Window, codestream, colour, syntax,
};

/// One frame of an instance as JPEG. `part10`: with its file meta information, with or without a preamble.
pub fn render(part10: &[u8], asked: &Asked) -> Result<Rendered, Fault> {
    let object =
        FileDicomObject::<InMemDicomObject>::from_reader(part10).map_err(|_| Fault::Damaged)?;
    let shape = Shape::of(&object)?;
    if asked.frame >= shape.frames {
        return Err(Fault::NoFrame {
            asked: asked.frame.saturating_add(1),
            frames: shape.frames,
        });
    }
    let picture = picture(&object, &shape, asked)?;
    jpeg::encode(picture, asked.side)
}

/// What the data set says of its pixels, within limits.
struct Shape {
    rows: u32,
    columns: u32,
    frames: u32,
    samples: usize,
    allocated: u16,
    photometric: PhotometricInterpretation,
}

impl Shape {
    fn of(object: &DefaultDicomObject) -> Result<Self, Fault> {
        let sop_class = trimmed(object.meta().media_storage_sop_class_uid());
        let syntax = trimmed(object.meta().transfer_syntax());
        if object
            .element_opt(tags::PIXEL_DATA)
            .ok()
            .flatten()
            .is_none()
        {
            let has_floats = [tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA]
                .iter()
                .any(|tag| object.element_opt(*tag).ok().flatten().is_some());
            return Err(match has_floats {
                true => Fault::Kind("浮点".to_owned()),
                false => Fault::NoImage(syntax::document_name(sop_class).to_owned()),
            });
        }
        if !is_plain(syntax) && !syntax::is_decoded(syntax) {
            return Err(Fault::Syntax {
                uid: syntax.to_owned(),
                name: syntax::name_of(syntax).to_owned(),
            });
        }
        let number = |tag: Tag| {
            let element = object.element_opt(tag).ok().flatten()?;
            element.to_int::<u32>().ok()
        };
        let (rows, columns) = number(tags::ROWS)
            .zip(number(tags::COLUMNS))
            .ok_or(Fault::Damaged)?;
        let frames = number(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
        if u64::from(rows) * u64::from(columns) > PIXELS_LIMIT || frames > FRAMES_LIMIT {
            return Err(Fault::TooLarge);
        }
        if rows == 0 || columns == 0 {
            return Err(Fault::Damaged);
        }
        let photometric = object
            .element_opt(tags::PHOTOMETRIC_INTERPRETATION)
            .ok()
            .flatten()
            .and_then(|element| element.to_str().ok())
            .map(|text| PhotometricInterpretation::from(text.trim()))
            .unwrap_or(PhotometricInterpretation::Monochrome2);
        let samples = number(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        let allocated = number(tags::BITS_ALLOCATED).ok_or(Fault::Damaged)?;
        let is_wide = allocated == 32 && syntax == uids::RLE_LOSSLESS;
        if !matches!(samples, 1 | 3) || !matches!(allocated, 1 | 8 | 16 | 32) || is_wide {
            return Err(Fault::Kind(format!("{samples} × {allocated} bit")));
        }
        Ok(Self {
            rows,
            columns,
            frames,
            samples: usize::try_from(samples).unwrap_or(1),
            allocated: u16::try_from(allocated).unwrap_or(u16::MAX),
            photometric,
        })
    }

    fn pixels(&self) -> usize {
        usize::try_from(u64::from(self.rows) * u64::from(self.columns)).unwrap_or(usize::MAX)
    }

    /// Bytes of a decoded frame: one bit a sample becomes one byte.
    fn bytes(&self) -> usize {
        let width = usize::from(self.allocated.div_ceil(8));
        self.pixels()
            .saturating_mul(self.samples)
            .saturating_mul(width)
    }
}

fn picture(object: &DefaultDicomObject, shape: &Shape, asked: &Asked) -> Result<Picture, Fault> {
    let is_plain = is_plain(trimmed(object.meta().transfer_syntax()));
    if is_plain && shape.photometric == PhotometricInterpretation::YbrFull422 {
        return subsampled(object, shape, asked.frame);
    }
    check_head(object, shape, asked.frame)?;
    let decoded = object
        .decode_pixel_data_frame(asked.frame)
        .map_err(|_| Fault::Damaged)?;
    // What is cut short, or is of another size than the data set says, would be shown askew.
    if decoded.data().len() != shape.bytes() {
        return Err(Fault::Damaged);
    }
    match shape.samples {
        1 if shape.photometric == PhotometricInterpretation::PaletteColor => {
            palette(object, shape, &decoded)
        }
        1 => grey(object, shape, &decoded, asked.window),
        _ => colours(object, shape, &decoded),
    }
}

/// Holds a compressed frame against its data set, where it is one fragment, as nearly always.
fn check_head(object: &DefaultDicomObject, shape: &Shape, frame: u32) -> Result<(), Fault> {
    let element = object.element_opt(tags::PIXEL_DATA).ok().flatten();
    let Some(fragments) = element.and_then(|element| element.fragments()) else {
        return Ok(());
    };
    let is_one_each = u32::try_from(fragments.len()) == Ok(shape.frames);
    let at = usize::try_from(frame).unwrap_or(usize::MAX);
    let fragment = fragments.get(at).filter(|_| is_one_each);
    let Some(head) = fragment.and_then(|it| codestream::head_of(it)) else {
        return Ok(());
    };
    if (head.rows, head.columns) != (shape.rows, shape.columns) {
        return Err(Fault::Damaged);
    }
    if head.precision > 8 && !head.lossless {
        return Err(Fault::Kind(format!("JPEG {} bit", head.precision)));
    }
    Ok(())
}

/// UIDs of an odd length end in a NUL.
fn trimmed(uid: &str) -> &str {
    uid.trim_end_matches(['\0', ' '])
}

/// Pixels stand uncompressed in the data set.
fn is_plain(syntax: &str) -> bool {
    [
        uids::IMPLICIT_VR_LITTLE_ENDIAN,
        uids::EXPLICIT_VR_LITTLE_ENDIAN,
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        "1.2.840.10008.1.2.2",
    ]
    .contains(&syntax)
}

fn grey_image(shape: &Shape, pixels: Vec<u8>) -> Result<Picture, Fault> {
    let image = GrayImage::from_raw(shape.columns, shape.rows, pixels);
    Ok(Picture::Grey(image.ok_or(Fault::Damaged)?))
}

fn colour_image(shape: &Shape, pixels: Vec<u8>) -> Result<Picture, Fault> {
    let image = RgbImage::from_raw(shape.columns, shape.rows, pixels);
    Ok(Picture::Colour(image.ok_or(Fault::Damaged)?))
}

fn samples_of<'d>(shape: &Shape, decoded: &'d DecodedPixelData<'_>) -> Samples<'d> {
    if shape.allocated == 1 {
        return Samples {
            bytes: decoded.data(),
            allocated: 8,
            stored: 8,
            high: 7,
            signed: false,
        };
    }
    Samples {
        bytes: decoded.data(),
        allocated: shape.allocated,
        stored: decoded.bits_stored(),
        high: decoded.high_bit(),
        signed: decoded.pixel_representation() == PixelRepresentation::Signed,
    }
}

fn grey(
    object: &DefaultDicomObject,
    shape: &Shape,
    decoded: &DecodedPixelData<'_>,
    window: Option<Window>,
) -> Result<Picture, Fault> {
    let turned = match shape.photometric {
        PhotometricInterpretation::Monochrome1 => true,
        PhotometricInterpretation::Monochrome2 => false,
        ref other => return Err(Fault::Kind(other.to_string())),
    };
    // A frame has one of each at most; one that cannot be read is none.
    let first = decoded.window().ok().flatten().and_then(<[_]>::first);
    let own = first.map(|window| Window {
        center: window.center,
        width: window.width,
    });
    let tables = decoded.voi_lut_sequence().ok().flatten();
    let table = tables.and_then(<[_]>::first).map(|table| Table {
        first: table.min_pixel_value,
        bits: table.bits_stored,
        data: &table.data,
    });
    let function = decoded.voi_lut_function().ok().flatten();
    let rescale = decoded.rescale().ok().and_then(<[_]>::first);
    let samples = samples_of(shape, decoded);
    let showing = Showing {
        rescale: rescale.copied().unwrap_or(Rescale::new(1., 0.)),
        window: window.or(own).filter(is_usable),
        function: function
            .and_then(<[_]>::first)
            .copied()
            .filter(|_| window.is_none())
            .unwrap_or(VoiLutFunction::Linear),
        table: table.filter(|table| !table.data.is_empty()),
        padding: padding(object, samples.signed),
        turned,
    };
    grey_image(shape, showing.show(&samples))
}

fn is_usable(window: &Window) -> bool {
    window.center.is_finite() && window.width.is_finite() && window.width > 0.
}

/// Pixel Padding Value (0028,0120) and Range Limit (0028,0121).
fn padding(object: &DefaultDicomObject, signed: bool) -> Option<(i64, i64)> {
    let value = |tag: Tag| {
        let element = object.element_opt(tag).ok().flatten()?;
        let value = element.to_int::<i64>().ok()?;
        // Implicit VR leaves open whether it has a sign.
        let is_negative = signed && value > i64::from(i16::MAX);
        Some(if is_negative { value - 65_536 } else { value })
    };
    let first = value(tags::PIXEL_PADDING_VALUE)?;
    let other = value(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(first);
    Some((first.min(other), first.max(other)))
}

fn palette(
    object: &DefaultDicomObject,
    shape: &Shape,
    decoded: &DecodedPixelData<'_>,
) -> Result<Picture, Fault> {
    let table = |descriptor: Tag, data: Tag| {
        let numbers = object.element_opt(descriptor).ok().flatten()?;
        let numbers = numbers.to_multi_int::<i64>().ok()?;
        let data = object.element_opt(data).ok().flatten()?.to_bytes().ok()?;
        colour::Palette::new(numbers.try_into().ok()?, &data)
    };
    let tables = [
        table(
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        ),
        table(
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        ),
        table(
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        ),
    ];
    // A palette in segments (0028,1221) has no data of this form.
    let [Some(red), Some(green), Some(blue)] = tables else {
        return Err(Fault::Kind("PALETTE COLOR".to_owned()));
    };
    let samples = samples_of(shape, decoded);
    let pixels = samples
        .values()
        .flat_map(|value| [red.of(value), green.of(value), blue.of(value)]);
    colour_image(shape, pixels.collect())
}

fn colours(
    object: &DefaultDicomObject,
    shape: &Shape,
    decoded: &DecodedPixelData<'_>,
) -> Result<Picture, Fault> {
    let width = match shape.allocated {
        8 => 1,
        16 => 2,
        other => return Err(Fault::Kind(format!("3 × {other} bit"))),
    };
    let syntax = trimmed(object.meta().transfer_syntax());
    let mut pixels = match decoded.planar_configuration() {
        PlanarConfiguration::PixelFirst => colour::interleaved(decoded.data(), width),
        PlanarConfiguration::Standard => decoded.data().to_vec(),
    };
    if width == 2 {
        pixels = colour::to_bytes(&pixels, decoded.bits_stored());
    }
    // Codecs of JPEG and JPEG 2000 hand out RGB by themselves; here stands what the data set has.
    let is_as_stored = is_plain(syntax) || syntax == uids::RLE_LOSSLESS;
    match shape.photometric {
        PhotometricInterpretation::YbrFull if is_as_stored => colour::rgb_of_ybr(&mut pixels),
        PhotometricInterpretation::Rgb
        | PhotometricInterpretation::YbrFull
        | PhotometricInterpretation::YbrFull422
        | PhotometricInterpretation::YbrIct
        | PhotometricInterpretation::YbrRct => {}
        PhotometricInterpretation::YbrPartial420 if !is_as_stored => {}
        ref other => return Err(Fault::Kind(other.to_string())),
    }
    colour_image(shape, pixels)
}

/// A frame of YBR_FULL_422 that is not compressed: two bytes a pixel.
fn subsampled(object: &DefaultDicomObject, shape: &Shape, frame: u32) -> Result<Picture, Fault> {
    if shape.allocated != 8 || !shape.columns.is_multiple_of(2) {
        return Err(Fault::Kind("YBR_FULL_422".to_owned()));
    }
    let element = object
        .element_opt(tags::PIXEL_DATA)
        .ok()
        .flatten()
        .ok_or(Fault::Damaged)?;
    let data = element.to_bytes().map_err(|_| Fault::Damaged)?;
    let length = shape.pixels().saturating_mul(2);
    let start = length.saturating_mul(usize::try_from(frame).unwrap_or(usize::MAX));
    let data = data
        .get(start..start.saturating_add(length))
        .ok_or(Fault::Damaged)?;
    colour_image(shape, colour::rgb_of_ybr_422(data))
}
