//! DIMSE command sets (PS3.7 §9.3 and annex E): Implicit VR Little Endian elements of group 0000.

use std::fmt;

use crate::status::Status;

/// Largest command set that is read: real ones stay under 1 KiB, failed UID lists travel in the identifier.
pub const COMMAND_LIMIT: usize = 16 * 1024;
/// (0000,0902) is VR LO: longer text is cut.
const ERROR_COMMENT_LIMIT: usize = 64;
/// (0000,0800) when no data set follows.
const NO_DATA_SET: u16 = 0x0101;
/// (0000,0800) when one follows; any other value would do.
const WITH_DATA_SET: u16 = 0x0001;

/// (0000,0100)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Store,
    Get,
    Find,
    Move,
    Echo,
    Cancel,
    /// N-CREATE
    Create,
    /// N-SET
    Set,
    /// Another DIMSE-N service: recognised, so that it can be refused properly.
    Other(u16),
}

impl Operation {
    fn from_code(code: u16) -> Self {
        match code {
            0x0001 => Self::Store,
            0x0010 => Self::Get,
            0x0020 => Self::Find,
            0x0021 => Self::Move,
            0x0030 => Self::Echo,
            0x0FFF => Self::Cancel,
            0x0140 => Self::Create,
            0x0120 => Self::Set,
            other => Self::Other(other),
        }
    }

    /// Of DIMSE-C all but C-ECHO and C-CANCEL (PS3.7 §9.3).
    fn has_priority(self) -> bool {
        matches!(self, Self::Store | Self::Get | Self::Find | Self::Move)
    }

    fn code(self) -> u16 {
        match self {
            Self::Store => 0x0001,
            Self::Get => 0x0010,
            Self::Find => 0x0020,
            Self::Move => 0x0021,
            Self::Echo => 0x0030,
            Self::Cancel => 0x0FFF,
            Self::Create => 0x0140,
            Self::Set => 0x0120,
            Self::Other(code) => code,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store => f.write_str("C-STORE"),
            Self::Get => f.write_str("C-GET"),
            Self::Find => f.write_str("C-FIND"),
            Self::Move => f.write_str("C-MOVE"),
            Self::Echo => f.write_str("C-ECHO"),
            Self::Cancel => f.write_str("C-CANCEL"),
            Self::Create => f.write_str("N-CREATE"),
            Self::Set => f.write_str("N-SET"),
            Self::Other(code) => write!(f, "command {code:#06x}"),
        }
    }
}

/// (0000,0700)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    Low,
    #[default]
    Medium,
    High,
}

impl Priority {
    fn code(self) -> u16 {
        match self {
            Self::Medium => 0,
            Self::High => 1,
            Self::Low => 2,
        }
    }
}

/// Progress of a C-MOVE or C-GET, (0000,1020) to (0000,1023).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Suboperations {
    pub remaining: u16,
    pub completed: u16,
    pub failed: u16,
    pub warning: u16,
}

/// One command set. Fields that do not belong to the operation are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub operation: Operation,
    pub is_response: bool,
    /// (0000,0110) of a request; (0000,0120) of a response and of C-CANCEL.
    pub message_id: u16,
    /// (0000,0002)
    pub sop_class: Option<String>,
    /// (0000,1000)
    pub sop_instance: Option<String>,
    /// (0000,0800)
    pub has_data_set: bool,
    pub priority: Option<Priority>,
    pub status: Option<Status>,
    /// (0000,0902)
    pub error_comment: Option<String>,
    /// (0000,0903)
    pub error_id: Option<u16>,
    /// (0000,0600)
    pub move_destination: Option<String>,
    /// (0000,1030) and (0000,1031): on whose behalf a C-STORE comes.
    pub move_originator: Option<(String, u16)>,
    pub suboperations: Option<Suboperations>,
    /// Whether (0000,1020) is written: a final response must not have it.
    pub with_remaining: bool,
}

/// Why bytes are not a command set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("command set is cut within an element")]
    Truncated,
    #[error("command set holds an element of group {0:#06x}")]
    ForeignGroup(u16),
    #[error("command set lacks (0000,{0:04x})")]
    Missing(u16),
    #[error("(0000,{0:04x}) has a value of the wrong length or kind")]
    Value(u16),
}

impl Command {
    /// A request of ours.
    pub fn request(operation: Operation, message_id: u16, sop_class: &str) -> Self {
        Self {
            operation,
            is_response: false,
            message_id,
            sop_class: Some(sop_class.to_owned()),
            sop_instance: None,
            has_data_set: false,
            priority: operation.has_priority().then_some(Priority::Medium),
            status: None,
            error_comment: None,
            error_id: None,
            move_destination: None,
            move_originator: None,
            suboperations: None,
            with_remaining: false,
        }
    }

    /// C-CANCEL of the request `message_id` (PS3.7 §9.3.2.3).
    pub fn cancel(message_id: u16) -> Self {
        Self {
            sop_class: None,
            priority: None,
            ..Self::request(Operation::Cancel, message_id, "")
        }
    }

    /// The answer to `self`.
    pub fn response(&self, status: Status) -> Self {
        Self {
            operation: self.operation,
            is_response: true,
            message_id: self.message_id,
            sop_class: self.sop_class.clone(),
            sop_instance: self.sop_instance.clone(),
            has_data_set: false,
            priority: None,
            status: Some(status),
            error_comment: None,
            error_id: None,
            move_destination: None,
            move_originator: None,
            suboperations: None,
            with_remaining: false,
        }
    }

    pub fn with_comment(mut self, comment: impl Into<String>) -> Self {
        self.error_comment = Some(comment.into());
        self
    }

    pub fn with_data_set(mut self) -> Self {
        self.has_data_set = true;
        self
    }

    /// Counts of a response; `pending` says whether what remains is told too (PS3.4 §C.4.2.1.7).
    pub fn with_suboperations(mut self, counts: Suboperations, pending: bool) -> Self {
        self.suboperations = Some(counts);
        self.with_remaining = pending;
        self
    }

    /// Reads a command set that came whole; elements that are not known are passed over.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, MessageError> {
        let mut read = Fields::default();
        while !bytes.is_empty() {
            let (header, rest) = bytes
                .split_first_chunk::<8>()
                .ok_or(MessageError::Truncated)?;
            let [g0, g1, e0, e1, l0, l1, l2, l3] = *header;
            let group = u16::from_le_bytes([g0, g1]);
            if group != 0 {
                return Err(MessageError::ForeignGroup(group));
            }
            let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
            let (value, rest) = rest
                .split_at_checked(length)
                .ok_or(MessageError::Truncated)?;
            read.take(u16::from_le_bytes([e0, e1]), value)?;
            bytes = rest;
        }
        read.into_command()
    }

    /// The command set as bytes, group length first, elements in ascending order.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer { bytes: vec![0; 12] };
        // What is changed is requested, not affected (PS3.7 §10.1.3).
        let requested = u16::from(self.operation == Operation::Set && !self.is_response);
        if let Some(class) = &self.sop_class {
            out.uid(0x0002 + requested, class);
        }
        out.number(
            0x0100,
            self.operation.code() | if self.is_response { 0x8000 } else { 0 },
        );
        let answers = self.is_response || self.operation == Operation::Cancel;
        out.number(if answers { 0x0120 } else { 0x0110 }, self.message_id);
        if let Some(destination) = &self.move_destination {
            out.text(0x0600, destination);
        }
        if let Some(priority) = self.priority {
            out.number(0x0700, priority.code());
        }
        out.number(
            0x0800,
            if self.has_data_set {
                WITH_DATA_SET
            } else {
                NO_DATA_SET
            },
        );
        if let Some(status) = self.status {
            out.number(0x0900, status.0);
        }
        if let Some(comment) = &self.error_comment {
            out.text(0x0902, &plain(comment));
        }
        if let Some(id) = self.error_id {
            out.number(0x0903, id);
        }
        if let Some(instance) = &self.sop_instance {
            out.uid(0x1000 + requested, instance);
        }
        if let Some(counts) = self.suboperations {
            if self.with_remaining {
                out.number(0x1020, counts.remaining);
            }
            out.number(0x1021, counts.completed);
            out.number(0x1022, counts.failed);
            out.number(0x1023, counts.warning);
        }
        if let Some((originator, message_id)) = &self.move_originator {
            out.text(0x1030, originator);
            out.number(0x1031, *message_id);
        }
        out.finish()
    }
}

/// (0000,0902) is VR LO in the default repertoire: printable ASCII without backslash.
fn plain(comment: &str) -> String {
    comment
        .chars()
        .map(|c| {
            if (' '..='~').contains(&c) && c != '\\' {
                c
            } else {
                '?'
            }
        })
        .take(ERROR_COMMENT_LIMIT)
        .collect()
}

#[derive(Default)]
struct Fields {
    field: Option<u16>,
    message_id: Option<u16>,
    responded_id: Option<u16>,
    sop_class: Option<String>,
    sop_instance: Option<String>,
    data_set_type: Option<u16>,
    priority: Option<Priority>,
    status: Option<Status>,
    error_comment: Option<String>,
    error_id: Option<u16>,
    move_destination: Option<String>,
    originator: Option<String>,
    originator_id: Option<u16>,
    counts: Suboperations,
    has_counts: bool,
    has_remaining: bool,
}

impl Fields {
    fn take(&mut self, element: u16, value: &[u8]) -> Result<(), MessageError> {
        match element {
            0x0002 | 0x0003 => self.sop_class = Some(text(value)),
            0x0100 => self.field = Some(number(element, value)?),
            0x0110 => self.message_id = Some(number(element, value)?),
            0x0120 => self.responded_id = Some(number(element, value)?),
            0x0600 => self.move_destination = Some(text(value)),
            0x0700 => {
                self.priority = Some(match number(element, value)? {
                    1 => Priority::High,
                    2 => Priority::Low,
                    _ => Priority::Medium,
                });
            }
            0x0800 => self.data_set_type = Some(number(element, value)?),
            0x0900 => self.status = Some(Status(number(element, value)?)),
            0x0902 => self.error_comment = Some(text(value)),
            0x0903 => self.error_id = Some(number(element, value)?),
            0x1000 | 0x1001 => self.sop_instance = Some(text(value)),
            0x1020 => {
                self.counts.remaining = number(element, value)?;
                self.has_remaining = true;
                self.has_counts = true;
            }
            0x1021 => self.counts.completed = self.count(element, value)?,
            0x1022 => self.counts.failed = self.count(element, value)?,
            0x1023 => self.counts.warning = self.count(element, value)?,
            0x1030 => self.originator = Some(text(value)),
            0x1031 => self.originator_id = Some(number(element, value)?),
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, element: u16, value: &[u8]) -> Result<u16, MessageError> {
        self.has_counts = true;
        number(element, value)
    }

    fn into_command(self) -> Result<Command, MessageError> {
        let field = self.field.ok_or(MessageError::Missing(0x0100))?;
        let is_response = field & 0x8000 != 0;
        let operation = Operation::from_code(field & 0x7FFF);
        let message_id = if is_response || operation == Operation::Cancel {
            self.responded_id.ok_or(MessageError::Missing(0x0120))?
        } else {
            self.message_id.ok_or(MessageError::Missing(0x0110))?
        };
        if is_response && self.status.is_none() {
            return Err(MessageError::Missing(0x0900));
        }
        let data_set_type = self.data_set_type.ok_or(MessageError::Missing(0x0800))?;
        Ok(Command {
            operation,
            is_response,
            message_id,
            sop_class: self.sop_class,
            sop_instance: self.sop_instance,
            has_data_set: data_set_type != NO_DATA_SET,
            priority: self.priority,
            status: self.status,
            error_comment: self.error_comment,
            error_id: self.error_id,
            move_destination: self.move_destination,
            move_originator: self
                .originator
                .map(|ae| (ae, self.originator_id.unwrap_or(0))),
            suboperations: self.has_counts.then_some(self.counts),
            with_remaining: self.has_remaining,
        })
    }
}

fn number(element: u16, value: &[u8]) -> Result<u16, MessageError> {
    let bytes = <[u8; 2]>::try_from(value).map_err(|_| MessageError::Value(element))?;
    Ok(u16::from_le_bytes(bytes))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .trim_matches([' ', '\0'])
        .to_owned()
}

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn element(&mut self, element: u16, value: &[u8], padding: u8) {
        let odd = value.len() % 2;
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&element.to_le_bytes());
        self.bytes
            .extend_from_slice(&((value.len() + odd) as u32).to_le_bytes());
        self.bytes.extend_from_slice(value);
        if odd == 1 {
            self.bytes.push(padding);
        }
    }

    fn uid(&mut self, element: u16, value: &str) {
        self.element(element, value.as_bytes(), 0);
    }

    fn text(&mut self, element: u16, value: &str) {
        self.element(element, value.as_bytes(), b' ');
    }

    fn number(&mut self, element: u16, value: u16) {
        self.element(element, &value.to_le_bytes(), 0);
    }

    /// Fills in the group length, for which the first 12 bytes were left free.
    fn finish(mut self) -> Vec<u8> {
        let after = (self.bytes.len().saturating_sub(12)) as u32;
        let [a, b, c, d] = after.to_le_bytes();
        if let Some(head) = self.bytes.first_chunk_mut::<12>() {
            *head = [0, 0, 0, 0, 4, 0, 0, 0, a, b, c, d];
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn every_command_reads_back_as_written() {
        let mut store = Command::request(Operation::Store, 7, "1.2.840.10008.5.1.4.1.1.2");
        store.sop_instance = Some("1.2.3".into());
        store.move_originator = Some(("MOVER".into(), 9));
        let mut moving = Command::request(Operation::Move, 8, "1.2.840.10008.5.1.4.1.2.2.2");
        moving.move_destination = Some("SINK".into());
        let counts = Suboperations {
            remaining: 3,
            completed: 2,
            failed: 1,
            warning: 0,
        };
        let mut set = Command::request(Operation::Set, 9, "1.2.840.10008.3.1.2.3.3");
        set.sop_instance = Some("1.2.4".into());
        let mut ended = set
            .response(Status::PROCESSING_FAILURE)
            .with_comment("may no longer be updated");
        ended.error_id = Some(0xA710);
        let all = [
            set.clone().with_data_set(),
            ended,
            Command::request(Operation::Echo, 1, "1.2.840.10008.1.1"),
            store.clone().with_data_set(),
            store
                .response(Status::NOT_REGISTERED)
                .with_comment("exam not pushed"),
            moving.clone().with_data_set(),
            moving
                .response(Status::PENDING)
                .with_suboperations(counts, true),
            Command::cancel(8),
        ];
        for command in all {
            assert_eq!(Command::decode(&command.encode()).unwrap(), command);
        }
    }

    #[test]
    fn a_length_beyond_the_command_set_is_refused() {
        let mut bytes = Command::request(Operation::Echo, 1, "1.2").encode();
        bytes[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Command::decode(&bytes), Err(MessageError::Truncated));
    }

    #[test]
    fn a_command_set_without_its_needed_fields_is_refused() {
        let mut out = Writer { bytes: vec![0; 12] };
        out.number(0x0100, 0x0030);
        out.number(0x0800, NO_DATA_SET);
        assert_eq!(
            Command::decode(&out.finish()),
            Err(MessageError::Missing(0x0110))
        );
    }

    #[test]
    fn an_error_comment_is_plain_and_cut() {
        let echo = Command::request(Operation::Echo, 1, "1.2");
        let answer = echo
            .response(Status::UNABLE_TO_PROCESS)
            .with_comment("检".repeat(80));
        let read = Command::decode(&answer.encode()).unwrap();
        assert_eq!(read.error_comment.unwrap(), "?".repeat(64));
    }
}
