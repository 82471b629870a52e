//! Search: everything that is not a look-up by key. One tantivy document an exam, made of its row and of what was pushed.
//!
//! The index is derived as the views are: it follows their list of changes, its commit carries the position that it has come
//! to, and an index that is damaged or of another version is made anew. It only leads to exams: who answers a reader compares
//! each with the views, which say what stands and who may see it.
//!
//! - `schema`: the fields; - `words`: text as it is compared, prose in words; - `names`: pieces of a name's readings;
//! - `document`: an exam as a document; - `query`: what somebody typed, and how it may be met; - `search`: questions and answers;
//! - `sweep`: the surest and newest of what meets a question; - `best`: those of them that are kept; - `narrow`: what else an exam
//!   must be; - `facets`: counts; - `highlight`: where the words stand; - `tail`: following the changes.

mod best;
mod document;
mod facets;
mod highlight;
mod index;
mod names;
mod narrow;
mod query;
mod schema;
mod search;
mod sweep;
#[cfg(test)]
mod sweep_tests;
mod tail;
#[cfg(test)]
mod tests;
mod words;

pub use document::{Exam, day_number};
pub use facets::{Facet, FacetCount};
pub use highlight::{Highlight, Marker};
pub use index::{Index, IndexError};
pub use query::{TERMS_LIMIT, TEXT_LIMIT};
pub use search::{FOUND_LIMIT, Filters, Found, Hidden, Hit, Question, Sort};
pub use tail::{Changed, Source, SourceError, follow};
