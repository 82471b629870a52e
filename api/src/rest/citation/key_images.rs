//! Key images of a report: those that the push names by their SOP Instance UIDs (`reportImage`), as addresses and as JPEG.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use yingku_core::contract::push::Report;
use yingku_core::ids::SopInstanceUid;
use yingku_core::instance::ChunkEntry;
use yingku_rendering::Asked as Frame;

use super::super::exam_row::fields;
use super::{Asked, Found};
use crate::call::{Call, local_time, now_ms};
use crate::error::Failure;
use crate::images::{self, PictureError};

/// Key images of one exam that are told: a report has a few.
const NAMED_LIMIT: usize = 64;
/// Key images that are told as JPEG as well: some 300 KB each.
const PICTURES_LIMIT: usize = 8;
/// Longer side of those, in pixels.
const PICTURE_SIDE: u32 = 1_024;

/// What a report names of images.
#[derive(Default)]
pub struct KeyImages {
    images: Vec<KeyImage>,
    /// Named, and more than are told, or files of the hospital without an image of this archive.
    not_here: usize,
    expires: String,
}

struct KeyImage {
    fields: Map<String, Value>,
    entry: ChunkEntry,
}

impl KeyImages {
    /// Looks them up among the images that may be shown now. Blocks on views.
    pub fn of(
        call: &Call,
        asked: &Asked,
        found: &Found,
        reports: &[Report],
    ) -> Result<Self, Failure> {
        let archive = call.archive();
        let (views, registry) = (archive.views(), archive.registry());
        let valid_for = Duration::from_secs(60 * asked.valid_minutes);
        let reader = asked.reading.image_reader();
        let valid_ms = i64::try_from(valid_for.as_millis()).unwrap_or_default();
        let mut key_images = Self {
            expires: local_time(now_ms().saturating_add(valid_ms), &call.zone()),
            ..Self::default()
        };
        for named in reports.iter().flat_map(|report| &report.report_image) {
            let uid = named.sop_instance_uid.as_deref();
            let uid = uid.and_then(|uid| SopInstanceUid::new(uid).ok());
            let image = match uid {
                Some(uid) if key_images.images.len() < NAMED_LIMIT => {
                    images::image(&views, &registry, &found.now, None, &uid)?
                }
                _ => None,
            };
            let Some((study, series, entry)) = image else {
                key_images.not_here += 1;
                continue;
            };
            let instance = entry.image().sop_instance.clone();
            let of = (&found.now, &study);
            let address = images::address(&call.api, &reader, of, &instance, 0, valid_for)?;
            let fields = fields(json!({
                "studyUID": study,
                "seriesUID": series,
                "sopInstanceUID": instance,
                "frames": entry.image().frames.max(1),
                "position": named.rpt_img_pos,
                "description": named.rpt_img_desc,
                "url": format!("{}{address}", call.origin),
            }));
            key_images.images.push(KeyImage { fields, entry });
        }
        Ok(key_images)
    }

    /// In the answer's form, with pictures of the first few where those are asked for.
    pub async fn told(self, call: &Call, with_pictures: bool) -> Result<Value, Failure> {
        let source = match self.images.is_empty() && self.not_here == 0 {
            true => "none",
            false => "report",
        };
        let mut told = Vec::with_capacity(self.images.len());
        for (index, mut image) in self.images.into_iter().enumerate() {
            if with_pictures {
                let (name, value) = match index < PICTURES_LIMIT {
                    true => picture(call, &image.entry).await?,
                    false => ("note", MORE.to_owned()),
                };
                image.fields.insert(name.to_owned(), value.into());
            }
            told.push(Value::Object(image.fields));
        }
        Ok(json!({
            "source": source,
            "images": told,
            "notHere": self.not_here,
            "expires": self.expires,
        }))
    }
}

const MORE: &str = "超过每个检查的图片数上限，请按 url 取 (more pictures than are told at once: take it by its url)";

/// The picture, or why there is none.
async fn picture(call: &Call, entry: &ChunkEntry) -> Result<(&'static str, String), Failure> {
    let asked = Frame {
        frame: 0,
        window: None,
        side: PICTURE_SIDE,
    };
    match images::picture_of(&call.api, entry, &asked).await {
        Ok(rendered) => Ok(("jpeg", STANDARD.encode(rendered.jpeg))),
        Err(error) if error.is_of_image() || matches!(error, PictureError::Off) => {
            Ok(("note", error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}
