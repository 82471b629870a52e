//! Status codes that this node answers and reads (PS3.4 annexes B, C; PS3.7 annex C).

use std::fmt;

/// A DIMSE status, (0000,0900).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

/// What a status means for the operation (PS3.7 annex C).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusClass {
    Success,
    Warning,
    Pending,
    Cancelled,
    Failure,
}

impl Status {
    pub const SUCCESS: Self = Self(0x0000);
    /// More follows.
    pub const PENDING: Self = Self(0xFF00);
    /// More follows, and some optional keys were not looked at.
    pub const PENDING_UNSUPPORTED_KEYS: Self = Self(0xFF01);
    pub const CANCELLED: Self = Self(0xFE00);

    /// The archive cannot take more just now: try again later.
    pub const OUT_OF_RESOURCES: Self = Self(0xA700);
    /// Matches of a C-MOVE or C-GET cannot be counted.
    pub const CANNOT_COUNT_MATCHES: Self = Self(0xA701);
    /// Sub-operations cannot be performed.
    pub const CANNOT_SUBOPERATE: Self = Self(0xA702);
    pub const MOVE_DESTINATION_UNKNOWN: Self = Self(0xA801);
    /// The data set or identifier disagrees with the SOP class, or with what was pushed (R8).
    pub const MISMATCH: Self = Self(0xA900);
    /// Sub-operations are over; some failed or ended with a warning.
    pub const SUBOPERATIONS_NOT_ALL_SUCCESSFUL: Self = Self(0xB000);
    /// The data set cannot be understood.
    pub const CANNOT_UNDERSTAND: Self = Self(0xC000);
    /// The study is not registered (R8): of the class of "cannot understand".
    pub const NOT_REGISTERED: Self = Self(0xC001);
    /// A processing failure of the archive's own.
    pub const UNABLE_TO_PROCESS: Self = Self(0xC0FF);

    pub const SOP_CLASS_NOT_SUPPORTED: Self = Self(0x0122);
    pub const NOT_AUTHORISED: Self = Self(0x0124);
    pub const DUPLICATE_INVOCATION: Self = Self(0x0210);
    pub const UNRECOGNISED_OPERATION: Self = Self(0x0211);
    pub const MISTYPED_ARGUMENT: Self = Self(0x0212);
    /// A report cannot be taken, or its object may not be changed any more.
    pub const PROCESSING_FAILURE: Self = Self(0x0110);
    pub const INVALID_ATTRIBUTE_VALUE: Self = Self(0x0106);
    pub const DUPLICATE_SOP_INSTANCE: Self = Self(0x0111);
    pub const NO_SUCH_SOP_INSTANCE: Self = Self(0x0112);
    pub const INVALID_OBJECT_INSTANCE: Self = Self(0x0117);
    pub const MISSING_ATTRIBUTE: Self = Self(0x0120);
    pub const RESOURCE_LIMITATION: Self = Self(0x0213);

    pub fn class(self) -> StatusClass {
        match self.0 {
            0 => StatusClass::Success,
            0xFF00 | 0xFF01 => StatusClass::Pending,
            0xFE00 => StatusClass::Cancelled,
            0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF => StatusClass::Warning,
            _ => StatusClass::Failure,
        }
    }

    /// Whether the operation was done, be it with a warning.
    pub fn is_done(self) -> bool {
        matches!(self.class(), StatusClass::Success | StatusClass::Warning)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_the_standard() {
        assert_eq!(Status(0xB007).class(), StatusClass::Warning);
        assert_eq!(
            Status::PENDING_UNSUPPORTED_KEYS.class(),
            StatusClass::Pending
        );
        assert_eq!(Status::MISMATCH.class(), StatusClass::Failure);
        assert!(Status::SUCCESS.is_done() && !Status::CANCELLED.is_done());
    }
}
