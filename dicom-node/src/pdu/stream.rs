//! One connection's PDUs, read and written with bounds.

use std::io::IoSlice;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use dicom_ul::pdu::Pdu;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    ASSOCIATE_PDU_LIMIT, CONTROL_PDU_LIMIT, DATA_PDU_SLACK, OFFERED_PDU_LENGTH, PDU_HEADER_BYTES,
    PDV_HEADER_BYTES, PduError, Timeouts,
};
use crate::stream::BoxedStream;

/// Read ahead of what is asked for: several small PDUs in one system call, while a large fragment's rest still goes
/// straight to its buffer.
const READ_AHEAD_BYTES: usize = 8 * 1024;

/// Of the queue that was written, what is kept for the next: idle associations cost little memory.
const OUTBOX_KEPT_BYTES: usize = 8 * 1024;

/// PDU types (PS3.8 §9.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PduType {
    AssociateRequest,
    AssociateAccept,
    AssociateReject,
    Data,
    ReleaseRequest,
    ReleaseResponse,
    Abort,
}

impl PduType {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::AssociateRequest,
            2 => Self::AssociateAccept,
            3 => Self::AssociateReject,
            4 => Self::Data,
            5 => Self::ReleaseRequest,
            6 => Self::ReleaseResponse,
            7 => Self::Abort,
            _ => return None,
        })
    }

    fn limit(self) -> u32 {
        match self {
            Self::AssociateRequest | Self::AssociateAccept => ASSOCIATE_PDU_LIMIT,
            Self::Data => OFFERED_PDU_LENGTH + DATA_PDU_SLACK,
            _ => CONTROL_PDU_LIMIT,
        }
    }
}

/// What stands before a fragment (PS3.8 §9.3.5.1 and annex E).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PdvHeader {
    pub context: u8,
    pub is_command: bool,
    pub is_last: bool,
    pub length: u32,
}

/// How long a peer may take to close a connection over which nothing more is said.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// Reads and writes PDUs; keeps the bytes read ahead, so that giving up on a read loses nothing.
pub struct PduStream {
    stream: BoxedStream,
    inbox: BytesMut,
    outbox: Vec<u8>,
    timeouts: Timeouts,
    /// When the PDU that is being read must be complete.
    deadline: Instant,
    /// Bytes of the current P-DATA that are not yet read.
    data_left: u32,
}

impl PduStream {
    pub fn new(stream: BoxedStream, timeouts: Timeouts) -> Self {
        Self {
            stream,
            inbox: BytesMut::new(),
            outbox: Vec::new(),
            timeouts,
            deadline: Instant::now(),
            data_left: 0,
        }
    }

    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Whether a P-DATA is half read.
    pub fn within_data(&self) -> bool {
        self.data_left > 0
    }

    /// Whether bytes of the next PDU are here already.
    pub fn has_read_ahead(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// Waits for the next PDU's first bytes, `wait` at most, and reads its header within the PDU's own time.
    pub async fn read_header(
        &mut self,
        wait: Duration,
        what: &'static str,
    ) -> Result<(PduType, u32), PduError> {
        self.wait_for_bytes(wait, what).await?;
        self.deadline = Instant::now() + self.timeouts.pdu;
        self.fill(PDU_HEADER_BYTES).await?;
        let byte = self.inbox.get_u8();
        self.inbox.advance(1);
        let length = self.inbox.get_u32();
        let kind = PduType::from_byte(byte).ok_or(PduError::UnknownType(byte))?;
        let limit = kind.limit();
        if length > limit {
            return Err(PduError::TooLong {
                kind: byte,
                length,
                limit,
            });
        }
        if kind == PduType::Data {
            if length == 0 {
                // Such PDUs would keep an association alive, and us busy, without a word (PS3.8 §9.3.5).
                return Err(PduError::Malformed("P-DATA without a value"));
            }
            self.data_left = length;
        }
        Ok((kind, length))
    }

    /// Waits until at least one byte of the next PDU is here.
    pub async fn wait_for_bytes(
        &mut self,
        wait: Duration,
        what: &'static str,
    ) -> Result<(), PduError> {
        if !self.inbox.is_empty() {
            return Ok(());
        }
        match timeout(wait, self.read_some()).await {
            Ok(done) => done,
            Err(_) => Err(PduError::TooSlow { what, limit: wait }),
        }
    }

    /// The body of a PDU other than P-DATA, parsed.
    pub async fn read_body(&mut self, kind: PduType, length: u32) -> Result<Pdu, PduError> {
        let length = length as usize;
        self.fill(length).await?;
        let body = self.inbox.split_to(length);
        let mut whole = BytesMut::with_capacity(PDU_HEADER_BYTES + length);
        whole.put_u8(match kind {
            PduType::AssociateRequest => 1,
            PduType::AssociateAccept => 2,
            PduType::AssociateReject => 3,
            PduType::Data => 4,
            PduType::ReleaseRequest => 5,
            PduType::ReleaseResponse => 6,
            PduType::Abort => 7,
        });
        whole.put_u8(0);
        whole.put_u32(length as u32);
        whole.put_slice(&body);
        dicom_ul::pdu::read_pdu(whole.freeze(), ASSOCIATE_PDU_LIMIT, true)
            .map_err(|error| PduError::Association(Box::new(error)))?
            .ok_or(PduError::Malformed("an item is longer than its PDU"))
    }

    /// The next fragment's header within the current P-DATA; `None` at its end.
    pub async fn next_fragment(&mut self) -> Result<Option<PdvHeader>, PduError> {
        if self.data_left == 0 {
            return Ok(None);
        }
        let after_header = self
            .data_left
            .checked_sub(PDV_HEADER_BYTES as u32)
            .ok_or(PduError::Malformed("P-DATA ends within an item's header"))?;
        self.fill(PDV_HEADER_BYTES).await?;
        let item = self.inbox.get_u32();
        let context = self.inbox.get_u8();
        let control = self.inbox.get_u8();
        let length = item.checked_sub(2).ok_or(PduError::Malformed(
            "presentation data value shorter than 2 bytes",
        ))?;
        if length > after_header {
            return Err(PduError::Malformed(
                "presentation data value longer than its PDU",
            ));
        }
        self.data_left = after_header;
        Ok(Some(PdvHeader {
            context,
            is_command: control & 1 != 0,
            is_last: control & 2 != 0,
            length,
        }))
    }

    /// Moves exactly `length` bytes of the current fragment into `target`.
    pub async fn read_fragment(
        &mut self,
        target: &mut BytesMut,
        length: u32,
    ) -> Result<(), PduError> {
        let ahead = self.inbox.len().min(length as usize);
        target.extend_from_slice(&self.inbox.split_to(ahead));
        let mut missing = length as usize - ahead;
        let (deadline, limit) = (self.deadline, self.timeouts.pdu);
        while missing > 0 {
            let mut room = target.limit(missing);
            let read = timeout_at(deadline, self.stream.read_buf(&mut room))
                .await
                .map_err(|_| PduError::TooSlow {
                    what: "complete PDU",
                    limit,
                })??;
            if read == 0 {
                return Err(PduError::Closed);
            }
            missing = missing.saturating_sub(read);
        }
        self.data_left = self.data_left.saturating_sub(length);
        Ok(())
    }

    /// Takes what the socket holds right now without waiting; true if the next PDU is complete in memory.
    ///
    /// Only for control messages: a PDU larger than the read-ahead is not reported.
    pub fn poll_whole_pdu(&mut self) -> Result<bool, PduError> {
        use futures::FutureExt;
        loop {
            if self.whole_pdu_is_here() {
                return Ok(true);
            }
            if self.inbox.len() >= READ_AHEAD_BYTES {
                return Ok(false);
            }
            match self.read_some().now_or_never() {
                None => return Ok(false),
                Some(done) => done?,
            }
        }
    }

    /// Waits until the next PDU is complete in memory, for as long as it takes; fails when the peer is gone. A PDU that
    /// is half read, and one larger than the read-ahead, are waited for in vain. Giving up loses nothing.
    pub async fn wait_for_whole_pdu(&mut self) -> Result<(), PduError> {
        while self.within_data() || !self.whole_pdu_is_here() {
            if self.within_data() || self.inbox.len() >= READ_AHEAD_BYTES {
                return std::future::pending().await;
            }
            self.read_some().await?;
        }
        Ok(())
    }

    fn whole_pdu_is_here(&self) -> bool {
        let mut header = self.inbox.as_ref();
        if header.len() < PDU_HEADER_BYTES {
            return false;
        }
        header.advance(2);
        let length = header.get_u32() as usize;
        header.len() >= length
    }

    async fn fill(&mut self, needed: usize) -> Result<(), PduError> {
        let (deadline, limit) = (self.deadline, self.timeouts.pdu);
        while self.inbox.len() < needed {
            timeout_at(deadline, self.read_some())
                .await
                .map_err(|_| PduError::TooSlow {
                    what: "complete PDU",
                    limit,
                })??;
        }
        Ok(())
    }

    async fn read_some(&mut self) -> Result<(), PduError> {
        if self.inbox.capacity() - self.inbox.len() < READ_AHEAD_BYTES {
            self.inbox.reserve(READ_AHEAD_BYTES);
        }
        let mut room = (&mut self.inbox).limit(READ_AHEAD_BYTES);
        match self.stream.read_buf(&mut room).await? {
            0 => Err(PduError::Closed),
            _ => Ok(()),
        }
    }

    /// Writes one PDU other than P-DATA, with whatever was queued before it.
    pub async fn write(&mut self, pdu: &Pdu) -> Result<(), PduError> {
        dicom_ul::pdu::write_pdu(&mut self.outbox, pdu)
            .map_err(|error| PduError::Unwritable(Box::new(error)))?;
        self.flush().await
    }

    /// Puts a P-DATA with one fragment into the queue, to leave with the next write.
    pub fn queue_data(&mut self, context: u8, is_command: bool, is_last: bool, fragment: &[u8]) {
        let header = data_header(context, is_command, is_last, fragment.len());
        self.outbox.extend_from_slice(&header);
        self.outbox.extend_from_slice(fragment);
    }

    /// Bytes in the queue.
    pub fn queued_bytes(&self) -> usize {
        self.outbox.len()
    }

    /// Writes a P-DATA with one fragment, and the queue before it, in one system call where the stream allows.
    pub async fn write_data(
        &mut self,
        context: u8,
        is_last: bool,
        fragment: &[u8],
    ) -> Result<(), PduError> {
        if !self.stream.is_write_vectored() {
            self.queue_data(context, false, is_last, fragment);
            return self.flush().await;
        }
        let header = data_header(context, false, is_last, fragment.len());
        self.outbox.extend_from_slice(&header);
        let mut slices = [IoSlice::new(&self.outbox), IoSlice::new(fragment)];
        let limit = self.timeouts.write;
        timeout(limit, write_all_slices(&mut self.stream, &mut slices))
            .await
            .map_err(|_| PduError::TooSlow {
                what: "room to write",
                limit,
            })??;
        self.outbox.clear();
        Ok(())
    }

    /// Writes the queue.
    pub async fn flush(&mut self) -> Result<(), PduError> {
        let limit = self.timeouts.write;
        let (stream, outbox) = (&mut self.stream, &self.outbox);
        timeout(limit, async {
            stream.write_all(outbox).await?;
            stream.flush().await
        })
        .await
        .map_err(|_| PduError::TooSlow {
            what: "room to write",
            limit,
        })??;
        self.outbox.clear();
        self.outbox.shrink_to(OUTBOX_KEPT_BYTES);
        Ok(())
    }

    /// Waits until the peer, which has read the last PDU, closes the connection, and does so itself if it does not: the side
    /// that answered does not close first (PS3.8 §9.2.3, state 13). What still comes is thrown away; a connection that is closed
    /// with it unread is reset, and then the peer never sees the PDU. Some peers take a close that comes with a rejection
    /// for the end of the connection alone.
    pub async fn until_closed(&mut self) {
        let closed = async {
            let mut unread = [0; 4096];
            while matches!(self.stream.read(&mut unread).await, Ok(1..)) {}
        };
        let _ = timeout(CLOSE_LIMIT, closed).await;
        self.shutdown().await;
    }

    /// Ends the sending side, so that the peer reads the last PDU before the connection goes.
    pub async fn shutdown(&mut self) {
        let _ = timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }
}

async fn write_all_slices(
    stream: &mut BoxedStream,
    mut slices: &mut [IoSlice<'_>],
) -> std::io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let written = stream.write_vectored(slices).await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut slices, written);
    }
    stream.flush().await
}

fn data_header(
    context: u8,
    is_command: bool,
    is_last: bool,
    length: usize,
) -> [u8; PDU_HEADER_BYTES + PDV_HEADER_BYTES] {
    let item = (length as u32).saturating_add(2);
    let [p0, p1, p2, p3] = item.saturating_add(4).to_be_bytes();
    let [i0, i1, i2, i3] = item.to_be_bytes();
    let control = u8::from(is_command) | (u8::from(is_last) << 1);
    [4, 0, p0, p1, p2, p3, i0, i1, i2, i3, context, control]
}
