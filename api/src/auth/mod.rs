//! Who calls: signs for those who want a token (R3), tokens for everyone else (R4).

pub mod sign;
pub mod token;
