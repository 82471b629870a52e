//! DICOM instances: their facts, the rows that hold them and how they are matched with what was pushed.

pub mod chunk;
pub mod doubt;
pub mod facts;
pub mod given;
pub mod held;
pub mod matching;
pub mod pack;
pub mod place;
pub mod study;

pub use chunk::{CHUNK_INSTANCES, Chunk, ChunkEntry, ChunkError, InPack};
pub use facts::{
    ImageFacts, InstanceFacts, InstancesMoved, InstancesStored, MovedInstance, MovedStudy,
    PatientFacts, SeriesFacts, SeriesGroup, StoredInstance, StudyFacts,
};
pub use given::Given;
pub use held::{FormerHold, HeldGroup, HeldGroupKey, HeldInstance, HeldStudy, HoldReason};
pub use matching::{
    Match, covers, guests_like, has_numbers_of, is_bound, is_guest, is_same_patient_id,
    match_instance,
};
pub use pack::{CompactedAt, PackRow};
pub use place::{InstanceKey, Place};
pub use study::{
    ALSO_LIMIT, CLAIM_LIMIT, CLASS_LIMIT, Claim, CountedAt, GUESTS_LIMIT, Guests, ImageCounts,
    LOOKED_THROUGH_CHUNKS, Numbers, SERIES_LIMIT, SeriesRow, SetAside, StudyClaims, StudyRow,
    TakenFor, is_image_class,
};
