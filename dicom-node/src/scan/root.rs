//! The values at the root of a small data set in memory, checked by the same walk as an instance.

use dicom_core::Tag;

use super::element::{Encoding, ITEM_END, Kind, SEQUENCE_END, UNDEFINED, parse_header};
use super::walk::Walker;
use super::{DATA_SET_LIMIT, ScanError};

/// Calls `each` with every element at the root; a sequence, whatever it holds, has no value there.
pub fn read_root<'a>(
    bytes: &'a [u8],
    encoding: Encoding,
    mut each: impl FnMut(Tag, &'a [u8]),
) -> Result<(), ScanError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut walker = Walker::new(encoding, DATA_SET_LIMIT).with_file_meta();
    walker.feed(bytes)?;
    walker.finish()?;
    // From here on the structure is known to be sound; only the root's own elements are looked at.
    let (mut rest, mut encoding_here, mut at) = (bytes, encoding, 0u64);
    let mut open = 0usize;
    while !rest.is_empty() {
        let truncated = ScanError::Truncated(at);
        let header = parse_header(rest, encoding_here)
            .map_err(|tag| ScanError::Vr { tag, at })?
            .ok_or_else(|| truncated.clone())?;
        let is_undefined = header.length == UNDEFINED;
        let value = if is_undefined {
            0
        } else {
            header.length as usize
        };
        let end = header.size.saturating_add(value);
        let bytes = rest.get(header.size..end).ok_or(truncated)?;
        if is_undefined {
            if open == 0 {
                each(header.tag, &[]);
                if header.kind == Kind::Unknown {
                    encoding_here.explicit = false;
                }
            }
            open += 1;
        } else if matches!(header.tag, ITEM_END | SEQUENCE_END) {
            open = open.saturating_sub(1);
            if open == 0 {
                encoding_here = encoding;
            }
        } else if open == 0 && header.kind == Kind::Sequence {
            each(header.tag, &[]);
        } else if open == 0 {
            each(header.tag, bytes);
        }
        rest = rest.get(end..).unwrap_or_default();
        at = at.saturating_add(end as u64);
    }
    Ok(())
}
