//! Walks a data set as its bytes arrive, with an explicit stack and without recursion.

use dicom_core::Tag;

use super::element::{
    Encoding, Header, ITEM, ITEM_END, Kind, LONGEST_HEADER, PIXEL_DATA, SEQUENCE_END, UNDEFINED,
    parse_header,
};
use super::facts::Kept;
use super::{DEPTH_LIMIT, ELEMENT_LIMIT, ScanError, TEXT_LIMIT};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FrameKind {
    Sequence,
    Item,
    /// Encapsulated pixel data (PS3.5 §A.4).
    Fragments,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: FrameKind,
    /// Where it ends, if its length is defined.
    end: Option<u64>,
    /// Where it must have ended: its own end or that of what encloses it.
    limit: u64,
    encoding: Encoding,
}

#[derive(Debug)]
enum State {
    Header,
    Skip(u64),
    Keep { tag: Tag, left: u64 },
}

pub struct Walker {
    state: State,
    stack: Vec<Frame>,
    root: Encoding,
    root_limit: u64,
    /// Whether elements of group 0002 are passed over instead of refused.
    takes_file_meta: bool,
    /// Bytes taken so far.
    at: u64,
    elements: u64,
    /// A header that arrived in pieces.
    carry: Vec<u8>,
    kept: Kept,
}

impl Walker {
    pub fn new(encoding: Encoding, limit: u64) -> Self {
        Self {
            state: State::Header,
            stack: Vec::new(),
            root: encoding,
            root_limit: limit,
            takes_file_meta: false,
            at: 0,
            elements: 0,
            carry: Vec::with_capacity(LONGEST_HEADER),
            kept: Kept::new(encoding),
        }
    }

    /// For a query's identifier: Orthanc puts an empty (0002,0003) into its own.
    pub fn with_file_meta(self) -> Self {
        Self {
            takes_file_meta: true,
            ..self
        }
    }

    pub fn feed(&mut self, mut input: &[u8]) -> Result<(), ScanError> {
        while !input.is_empty() {
            match self.state {
                State::Header => {
                    self.close_ended()?;
                    let Some(header) = self.take_header(&mut input)? else {
                        return Ok(());
                    };
                    self.enter(header)?;
                }
                State::Skip(left) => {
                    let taken = self.pass(&mut input, left).len() as u64;
                    self.state = if taken == left {
                        State::Header
                    } else {
                        State::Skip(left - taken)
                    };
                }
                State::Keep { tag, left } => {
                    let piece = self.pass(&mut input, left);
                    let taken = piece.len() as u64;
                    self.kept.append(piece);
                    if taken == left {
                        self.kept.complete(tag)?;
                        self.state = State::Header;
                    } else {
                        self.state = State::Keep {
                            tag,
                            left: left - taken,
                        };
                    }
                }
            }
        }
        Ok(())
    }

    /// The data set is over: it must be whole.
    pub fn finish(mut self) -> Result<Kept, ScanError> {
        if self.at == 0 {
            return Err(ScanError::Empty);
        }
        let between = matches!(self.state, State::Header) && self.carry.is_empty();
        if between {
            self.close_ended()?;
        }
        if !between || !self.stack.is_empty() {
            return Err(ScanError::Truncated(self.at));
        }
        Ok(self.kept)
    }

    fn pass<'a>(&mut self, input: &mut &'a [u8], left: u64) -> &'a [u8] {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let (piece, rest) = input.split_at(taken);
        *input = rest;
        self.at = self.at.saturating_add(taken as u64);
        piece
    }

    fn encoding(&self) -> Encoding {
        self.stack.last().map_or(self.root, |frame| frame.encoding)
    }

    fn limit(&self) -> u64 {
        self.stack
            .last()
            .map_or(self.root_limit, |frame| frame.limit)
    }

    /// Leaves sequences and items of defined length that end here.
    fn close_ended(&mut self) -> Result<(), ScanError> {
        if !self.carry.is_empty() {
            return Ok(());
        }
        while self
            .stack
            .last()
            .is_some_and(|frame| frame.end == Some(self.at))
        {
            self.stack.pop();
        }
        if !self.stack.is_empty() && self.at >= self.limit() {
            return Err(ScanError::Truncated(self.at));
        }
        Ok(())
    }

    fn take_header(&mut self, input: &mut &[u8]) -> Result<Option<Header>, ScanError> {
        let encoding = self.encoding();
        let at = self.at;
        let bad_vr = |tag| ScanError::Vr { tag, at };
        if self.carry.is_empty() {
            return match parse_header(input, encoding).map_err(bad_vr)? {
                Some(header) => {
                    self.pass(input, header.size as u64);
                    Ok(Some(header))
                }
                None => {
                    self.carry.extend_from_slice(input);
                    *input = &[];
                    Ok(None)
                }
            };
        }
        let before = self.carry.len();
        let more = (LONGEST_HEADER - before.min(LONGEST_HEADER)).min(input.len());
        let (piece, _) = input.split_at(more);
        self.carry.extend_from_slice(piece);
        match parse_header(&self.carry, encoding).map_err(bad_vr)? {
            Some(header) => {
                let used = header.size.saturating_sub(before).min(input.len());
                let (_, rest) = input.split_at(used);
                *input = rest;
                self.at = self.at.saturating_add(header.size as u64);
                self.carry.clear();
                Ok(Some(header))
            }
            None => {
                *input = &[];
                Ok(None)
            }
        }
    }

    /// `self.at` is now where the value begins.
    fn enter(&mut self, header: Header) -> Result<(), ScanError> {
        self.elements += 1;
        if self.elements > ELEMENT_LIMIT {
            return Err(ScanError::TooManyElements);
        }
        let Header { tag, length, .. } = header;
        let start = self.at.saturating_sub(header.size as u64);
        let end = self.at.saturating_add(u64::from(length));
        if self.at > self.limit() || (length != UNDEFINED && end > self.limit()) {
            return Err(if self.stack.is_empty() {
                ScanError::DataSetTooLong
            } else {
                ScanError::TooLong { tag, at: start }
            });
        }
        match self.stack.last().map(|frame| frame.kind) {
            Some(FrameKind::Sequence) => self.enter_in_sequence(header, start),
            Some(FrameKind::Fragments) => self.enter_in_fragments(header, start),
            Some(FrameKind::Item) | None => self.enter_element(header, start),
        }
    }

    fn enter_in_sequence(&mut self, header: Header, start: u64) -> Result<(), ScanError> {
        let undefined = self.stack.last().is_some_and(|frame| frame.end.is_none());
        match header.tag {
            ITEM => {
                let encoding = self.encoding();
                self.push(FrameKind::Item, header.length, encoding)
            }
            SEQUENCE_END if undefined && header.length == 0 => {
                self.stack.pop();
                Ok(())
            }
            tag => Err(ScanError::OutOfPlace { tag, at: start }),
        }
    }

    fn enter_in_fragments(&mut self, header: Header, start: u64) -> Result<(), ScanError> {
        match header.tag {
            ITEM if header.length == UNDEFINED => Err(ScanError::UndefinedLength {
                tag: ITEM,
                at: start,
            }),
            ITEM => {
                self.skip(header.length);
                Ok(())
            }
            SEQUENCE_END if header.length == 0 => {
                self.stack.pop();
                Ok(())
            }
            tag => Err(ScanError::OutOfPlace { tag, at: start }),
        }
    }

    fn enter_element(&mut self, header: Header, start: u64) -> Result<(), ScanError> {
        let Header {
            tag, kind, length, ..
        } = header;
        if tag.group() == 0xFFFE {
            let open_item = self.stack.last().is_some_and(|frame| frame.end.is_none());
            if tag == ITEM_END && open_item && length == 0 {
                self.stack.pop();
                return Ok(());
            }
            return Err(ScanError::OutOfPlace { tag, at: start });
        }
        // Command and file meta elements have no business in a data set: a reader would take them for its own.
        if tag.group() == 0x0000 || tag.group() == 0x0002 && !self.takes_file_meta {
            return Err(ScanError::OutOfPlace { tag, at: start });
        }
        let encoding = self.encoding();
        if length == UNDEFINED {
            return match kind {
                Kind::Bytes if tag == PIXEL_DATA => {
                    self.push(FrameKind::Fragments, UNDEFINED, encoding)
                }
                Kind::Sequence => self.push(FrameKind::Sequence, UNDEFINED, encoding),
                Kind::Unknown => {
                    let inside = Encoding {
                        explicit: false,
                        ..encoding
                    };
                    self.push(FrameKind::Sequence, UNDEFINED, inside)
                }
                _ => Err(ScanError::UndefinedLength { tag, at: start }),
            };
        }
        match kind {
            Kind::Sequence => self.push(FrameKind::Sequence, length, encoding),
            Kind::Text if length > TEXT_LIMIT => Err(ScanError::TextTooLong {
                tag,
                at: start,
                length,
            }),
            _ if self.stack.is_empty() && Kept::wants(tag) => {
                self.kept.begin();
                if length == 0 {
                    return self.kept.complete(tag);
                }
                self.state = State::Keep {
                    tag,
                    left: u64::from(length),
                };
                Ok(())
            }
            _ => {
                self.skip(length);
                Ok(())
            }
        }
    }

    fn skip(&mut self, length: u32) {
        if length > 0 {
            self.state = State::Skip(u64::from(length));
        }
    }

    fn push(&mut self, kind: FrameKind, length: u32, encoding: Encoding) -> Result<(), ScanError> {
        // A sequence and its item are two frames.
        if self.stack.len() >= 2 * DEPTH_LIMIT {
            return Err(ScanError::TooDeep(self.at));
        }
        let end = (length != UNDEFINED).then(|| self.at.saturating_add(u64::from(length)));
        let limit = end.unwrap_or(self.limit());
        self.stack.push(Frame {
            kind,
            end,
            limit,
            encoding,
        });
        Ok(())
    }
}
