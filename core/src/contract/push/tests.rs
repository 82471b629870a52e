#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
use super::*;

const SAMPLE: &[u8] = include_bytes!("../../../../tests/fixtures/contract/exam_push.json");

fn parse_with(policy: &ValidationPolicy, bytes: &[u8]) -> Result<Parsed, Box<Refused>> {
    let (aliases, placeholders) = (ClassAliases::default(), Placeholders::default());
    parse(
        bytes,
        None,
        PushContext {
            policy,
            aliases: &aliases,
            placeholders: &placeholders,
        },
    )
}

#[test]
fn the_sample_parses_as_it_stands() {
    let parsed = parse_with(&ValidationPolicy::default(), SAMPLE).expect("the sample");
    assert_eq!(parsed.warnings, []);
    assert!(parsed.flags.is_empty());
}
