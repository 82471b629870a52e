//! Bytes to text without guessing: what is not of the encoding is an error, never a replacement character, because a
//! patient's name would be damaged for good.

use std::borrow::Cow;

use encoding_rs::{DecoderResult, Encoding};

/// Decodes bytes without byte order mark; the error is the offset of the first byte that is not of the encoding.
pub(super) fn strict<'a>(
    encoding: &'static Encoding,
    bytes: &'a [u8],
) -> Result<Cow<'a, str>, usize> {
    if encoding == encoding_rs::UTF_8 || (encoding.is_ascii_compatible() && bytes.is_ascii()) {
        return utf8(bytes);
    }
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let most = decoder.max_utf8_buffer_length_without_replacement(bytes.len());
    let mut text = String::with_capacity(most.ok_or(0usize)?);
    match decoder.decode_to_string_without_replacement(bytes, &mut text, true) {
        (DecoderResult::InputEmpty, _) => Ok(Cow::Owned(text)),
        (_, read) => Err(read.saturating_sub(1)),
    }
}

pub(super) fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, usize> {
    std::str::from_utf8(bytes)
        .map(Cow::Borrowed)
        .map_err(|error| error.valid_up_to())
}

/// GBK, GB2312 and GB18030 are read as GB18030, which contains them.
pub(super) fn is_chinese(encoding: &'static Encoding) -> bool {
    encoding == encoding_rs::GBK || encoding == encoding_rs::GB18030
}
