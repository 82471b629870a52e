//! An exam's images to page through: one frame at a time as a JPEG that the archive makes, its series, and scanned apply
//! forms (series 0, contract §2.4) beside.

use askama::Template;
use yingku_core::exam::ExamRow;
use yingku_core::ids::StudyUid;

use super::list::Person;
use super::trouble::Trouble;
use super::{House, page, ticket, words};
use crate::error::Failure;
use crate::images::{self, ImageReader, Shown, ShownImage, ShownSeries};

/// Series of one exam that are listed, and scanned forms beside: an exam has some dozen, and a few.
const SERIES_LIMIT: usize = 100;
const BESIDE_LIMIT: usize = 4;
/// Longer sides in pixels: what a clinic's screen of ten years ago shows whole, and what can be told apart beside it.
const SIDE: u32 = 768;
const SIDE_BESIDE: u32 = 320;
/// Frames that one link skips in a long series.
const STRIDE: usize = 10;
const FIELD_LIMIT: usize = 128;

/// What a CT is looked at with; the first is what the image says of itself.
const WINDOWS: [(&str, &str, &str); 5] = [
    ("", "原窗", ""),
    ("lung", "肺窗", "-600,1500"),
    ("soft", "纵隔/腹部", "40,400"),
    ("bone", "骨窗", "400,1800"),
    ("brain", "脑窗", "40,80"),
];

/// Where somebody is in paging.
#[derive(Default)]
pub struct Place {
    /// Position of the series in the page's list, from 1; 0: the first one with images.
    pub series: usize,
    /// Frame of it, from 1.
    pub at: usize,
    /// One of the windows' names, or what is no such name: the image's own.
    pub window: String,
}

#[derive(Template)]
#[template(path = "clinic/images.html")]
struct ImagesPage<'h> {
    style: &'static str,
    hospital: &'h str,
    person: Person,
    number: String,
    time: String,
    class: String,
    /// The exam's report.
    back: String,
    series: Vec<SeriesLine>,
    picture: Option<Picture>,
    beside: Vec<Beside>,
    /// Whether there is more than is listed.
    more: bool,
}

struct SeriesLine {
    number: String,
    modality: String,
    description: String,
    frames: usize,
    is_form: bool,
    is_current: bool,
    /// Empty: there is nothing to see of it.
    address: String,
}

/// The frame that is looked at.
struct Picture {
    source: String,
    caption: String,
    at: usize,
    total: usize,
    steps: Vec<Step>,
    windows: Vec<Step>,
}

/// A link, or what would be one if it led elsewhere than here.
struct Step {
    name: String,
    address: Option<String>,
}

/// A scanned apply form.
struct Beside {
    source: String,
    address: String,
}

/// One series with its study and the frames that can be shown.
struct Stack<'s> {
    study: &'s StudyUid,
    series: &'s ShownSeries,
    frames: Vec<(&'s ShownImage, u32)>,
}

/// Series in the order of the list, scanned forms last.
fn stacks(shown: &Shown) -> Vec<Stack<'_>> {
    let series = shown
        .studies
        .iter()
        .flat_map(|study| study.series.iter().map(|series| (&study.uid, series)));
    // A header may tell of any number of frames.
    let mut left = images::SHOWN_LIMIT;
    let mut stacks: Vec<Stack<'_>> = series
        .take(SERIES_LIMIT)
        .map(|(study, series)| {
            let images = series.images.iter().filter(|image| image.has_pixels);
            let frames = images.flat_map(|image| (0..image.frames).map(move |at| (image, at)));
            let frames: Vec<_> = frames.take(left).collect();
            left -= frames.len();
            Stack {
                study,
                series,
                frames,
            }
        })
        .collect();
    stacks.sort_by_key(|stack| stack.series.is_apply_form);
    stacks
}

pub fn render(house: &House, row: &ExamRow, place: &Place) -> Result<String, Trouble> {
    if row.withdrawn.is_some() {
        return Err(Trouble::NoImages);
    }
    let shown = images::shown(&house.views, &house.registry, row).map_err(Failure::from)?;
    let stacks = stacks(&shown);
    let frames: usize = stacks.iter().map(|stack| stack.frames.len()).sum();
    let first = stacks.iter().position(|stack| !stack.frames.is_empty());
    let current = match place.series.checked_sub(1) {
        Some(index) => Some(index).filter(|index| *index < stacks.len()),
        None => first,
    };
    let pager = Pager {
        house,
        row,
        reader: house.opening.reading.image_reader(),
    };
    let picture = match current.and_then(|index| Some((index, stacks.get(index)?))) {
        Some((index, stack)) => pager.picture(index, stack, place)?,
        None => None,
    };
    let lines = stacks.iter().enumerate().map(|(index, stack)| SeriesLine {
        number: words::within(stack.series.number.trim(), FIELD_LIMIT),
        modality: words::within(&stack.series.modality, FIELD_LIMIT),
        description: words::within(&stack.series.description, FIELD_LIMIT),
        frames: stack.frames.len(),
        is_form: stack.series.is_apply_form,
        is_current: Some(index) == current,
        address: match stack.frames.is_empty() {
            true => String::new(),
            false => pager.address(index, 1, ""),
        },
    });
    let page = ImagesPage {
        style: page::STYLE,
        hospital: house.hospital_name(),
        person: Person::of(row),
        number: row.key.exam_no.to_string(),
        time: row.exam_time.clone(),
        class: words::class(row, &house.registry),
        back: format!("?{}", house.exam_address(row)),
        series: lines.collect(),
        picture,
        beside: pager.beside(&stacks, current)?,
        more: shown.more || frames == images::SHOWN_LIMIT,
    };
    Ok(page::html(&page)?)
}

struct Pager<'h> {
    house: &'h House,
    row: &'h ExamRow,
    reader: ImageReader,
}

impl Pager<'_> {
    /// Where a frame of a series is looked at; positions from 1.
    fn address(&self, series: usize, at: usize, window: &str) -> String {
        let base = self.house.exam_address(self.row);
        let mut address = format!("?{base}&series={}&image={at}", series + 1);
        if !window.is_empty() {
            address.push_str("&window=");
            address.push_str(window);
        }
        address
    }

    fn source(
        &self,
        stack: &Stack<'_>,
        (image, frame): (&ShownImage, u32),
        side: u32,
    ) -> Result<String, Failure> {
        let of = (self.row, stack.study);
        let (api, instance) = (&self.house.api, &image.instance);
        let address = images::address(api, &self.reader, of, instance, frame, ticket::LIFE)?;
        Ok(format!("{address}&side={side}"))
    }

    fn picture(
        &self,
        index: usize,
        stack: &Stack<'_>,
        place: &Place,
    ) -> Result<Option<Picture>, Failure> {
        let total = stack.frames.len();
        let at = place.at.clamp(1, total.max(1));
        let Some(frame) = stack.frames.get(at - 1) else {
            return Ok(None);
        };
        let has_windows = stack.series.modality == "CT";
        let chosen = WINDOWS.iter().filter(|_| has_windows);
        let chosen = chosen.clone().find(|(name, ..)| *name == place.window);
        let (window, _, values) = chosen.copied().unwrap_or_default();
        let mut source = self.source(stack, *frame, SIDE)?;
        if !values.is_empty() {
            source.push_str("&window=");
            source.push_str(values);
        }
        let step = |name: String, to: usize| Step {
            name,
            address: (to != at).then(|| self.address(index, to, window)),
        };
        let back = at.saturating_sub(STRIDE).max(1);
        let on = at.saturating_add(STRIDE).min(total);
        let steps = [
            ("第一幅".to_owned(), 1),
            (format!("前 {STRIDE} 幅"), back),
            ("上一幅".to_owned(), at.saturating_sub(1).max(1)),
            ("下一幅".to_owned(), at.saturating_add(1).min(total)),
            (format!("后 {STRIDE} 幅"), on),
            ("最后一幅".to_owned(), total),
        ];
        let windows = WINDOWS.iter().filter(|_| has_windows);
        Ok(Some(Picture {
            source,
            caption: words::within(&stack.series.description, FIELD_LIMIT),
            at,
            total,
            steps: steps.map(|(name, to)| step(name, to)).into(),
            windows: windows
                .map(|(name, title, _)| Step {
                    name: (*title).to_owned(),
                    address: (*name != window).then(|| self.address(index, at, name)),
                })
                .collect(),
        }))
    }

    /// Scanned forms, unless one of them is what is looked at.
    fn beside(&self, stacks: &[Stack<'_>], current: Option<usize>) -> Result<Vec<Beside>, Failure> {
        let others = stacks.iter().enumerate();
        let forms =
            others.filter(|(index, stack)| stack.series.is_apply_form && Some(*index) != current);
        let frames = forms.flat_map(|(index, stack)| {
            let frames = stack.frames.iter().enumerate();
            frames.map(move |(at, frame)| (index, stack, at, *frame))
        });
        let beside = frames.take(BESIDE_LIMIT).map(|(index, stack, at, frame)| {
            Ok(Beside {
                source: self.source(stack, frame, SIDE_BESIDE)?,
                address: self.address(index, at + 1, ""),
            })
        });
        beside.collect()
    }
}
