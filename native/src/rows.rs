//! Rows of CSV whose values are spelled as JSON has them, or nearly -> lines of JSON, each as Python's `RowConverter`
//! writes it. A row that is not: None.

use std::borrow::Cow;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

/// A longer row is left to Python, which limits its fields.
const MOST_BYTES: usize = 1 << 20;

const MOST_DIGITS_OF_INTEGER: usize = 18;
const MOST_WHOLE_DIGITS: usize = 29;

/// What the text of a field becomes; an empty one is null.
enum Kind {
    Text,
    Uuid,
    Integer,
    Number,
    Boolean,
    Timestamp,
    Date,
}

/// What a line is put together from.
enum Part {
    Json(Vec<u8>),
    /// The field of this index.
    Field(usize, Kind),
}

/// What rows of one header become.
#[pyclass(frozen, module = "sluice_native")]
pub struct Rows {
    delimiter: u8,
    width: usize,
    /// The column that says which of the layouts a row has; None: all have the first one.
    route: Option<usize>,
    layouts: Vec<(Vec<u8>, Vec<Part>)>,
}

/// A piece of JSON, or the index of a field and the type of its property.
#[derive(FromPyObject)]
enum Given {
    Json(String),
    Field((usize, String)),
}

#[pymethods]
impl Rows {
    /// A layout is (event type, its parts: texts, and the index of a field with its type).
    #[new]
    fn new(delimiter: u8, width: usize, route: Option<usize>, layouts: Vec<(String, Vec<Given>)>) -> PyResult<Rows> {
        let layouts = layouts
            .into_iter()
            .map(|(name, parts)| Ok((name.into_bytes(), parts.into_iter().map(part).collect::<PyResult<_>>()?)))
            .collect::<PyResult<Vec<_>>>()?;
        if layouts.is_empty() {
            return Err(PyValueError::new_err("expected a layout, got none"));
        }
        Ok(Rows { delimiter, width, route, layouts })
    }

    /// Rows -> (a line for each, None for one that is not plain; the indexes of those).
    fn lines<'py>(&self, py: Python<'py>, rows: &Bound<'py, PyList>) -> PyResult<(Bound<'py, PyList>, Vec<usize>)> {
        let (lines, mut others) = (PyList::empty(py), Vec::new());
        let mut line = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            if self.write(row.cast::<PyBytes>()?.as_bytes(), &mut line).is_some() {
                lines.append(PyBytes::new(py, &line))?;
            } else {
                lines.append(py.None())?;
                others.push(index);
            }
        }
        Ok((lines, others))
    }
}

fn part(given: Given) -> PyResult<Part> {
    let (index, name) = match given {
        Given::Json(text) => return Ok(Part::Json(text.into_bytes())),
        Given::Field(field) => field,
    };
    let kind = match name.as_str() {
        "string" => Kind::Text,
        "uuid" => Kind::Uuid,
        "integer" => Kind::Integer,
        "float" | "decimal" => Kind::Number,
        "boolean" => Kind::Boolean,
        "timestamp" => Kind::Timestamp,
        "date" => Kind::Date,
        _ => return Err(PyValueError::new_err(format!("expected a type that the core knows, got {name}"))),
    };
    Ok(Part::Field(index, kind))
}

impl Rows {
    /// Writes the line of a row; None if it is not plain.
    fn write(&self, row: &[u8], line: &mut Vec<u8>) -> Option<()> {
        let row = row.strip_suffix(b"\r").unwrap_or(row);
        if row.is_empty() || row.len() > MOST_BYTES || std::str::from_utf8(row).is_err() {
            return None;
        }
        let fields = fields(row, self.delimiter)?;
        if fields.len() != self.width {
            return None;
        }
        let (_, parts) = match self.route {
            None => &self.layouts[0],
            Some(route) => self.layouts.iter().find(|(name, _)| name[..] == *fields[route])?,
        };
        line.clear();
        for part in parts {
            match part {
                Part::Json(text) => line.extend_from_slice(text),
                Part::Field(index, kind) => write_value(line, &fields[*index], kind)?,
            }
        }
        Some(())
    }
}

/// As Python's `csv.reader` cuts a row, with `strict`; None: quotes where it is another question what they mean, or a
/// line break.
fn fields(row: &[u8], delimiter: u8) -> Option<Vec<Cow<'_, [u8]>>> {
    if row.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return None;
    }
    let mut fields = Vec::new();
    let mut rest = row;
    loop {
        let (field, behind) = if rest.first() == Some(&b'"') {
            quoted(&rest[1..], delimiter)?
        } else {
            let end = rest.iter().position(|byte| *byte == delimiter);
            let field = &rest[..end.unwrap_or(rest.len())];
            if field.contains(&b'"') {
                return None;
            }
            (Cow::Borrowed(field), end.map(|end| &rest[end + 1..]))
        };
        fields.push(field);
        match behind {
            Some(behind) => rest = behind,
            None => return Some(fields),
        }
    }
}

/// Behind the first quotation mark: the field, and what comes behind its delimiter.
#[allow(clippy::type_complexity)]
fn quoted(row: &[u8], delimiter: u8) -> Option<(Cow<'_, [u8]>, Option<&[u8]>)> {
    let mut doubled = Vec::new();
    let mut start = 0;
    loop {
        let end = start + row[start..].iter().position(|byte| *byte == b'"')?;
        let last = |doubled: Vec<u8>| {
            if doubled.is_empty() {
                return Cow::Borrowed(&row[start..end]);
            }
            Cow::Owned([&doubled, &row[start..end]].concat())
        };
        match row.get(end + 1) {
            None => return Some((last(doubled), None)),
            Some(byte) if *byte == delimiter => return Some((last(doubled), Some(&row[end + 2..]))),
            Some(b'"') => {
                doubled.extend_from_slice(&row[start..=end]);
                start = end + 2;
            }
            Some(_) => return None,
        }
    }
}

fn write_value(line: &mut Vec<u8>, text: &[u8], kind: &Kind) -> Option<()> {
    if text.is_empty() {
        line.extend_from_slice(b"null");
        return Some(());
    }
    match kind {
        Kind::Text => write_text(line, text),
        Kind::Integer if is_integer(text) => line.extend_from_slice(text),
        Kind::Number if is_number(text) => line.extend_from_slice(text),
        Kind::Boolean => match text {
            b"true" | b"yes" | b"1" => line.extend_from_slice(b"true"),
            b"false" | b"no" | b"0" => line.extend_from_slice(b"false"),
            _ => return None,
        },
        Kind::Uuid if text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') => {
            write_quoted(line, text, b"");
        }
        Kind::Date if is_shaped(text, DATE) => write_quoted(line, text, b""),
        Kind::Timestamp if is_shaped(text, DATE) => write_quoted(line, text, b"T00:00:00Z"),
        Kind::Timestamp => write_quoted(line, text, if has_offset(text)? { b"" } else { b"Z" }),
        _ => return None,
    }
    Some(())
}

fn write_quoted(line: &mut Vec<u8>, text: &[u8], more: &[u8]) {
    line.push(b'"');
    line.extend_from_slice(text);
    line.extend_from_slice(more);
    line.push(b'"');
}

/// As Python's `json.encoder.encode_basestring`.
fn write_text(line: &mut Vec<u8>, text: &[u8]) {
    line.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', *byte]),
            b'\t' => line.extend_from_slice(b"\\t"),
            0x08 => line.extend_from_slice(b"\\b"),
            0x0C => line.extend_from_slice(b"\\f"),
            0..0x20 => line.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => line.push(*byte),
        }
    }
    line.push(b'"');
}

fn is_integer(text: &[u8]) -> bool {
    is_whole(text, MOST_DIGITS_OF_INTEGER)
}

fn is_number(text: &[u8]) -> bool {
    match text.iter().position(|byte| *byte == b'.') {
        None => is_whole(text, MOST_WHOLE_DIGITS),
        Some(point) => is_whole(&text[..point], MOST_WHOLE_DIGITS) && are_digits(&text[point + 1..]),
    }
}

fn is_whole(text: &[u8], most: usize) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    are_digits(digits) && digits.len() <= most && (digits.len() == 1 || digits[0] != b'0')
}

fn are_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

const DATE: &[u8] = b"0000-00-00";

/// Whether a text has a digit for each `0` of the shape, and else its bytes; a `T` may be a blank.
fn is_shaped(text: &[u8], shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text.iter().zip(shape).all(|(byte, expected)| match expected {
            b'0' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b' '),
            _ => byte == expected,
        })
}

/// Whether a time to the second has an offset; None: it is no such time.
fn has_offset(text: &[u8]) -> Option<bool> {
    const TIME: &[u8] = b"0000-00-00T00:00:00";
    let (time, mut rest) = text.split_at_checked(TIME.len())?;
    if !is_shaped(time, TIME) {
        return None;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        rest = &fraction[digits..];
    }
    match rest {
        b"" => Some(false),
        b"Z" => Some(true),
        [b'+' | b'-', offset @ ..] if is_shaped(offset, b"0000") || is_shaped(offset, b"00:00") => Some(true),
        _ => None,
    }
}
