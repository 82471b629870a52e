//! A workbook of one sheet, as spreadsheet programs open it (ECMA-376, .xlsx): five parts of XML in a ZIP file. Texts stand in
//! their cells, so a sheet is written line by line.
//!
//! The libraries for it write through a ZIP library that would have deflating done otherwise in the whole program, in the
//! reading of deflated DICOM too; what is needed of both formats is this.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

const XML: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#;

const CONTENT_TYPES: &str = r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>"#;

const PACKAGE: &str = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;

const SHEETS: &str = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#;

/// The first line stays in sight.
const SHEET_BEGIN: &str = r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><sheetData>"#;
const SHEET_END: &str = "</sheetData></worksheet>";

/// A workbook in the making.
pub struct Workbook {
    title: String,
    sheet: String,
    rows: u32,
}

impl Workbook {
    /// `title`: of its sheet; 31 characters at most, without `[]:*?/\`.
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            sheet: format!("{XML}{SHEET_BEGIN}"),
            rows: 0,
        }
    }

    /// The next line.
    pub fn row(&mut self) -> Row<'_> {
        self.rows += 1;
        let _ = write!(self.sheet, "<row r=\"{}\">", self.rows);
        Row {
            workbook: self,
            columns: 0,
        }
    }

    /// Bytes of the file.
    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        self.sheet.push_str(SHEET_END);
        let workbook = format!(
            "{XML}<workbook xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"><sheets><sheet name=\"{}\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>",
            escaped(&self.title)
        );
        let mut zip = Zip::default();
        zip.add("[Content_Types].xml", &format!("{XML}{CONTENT_TYPES}"))?;
        zip.add("_rels/.rels", &format!("{XML}{PACKAGE}"))?;
        zip.add("xl/workbook.xml", &workbook)?;
        zip.add("xl/_rels/workbook.xml.rels", &format!("{XML}{SHEETS}"))?;
        zip.add("xl/worksheets/sheet1.xml", &self.sheet)?;
        zip.finish()
    }
}

/// A line in the making; its cells go from left to right.
pub struct Row<'w> {
    workbook: &'w mut Workbook,
    columns: u32,
}

impl Row<'_> {
    pub fn text(&mut self, text: &str) {
        let place = self.place();
        let _ = write!(
            self.workbook.sheet,
            "<c r=\"{place}\" t=\"inlineStr\"><is><t xml:space=\"preserve\">{}</t></is></c>",
            escaped(text)
        );
    }

    pub fn number(&mut self, number: f64) {
        let place = self.place();
        let _ = write!(self.workbook.sheet, "<c r=\"{place}\"><v>{number}</v></c>");
    }

    pub fn empty(&mut self) {
        self.columns += 1;
    }

    /// As a formula names it: A1, B1, …, AA1.
    fn place(&mut self) -> String {
        self.columns += 1;
        let (mut left, mut letters) = (self.columns, Vec::new());
        while left > 0 {
            left -= 1;
            letters.push(char::from(b'A' + (left % 26) as u8));
            left /= 26;
        }
        letters.iter().rev().collect::<String>() + &self.workbook.rows.to_string()
    }
}

impl Drop for Row<'_> {
    fn drop(&mut self) {
        self.workbook.sheet.push_str("</row>");
    }
}

/// Text of an element or attribute; characters that XML cannot have become blanks.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A ZIP file (APPNOTE.TXT §4.3) of deflated entries below 4 GiB.
#[derive(Default)]
struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    entries: u16,
}

/// §4.4.3: deflate needs 2.0.
const VERSION: u16 = 20;
/// §4.4.4: names are UTF-8.
const UTF_8: u16 = 1 << 11;
const DEFLATED: u16 = 8;
/// §4.4.6, in MS-DOS' way: 1980-01-01, so that equal answers are equal files.
const DATE: u16 = 1 << 5 | 1;

impl Zip {
    fn add(&mut self, name: &str, text: &str) -> io::Result<()> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes())?;
        let packed = encoder.finish()?;
        let mut crc = Crc::new();
        crc.update(text.as_bytes());
        let at = length(self.bytes.len())?;
        let mut common = Vec::new();
        for field in [VERSION, UTF_8, DEFLATED, 0, DATE] {
            common.extend_from_slice(&field.to_le_bytes());
        }
        for field in [crc.sum(), length(packed.len())?, length(text.len())?] {
            common.extend_from_slice(&field.to_le_bytes());
        }
        let name_length = u16::try_from(name.len()).map_err(io::Error::other)?;
        common.extend_from_slice(&name_length.to_le_bytes());
        common.extend_from_slice(&0u16.to_le_bytes());
        // §4.3.7
        self.bytes.extend_from_slice(b"PK\x03\x04");
        self.bytes.extend_from_slice(&common);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(&packed);
        // §4.3.12
        self.directory.extend_from_slice(b"PK\x01\x02");
        self.directory.extend_from_slice(&VERSION.to_le_bytes());
        self.directory.extend_from_slice(&common);
        // Neither comment, disk nor attributes.
        self.directory.extend_from_slice(&[0; 10]);
        self.directory.extend_from_slice(&at.to_le_bytes());
        self.directory.extend_from_slice(name.as_bytes());
        self.entries += 1;
        Ok(())
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        let at = length(self.bytes.len())?;
        let directory = length(self.directory.len())?;
        self.bytes.append(&mut self.directory);
        // §4.3.16
        self.bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        for entries in [self.entries, self.entries] {
            self.bytes.extend_from_slice(&entries.to_le_bytes());
        }
        for field in [directory, at] {
            self.bytes.extend_from_slice(&field.to_le_bytes());
        }
        self.bytes.extend_from_slice(&[0; 2]);
        Ok(self.bytes)
    }
}

fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_as_a_spreadsheet_names_them() {
        let mut workbook = Workbook::new("t");
        let mut row = workbook.row();
        let places: Vec<String> = (0..703).map(|_| row.place()).collect();
        for (at, place) in [
            (0, "A1"),
            (25, "Z1"),
            (26, "AA1"),
            (701, "ZZ1"),
            (702, "AAA1"),
        ] {
            assert_eq!(places.get(at).map(String::as_str), Some(place));
        }
    }

    #[test]
    fn what_xml_cannot_have_is_escaped_or_blank() {
        assert_eq!(escaped("<&>\"\u{1}\u{b}\n甲"), "&lt;&amp;&gt;&quot;  \n甲");
    }
}
