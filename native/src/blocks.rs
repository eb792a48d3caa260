//! Blocks: lines in one piece of memory, each with a line feed behind it.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use memchr::memchr;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use xxhash_rust::xxh3::xxh3_128;

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

/// Block -> (keys of the lines that are kept, None if these are all).
///
/// A key is the 128-bit XXH3 of a line, in 16 bytes, the highest first. Of equal lines the first is kept. If others are
/// not, the second is (block of the lines that are kept, one byte for each given line: 1 if it is kept).
#[pyfunction]
pub fn distinct<'py>(py: Python<'py>, block: &[u8]) -> PyResult<(Bound<'py, PyBytes>, Option<Kept<'py>>)> {
    let mut keys: Vec<u8> = Vec::new();
    let mut known: HashSet<u128, BuildHasherDefault<Hashed>> = HashSet::default();
    let mut kept: Vec<u8> = Vec::new();
    for line in lines(block)? {
        let key = xxh3_128(line);
        let is_first = known.insert(key);
        if is_first {
            keys.extend_from_slice(&key.to_be_bytes());
        }
        kept.push(u8::from(is_first));
    }
    let keys = PyBytes::new(py, &keys);
    if known.len() == kept.len() {
        return Ok((keys, None));
    }
    let mut first: Vec<u8> = Vec::with_capacity(block.len());
    for (line, _) in lines(block)?.zip(&kept).filter(|(_, kept)| **kept == 1) {
        first.extend_from_slice(line);
        first.push(b'\n');
    }
    Ok((keys, Some((PyBytes::new(py, &first), PyBytes::new(py, &kept)))))
}

type Kept<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);
