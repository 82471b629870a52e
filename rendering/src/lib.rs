//! One frame of a DICOM instance as JPEG.
//!
//! What came by C-STORE is a stranger's file, and codecs are where such files do harm. So nothing here decodes in the node's
//! own process: a [`Renderer`] hands an instance to a process of its own ([`worker`]: this binary, started with a hidden
//! command), whose memory and time are limited, and which is killed and replaced when it hangs or dies. The node loses one
//! picture, never itself.
//!
//! This crate knows neither the archive nor HTTP: bytes go in, a JPEG or a [`Fault`] comes out.

mod codestream;
mod colour;
mod frame;
mod grey;
mod jpeg;
mod renderer;
mod syntax;
mod wire;
pub mod worker;

pub use renderer::{Pieces, RenderError, Renderer, RendererOptions};

use serde::{Deserialize, Serialize};

/// Bytes of an instance (Part 10 stream) at most: a worker holds it some times over.
pub const INSTANCE_LIMIT_BYTES: u64 = 256 << 20;
/// Pixels of one frame at most: a mammogram has 30 million.
pub const PIXELS_LIMIT: u64 = 64 << 20;
/// Frames of one instance at most.
pub const FRAMES_LIMIT: u32 = 100_000;
/// The longer side of a JPEG that may be asked for.
pub const SIDE_LIMIT: u32 = 4_096;
/// Less is no picture.
pub const SIDE_LEAST: u32 = 16;

/// Which frame, and how it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// From 0.
    pub frame: u32,
    /// In the unit of the rescaled values (HU in CT). Absent: the data set's first, else its first lookup table, else all
    /// values of the frame. Colour has none.
    pub window: Option<Window>,
    /// Pixels of the JPEG's longer side at most; a smaller frame stays as it is.
    pub side: u32,
}

/// Window Center and Window Width (PS3.3 §C.11.2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub center: f64,
    pub width: f64,
}

/// Why an instance has no such picture. Says nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Fault {
    #[error("此实例是{0}，不是图像，不能显示为图片 (not an image: a document, report or the like)")]
    NoImage(String),
    #[error(
        "传输语法 {name}（{uid}）暂不能转换为图片，请用影像工作站调阅 (this transfer syntax cannot be shown here)"
    )]
    Syntax { uid: String, name: String },
    #[error(
        "像素格式 {0} 暂不能转换为图片，请用影像工作站调阅 (this kind of pixels cannot be shown here)"
    )]
    Kind(String),
    #[error("没有第 {asked} 帧，此实例共 {frames} 帧 (no such frame)")]
    NoFrame {
        /// From 1, as people count.
        asked: u32,
        frames: u32,
    },
    #[error("图像过大，超过转换上限，请用影像工作站调阅 (too large to be shown here)")]
    TooLarge,
    #[error(
        "像素数据损坏或不完整，无法显示，请联系上传医院核对 (its pixel data are damaged or cut short)"
    )]
    Damaged,
}

/// A frame as JPEG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub jpeg: Vec<u8>,
    /// Of the JPEG.
    pub columns: u32,
    pub rows: u32,
}
