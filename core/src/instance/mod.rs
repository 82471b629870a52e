//! DICOM instances: their facts, the rows that hold them and how they are matched with what was pushed.

pub mod facts;

pub use facts::{
    ImageFacts, InstanceFacts, InstancesStored, PatientFacts, SeriesFacts, SeriesGroup,
    StoredInstance, StudyFacts,
};
