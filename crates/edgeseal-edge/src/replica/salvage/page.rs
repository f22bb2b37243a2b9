//! Pages of SQLite (<https://www.sqlite.org/fileformat2.html>): rows of `WITHOUT ROWID` tables,
//! which are stored like indexes.

/// Page size of the replica in bytes, with no reserved space.
pub(super) const PAGE_BYTES: usize = 8192;

/// A page with arbitrary content.
pub(super) struct Page<'a>(pub(super) &'a [u8]);

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// Section 1.6: an interior page of an index, and a leaf.
const INTERIOR: u8 = 0x02;
const LEAF: u8 = 0x0A;
/// Section 1.6: the longest payload that stays on its page completely, and the least that stays
/// there of a longer one.
const LOCAL_MAX: usize = (PAGE_BYTES - 12) * 64 / 255 - 23;
const LOCAL_MIN: usize = (PAGE_BYTES - 12) * 32 / 255 - 23;
/// Longer rows are not written.
const ROW_MAX: usize = 1 << 20;

impl Page<'_> {
    /// Its rows, as far as they can be parsed, with their parts on overflow pages.
    pub(super) fn rows(&self, read: &mut dyn FnMut(u32) -> Option<Vec<u8>>) -> Rows {
        let payloads = self
            .cells()
            .filter_map(|cell| payload(cell, read))
            .collect();
        Rows(payloads)
    }

    /// The bytes from the start of each cell; empty if it is a page of another kind.
    fn cells(&self) -> impl Iterator<Item = &[u8]> {
        let (pointers, before_payload) = match self.0.first() {
            Some(&LEAF) => (8, 0),
            Some(&INTERIOR) => (12, 4),
            _ => (0, 0),
        };
        let count = match pointers {
            0 => 0,
            _ => self.0.get(3..5).map_or(0, number),
        };
        let pointers = self.0.get(pointers..).unwrap_or_default().chunks_exact(2);
        pointers
            .take(count)
            .filter_map(move |pointer| self.0.get(number(pointer) + before_payload..))
    }
}

/// Payloads of rows.
pub(super) struct Rows(Vec<Vec<u8>>);

impl Rows {
    /// Calls `take` with the values of each.
    pub(super) fn each(&self, mut take: impl FnMut(&[Value<'_>])) {
        for payload in &self.0 {
            if let Some(values) = values(payload) {
                take(&values);
            }
        }
    }
}

fn number(two: &[u8]) -> usize {
    two.iter()
        .fold(0, |all, byte| all << 8 | usize::from(*byte))
}

/// The payload of a cell, including its overflow pages (section 1.6).
fn payload(cell: &[u8], read: &mut dyn FnMut(u32) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let (length, cell) = varint(cell)?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= ROW_MAX)?;
    if length <= LOCAL_MAX {
        return cell.get(..length).map(<[u8]>::to_vec);
    }
    let local = LOCAL_MIN + (length - LOCAL_MIN) % (PAGE_BYTES - 4);
    let local = if local <= LOCAL_MAX { local } else { LOCAL_MIN };
    let mut payload = cell.get(..local)?.to_vec();
    let mut next = cell.get(local..local + 4)?.to_vec();
    // Each page adds some, so a cyclic chain ends as well.
    while payload.len() < length {
        let page = read(u32::try_from(number(&next)).ok().filter(|page| *page > 0)?)?;
        let (link, content) = page.split_at_checked(4)?;
        let rest = content.len().min(length - payload.len());
        payload.extend_from_slice(&content[..rest]);
        next = link.to_vec();
    }
    Some(payload)
}

/// The values of a record (section 2.1).
fn values(record: &[u8]) -> Option<Vec<Value<'_>>> {
    let (header, after) = varint(record)?;
    let header = usize::try_from(header).ok()?;
    let mut types = record.get(record.len() - after.len()..header)?;
    let mut body = record.get(header..)?;
    let mut values = Vec::new();
    while !types.is_empty() {
        let (kind, rest) = varint(types)?;
        types = rest;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 => 8,
            12.. => usize::try_from((kind - 12) / 2).ok()?,
            _ => return None, // floating point, or reserved
        };
        let (value, rest) = body.split_at_checked(length)?;
        body = rest;
        values.push(match kind {
            0 => Value::Null,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            1..=6 => Value::Integer(integer(value)),
            _ if kind % 2 == 0 => Value::Blob(value),
            _ => Value::Text(std::str::from_utf8(value).ok()?),
        });
    }
    Some(values)
}

/// A big-endian signed integer of one to eight bytes.
fn integer(bytes: &[u8]) -> i64 {
    let first = bytes
        .first()
        .map_or(0, |first| i64::from(first.cast_signed()));
    let rest = bytes.iter().skip(1);
    rest.fold(first, |all, byte| all << 8 | i64::from(*byte))
}

/// A varint of one to nine bytes, and what follows it (section 1.6).
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        if at == 8 {
            return Some((value << 8 | u64::from(*byte), &bytes[9..]));
        }
        value = value << 7 | u64::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers() {
        let table: &[(&[u8], u64)] = &[
            (&[0x00], 0),
            (&[0x7F], 127),
            (&[0x81, 0x00], 128),
            (&[0xFF, 0x7F], 16_383),
            (&[0xFF; 9], u64::MAX),
        ];
        for (bytes, expected) in table {
            assert_eq!(varint(bytes), Some((*expected, &[][..])));
        }
        assert_eq!(varint(&[0x81]), None);
        assert_eq!(integer(&[0xFF]), -1);
        assert_eq!(integer(&[0x80, 0, 0, 0, 0, 0, 0, 0]), i64::MIN);
        assert_eq!(integer(&[0x01, 0x00]), 256);
    }

    proptest! {
        /// Parsing terminates without a panic for any page content.
        #[test]
        fn any_page_is_parsed_without_panic(
            kind in prop::sample::select(vec![INTERIOR, LEAF, 0x0D]),
            mut bytes in prop::collection::vec(any::<u8>(), 0..PAGE_BYTES),
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            let other = bytes.clone();
            Page(&bytes).rows(&mut |_| Some(other.clone())).each(|_| {});
        }
    }
}
