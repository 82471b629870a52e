//! Whether the images that an exam declares are there (R9).

use crate::exam::DeclaredStudy;
use crate::instance::ImageCounts;

/// One declared study held against what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StudyState {
    Reached {
        surplus: bool,
    },
    Begun,
    Missing,
    /// No count, so neither missing nor complete.
    Uncounted,
    /// Opens at the hospital, nothing came here.
    Linked,
}

/// One exam's images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ImageState {
    Complete { surplus: bool },
    Partly,
    Missing,
    NoneDeclared,
    Linked,
}

/// A declared count of 0 is no count: nothing can be missing.
pub fn images_of(declared: &DeclaredStudy, counts: ImageCounts) -> StudyState {
    let here = counts.images.max(counts.frames);
    if declared.linked && counts.instances == 0 {
        return StudyState::Linked;
    }
    match declared.image_count.filter(|count| *count > 0) {
        None => StudyState::Uncounted,
        Some(count) if counts.reaches(count) => StudyState::Reached {
            surplus: counts.exceeds(count),
        },
        Some(_) if here > 0 => StudyState::Begun,
        Some(_) => StudyState::Missing,
    }
}

/// Complete when every study with a count is reached; links and studies without a count neither help nor hinder.
pub fn image_state(studies: impl IntoIterator<Item = StudyState>) -> ImageState {
    let (mut reached, mut begun, mut missing, mut linked, mut surplus) = (0, 0, 0, 0, false);
    for study in studies {
        match study {
            StudyState::Reached { surplus: more } => {
                reached += 1;
                surplus |= more;
            }
            StudyState::Begun => begun += 1,
            StudyState::Missing => missing += 1,
            StudyState::Linked => linked += 1,
            StudyState::Uncounted => {}
        }
    }
    match (reached, begun, missing, linked) {
        (0, 0, 0, 0) => ImageState::NoneDeclared,
        (0, 0, 0, _) => ImageState::Linked,
        (_, 0, 0, _) => ImageState::Complete { surplus },
        (0, 0, _, _) => ImageState::Missing,
        _ => ImageState::Partly,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ids::StudyUid;

    fn declared(count: Option<u32>, linked: bool) -> DeclaredStudy {
        DeclaredStudy {
            uid: StudyUid::new("1.2.3").unwrap(),
            accession_no: None,
            image_count: count,
            linked,
            foreign: false,
        }
    }

    fn counts(images: u32, without_zero: u32, frames: u32) -> ImageCounts {
        ImageCounts {
            instances: images,
            images,
            images_without_zero: without_zero,
            frames,
        }
    }

    #[test]
    fn a_count_is_met_by_instances_or_frames_and_with_or_without_series_zero() {
        let reached = |surplus| StudyState::Reached { surplus };
        for (count, came, state) in [
            (3, counts(3, 3, 3), reached(false)),
            (3, counts(3, 2, 3), reached(false)),
            (3, counts(4, 3, 4), reached(false)),
            (3, counts(4, 4, 4), reached(true)),
            (30, counts(1, 1, 30), reached(false)),
            (3, counts(2, 2, 2), StudyState::Begun),
            (3, counts(0, 0, 0), StudyState::Missing),
        ] {
            assert_eq!(images_of(&declared(Some(count), false), came), state);
        }
    }

    #[test]
    fn without_a_count_nothing_is_missing_and_a_link_is_not_verified() {
        assert_eq!(
            images_of(&declared(None, false), counts(0, 0, 0)),
            StudyState::Uncounted
        );
        assert_eq!(
            images_of(&declared(Some(5), true), counts(0, 0, 0)),
            StudyState::Linked
        );
        assert_eq!(
            images_of(&declared(Some(5), true), counts(1, 1, 1)),
            StudyState::Begun
        );
    }

    #[test]
    fn an_exam_is_complete_when_every_counted_study_is() {
        use StudyState::{Begun, Linked, Missing, Reached, Uncounted};
        let whole = Reached { surplus: false };
        for (studies, state) in [
            (vec![], ImageState::NoneDeclared),
            (vec![Uncounted], ImageState::NoneDeclared),
            (vec![Linked, Uncounted], ImageState::Linked),
            (vec![whole, Linked], ImageState::Complete { surplus: false }),
            (
                vec![whole, Reached { surplus: true }],
                ImageState::Complete { surplus: true },
            ),
            (vec![whole, Missing], ImageState::Partly),
            (vec![Begun], ImageState::Partly),
            (vec![Missing, Missing], ImageState::Missing),
        ] {
            assert_eq!(image_state(studies.clone()), state, "{studies:?}");
        }
    }
}
