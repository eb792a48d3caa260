//! A contract as the scanner needs it: what a plain value of each property is.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use regex::bytes::Regex;

/// One property, as `sluice.contracts.native_rules.describe` writes it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Description {
    name: String,
    r#type: String,
    required: bool,
    nullable: bool,
    minimum: Option<String>,
    maximum: Option<String>,
    lengths: Option<(usize, usize)>,
    pattern: Option<String>,
    values: Option<Vec<String>>,
    members: Vec<Py<PyAny>>,
}

pub struct Property {
    pub name: Vec<u8>,
    /// `"name":`, as most producers write it.
    pub key: Vec<u8>,
    pub value: Value,
    pub required: bool,
    pub nullable: bool,
}

/// What a value is, with its limits; both ends of each are allowed.
pub enum Value {
    /// At least and at most so many code points.
    Text {
        least: usize,
        most: usize,
        pattern: Option<Regex>,
    },
    OneOf(Vec<Vec<u8>>),
    Uuid,
    Integer {
        least: i64,
        most: i64,
    },
    Float {
        least: f64,
        most: f64,
    },
    /// In billionths.
    Decimal {
        least: i128,
        most: i128,
    },
    Boolean,
    /// Microseconds since 1970.
    Timestamp,
    /// Days since 1970.
    Date,
    Object(Vec<Property>),
    /// At least and at most so many items.
    Array {
        item: Box<Property>,
        least: usize,
        most: usize,
    },
    /// No value is plain, only its absence.
    Unchecked,
}

pub struct Contract {
    pub event_type: Vec<u8>,
    /// Microseconds in one partition of its log.
    pub partition: i64,
    /// Index of the event time in `properties`.
    pub time: usize,
    pub properties: Vec<Property>,
}

/// One bit for each property of an object says whether it was there.
const MOST_PROPERTIES: usize = 64;

impl Contract {
    /// The last argument is a list of `Description`s.
    pub fn read(event_type: &str, seconds: i64, time: &str, properties: &Bound<'_, PyAny>) -> PyResult<Contract> {
        let properties = read_properties(&properties.extract::<Vec<Bound<'_, PyAny>>>()?)?;
        let is_time = |property: &Property| property.name == time.as_bytes() && property.required;
        let time =
            properties.iter().position(|property| is_time(property) && matches!(property.value, Value::Timestamp));
        Ok(Contract {
            event_type: event_type.as_bytes().to_vec(),
            partition: seconds * 1_000_000,
            time: time.ok_or_else(|| invalid("expected a required timestamp as event time, got another property"))?,
            properties,
        })
    }
}

fn invalid(message: &str) -> PyErr {
    PyValueError::new_err(message.to_string())
}

fn read_properties(descriptions: &[Bound<'_, PyAny>]) -> PyResult<Vec<Property>> {
    if descriptions.len() > MOST_PROPERTIES {
        return Err(invalid("expected at most 64 properties of an object, got more"));
    }
    descriptions.iter().map(read_property).collect()
}

fn read_property(description: &Bound<'_, PyAny>) -> PyResult<Property> {
    let given: Description = description.extract()?;
    let (least, most) = given.lengths.unwrap_or((0, usize::MAX));
    let members = given.members.iter().map(|member| member.bind(description.py()).clone()).collect::<Vec<_>>();
    let value = match (given.r#type.as_str(), given.values) {
        ("string", Some(values)) => Value::OneOf(values.into_iter().map(String::into_bytes).collect()),
        // A pattern may be too large for this crate.
        ("string", None) => match given.pattern.as_deref().map(Regex::new).transpose() {
            Ok(pattern) => Value::Text { least, most, pattern },
            Err(_) => Value::Unchecked,
        },
        ("uuid", None) => Value::Uuid,
        ("integer", None) => {
            Value::Integer { least: bound(given.minimum, i64::MIN)?, most: bound(given.maximum, i64::MAX)? }
        }
        ("float", None) => {
            Value::Float { least: bound(given.minimum, f64::NEG_INFINITY)?, most: bound(given.maximum, f64::INFINITY)? }
        }
        ("decimal", None) => {
            Value::Decimal { least: bound(given.minimum, i128::MIN)?, most: bound(given.maximum, i128::MAX)? }
        }
        ("boolean", None) => Value::Boolean,
        ("timestamp", None) => Value::Timestamp,
        ("date", None) => Value::Date,
        ("json", None) => Value::Unchecked,
        ("object", None) => Value::Object(read_properties(&members)?),
        ("array", None) if members.len() == 1 => {
            Value::Array { item: Box::new(read_property(&members[0])?), least, most }
        }
        (name, _) => {
            return Err(invalid(&format!("property {}: expected a type that the core knows, got {name}", given.name)));
        }
    };
    Ok(Property {
        key: format!("\"{}\":", given.name).into_bytes(),
        name: given.name.into_bytes(),
        value,
        required: given.required,
        nullable: given.nullable,
    })
}

fn bound<T: std::str::FromStr>(text: Option<String>, none: T) -> PyResult<T> {
    text.map_or(Ok(none), |text| text.parse().map_err(|_| invalid(&format!("expected a number as bound, got {text}"))))
}
