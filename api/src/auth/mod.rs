//! Who calls: signs for those who want a token (R3), tokens for everyone else (R4).

pub mod attempts;
pub mod sign;
pub mod token;
