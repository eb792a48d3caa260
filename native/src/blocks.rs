//! Blocks: lines in one piece of memory, each with a line feed behind it.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use memchr::{memchr, memmem};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use xxhash_rust::xxh3::xxh3_128;

use crate::scan::BEFORE_URI;

/// What stands before the position, in the member of a line that says where its record came from.
const BEFORE_POSITION: &[u8] = b",\"position\":";

/// The lines of a block, without their line feeds.
pub struct Lines<'a> {
    rest: &'a [u8],
}

pub fn lines(block: &[u8]) -> PyResult<Lines<'_>> {
    match block.last() {
        None | Some(b'\n') => Ok(Lines { rest: block }),
        Some(_) => Err(PyValueError::new_err("expected a line feed behind each line, got none behind the last")),
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr(b'\n', self.rest)?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(line)
    }
}

/// A hash is its own hash.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are hashed")
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = number as u64;
    }
}

/// Block -> where each line begins, as 64-bit integers of the machine.
#[pyfunction]
pub fn line_starts<'py>(py: Python<'py>, block: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let mut starts: Vec<u8> = Vec::new();
    let mut at: u64 = 0;
    for line in lines(block)? {
        starts.extend_from_slice(&at.to_ne_bytes());
        at += line.len() as u64 + 1;
    }
    Ok(PyBytes::new(py, &starts))
}

/// Lines -> a block of them.
pub fn joined<'py>(py: Python<'py>, lines: &[&[u8]]) -> PyResult<Bound<'py, PyBytes>> {
    let size = lines.iter().map(|line| line.len() + 1).sum();
    PyBytes::new_with(py, size, |mut block| {
        for line in lines {
            let (place, rest) = block.split_at_mut(line.len() + 1);
            place[..line.len()].copy_from_slice(line);
            place[line.len()] = b'\n';
            block = rest;
        }
        Ok(())
    })
}

/// What of a line makes two of them the same event: all of it, or, `by_export`, what is before its position; None if it
/// has no position.
fn identity(line: &[u8], by_export: bool) -> Option<&[u8]> {
    if !by_export {
        return Some(line);
    }
    memmem::rfind(line, BEFORE_URI).filter(|_| line.ends_with(b"}}"))?;
    memmem::rfind(line, BEFORE_POSITION).map(|end| &line[..end])
}

/// Lines -> their keys; None if a line has none. A key is the 128-bit XXH3 of the `identity`, in 16 bytes, the highest
/// first.
#[pyfunction]
pub fn keys<'py>(
    py: Python<'py>,
    lines: &Bound<'py, PyList>,
    by_export: bool,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let mut keys: Vec<u8> = Vec::with_capacity(16 * lines.len());
    for item in lines.iter() {
        match identity(item.cast::<PyBytes>()?.as_bytes(), by_export) {
            Some(identity) => keys.extend_from_slice(&xxh3_128(identity).to_be_bytes()),
            None => return Ok(None),
        }
    }
    Ok(Some(PyBytes::new(py, &keys)))
}

/// Block -> (keys of the lines that are kept, None if these are all); None if a line has no key. See `keys`.
///
/// Of the lines of a key the first is kept. If others are not, the second is (block of the lines that are kept, one byte
/// for each given line: 1 if it is kept).
#[pyfunction]
pub fn distinct<'py>(py: Python<'py>, block: &[u8], by_export: bool) -> PyResult<Option<Distinct<'py>>> {
    let mut keys: Vec<u8> = Vec::new();
    let mut known: HashSet<u128, BuildHasherDefault<Hashed>> = HashSet::default();
    let mut kept: Vec<u8> = Vec::new();
    let mut first: Vec<&[u8]> = Vec::new();
    for line in lines(block)? {
        let Some(identity) = identity(line, by_export) else {
            return Ok(None);
        };
        let key = xxh3_128(identity);
        let is_first = known.insert(key);
        if is_first {
            first.push(line);
            keys.extend_from_slice(&key.to_be_bytes());
        }
        kept.push(u8::from(is_first));
    }
    let keys = PyBytes::new(py, &keys);
    if known.len() == kept.len() {
        return Ok(Some((keys, None)));
    }
    Ok(Some((keys, Some((joined(py, &first)?, PyBytes::new(py, &kept))))))
}

type Distinct<'py> = (Bound<'py, PyBytes>, Option<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>);
