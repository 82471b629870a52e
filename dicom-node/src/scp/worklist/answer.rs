//! An entry as its answer: the attributes that were asked for, in the character set that was asked in.
//!
//! A machine that declares no set, or one without a character that a text has, shows what it gets in ASCII: names have their
//! reading alone, other texts are answered as theirs, and nothing as question marks.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use yingku_core::names::{PersonName, romanised};

use super::entry::{Entry, OF_A_STEP, SH_CHARACTERS, Value};
use super::question::Question;
use crate::dataset::{DataSetWriter, vr_of};
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
    let write = |writer: &mut DataSetWriter, tag: Tag, value: Option<Value>| {
        put(writer, charset, tag, value);
    };
    let mut answer = DataSetWriter::new();
    for tag in question.keys.tags() {
        if tag == tags::SCHEDULED_PROCEDURE_STEP_SEQUENCE {
            let mut step = DataSetWriter::new();
            let asked: Vec<Tag> = question.step.tags().collect();
            // A step of which nothing is asked is asked for whole (PS3.4 §C.2.2.2.6).
            let all = if asked.is_empty() {
                &OF_A_STEP[..]
            } else {
                &asked
            };
            for tag in all {
                write(&mut step, *tag, entry.of_step(*tag));
            }
            answer.put_items(tag, vec![step]);
        } else {
            write(&mut answer, tag, entry.of_root(tag));
        }
    }
    answer.encode(transfer_syntax, charset)
}

/// What is not known here comes back empty.
fn put(writer: &mut DataSetWriter, charset: &CharacterSet, tag: Tag, value: Option<Value>) {
    match value {
        Some(Value::Text(text)) => {
            writer.put(tag, shown(charset, vr_of(tag), &text));
        }
        Some(Value::Name(name)) => {
            writer.put(tag, shown_name(charset, &name));
        }
        Some(Value::Items(items)) => {
            let item = |attributes: Vec<(Tag, String)>| {
                let mut item = DataSetWriter::new();
                for (tag, text) in attributes {
                    item.put(tag, shown(charset, vr_of(tag), &text));
                }
                item
            };
            writer.put_items(tag, items.into_iter().map(item).collect());
        }
        None => {
            writer.put(tag, "");
        }
    }
}

fn shown_name(charset: &CharacterSet, name: &PersonName) -> String {
    let both = name.both();
    match charset.encode(&both) {
        Some(_) => both,
        None => name.alphabetic.clone(),
    }
}

/// One value, as long as its VR allows.
fn shown(charset: &CharacterSet, vr: VR, text: &str) -> String {
    let limit = match vr {
        VR::SH | VR::CS | VR::AE => SH_CHARACTERS,
        _ => TEXT_CHARACTERS,
    };
    let plain = |c: char| match c {
        '\\' => '/',
        c if c.is_control() => ' ',
        c => c,
    };
    let whole: String = text.chars().map(plain).collect();
    let whole = match charset.encode(&whole) {
        Some(_) => whole,
        None => romanised(&whole),
    };
    let cut: String = whole.chars().take(limit).collect();
    cut.trim().to_owned()
}
