//! Lines that are plain events of a contract: their partitions, times and columns. It decides against no line: what it
//! does not take is left to Python, which defines what is right. See docs/adr/0133.

mod blocks;
mod columns;
mod contract;
mod rows;
mod scan;

use memchr::memmem;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use columns::Column;
use contract::Contract;
use scan::Scanner;

/// Of what is below; Sluice uses a core of the number that it expects, and no other.
const INTERFACE: u32 = 5;

/// The contracts of a job.
#[pyclass(frozen, module = "sluice_native")]
struct Core {
    contracts: Vec<Contract>,
    /// `"event_type"`, if records are routed by that property.
    route: Option<Vec<u8>>,
}

/// The indexes of the lines of one partition of one contract.
struct Group {
    contract: usize,
    partition: i64,
    indexes: Vec<u32>,
}

/// What was found among lines; see `Core::decode`.
#[derive(Default)]
struct Found {
    groups: Vec<Group>,
    unusual: Vec<u32>,
    span: Option<(i64, i64)>,
}

/// Lines as they were given: objects, or one block.
type Decoded<'py> =
    (Vec<(usize, i64, Bound<'py, PyAny>, Bound<'py, PyBytes>)>, Bound<'py, PyBytes>, Option<(i64, i64)>);

#[pymethods]
impl Core {
    /// Each contract is (event type, seconds of a partition, name of the event time, properties).
    #[new]
    #[pyo3(signature = (contracts, route_by))]
    fn new(contracts: Vec<(String, i64, String, Bound<'_, PyAny>)>, route_by: Option<&str>) -> PyResult<Core> {
        let contracts = contracts
            .iter()
            .map(|(event_type, seconds, time, properties)| Contract::read(event_type, *seconds, time, properties))
            .collect::<PyResult<_>>()?;
        Ok(Core { contracts, route: route_by.map(|name| format!("\"{name}\"").into_bytes()) })
    }

    /// Lines -> (groups, indexes of unusual lines, first and last event time).
    ///
    /// A group is (index of the contract, number of the partition, its lines in order, their indexes); groups come in
    /// the order of their first lines. Indexes are 32-bit integers of the machine, as bytes. Times are microseconds
    /// since 1970, and None without a group.
    fn decode<'py>(&self, py: Python<'py>, lines: &Bound<'py, PyList>) -> PyResult<Decoded<'py>> {
        let items = lines.iter().map(|item| Ok(item.cast_into::<PyBytes>()?)).collect::<PyResult<Vec<_>>>()?;
        let found = self.find(items.iter().map(|item| item.as_bytes()));
        decoded(py, found, |indexes| {
            Ok(PyList::new(py, indexes.iter().map(|index| &items[*index as usize]))?.into_any())
        })
    }

    /// Block of lines -> what `decode` returns, but the lines of a group are a block.
    fn decode_block<'py>(&self, py: Python<'py>, block: &[u8]) -> PyResult<Decoded<'py>> {
        let lines = blocks::lines(block)?.collect::<Vec<_>>();
        let found = self.find(lines.iter().copied());
        decoded(py, found, |indexes| {
            let its = indexes.iter().map(|index| lines[*index as usize]).collect::<Vec<_>>();
            Ok(blocks::joined(py, &its)?.into_any())
        })
    }

    /// Block of lines of one contract -> (columns, indexes of unusual lines).
    ///
    /// The columns have the plain lines: the properties, in order, and a text, the members outside the contract as compact
    /// JSON. `with_source`: each line ends with the origin of its record, see `sluice.formats.source_member`, and columns of
    /// its time, URI and position follow. Indexes are as those of `decode`.
    fn columns<'py>(
        &self,
        py: Python<'py>,
        contract: usize,
        block: &[u8],
        with_source: bool,
    ) -> PyResult<(Vec<Bound<'py, PyTuple>>, Bound<'py, PyBytes>)> {
        let contract = &self.contracts[contract];
        let mut columns: Vec<Column> = contract.properties.iter().map(Column::of).collect();
        let mut extra = Column::texts();
        let mut sources = [Column::numbers(), Column::texts(), Column::numbers()];
        let mut object = Vec::new();
        let mut unusual: Vec<u8> = Vec::new();
        let mut plain = 0;
        for (index, line) in blocks::lines(block)?.enumerate() {
            let mut scanner = Scanner::new(line);
            let is_plain = std::str::from_utf8(line).is_ok()
                && (!with_source || scanner.expect_source())
                && scanner.event(contract, Some(&mut columns)).is_ok();
            if !is_plain {
                unusual.extend_from_slice(&(index as u32).to_ne_bytes());
                columns.iter_mut().for_each(|column| column.truncate(plain));
                continue;
            }
            plain += 1;
            if with_source {
                let [times, uris, positions] = &mut sources;
                times.i64(scanner.source.arrived_at);
                uris.text(&scanner.source.uri);
                positions.i64(scanner.source.position);
            }
            if scanner.unknown.is_empty() {
                extra.null();
                continue;
            }
            object.clear();
            for (name, value) in &scanner.unknown {
                object.extend_from_slice(if object.is_empty() { b"{\"" } else { b",\"" });
                object.extend_from_slice(name);
                object.extend_from_slice(b"\":");
                object.extend_from_slice(value);
            }
            object.push(b'}');
            extra.text(&object);
        }
        columns.push(extra);
        if with_source {
            columns.extend(sources);
        }
        let columns = columns.into_iter().map(|column| column.buffers(py)).collect::<PyResult<_>>()?;
        Ok((columns, PyBytes::new(py, &unusual)))
    }
}

/// Returns what was found, as Python takes it; `take` returns the lines at some indexes.
fn decoded<'py>(
    py: Python<'py>,
    found: Found,
    take: impl Fn(&[u32]) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Decoded<'py>> {
    let as_bytes =
        |indexes: &[u32]| PyBytes::new(py, &indexes.iter().flat_map(|index| index.to_ne_bytes()).collect::<Vec<_>>());
    let groups = found
        .groups
        .iter()
        .map(|group| Ok((group.contract, group.partition, take(&group.indexes)?, as_bytes(&group.indexes))))
        .collect::<PyResult<_>>()?;
    Ok((groups, as_bytes(&found.unusual), found.span))
}

impl Core {
    fn find<'a>(&self, lines: impl Iterator<Item = &'a [u8]>) -> Found {
        let finder = self.route.as_ref().map(memmem::Finder::new);
        let mut found = Found::default();
        let mut open: Vec<Option<usize>> = vec![None; self.contracts.len()];
        for (index, line) in lines.enumerate() {
            let Some((contract, time)) = self.event(line, finder.as_ref()) else {
                found.unusual.push(index as u32);
                continue;
            };
            found.span = Some(found.span.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
            let partition = time.div_euclid(self.contracts[contract].partition);
            let is_its = |group: &Group| group.contract == contract && group.partition == partition;
            let groups = &mut found.groups;
            // Most events follow one of the same partition.
            let at = match open[contract].filter(|at| is_its(&groups[*at])) {
                Some(at) => at,
                None => groups.iter().position(is_its).unwrap_or_else(|| {
                    groups.push(Group { contract, partition, indexes: Vec::new() });
                    groups.len() - 1
                }),
            };
            open[contract] = Some(at);
            groups[at].indexes.push(index as u32);
        }
        found
    }

    /// The contract of a plain line, and its event time.
    fn event(&self, line: &[u8], finder: Option<&memmem::Finder>) -> Option<(usize, i64)> {
        std::str::from_utf8(line).ok()?;
        let index = match finder {
            None => 0,
            Some(finder) => self.routed(line, finder)?,
        };
        let mut scanner = Scanner::new(line);
        scanner.event(&self.contracts[index], None).ok()?;
        Some((index, scanner.time))
    }

    /// The contract whose event type seems to stand in a line; its scan finds out whether it does.
    fn routed(&self, line: &[u8], finder: &memmem::Finder) -> Option<usize> {
        let behind = finder.find(line)? + finder.needle().len();
        let value = line[behind..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
        let is_its = |contract: &Contract| {
            value.strip_prefix(&contract.event_type[..]).is_some_and(|rest| rest.first() == Some(&b'"'))
        };
        self.contracts.iter().position(is_its)
    }
}

#[pymodule]
fn sluice_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("INTERFACE", INTERFACE)?;
    module.add_function(wrap_pyfunction!(blocks::line_starts, module)?)?;
    module.add_function(wrap_pyfunction!(blocks::keys, module)?)?;
    module.add_function(wrap_pyfunction!(blocks::distinct, module)?)?;
    module.add_class::<rows::Rows>()?;
    module.add_class::<Core>()
}
