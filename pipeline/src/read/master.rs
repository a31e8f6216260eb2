//! Master files: known by their heading row, not by their name.

use super::records::{RecordError, Records};
use crate::base::error::{At, Result};
use crate::base::stamp::Reopen;
use crate::text::cp932::Encoding;
use shikaku_schemas::code::Code;
use shikaku_schemas::layout::{self, Layout};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Insurers,
    Institutions,
    Holidays,
}

/// What a master file holds.
pub enum Opened {
    Rows {
        kind: Kind,
        rows: Vec<Vec<Vec<u8>>>,
    },
    /// Text of `insurer_definitions.toml`.
    Definitions(String),
    /// Code of its rejection.
    Refused(Code),
}

/// Largest master taken: 236,538 institutions are under 50 MB (002 L13922).
const MAX_BYTES: u64 = 500_000_000;

pub fn open(file: &(impl Reopen + ?Sized)) -> Result<Opened> {
    let path = file.place();
    let mut source = file.reopen()?;
    let size = source.metadata().at(path)?.len();
    if size > MAX_BYTES {
        return Ok(Opened::Refused(Code::TooLarge));
    }
    if path.extension().is_some_and(|e| e == "toml") {
        let mut text = String::new();
        return match std::io::Read::read_to_string(&mut source, &mut text) {
            Ok(_) => Ok(Opened::Definitions(text)),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(Opened::Refused(Code::Encoding)),
            Err(error) => Err(error).at(path),
        };
    }
    let mut records = Records::new(source);
    records.skip_bom().at(path)?;
    let mut kind = None;
    let mut rows = Vec::new();
    loop {
        match records.next_record() {
            Ok(None) => break,
            Err(RecordError::Io(error)) => return Err(error).at(path),
            Err(RecordError::TooLarge { .. }) => return Ok(Opened::Refused(Code::MasterHeader)),
            Ok(Some(record)) => {
                let fields: Vec<Vec<u8>> = (0..record.len()).map(|i| record.field(i).to_vec()).collect();
                if kind.is_some() {
                    rows.push(fields);
                    continue;
                }
                kind = heading(&fields);
                if kind.is_none() {
                    return Ok(Opened::Refused(Code::MasterHeader));
                }
            }
        }
    }
    Ok(match kind {
        Some(kind) => Opened::Rows { kind, rows },
        None => Opened::Refused(Code::MasterHeader),
    })
}

fn heading(fields: &[Vec<u8>]) -> Option<Kind> {
    let names = |layout: &Layout| layout.fields.iter().map(|f| f.name.clone().into_bytes()).collect::<Vec<_>>();
    let holidays: Vec<Vec<u8>> =
        ["国民の祝日・休日月日", "国民の祝日・休日名称"].iter().filter_map(|t| Encoding::Cp932.encode(t)).collect();
    if fields == names(layout::of("INSURERS")) {
        Some(Kind::Insurers)
    } else if fields == names(layout::of("INSTITUTIONS")) {
        Some(Kind::Institutions)
    } else if fields == holidays {
        Some(Kind::Holidays)
    } else {
        None
    }
}
