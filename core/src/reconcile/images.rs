//! Whether the images that an exam declares are there (R9).

use crate::exam::{DeclaredStudy, ExamFlag, ExamRow};
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
    Complete {
        surplus: bool,
    },
    Partly,
    Missing,
    NoneDeclared,
    Linked,
    /// They were, until a retention rule deleted them.
    Deleted,
}

/// The states of an exam's declared studies, in their order, and of the exam.
///
/// Images that an operator gave to the exam came under a UID that its push does not declare, instead of one that it
/// does: they fill up what the declared studies lack, and what is left of them is a surplus. Nothing is missing of what a
/// rule deleted.
pub fn images_of(
    exam: &ExamRow,
    declared: &[(&DeclaredStudy, ImageCounts)],
    given: ImageCounts,
) -> (Vec<StudyState>, ImageState) {
    match state_of(declared, given) {
        (states, ImageState::Missing | ImageState::Partly) if exam.has(ExamFlag::ImagesDeleted) => {
            (states, ImageState::Deleted)
        }
        stands => stands,
    }
}

fn state_of(
    declared: &[(&DeclaredStudy, ImageCounts)],
    given: ImageCounts,
) -> (Vec<StudyState>, ImageState) {
    let mut left = given.images.max(given.frames);
    let states: Vec<StudyState> = declared
        .iter()
        .map(|(declared, counts)| study_state(declared, *counts, &mut left))
        .collect();
    let mut whole = image_state(&states);
    if let ImageState::Complete { surplus } = &mut whole {
        *surplus |= left > 0;
    }
    (states, whole)
}

/// A declared count of 0 is no count: nothing can be missing. What is taken of the images left is taken off them.
fn study_state(declared: &DeclaredStudy, counts: ImageCounts, left: &mut u32) -> StudyState {
    if declared.linked && counts.instances == 0 {
        return StudyState::Linked;
    }
    let Some(count) = declared.image_count.filter(|count| *count > 0) else {
        return StudyState::Uncounted;
    };
    if counts.reaches(count) {
        let surplus = counts.exceeds(count);
        return StudyState::Reached { surplus };
    }
    let here = counts.images.max(counts.frames);
    let taken = (*left).min(count.saturating_sub(here));
    *left -= taken;
    match here.saturating_add(taken) {
        0 => StudyState::Missing,
        found if found >= count => StudyState::Reached { surplus: false },
        _ => StudyState::Begun,
    }
}

/// Complete when every study with a count is reached; links and studies without a count neither help nor hinder.
fn image_state(studies: &[StudyState]) -> ImageState {
    let (mut reached, mut begun, mut missing, mut linked, mut surplus) = (0, 0, 0, 0, false);
    for study in studies {
        match study {
            StudyState::Reached { surplus: more } => {
                reached += 1;
                surplus |= *more;
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
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
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

    /// The state of a study, nothing being given to its exam.
    fn alone(declared: &DeclaredStudy, counts: ImageCounts) -> StudyState {
        let (states, _) = state_of(&[(declared, counts)], ImageCounts::default());
        states[0]
    }

    #[test]
    fn images_moved_to_an_exam_fill_up_what_its_own_studies_lack() {
        let (three, five) = (declared(Some(3), false), declared(Some(5), false));
        let exam = |of_three, of_five, given: u32| {
            let own = [
                (&three, counts(of_three, of_three, of_three)),
                (&five, counts(of_five, of_five, of_five)),
            ];
            state_of(&own, counts(given, given, given)).1
        };
        assert_eq!(exam(3, 0, 4), ImageState::Partly);
        assert_eq!(exam(3, 0, 5), ImageState::Complete { surplus: false });
        assert_eq!(exam(1, 2, 5), ImageState::Complete { surplus: false });
        assert_eq!(exam(3, 5, 1), ImageState::Complete { surplus: true });
        // Without a declared count nothing becomes complete
        let (_, state) = state_of(&[], counts(5, 5, 5));
        assert_eq!(state, ImageState::NoneDeclared);
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
            assert_eq!(alone(&declared(Some(count), false), came), state);
        }
    }

    #[test]
    fn without_a_count_nothing_is_missing_and_a_link_is_not_verified() {
        assert_eq!(
            alone(&declared(None, false), counts(0, 0, 0)),
            StudyState::Uncounted
        );
        assert_eq!(
            alone(&declared(Some(5), true), counts(0, 0, 0)),
            StudyState::Linked
        );
        assert_eq!(
            alone(&declared(Some(5), true), counts(1, 1, 1)),
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
            assert_eq!(image_state(&studies), state, "{studies:?}");
        }
    }
}
