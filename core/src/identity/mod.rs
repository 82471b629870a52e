//! Which exams are one patient's (contract §4; identity is scoped by hospital).
//!
//! Within a hospital a patient is its own number. Across hospitals a patient is known by documents and cards only
//! ([`PersonKey`]); names and bare numbers join nobody. What sex, birth date or name speak against is never joined
//! ([`Person`]), and a number that many persons have is not used ([`join`]).

mod joining;
mod key;
mod person;
#[cfg(test)]
mod tests;

pub use joining::{
    EXAMS_LIMIT, Exams, HOPS_LIMIT, JoinKey, Joined, JoinedExam, KEYS_LIMIT, KeyState, KeyUse,
    LINES_LIMIT, Look, PERSONS_LIMIT, Start, VETOED_LIMIT, Vetoed, join,
};
pub use key::{PersonKey, PersonKind, persons};
pub use person::{Conflict, Person};
