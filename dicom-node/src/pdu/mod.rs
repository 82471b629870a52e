//! Protocol data units (PS3.8 §9.3) over any stream, with a limit on every length and every wait.
//!
//! P-DATA-TF is taken apart here without copying: a fragment goes from the socket straight into the buffer that keeps
//! it. All other PDUs are small; they are read whole, never beyond their limit, and then parsed by `dicom-ul`.
//! Nothing is allocated from a length field before the bytes it promises have come.

mod stream;

use std::time::Duration;

pub use stream::{PduStream, PduType, PdvHeader};

/// Bytes of a PDU's own header: type, reserved, length (PS3.8 §9.3.1).
pub const PDU_HEADER_BYTES: usize = 6;
/// Bytes before a fragment: item length, presentation context, control header (PS3.8 §9.3.5.1).
pub const PDV_HEADER_BYTES: usize = 6;

/// A-ASSOCIATE: 128 presentation contexts of 30 transfer syntaxes each fit.
pub const ASSOCIATE_PDU_LIMIT: u32 = 128 * 1024;
/// Release, abort and reject are 4 bytes; a little slack for odd peers.
pub const CONTROL_PDU_LIMIT: u32 = 64;
/// Maximum length that we offer for P-DATA: large, so that a big image takes few PDUs.
pub const OFFERED_PDU_LENGTH: u32 = 256 * 1024;
/// Some peers count their own headers outside the negotiated length.
pub const DATA_PDU_SLACK: u32 = 64;
/// Most bytes that we put in one P-DATA towards a peer that sets no limit.
pub const SENT_PDU_LENGTH: u32 = 256 * 1024;
/// A peer that takes less than this in one PDU would make us send more headers than data.
pub const SMALLEST_PEER_PDU: u32 = 128;

/// How long each step of an association may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the connection (TLS handshake included) to the complete association request: ARTIM, PS3.8 §9.1.5.
    pub negotiation: Duration,
    /// Silence between two messages.
    pub idle: Duration,
    /// One PDU, from its first byte to its last; also the silence between two PDUs of one message.
    pub pdu: Duration,
    /// One write of ours to a peer that does not read.
    pub write: Duration,
    /// The answer of a peer whose service we use.
    pub response: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            negotiation: Duration::from_secs(30),
            idle: Duration::from_secs(300),
            pdu: Duration::from_secs(30),
            write: Duration::from_secs(60),
            response: Duration::from_secs(120),
        }
    }
}

/// Why the conversation with the peer ends.
#[derive(Debug, thiserror::Error)]
pub enum PduError {
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    #[error("the peer closed the connection")]
    Closed,
    #[error("no {what} within {} s", limit.as_secs())]
    TooSlow { what: &'static str, limit: Duration },
    #[error("PDU of type {kind:#04x} is {length} bytes long, at most {limit} are taken")]
    TooLong { kind: u8, length: u32, limit: u32 },
    #[error("PDU type {0:#04x} is unknown")]
    UnknownType(u8),
    #[error("malformed PDU: {0}")]
    Malformed(&'static str),
    #[error("malformed association PDU")]
    Association(#[source] Box<dicom_ul::pdu::ReadError>),
    #[error("PDU cannot be written")]
    Unwritable(#[source] Box<dicom_ul::pdu::WriteError>),
}
