//! Images for readers without a viewer: which there are of an exam, signed addresses, and frames as JPEG.
//!
//! Whoever shows an exam (the clinic page, a citation) asks `shown()` what there is and makes addresses (`address()`) of what it shows.
//! An address opens one frame, for the one who was given it, until it expires. What it opens is asked of the views again at
//! each reading, as a C-MOVE does: of an exam that was withdrawn, or a study that is another patient's, nothing comes.

mod address;
mod picture;
mod route;
mod shown;

pub use shown::{SHOWN_LIMIT, Shown, ShownImage, ShownSeries, ShownStudy, shown};

pub(crate) use address::ImageReader;
pub(crate) use picture::{PictureError, picture_of};
pub(crate) use route::{FRAME, describe, frame};
pub(crate) use shown::image;

use std::time::Duration;

use yingku_core::exam::ExamRow;
use yingku_core::ids::{SopInstanceUid, StudyUid};

use crate::call::{Api, now_ms};
use crate::error::Failure;
use address::SignedImage;

/// Longer than that no address opens, whoever asks for it.
pub const VALID_LIMIT: Duration = Duration::from_secs(7 * 86_400);

/// The address of one frame (counted from 0) of an image that [`shown`] lists, without scheme and host; `&side=512` may
/// follow (the longer side of the JPEG), and `&window=40,400` (centre and width).
pub(crate) fn address(
    api: &Api,
    reader: &ImageReader,
    (exam, study): (&ExamRow, &StudyUid),
    instance: &SopInstanceUid,
    frame: u32,
    valid_for: Duration,
) -> Result<String, Failure> {
    let valid_ms = i64::try_from(valid_for.min(VALID_LIMIT).as_millis()).unwrap_or_default();
    let image = SignedImage {
        reader: reader.clone(),
        exam: exam.key.clone(),
        study: study.clone(),
        instance: instance.clone(),
        frame,
        expires: now_ms().saturating_add(valid_ms) / 1000,
    };
    let context = api.config.context.trim_matches('/');
    let before = if context.is_empty() { "" } else { "/" };
    let token = image.seal(api.archive.key())?;
    Ok(format!("{before}{context}{FRAME}?token={token}"))
}
