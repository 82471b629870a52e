//! What `uploadDetail` tells of an exam, held against the exam that is here (R10).

use std::collections::BTreeSet;

use super::Why;
use crate::exam::{DeclaredStudy, ExamFlag, ExamRow};
use crate::instance::ImageCounts;
use crate::statistics::DetailLine;

/// In what an exam is not as these lines of it tell, each difference once. What a line does not tell and what opens at
/// the hospital is not compared. Images that an operator gave to the exam fill up what its own studies lack.
pub fn differences<'a>(
    lines: impl IntoIterator<Item = &'a DetailLine>,
    exam: &ExamRow,
    images: impl Fn(&DeclaredStudy) -> ImageCounts,
    given: ImageCounts,
) -> Vec<Why> {
    let mut differs = BTreeSet::new();
    for line in lines {
        let has_form = !exam.has(ExamFlag::PlaceholderApplyNo);
        if has_form && !line.apply_no.is_empty() && line.apply_no != exam.apply_no {
            differs.insert(Why::ApplyNoDiffers);
        }
        let any = line.study_uid.is_empty();
        let is_meant = |study: &&DeclaredStudy| any || study.uid.as_str() == line.study_uid;
        let studies: Vec<&DeclaredStudy> = exam.studies.iter().filter(is_meant).collect();
        if studies.is_empty() && !any {
            if !exam.moved.iter().any(|uid| uid.as_str() == line.study_uid) {
                differs.insert(Why::StudyDiffers);
            }
            continue;
        }
        let Some(told) = line.image_count.filter(|count| *count > 0) else {
            continue;
        };
        let came = studies
            .iter()
            .map(|study| images(study))
            .sum::<ImageCounts>();
        if came.instances == 0 && studies.iter().any(|study| study.linked) {
            continue;
        }
        if !came.reaches(told) && !came.and(given).reaches(told) {
            if exam.has(ExamFlag::ImagesDeleted) {
                continue;
            }
            differs.insert(Why::ImagesFewer);
        } else if came.exceeds(told) {
            differs.insert(Why::ImagesMore);
        }
    }
    differs.into_iter().collect()
}
