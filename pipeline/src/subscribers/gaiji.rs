//! 外字 report of a file: which user-defined characters stand in which fields, how often. No text of a record is in it.

use std::collections::BTreeMap;

use shikaku_schemas::layout::{FieldType, Layout};

use crate::base::error::Result;
use crate::base::table_text::TableText;
use crate::rules::Value;
use crate::text::cp932::{Encoding, is_gaiji};

/// Counts by field and character.
pub struct Gaiji {
    layout: &'static Layout,
    counts: BTreeMap<(usize, char), u64>,
}

impl Gaiji {
    pub fn new(layout: &'static Layout) -> Self {
        Self { layout, counts: BTreeMap::new() }
    }

    /// Adds one record.
    pub fn count(&mut self, values: &[Value<'_>]) {
        for (index, value) in values.iter().enumerate() {
            if self.layout.fields[index].kind == FieldType::Text {
                for c in value.text().chars().filter(|c| is_gaiji(*c)) {
                    *self.counts.entry((index, c)).or_default() += 1;
                }
            }
        }
    }

    /// The report (項目, シフトJISコード, Unicode, 件数) in the sender's encoding; none for a file without 外字.
    pub fn csv(&self, encoding: Encoding) -> Result<Option<Vec<u8>>> {
        if self.counts.is_empty() {
            return Ok(None);
        }
        let mut text = TableText::new(b"");
        text.row(["項目", "文字コード", "Unicode", "件数"])?;
        for ((field, c), count) in &self.counts {
            let name = &self.layout.fields[*field].ja;
            let code = Encoding::Cp932.encode(&c.to_string()).map(|b| crate::base::digest::hex(&b).to_uppercase());
            let unicode = format!("U+{:04X}", u32::from(*c));
            text.row([name, &code.unwrap_or_default(), &unicode, &count.to_string()])?;
        }
        Ok(Some(encoding.encode_lossy(&text.text()?)))
    }
}
