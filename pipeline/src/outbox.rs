//! Result files: what became of every record, in the sender's encoding (formats.md §2).

use shikaku_schemas::messages::Severity;

use crate::check::Finding;
use crate::error::{Error, Result};
use crate::inbox::Input;
use crate::read::envelope::Header;
use crate::text::cp932::Encoding;

/// One record's keys as the sender wrote them; what is not plain is left out, so that a message never carries data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordKeys {
    pub record_no: String,
    pub insurer_code: String,
    pub member_no: String,
}

/// A result file being written.
pub struct ResultFile {
    writer: csv::Writer<Vec<u8>>,
    encoding: Encoding,
    receipt_no: String,
}

/// 処理結果区分 of a message.
fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok | Severity::Duplicate => "1",
        Severity::Error => "2",
        Severity::Warning | Severity::Held => "3",
    }
}

/// Digits as they stand; anything else shows as blank.
pub fn plain(bytes: &[u8]) -> String {
    if bytes.len() <= 20 && bytes.iter().all(u8::is_ascii_digit) {
        String::from_utf8_lossy(bytes).into_owned()
    } else {
        String::new()
    }
}

impl ResultFile {
    pub fn new(encoding: Encoding, header: Option<&Header>) -> Self {
        let writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        Self { writer, encoding, receipt_no: header.map(|h| h.receipt_no.to_string()).unwrap_or_default() }
    }

    /// Rows of one record; findings in code order. None = 正常.
    pub fn record(&mut self, keys: &RecordKeys, findings: &[Finding]) -> Result<()> {
        let mut sorted: Vec<Finding> = findings.to_vec();
        sorted.sort_by(|a, b| a.message.code.cmp(&b.message.code));
        if sorted.is_empty() {
            sorted.push(Finding::of("000000"));
        }
        for (index, finding) in sorted.iter().enumerate() {
            let detail = format!("{:03}", index + 1);
            let (insurer_code, member_no) =
                if index == 0 { (keys.insurer_code.as_str(), keys.member_no.as_str()) } else { ("", "") };
            let text = finding.text();
            let class = class(finding.message.severity);
            let fields = [
                &keys.record_no,
                &self.receipt_no,
                &detail,
                insurer_code,
                member_no,
                class,
                &finding.message.code,
                &text,
            ];
            // Field by field through the encoder: quoting works on bytes in either encoding.
            let encoded: Vec<Vec<u8>> = fields.iter().map(|f| self.encoding.encode_lossy(f)).collect();
            self.writer.write_byte_record(&csv::ByteRecord::from(encoded)).map_err(|e| Error::failed(e.to_string()))?;
        }
        Ok(())
    }

    pub fn finish(self) -> Result<Vec<u8>> {
        self.writer.into_inner().map_err(|e| Error::failed(e.to_string()))
    }
}

/// Outbox path of an input's result file.
pub fn result_path(origin: Option<&str>, input: &Input) -> String {
    let origin = crate::inbox::safe_name(origin.unwrap_or("unknown"));
    format!("results/{origin}/{}.{}.result.csv", input.name, &input.sha256[..12])
}

/// The result file of an input that is refused or taken whole: one row with a blank record number.
pub fn whole_file(encoding: Encoding, header: Option<&Header>, code: &str) -> Result<Vec<u8>> {
    let mut file = ResultFile::new(encoding, header);
    let insurer_code = header.map(|h| h.origin.clone()).unwrap_or_default();
    let keys = RecordKeys { insurer_code, ..RecordKeys::default() };
    let findings = if code == "000000" { Vec::new() } else { vec![Finding::of(code)] };
    file.record(&keys, &findings)?;
    file.finish()
}
