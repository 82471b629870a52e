#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::*;

fn set(terms: &str) -> CharacterSet {
    CharacterSet::from_element(terms.as_bytes(), Undeclared::Gb18030)
}

#[test]
fn a_backslash_within_a_character_separates_nothing() {
    let names = ["診", "誠", "鈂", "運", "錦", "衆"];
    for terms in ["GB18030", "GBK"] {
        let set = set(terms);
        for name in names {
            let bytes = set.encode(name).unwrap();
            assert_eq!(
                bytes[1], 0x5C,
                "{name} is a character of the kind that is meant"
            );
            let two = [bytes.as_slice(), b"\\", bytes.as_slice()].concat();
            let text = set.decode(&two);
            assert_eq!(values(&text).collect::<Vec<_>>(), [name, name]);
        }
    }
}

#[test]
fn the_standards_own_examples_are_read() {
    // PS3.5 annexes H, I, J and K.
    let cases: [(&str, &[u8], &str); 5] = [
        (
            "\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (
            "ISO 2022 IR 13\\ISO 2022 IR 87",
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
        ),
        (
            "\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            "Hong^Gildong=洪^吉洞=홍^길동",
        ),
        (
            "\\ISO 2022 IR 58",
            b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
            "Zhang^XiaoDong=张^小东=",
        ),
        ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
    ];
    for (terms, bytes, expected) in cases {
        assert_eq!(set(terms).decode_person_name(bytes), expected, "{terms}");
    }
}

#[test]
fn undeclared_bytes_are_utf8_or_gb18030() {
    let (gbk, _, _) = encoding_rs::GBK.encode("张小东");
    for terms in ["", "ISO_IR 6", "ISO_IR 192"] {
        assert_eq!(set(terms).decode("张小东".as_bytes()), "张小东");
        assert_eq!(set(terms).decode(&gbk), "张小东");
    }
    let latin = CharacterSet::from_element(b"", Undeclared::Latin1);
    assert_eq!(latin.decode(b"M\xfcller"), "Müller");
}

#[test]
fn undeclared_gbk_names_that_pass_for_utf8_are_read_as_gbk() {
    for name in ["毛伟", "郑伟", "谢强", "肖伟", "Mao^Wei=毛^伟"] {
        let (gbk, _, _) = encoding_rs::GBK.encode(name);
        assert!(
            std::str::from_utf8(&gbk).is_ok(),
            "{name} is of the kind meant"
        );
        for terms in ["", "ISO_IR 6"] {
            assert_eq!(set(terms).decode_person_name(&gbk), name);
        }
    }
    // What is declared, and what no GB18030 can be, stays what it is
    assert_eq!(set("ISO_IR 192").decode("Müller".as_bytes()), "Müller");
    assert_eq!(set("").decode("ÿ€".as_bytes()), "ÿ€");
    let latin = CharacterSet::from_element(b"", Undeclared::Latin1);
    assert_eq!(latin.decode("Müller".as_bytes()), "Müller");
}

#[test]
fn an_escape_sequence_that_is_not_repeated_goes_on() {
    let bytes = b"\x1b$)A\xd5\xc5^\xd0\xa1\xb6\xab";
    assert_eq!(set("\\ISO 2022 IR 58").decode_person_name(bytes), "张^小东");
}

#[test]
fn what_is_encoded_reads_back() {
    let cases = [
        ("GB18030", "买买提·艾合买提^𠮷"),
        ("GBK", "鈂^診"),
        ("ISO_IR 192", "张^小东 Ünal"),
        ("\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东"),
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO 2022 IR 100\\ISO 2022 IR 58", "Müller^Jürgen"),
        ("ISO 2022 IR 100\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东"),
        ("ISO 2022 IR 144\\ISO 2022 IR 58", "Zhang^XiaoDong=张^小东"),
        ("ISO_IR 144", "Люкceмбypг"),
    ];
    for (terms, text) in cases {
        let set = set(terms);
        assert_eq!(
            set.decode_person_name(&set.encode(text).unwrap()),
            text,
            "{terms}"
        );
    }
}

#[test]
fn a_character_that_a_set_lacks_is_not_replaced_in_silence() {
    for terms in ["ISO_IR 100", "", "\\ISO 2022 IR 58", "GBK"] {
        assert_eq!(set(terms).encode("𠮷"), None, "{terms}");
    }
}

/// Random bytes in every set: text comes of it, never a panic.
#[test]
fn any_bytes_decode_to_something() {
    let sets = [
        "",
        "GB18030",
        "\\ISO 2022 IR 87",
        "\\ISO 2022 IR 58",
        "ISO_IR 13",
        "ISO_IR 192",
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for round in 0..20_000 {
        let bytes: Vec<u8> = (0..round % 40)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let byte = (state >> 56) as u8;
                if byte.is_multiple_of(7) { 0x1B } else { byte }
            })
            .collect();
        for terms in sets {
            let text = set(terms).decode_person_name(&bytes);
            assert!(text.len() <= bytes.len() * 4);
        }
    }
}
