//! Which presentation contexts are offered for the images of a C-GET: what the gateway says the study has, in each way in
//! which images are stored, and then what else it might have.

use std::collections::BTreeSet;

use dicom_dictionary_std::uids;

use crate::association::ProposedContext;

/// Each class is offered in each of these on a context of its own, since a stored instance leaves in the transfer syntax
/// that it came in: uncompressed, JPEG, JPEG-LS, JPEG 2000, RLE, MPEG-4.
pub const SYNTAXES: [&str; 12] = [
    uids::EXPLICIT_VR_LITTLE_ENDIAN,
    uids::IMPLICIT_VR_LITTLE_ENDIAN,
    uids::JPEG_LOSSLESS_SV1,
    uids::JPEG2000_LOSSLESS,
    uids::JPEG_BASELINE8_BIT,
    uids::RLE_LOSSLESS,
    uids::JPEGLS_LOSSLESS,
    uids::JPEG2000,
    uids::JPEG_EXTENDED12_BIT,
    uids::JPEG_LOSSLESS,
    uids::JPEGLS_NEAR_LOSSLESS,
    uids::MPEG4HP41,
];

/// Classes that hospitals have, most frequent first: for a gateway that does not say what a study has.
const CLASSES: [&str; 44] = [
    uids::CT_IMAGE_STORAGE,
    uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE,
    uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
    uids::MR_IMAGE_STORAGE,
    uids::ULTRASOUND_IMAGE_STORAGE,
    uids::ULTRASOUND_MULTI_FRAME_IMAGE_STORAGE,
    uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::X_RAY_ANGIOGRAPHIC_IMAGE_STORAGE,
    uids::VL_ENDOSCOPIC_IMAGE_STORAGE,
    uids::VL_PHOTOGRAPHIC_IMAGE_STORAGE,
    uids::VL_MICROSCOPIC_IMAGE_STORAGE,
    uids::DIGITAL_MAMMOGRAPHY_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
    uids::ENHANCED_CT_IMAGE_STORAGE,
    uids::ENHANCED_MR_IMAGE_STORAGE,
    uids::NUCLEAR_MEDICINE_IMAGE_STORAGE,
    uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE,
    uids::X_RAY_RADIOFLUOROSCOPIC_IMAGE_STORAGE,
    uids::TWELVE_LEAD_ECG_WAVEFORM_STORAGE,
    uids::GENERAL_ECG_WAVEFORM_STORAGE,
    uids::ENCAPSULATED_PDF_STORAGE,
    uids::BASIC_TEXT_SR_STORAGE,
    uids::ENHANCED_SR_STORAGE,
    uids::COMPREHENSIVE_SR_STORAGE,
    uids::X_RAY_RADIATION_DOSE_SR_STORAGE,
    uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE,
    uids::GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE,
    uids::MULTI_FRAME_GRAYSCALE_BYTE_SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::MULTI_FRAME_GRAYSCALE_WORD_SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::MULTI_FRAME_TRUE_COLOR_SECONDARY_CAPTURE_IMAGE_STORAGE,
    uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PROCESSING,
    uids::DIGITAL_INTRA_ORAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
    uids::ENHANCED_XA_IMAGE_STORAGE,
    uids::ENHANCED_XRF_IMAGE_STORAGE,
    uids::X_RAY3_D_ANGIOGRAPHIC_IMAGE_STORAGE,
    uids::X_RAY3_D_CRANIOFACIAL_IMAGE_STORAGE,
    uids::BREAST_TOMOSYNTHESIS_IMAGE_STORAGE,
    uids::VIDEO_ENDOSCOPIC_IMAGE_STORAGE,
    uids::VIDEO_PHOTOGRAPHIC_IMAGE_STORAGE,
    uids::VL_WHOLE_SLIDE_MICROSCOPY_IMAGE_STORAGE,
    uids::OPHTHALMIC_PHOTOGRAPHY8_BIT_IMAGE_STORAGE,
    uids::OPHTHALMIC_TOMOGRAPHY_IMAGE_STORAGE,
    uids::SEGMENTATION_STORAGE,
    uids::RT_DOSE_STORAGE,
    uids::ENHANCED_MR_COLOR_IMAGE_STORAGE,
];

/// Contexts left for instances, beside the one of C-GET itself (PS3.8 §9.3.2.2: 128 in all).
const CONTEXTS_LIMIT: usize = 127;

/// Contexts for a study of these classes; without any, for a study of which nothing is known.
pub fn storage_contexts(known: &BTreeSet<String>) -> Vec<ProposedContext> {
    let others = || CLASSES.into_iter().filter(|class| !known.contains(*class));
    // The frequent syntaxes of all classes come before the rare ones of any.
    let of_known = SYNTAXES.into_iter().flat_map(|syntax| {
        let classes = known.iter().map(String::as_str);
        classes.map(move |class| context(class, &[syntax]))
    });
    let (lossless, rest) = SYNTAXES.split_at(2);
    let plain = others().map(|class| context(class, lossless));
    let compressed = others().map(|class| context(class, rest));
    of_known
        .chain(plain)
        .chain(compressed)
        .take(CONTEXTS_LIMIT)
        .collect()
}

fn context(class: &str, syntaxes: &[&str]) -> ProposedContext {
    ProposedContext {
        abstract_syntax: class.to_owned(),
        transfer_syntaxes: syntaxes.iter().map(|syntax| (*syntax).to_owned()).collect(),
        we_are_scp: true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_syntax_of_what_a_study_has_is_offered_before_anything_else() {
        let classes = BTreeSet::from([uids::CT_IMAGE_STORAGE, "1.2.3"].map(str::to_owned));
        let contexts = storage_contexts(&classes);
        assert_eq!(contexts.len(), CONTEXTS_LIMIT.min(24 + 2 * 43));
        let own = contexts.get(..24).unwrap();
        assert!(own.iter().all(|it| classes.contains(&it.abstract_syntax)));
        assert!(own.iter().all(|it| it.transfer_syntaxes.len() == 1));
        let again = contexts.iter().skip(24);
        assert!(
            again
                .clone()
                .all(|it| !classes.contains(&it.abstract_syntax))
        );
        assert!(contexts.iter().all(|it| it.we_are_scp));
    }

    #[test]
    fn a_study_of_many_classes_has_the_frequent_syntaxes_of_all() {
        let classes: BTreeSet<String> = (0..60).map(|at| format!("1.2.3.{at}")).collect();
        let contexts = storage_contexts(&classes);
        assert_eq!(contexts.len(), CONTEXTS_LIMIT);
        for class in &classes {
            let offered = contexts.iter().filter(|it| it.abstract_syntax == *class);
            assert!(offered.count() >= 2, "{class}");
        }
    }

    #[test]
    fn of_a_study_of_which_nothing_is_known_the_usual_classes_are_offered() {
        let contexts = storage_contexts(&BTreeSet::new());
        assert_eq!(contexts.len(), 2 * CLASSES.len());
        let distinct: BTreeSet<&str> = CLASSES.into_iter().collect();
        assert_eq!(distinct.len(), CLASSES.len());
    }
}
