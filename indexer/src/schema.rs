//! The fields of a document.

use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions,
};

/// Version of the fields and of what is in them; an index of another one is made anew.
pub const VERSION: u32 = 2;

/// The field in whose order documents lie.
pub const FIRST: &str = "first";

/// Texts that are one term each.
const RAW: &str = "raw";

/// Where what stands. Texts that are one term each: `exam`, `hospital`, `class`, `status`, `source`, `body_part`, `positive`,
/// `device`, `doctor`, `number`, `name`, `whole_name`, `pinyin`, `initials`, `code`, `character`.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// Key of the exam, by which its document is replaced.
    pub exam: Field,
    /// The same to be read back: `ExamKey` as JSON.
    pub key: Field,
    pub hospital: Field,
    /// Canonical class (R10).
    pub class: Field,
    pub status: Field,
    /// 患者来源 by code.
    pub source: Field,
    pub body_part: Field,
    /// `0` or `1`; absent: not said.
    pub positive: Field,
    pub device: Field,
    /// Who wrote or confirmed the report.
    pub doctor: Field,
    /// Day of the exam as a number, 20260704.
    pub day: Field,
    /// First position: the immutable sort key of lists. Documents of a segment lie in this order, the newest first.
    pub first: Field,
    /// Every number of the exam and its patient, large letters.
    pub number: Field,
    /// Every run of the name's characters; and the name as a whole.
    pub name: Field,
    pub whole_name: Field,
    /// Readings of the name and of its parts in sequence: `zhangxiaodong`, `xiaodong`, `dong` …
    pub pinyin: Field,
    /// Their first letters: `zxd`, `xd` …
    pub initials: Field,
    /// Report, items, diagnoses, device and departments in words, with their places.
    pub prose: Field,
    /// Characters of the same, each once: what is found when words were divided otherwise.
    pub character: Field,
    /// ICD codes and what stands before their dot.
    pub code: Field,
}

pub fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let indexed = |tokenizer: &str, option| {
        TextFieldIndexing::default()
            .set_tokenizer(tokenizer)
            .set_fieldnorms(false)
            .set_index_option(option)
    };
    let term =
        || TextOptions::default().set_indexing_options(indexed(RAW, IndexRecordOption::Basic));
    let counted = || term().set_fast(RAW);
    // Their tokens come ready made.
    let placed = || {
        TextOptions::default()
            .set_indexing_options(indexed(RAW, IndexRecordOption::WithFreqsAndPositions))
    };
    let fields = Fields {
        exam: schema.add_text_field("exam", term()),
        key: schema.add_bytes_field("key", STORED),
        hospital: schema.add_text_field("hospital", counted()),
        class: schema.add_text_field("class", counted()),
        status: schema.add_text_field("status", counted()),
        source: schema.add_text_field("source", counted()),
        body_part: schema.add_text_field("body_part", counted()),
        positive: schema.add_text_field("positive", counted()),
        device: schema.add_text_field("device", counted()),
        doctor: schema.add_text_field("doctor", counted()),
        day: schema.add_u64_field("day", FAST | INDEXED),
        first: schema.add_u64_field(FIRST, FAST),
        number: schema.add_text_field("number", term()),
        name: schema.add_text_field("name", term()),
        whole_name: schema.add_text_field("whole_name", term()),
        pinyin: schema.add_text_field("pinyin", term()),
        initials: schema.add_text_field("initials", term()),
        prose: schema.add_text_field("prose", placed()),
        character: schema.add_text_field("character", term()),
        code: schema.add_text_field("code", term()),
    };
    (schema.build(), fields)
}
