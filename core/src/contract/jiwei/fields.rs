//! The two field tables of §1 (`core/data/fields/apply_query_*.tsv`), from which requests are checked and messages are
//! written in the contract's order.

use std::sync::LazyLock;

use super::super::json::Json;

/// One row of a table.
#[derive(Debug)]
pub struct WireField {
    /// The key, `medicarecode`.
    pub name: &'static str,
    pub required: bool,
    /// 病人卡号
    pub title: &'static str,
}

pub static REQUEST: LazyLock<Vec<WireField>> =
    LazyLock::new(|| parse(include_str!("../../../data/fields/apply_query_request.tsv")));
pub static RESPONSE: LazyLock<Vec<WireField>> = LazyLock::new(|| {
    parse(include_str!(
        "../../../data/fields/apply_query_response.tsv"
    ))
});

fn parse(table: &'static str) -> Vec<WireField> {
    let row = |line: &'static str| {
        let mut cells = line.split('\t');
        Some(WireField {
            name: cells.next()?,
            required: cells.next()? == "required",
            title: cells.nth(1)?.trim(),
        })
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// An array, an object or a truth value stands where text is meant.
pub struct NotText;

/// The trimmed text of a value; numbers as they were written, null and blanks as absent (R5).
pub fn text<'j>(value: &'j Json<'_>) -> Result<Option<&'j str>, NotText> {
    let text = match value {
        Json::Null => return Ok(None),
        Json::Text(text) | Json::Number(text) => text.trim(),
        Json::Bool(_) | Json::Array(_) | Json::Object(_) => return Err(NotText),
    };
    Ok((!text.is_empty()).then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_the_contracts() {
        let required = |table: &[WireField]| -> Vec<_> {
            let required = table.iter().filter(|field| field.required);
            required.map(|field| field.name).collect()
        };
        assert_eq!(
            required(&REQUEST),
            ["medicarecode", "yyid00", "businesstype", "type"]
        );
        assert_eq!(RESPONSE.len(), 27);
        assert_eq!(required(&RESPONSE), ["idcard", "applydocname", "type"]);
    }
}
