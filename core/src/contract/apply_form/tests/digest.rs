//! Which contents are the same (R14).

use super::*;

#[test]
fn what_is_the_same_content_has_the_same_digest() {
    let digest = taken(SAMPLE).body.digest;
    for text in [
        // Blanks, the licence and the program
        SAMPLE.replace("<", " <").replace(">", "> "),
        with(" 0A1B2C3D4E5F60718293A4B5C6D7E8F9", "OTHER"),
        with("<Application>HIS<", "<Application>基卫<"),
        // Another action with the same document
        with("<Action>INSERT<", "<Action>UPDATE<"),
        // Elements in another order, and ones that nobody knows
        with_all(&[
            ("<OutRegNo>001</OutRegNo>", ""),
            (
                "<IsCritical/>",
                "<Vendor>x</Vendor><OutRegNo>001</OutRegNo>",
            ),
        ]),
        // Another spelling of the numbers
        with_all(&[
            ("<ApplyNo>7173_", "<ApplyNo>350006_"),
            ("<SickNo>7173_", "<SickNo>"),
        ]),
    ] {
        assert_eq!(taken(&text).body.digest, digest);
    }
}

#[test]
fn every_other_content_has_another_digest() {
    let changed = [
        with("<ApplyNo>7173_00000001", "<ApplyNo>7173_00000002"),
        with("<SickNo>7173_C0001", "<SickNo>7173_C0002"),
        with("<PerformDept code=\"0009\">", "<PerformDept code=\"0008\">"),
        with("<PerformDept code=\"0009\">", "<PerformDept>"),
        with("<Count>1<", "<Count>2<"),
        with("<Organ>胸部</Organ>", "<Organ>胸</Organ><Organ>部</Organ>"),
        with(
            "<ClinSymp>胸闷 </ClinSymp><ClinDiag>待查</ClinDiag>",
            "<ClinSymp>待查</ClinSymp><ClinDiag>胸闷</ClinDiag>",
        ),
        with(
            SAMPLE_ELEMENT,
            "<SampleInfo><SampleName>胃</SampleName></SampleInfo>",
        ),
        with("<LastMensesDate>0<", "<LastMensesDate>2026-07-01<"),
    ];
    let mut digests: Vec<_> = changed.iter().map(|text| taken(text).body.digest).collect();
    digests.push(taken(SAMPLE).body.digest);
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), changed.len() + 1);
}

#[test]
fn the_digest_of_a_content_never_changes() {
    // Releases compare a form that comes again with a digest that an earlier one has stored.
    let hex: String = taken(SAMPLE)
        .body
        .digest
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, "f891e690a88222f5cd68467bbde2cc5b");
}
