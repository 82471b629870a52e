//! An entry as its answer: the attributes that were asked for, in the character set that was asked in.
//!
//! A machine that declares no set, or one without a character that a text has, shows what it gets in ASCII: names have their
//! reading alone, other texts are answered as theirs, and nothing as question marks.

use std::borrow::Cow;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use yingku_core::names::romanised;

use super::entry::{Entry, SH_CHARACTERS, Value};
use super::question::Question;
use crate::dataset::{AscendingWriter, vr_of};
use crate::text::CharacterSet;

/// VR LO and ST… (PS3.5 §6.2): longer prose than LO has is of no use in a list.
const TEXT_CHARACTERS: usize = 64;

/// The answer, encoded in the caller's transfer syntax.
pub fn encode(
    question: &Question,
    entry: &Entry<'_>,
    charset: &CharacterSet,
    transfer_syntax: &str,
) -> Vec<u8> {
    let mut answer = AscendingWriter::new(transfer_syntax, charset);
    for (tag, vr) in &question.asked {
        if *tag == tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE {
            let mut step = answer.item();
            for (tag, vr) in &question.asked_of_step {
                put(&mut step, (*tag, *vr), entry.of_step(*tag));
            }
            answer.put_items(*tag, vec![step]);
        } else {
            put(&mut answer, (*tag, *vr), entry.of_root(*tag));
        }
    }
    answer.done()
}

/// What is not known here comes back empty.
fn put(writer: &mut AscendingWriter<'_>, (tag, vr): (Tag, VR), value: Option<Value<'_>>) {
    match value {
        Some(Value::Text(text)) => put_text(writer, (tag, vr), text),
        Some(Value::Name(name)) => {
            if !writer.put(tag, vr, &name.both()) {
                writer.put(tag, vr, &name.alphabetic);
            }
        }
        Some(Value::Items(items)) => {
            let items = items.into_iter().map(|attributes| {
                let mut item = writer.item();
                for (tag, text) in attributes {
                    put_text(&mut item, (tag, vr_of(tag)), text.into());
                }
                item
            });
            let items = items.collect();
            writer.put_items(tag, items);
        }
        None if vr == VR::SQ => writer.put_items(tag, Vec::new()),
        None => {
            writer.put(tag, vr, "");
        }
    }
}

fn put_text(writer: &mut AscendingWriter<'_>, (tag, vr): (Tag, VR), text: Cow<'_, str>) {
    let text = plain(text);
    if !writer.put(tag, vr, cut(&text, vr)) {
        writer.put(tag, vr, cut(&romanised(&text), vr));
    }
}

/// Without what separates values, and without control characters.
fn plain(text: Cow<'_, str>) -> Cow<'_, str> {
    let plain = |c: char| match c {
        '\\' => '/',
        c if c.is_control() => ' ',
        c => c,
    };
    match text.contains(|c| plain(c) != c) {
        true => text.chars().map(plain).collect::<String>().into(),
        false => text,
    }
}

/// One value, as long as its VR allows.
fn cut(text: &str, vr: VR) -> &str {
    let limit = match vr {
        VR::SH | VR::CS | VR::AE => SH_CHARACTERS,
        _ => TEXT_CHARACTERS,
    };
    let end = text
        .char_indices()
        .nth(limit)
        .map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text).trim()
}
