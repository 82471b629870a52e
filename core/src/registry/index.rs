//! How the national imaging index is made here.

use serde::{Deserialize, Serialize};

use crate::national_index::IndexTemplate;

/// Characters of an `idType` (contract §2.3: VC(2)).
pub const ID_TYPE_LIMIT: usize = 2;

/// What an exam's index is made of beside the exam. Since rules version 7.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexSettings {
    /// What stands in which part; a template whose code tables are in force is another one.
    #[serde(default)]
    pub template: IndexTemplate,
    /// `idType` of `patientInfo.identity` under which pushes give the person code.
    pub person_id_type: String,
}

impl IndexSettings {
    /// Whether a push's identity is the person code; zeros in front say nothing.
    pub fn is_person(&self, id_type: &str) -> bool {
        let bare = |text: &str| text.trim().trim_start_matches('0').to_owned();
        bare(id_type) == bare(&self.person_id_type)
    }
}
