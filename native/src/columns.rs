//! Columns that a scan fills: the buffers of Arrow arrays (https://arrow.apache.org/docs/format/Columnar.html).

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::contract::{Property, Value};

pub enum Data {
    /// Offsets of the texts, and all of them.
    Text(Vec<i32>, Vec<u8>),
    I64(Vec<i64>),
    F64(Vec<f64>),
    I128(Vec<i128>),
    I32(Vec<i32>),
    /// One byte a value; packed at the end.
    Boolean(Vec<u8>),
    Struct(Vec<Column>),
    /// Offsets of the lists, and the items of all of them.
    List(Vec<i32>, Box<Column>),
}

pub struct Column {
    /// One byte a value; packed at the end.
    pub valid: Vec<u8>,
    nulls: usize,
    pub data: Data,
}

impl Column {
    pub fn of(property: &Property) -> Column {
        let data = match &property.value {
            Value::Text { .. } | Value::OneOf(_) | Value::Uuid | Value::Unchecked => Data::Text(vec![0], Vec::new()),
            Value::Integer { .. } | Value::Timestamp => Data::I64(Vec::new()),
            Value::Float { .. } => Data::F64(Vec::new()),
            Value::Decimal { .. } => Data::I128(Vec::new()),
            Value::Boolean => Data::Boolean(Vec::new()),
            Value::Date => Data::I32(Vec::new()),
            Value::Object(members) => Data::Struct(members.iter().map(Column::of).collect()),
            Value::Array { item, .. } => Data::List(vec![0], Box::new(Column::of(item))),
        };
        Column { valid: Vec::new(), nulls: 0, data }
    }

    pub fn texts() -> Column {
        Column { valid: Vec::new(), nulls: 0, data: Data::Text(vec![0], Vec::new()) }
    }

    pub fn numbers() -> Column {
        Column { valid: Vec::new(), nulls: 0, data: Data::I64(Vec::new()) }
    }

    pub fn null(&mut self) {
        self.valid.push(0);
        self.nulls += 1;
        match &mut self.data {
            Data::Text(offsets, texts) => offsets.push(texts.len() as i32),
            Data::I64(values) => values.push(0),
            Data::F64(values) => values.push(0.0),
            Data::I128(values) => values.push(0),
            Data::I32(values) => values.push(0),
            Data::Boolean(values) => values.push(0),
            Data::Struct(members) => members.iter_mut().for_each(Column::null),
            Data::List(offsets, items) => offsets.push(items.valid.len() as i32),
        }
    }

    /// Forgets what came behind the first values, also the half of a value.
    pub fn truncate(&mut self, length: usize) {
        self.nulls -= self.valid.iter().skip(length).filter(|valid| **valid == 0).count();
        self.valid.truncate(length);
        match &mut self.data {
            Data::Text(offsets, texts) => {
                offsets.truncate(length + 1);
                texts.truncate(offsets[length] as usize);
            }
            Data::I64(values) => values.truncate(length),
            Data::F64(values) => values.truncate(length),
            Data::I128(values) => values.truncate(length),
            Data::I32(values) => values.truncate(length),
            Data::Boolean(values) => values.truncate(length),
            Data::Struct(members) => members.iter_mut().for_each(|member| member.truncate(length)),
            Data::List(offsets, items) => {
                offsets.truncate(length + 1);
                items.truncate(offsets[length] as usize);
            }
        }
    }

    pub fn text(&mut self, text: &[u8]) {
        self.valid.push(1);
        if let Data::Text(offsets, texts) = &mut self.data {
            texts.extend_from_slice(text);
            offsets.push(texts.len() as i32);
        }
    }

    pub fn i64(&mut self, value: i64) {
        self.valid.push(1);
        if let Data::I64(values) = &mut self.data {
            values.push(value);
        }
    }

    pub fn f64(&mut self, value: f64) {
        self.valid.push(1);
        if let Data::F64(values) = &mut self.data {
            values.push(value);
        }
    }

    pub fn i128(&mut self, value: i128) {
        self.valid.push(1);
        if let Data::I128(values) = &mut self.data {
            values.push(value);
        }
    }

    pub fn i32(&mut self, value: i32) {
        self.valid.push(1);
        if let Data::I32(values) = &mut self.data {
            values.push(value);
        }
    }

    pub fn boolean(&mut self, value: bool) {
        self.valid.push(1);
        if let Data::Boolean(values) = &mut self.data {
            values.push(u8::from(value));
        }
    }

    /// What a list has after its last item.
    pub fn end_list(&mut self) {
        self.valid.push(1);
        if let Data::List(offsets, items) = &mut self.data {
            offsets.push(items.valid.len() as i32);
        }
    }

    /// -> (length, number of nulls, validity or None, buffers of values, columns of members)
    pub fn buffers(self, py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        let length = self.valid.len();
        let validity = (self.nulls > 0).then(|| PyBytes::new(py, &pack(&self.valid)));
        let (values, members) = (PyList::empty(py), PyList::empty(py));
        match self.data {
            Data::Text(offsets, texts) => {
                values.append(bytes(py, &offsets, |value| value.to_le_bytes()))?;
                values.append(PyBytes::new(py, &texts))?;
            }
            Data::I64(numbers) => values.append(bytes(py, &numbers, |value| value.to_le_bytes()))?,
            Data::F64(numbers) => values.append(bytes(py, &numbers, |value| value.to_le_bytes()))?,
            Data::I128(numbers) => values.append(bytes(py, &numbers, |value| value.to_le_bytes()))?,
            Data::I32(numbers) => values.append(bytes(py, &numbers, |value| value.to_le_bytes()))?,
            Data::Boolean(flags) => values.append(PyBytes::new(py, &pack(&flags)))?,
            Data::Struct(columns) => {
                for column in columns {
                    members.append(column.buffers(py)?)?;
                }
            }
            Data::List(offsets, items) => {
                values.append(bytes(py, &offsets, |value| value.to_le_bytes()))?;
                members.append(items.buffers(py)?)?;
            }
        }
        (length, self.nulls, validity, values, members).into_pyobject(py)
    }
}

/// The compiler makes one copy of it.
fn bytes<'py, T: Copy, const N: usize>(
    py: Python<'py>,
    values: &[T],
    to_bytes: impl Fn(T) -> [u8; N],
) -> Bound<'py, PyBytes> {
    let mut all = Vec::with_capacity(values.len() * N);
    for value in values {
        all.extend_from_slice(&to_bytes(*value));
    }
    PyBytes::new(py, &all)
}

fn pack(flags: &[u8]) -> Vec<u8> {
    flags.chunks(8).map(|chunk| chunk.iter().enumerate().fold(0, |byte, (bit, flag)| byte | (flag << bit))).collect()
}
