//! Scans one line of JSON (RFC 8259) by a contract. It either takes the line, or finds it unusual: then it says nothing
//! about it, and Python decides. So every doubt here is `Unusual`.

use std::borrow::Cow;

use memchr::memmem;

use crate::columns::{Column, Data};
use crate::contract::{Contract, Property, Value};

/// What the scanner does not take: invalid, or valid in a spelling that is not plain.
pub struct Unusual;

pub type Taken<T> = Result<T, Unusual>;

const MOST_DIGITS_OF_INTEGER: usize = 18;
const MOST_WHOLE_DIGITS: usize = 29;
const SCALE: usize = 9;
const MOST_DIGITS_OF_SECOND: usize = 6;
const MOST_UNKNOWN: usize = 64;

/// The origin of a record, which a stored line may end with.
#[derive(Default)]
pub struct Source<'a> {
    pub uri: Cow<'a, [u8]>,
    /// Microseconds since 1970.
    pub arrived_at: i64,
    pub position: i64,
}

pub const BEFORE_URI: &[u8] = b"\"_source\":{\"uri\":\"";

pub struct Scanner<'a> {
    line: &'a [u8],
    at: usize,
    /// Event time in microseconds since 1970, once it was read.
    pub time: i64,
    /// Names and values, as they came, of the members outside the contract: scalars at the top alone.
    pub unknown: Vec<(&'a [u8], &'a [u8])>,
    pub source: Source<'a>,
    /// Where the source begins, if the line is to end with one.
    source_at: Option<usize>,
}

impl<'a> Scanner<'a> {
    /// `line` must be UTF-8.
    pub fn new(line: &'a [u8]) -> Self {
        Scanner { line, at: 0, time: 0, unknown: Vec::new(), source: Source::default(), source_at: None }
    }

    /// The line is to end with the origin of its record; false: it has none.
    pub fn expect_source(&mut self) -> bool {
        self.source_at = memmem::rfind(self.line, BEFORE_URI);
        self.source_at.is_some()
    }

    /// Takes the whole line; fills `columns`, if there are any, with its values.
    pub fn event(&mut self, contract: &Contract, columns: Option<&mut [Column]>) -> Taken<()> {
        self.blanks();
        self.object(&contract.properties, columns, Some(contract.time))?;
        self.blanks();
        if self.at == self.line.len() && self.source_at.is_none() { Ok(()) } else { Err(Unusual) }
    }

    /// `time` is the index of the event time; None in objects that are values, which have no unknown members either.
    fn object(
        &mut self,
        properties: &[Property],
        mut columns: Option<&mut [Column]>,
        time: Option<usize>,
    ) -> Taken<()> {
        self.take(b'{')?;
        self.blanks();
        let mut seen: u64 = 0;
        let mut next = 0;
        let mut more = self.peek() != b'}';
        while more {
            if time.is_some() && self.source_at == Some(self.at) {
                self.source()?;
                break;
            }
            match self.property(properties, next)? {
                Ok(index) => {
                    if seen & (1 << index) != 0 {
                        return Err(Unusual);
                    }
                    seen |= 1 << index;
                    next = index + 1;
                    self.blanks();
                    let column = columns.as_deref_mut().map(|columns| &mut columns[index]);
                    if time == Some(index) {
                        self.time = self.timestamp()?;
                        if let Some(column) = column {
                            column.i64(self.time);
                        }
                    } else {
                        self.value(&properties[index], column)?;
                    }
                }
                Err(name) => self.unknown_member(name, time.is_some())?,
            }
            self.blanks();
            more = self.comma(b'}')?;
        }
        self.at += 1;
        if seen.count_ones() as usize == properties.len() {
            return Ok(());
        }
        for (index, property) in properties.iter().enumerate() {
            if seen & (1 << index) == 0 {
                if property.required {
                    return Err(Unusual);
                }
                if let Some(columns) = columns.as_deref_mut() {
                    columns[index].null();
                }
            }
        }
        Ok(())
    }

    /// Takes the source, as Sluice writes it, and leaves the end of the record.
    fn source(&mut self) -> Taken<()> {
        self.word(BEFORE_URI)?;
        let (uri, has_escapes) = self.text()?;
        self.source.uri = if has_escapes { Cow::Owned(unescape(uri)?) } else { Cow::Borrowed(uri) };
        self.word(b",\"arrived_at\":")?;
        self.source.arrived_at = self.timestamp()?;
        self.word(b",\"position\":")?;
        self.source.position = self.integer()?;
        self.take(b'}')?;
        self.source_at = None;
        if self.peek() == b'}' { Ok(()) } else { Err(Unusual) }
    }

    /// Takes a name and its colon: the index of the property, or the name of none. `next` is tried first.
    fn property(&mut self, properties: &[Property], next: usize) -> Taken<Result<usize, &'a [u8]>> {
        if let Some(property) = properties.get(next)
            && self.line[self.at..].starts_with(&property.key)
        {
            self.at += property.key.len();
            return Ok(Ok(next));
        }
        self.take(b'"')?;
        let name = self.text_without_escapes()?;
        self.blanks();
        self.take(b':')?;
        Ok(properties.iter().position(|property| property.name == name).ok_or(name))
    }

    fn unknown_member(&mut self, name: &'a [u8], allowed: bool) -> Taken<()> {
        // Each is compared with those before it.
        if !allowed || self.unknown.len() == MOST_UNKNOWN || self.unknown.iter().any(|(other, _)| *other == name) {
            return Err(Unusual);
        }
        self.blanks();
        let start = self.at;
        match self.peek() {
            b'"' => {
                self.at += 1;
                let (text, has_escapes) = self.text()?;
                if has_escapes {
                    unescape(text)?;
                }
            }
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => {
                self.decimal()?;
            }
        }
        self.unknown.push((name, &self.line[start..self.at]));
        Ok(())
    }

    fn value(&mut self, property: &Property, column: Option<&mut Column>) -> Taken<()> {
        if self.peek() == b'n' {
            if property.required || !property.nullable || matches!(property.value, Value::Unchecked) {
                return Err(Unusual);
            }
            self.word(b"null")?;
            if let Some(column) = column {
                column.null();
            }
            return Ok(());
        }
        match &property.value {
            Value::Text { least, most, pattern } => {
                self.take(b'"')?;
                let (raw, has_escapes) = self.text()?;
                let unescaped;
                let text = if has_escapes {
                    unescaped = unescape(raw)?;
                    &unescaped[..]
                } else {
                    raw
                };
                if *least > 0 || *most < usize::MAX {
                    within(text.iter().filter(|byte| **byte & 0xC0 != 0x80).count(), *least, *most)?;
                }
                if pattern.as_ref().is_some_and(|pattern| !pattern.is_match(text)) {
                    return Err(Unusual);
                }
                if let Some(column) = column {
                    column.text(text);
                }
            }
            Value::OneOf(values) => {
                self.take(b'"')?;
                let text = self.text_without_escapes()?;
                if !values.iter().any(|value| value == text) {
                    return Err(Unusual);
                }
                if let Some(column) = column {
                    column.text(text);
                }
            }
            Value::Uuid => {
                self.take(b'"')?;
                let text: &[u8; 36] = self.line[self.at..].first_chunk().ok_or(Unusual)?;
                if !is_uuid(text) {
                    return Err(Unusual);
                }
                self.at += text.len();
                self.take(b'"')?;
                if let Some(column) = column {
                    column.text(text);
                }
            }
            Value::Integer { least, most } => {
                let number = within(self.integer()?, *least, *most)?;
                if let Some(column) = column {
                    column.i64(number);
                }
            }
            Value::Float { least, most } => {
                let start = self.at;
                self.decimal()?;
                let text = std::str::from_utf8(&self.line[start..self.at]).map_err(|_| Unusual)?;
                let number = within(text.parse::<f64>().map_err(|_| Unusual)?, *least, *most)?;
                if let Some(column) = column {
                    column.f64(number);
                }
            }
            Value::Decimal { least, most } => {
                let number = within(self.decimal()?, *least, *most)?;
                if let Some(column) = column {
                    column.i128(number);
                }
            }
            Value::Boolean => {
                let is_true = self.peek() == b't';
                self.word(if is_true { b"true" } else { b"false" })?;
                if let Some(column) = column {
                    column.boolean(is_true);
                }
            }
            Value::Timestamp => {
                let time = self.timestamp()?;
                if let Some(column) = column {
                    column.i64(time);
                }
            }
            Value::Date => {
                self.take(b'"')?;
                let day = self.date()?;
                self.take(b'"')?;
                if let Some(column) = column {
                    column.i32(i32::try_from(day).map_err(|_| Unusual)?);
                }
            }
            Value::Object(members) => match column {
                Some(Column { valid, data: Data::Struct(columns), .. }) => {
                    valid.push(1);
                    self.object(members, Some(columns), None)?;
                }
                _ => self.object(members, None, None)?,
            },
            Value::Array { item, least, most } => self.array(item, *least, *most, column)?,
            Value::Unchecked => return Err(Unusual),
        }
        Ok(())
    }

    fn array(&mut self, item: &Property, least: usize, most: usize, mut column: Option<&mut Column>) -> Taken<()> {
        self.take(b'[')?;
        self.blanks();
        let mut items = 0;
        let mut more = self.peek() != b']';
        while more {
            let inner = match column.as_deref_mut() {
                Some(Column { data: Data::List(_, inner), .. }) => Some(&mut **inner),
                _ => None,
            };
            self.value(item, inner)?;
            items += 1;
            self.blanks();
            more = self.comma(b']')?;
        }
        self.at += 1;
        within(items, least, most)?;
        if let Some(column) = column {
            column.end_list();
        }
        Ok(())
    }

    /// Takes a comma and the blanks behind it; false: `end` comes instead.
    #[inline(always)]
    fn comma(&mut self, end: u8) -> Taken<bool> {
        if self.peek() == end {
            return Ok(false);
        }
        self.take(b',')?;
        self.blanks();
        Ok(true)
    }

    #[inline(always)]
    fn peek(&self) -> u8 {
        self.line.get(self.at).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> Taken<()> {
        if self.peek() != byte {
            return Err(Unusual);
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Taken<()> {
        if !self.line[self.at..].starts_with(word) {
            return Err(Unusual);
        }
        self.at += word.len();
        Ok(())
    }

    #[inline(always)]
    fn blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r') {
            self.at += 1;
        }
    }

    /// Behind the first quotation mark: takes the text up to the last one; whether it has escapes.
    #[inline]
    fn text(&mut self) -> Taken<(&'a [u8], bool)> {
        let (line, start) = (self.line, self.at);
        let mut at = start;
        let mut has_escapes = false;
        loop {
            while let Some(Ok(eight)) = line.get(at..at + 8).map(<[u8; 8]>::try_from) {
                let found = special_bytes(u64::from_le_bytes(eight));
                if found != 0 {
                    at += (found.trailing_zeros() / 8) as usize;
                    break;
                }
                at += 8;
            }
            while line.get(at).is_some_and(|byte| *byte != b'"' && *byte != b'\\' && *byte >= 0x20) {
                at += 1;
            }
            match line.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok((&line[start..at], has_escapes));
                }
                Some(b'\\') => {
                    has_escapes = true;
                    at += 2;
                }
                _ => return Err(Unusual),
            }
        }
    }

    fn text_without_escapes(&mut self) -> Taken<&'a [u8]> {
        let (text, has_escapes) = self.text()?;
        if has_escapes { Err(Unusual) } else { Ok(text) }
    }

    fn integer(&mut self) -> Taken<i64> {
        let (is_negative, digits) = self.whole_digits(MOST_DIGITS_OF_INTEGER)?;
        if matches!(self.peek(), b'.' | b'e' | b'E') {
            return Err(Unusual);
        }
        let number = digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
        Ok(if is_negative { -number } else { number })
    }

    /// In billionths.
    fn decimal(&mut self) -> Taken<i128> {
        let (is_negative, whole) = self.whole_digits(MOST_WHOLE_DIGITS)?;
        let mut number = if whole.len() <= MOST_DIGITS_OF_INTEGER {
            i128::from(whole.iter().fold(0, |number: i64, digit| number * 10 + i64::from(digit - b'0')))
        } else {
            whole.iter().fold(0, |number: i128, digit| number * 10 + i128::from(digit - b'0'))
        };
        let mut fraction: i64 = 0;
        let mut places = 0;
        if self.peek() == b'.' {
            self.at += 1;
            while self.peek().is_ascii_digit() {
                if places == SCALE {
                    return Err(Unusual);
                }
                fraction = fraction * 10 + i64::from(self.peek() - b'0');
                places += 1;
                self.at += 1;
            }
            if places == 0 {
                return Err(Unusual);
            }
        }
        if matches!(self.peek(), b'e' | b'E') {
            return Err(Unusual);
        }
        number = number * i128::from(POWERS_OF_TEN[SCALE]) + i128::from(fraction * POWERS_OF_TEN[SCALE - places]);
        Ok(if is_negative { -number } else { number })
    }

    /// The sign and the digits before a point; no zero is in front of others.
    fn whole_digits(&mut self, most: usize) -> Taken<(bool, &'a [u8])> {
        let is_negative = self.peek() == b'-';
        self.at += usize::from(is_negative);
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        let digits = &self.line[start..self.at];
        if digits.is_empty() || digits.len() > most || (digits.len() > 1 && digits[0] == b'0') {
            return Err(Unusual);
        }
        Ok((is_negative, digits))
    }

    #[inline(always)]
    fn digit(&mut self) -> Taken<i64> {
        let digit = self.peek().wrapping_sub(b'0');
        if digit > 9 {
            return Err(Unusual);
        }
        self.at += 1;
        Ok(i64::from(digit))
    }

    fn two_digits(&mut self) -> Taken<i64> {
        Ok(self.digit()? * 10 + self.digit()?)
    }

    /// Days since 1970. In the first and the last year of Python's calendar an offset leads out of it.
    fn date(&mut self) -> Taken<i64> {
        let year = self.two_digits()? * 100 + self.two_digits()?;
        self.take(b'-')?;
        let month = within(self.two_digits()?, 1, 12)?;
        self.take(b'-')?;
        let day = self.two_digits()?;
        within(year, 2, 9998)?;
        within(day, 1, last_day(year, month))?;
        Ok(days_since_1970(year, month, day))
    }

    /// Microseconds since 1970; without an offset it is in UTC.
    fn timestamp(&mut self) -> Taken<i64> {
        self.take(b'"')?;
        let day = self.date()?;
        self.take(b'T')?;
        let hour = within(self.two_digits()?, 0, 23)?;
        self.take(b':')?;
        let minute = within(self.two_digits()?, 0, 59)?;
        self.take(b':')?;
        let second = within(self.two_digits()?, 0, 59)?;
        let mut microsecond = 0;
        if self.peek() == b'.' {
            self.at += 1;
            let mut places = 0;
            while self.peek().is_ascii_digit() {
                if places == MOST_DIGITS_OF_SECOND {
                    return Err(Unusual);
                }
                microsecond = microsecond * 10 + self.digit()?;
                places += 1;
            }
            if places == 0 {
                return Err(Unusual);
            }
            microsecond *= POWERS_OF_TEN[MOST_DIGITS_OF_SECOND - places];
        }
        let mut offset = 0;
        match self.peek() {
            b'Z' => self.at += 1,
            sign @ (b'+' | b'-') => {
                self.at += 1;
                let hours = within(self.two_digits()?, 0, 23)?;
                self.take(b':')?;
                let minutes = hours * 60 + within(self.two_digits()?, 0, 59)?;
                offset = if sign == b'+' { minutes } else { -minutes };
            }
            _ => {}
        }
        self.take(b'"')?;
        Ok((day * 86_400 + hour * 3_600 + (minute - offset) * 60 + second) * 1_000_000 + microsecond)
    }
}

fn within<T: PartialOrd>(value: T, least: T, most: T) -> Taken<T> {
    if least <= value && value <= most { Ok(value) } else { Err(Unusual) }
}

/// The high bits of those of eight bytes that end a run of a text: quotation marks, backslashes, control characters.
/// Of the bytes behind the first that it finds it may find others, too
/// (https://graphics.stanford.edu/~seander/bithacks.html#ZeroInWord).
const fn special_bytes(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const fn zero_bytes(eight: u64) -> u64 {
        eight.wrapping_sub(ONES) & !eight & HIGH
    }
    let quotes = zero_bytes(eight ^ (ONES * b'"' as u64));
    let backslashes = zero_bytes(eight ^ (ONES * b'\\' as u64));
    let controls = eight.wrapping_sub(ONES * 0x20) & !eight & HIGH;
    quotes | backslashes | controls
}

const POWERS_OF_TEN: [i64; 10] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

const fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

const fn last_day(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const BEFORE_MONTH: [i64; 13] = [0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    const BEFORE_1970: i64 = 719_162;
    let full = year - 1;
    let leap_day = if is_leap(year) && month > 2 { 1 } else { 0 };
    full * 365 + full / 4 - full / 100 + full / 400 + BEFORE_MONTH[month as usize] + leap_day + day - 1 - BEFORE_1970
}

/// Looks at all bytes, whatever they are, so that the compiler does many at once.
fn is_uuid(text: &[u8; 36]) -> bool {
    let mut others = 0;
    for (at, byte) in text.iter().enumerate() {
        let is_digit = byte.wrapping_sub(b'0') < 10 || (byte | 0x20).wrapping_sub(b'a') < 6;
        others |= u8::from(if matches!(at, 8 | 13 | 18 | 23) { *byte != b'-' } else { !is_digit });
    }
    others == 0
}

/// The text that escapes stand for; surrogates are unusual.
fn unescape(raw: &[u8]) -> Taken<Vec<u8>> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'\\' {
            text.push(*first);
            continue;
        }
        let [escaped, behind @ ..] = rest else { return Err(Unusual) };
        rest = behind;
        match escaped {
            b'"' | b'\\' | b'/' => text.push(*escaped),
            b'b' => text.push(0x08),
            b'f' => text.push(0x0C),
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'u' => {
                let (digits, behind) = rest.split_at_checked(4).ok_or(Unusual)?;
                rest = behind;
                let mut code = 0;
                for digit in digits {
                    code = code * 16 + char::from(*digit).to_digit(16).ok_or(Unusual)?;
                }
                let character = char::from_u32(code).ok_or(Unusual)?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return Err(Unusual),
        }
    }
    Ok(text)
}
