//! Result files: what became of every record, in the sender's encoding (formats.md §2).

use std::collections::BTreeMap;
use std::path::Path;

use shikaku_schemas::code::Code;
use shikaku_schemas::messages::{Message, Severity};

use crate::base::error::Result;
use crate::base::spool::{Spool, Spooled};
use crate::base::table_text::TableText;
use crate::base::time::BusinessDate;
use crate::read::envelope::Header;
use crate::rules::Finding;
use crate::store::input::Input;
use crate::text::cp932::Encoding;

/// One record's keys; what did not pass its own check is left out, so that a message never carries data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordKeys<'a> {
    pub record_no: &'a str,
    pub insurer_code: &'a str,
    pub member_no: &'a str,
}

/// A result file being written. Neither keys nor catalogued messages hold a comma or a quote (tests see to it), so fields
/// are joined as they are.
pub struct ResultFile {
    spool: Spool,
    encoding: Encoding,
    receipt_no: String,
    /// 受付明細番号: which line of the file, counted from 1.
    detail_no: u64,
    /// What follows the keys of a record without findings.
    accepted: Vec<u8>,
}

/// 処理結果区分 of a message.
fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok | Severity::Duplicate => "1",
        Severity::Error => "2",
        Severity::Warning | Severity::Held => "3",
    }
}

fn outcome(encoding: Encoding, message: &Message, text: &str) -> Vec<u8> {
    encoding.encode_lossy(&format!(",{},{},{text}\r\n", class(message.severity), message.code))
}

impl ResultFile {
    pub fn new(encoding: Encoding, header: Option<&Header>) -> Self {
        Self::spooled(encoding, header, None)
    }

    /// The same of a file that may have millions of records; what is too much for memory lies below `dir`.
    pub fn spooled(encoding: Encoding, header: Option<&Header>, dir: Option<&Path>) -> Self {
        let ok = Code::Accepted.message();
        let receipt_no = header.map(|h| h.receipt_no.to_string()).unwrap_or_default();
        let spool = Spool::new(dir);
        Self { spool, encoding, receipt_no, detail_no: 0, accepted: outcome(encoding, ok, &ok.ja) }
    }

    /// Rows of the next record; findings in code order. None = 正常. The first row carries everything, further ones repeat
    /// the three keys (002 L18746–18808: one 受付明細番号 for all messages of a record).
    pub fn record(&mut self, keys: RecordKeys<'_>, findings: &[Finding]) -> Result<()> {
        self.detail_no += 1;
        if findings.is_empty() {
            self.keys(keys.record_no, keys.insurer_code, keys.member_no);
            self.spool.buffer().extend_from_slice(&self.accepted);
            return self.spool.settle();
        }
        let mut sorted: Vec<&Finding> = findings.iter().collect();
        sorted.sort_by(|a, b| a.message.code.cmp(&b.message.code));
        for (index, finding) in sorted.into_iter().enumerate() {
            match index {
                0 => self.keys(keys.record_no, keys.insurer_code, keys.member_no),
                _ => self.keys(keys.record_no, "", ""),
            }
            let text = outcome(self.encoding, finding.message, &finding.text());
            self.spool.buffer().extend(text);
        }
        self.spool.settle()
    }

    fn keys(&mut self, record_no: &str, insurer_code: &str, member_no: &str) {
        let detail_no = format!("{:03}", self.detail_no);
        for (index, key) in [record_no, &self.receipt_no, &detail_no, insurer_code, member_no].into_iter().enumerate() {
            let bytes = self.spool.buffer();
            if index > 0 {
                bytes.push(b',');
            }
            bytes.extend_from_slice(key.as_bytes());
        }
    }

    pub fn finish(self) -> Result<Spooled> {
        self.spool.finish()
    }
}

/// Outbox path of an insurer's 連携状況 of a night.
pub fn link_status_path(origin: &str, date: BusinessDate) -> String {
    let day = date.to_string().replace('-', "");
    format!(
        "link-status/{}/link-status_{}_{day}.csv",
        crate::store::input::safe_name(origin),
        crate::store::input::safe_name(origin)
    )
}

/// 連携状況 of the members that a night's files named (002 L11117–11138): 連携完了 once a record was accepted or when the
/// member is registered, else 連携エラー. No personal data: member numbers that did not pass their check are not in it.
pub fn link_status(
    encoding: Encoding,
    origin: &str,
    members: &BTreeMap<u64, bool>,
    at: chrono::NaiveDateTime,
) -> Result<Vec<u8>> {
    let at = at.format("%Y%m%d%H%M%S").to_string();
    let mut text = TableText::new(b"");
    text.row(["保険者コード", "被保険者枝番", "連携ステータス", "連携日時"])?;
    for (member, accepted) in members {
        let status = if *accepted { "連携完了" } else { "連携エラー" };
        text.row([origin, &format!("{member:016}"), status, &at])?;
    }
    Ok(encoding.encode_lossy(&text.text()?))
}

/// Outbox path of an input's 外字 report.
pub fn gaiji_path(origin: Option<&str>, input: &Input) -> String {
    result_path(origin, input).replace(".result.csv", ".gaiji.csv")
}

/// Outbox path of an input's result file.
pub fn result_path(origin: Option<&str>, input: &Input) -> String {
    let origin = crate::store::input::safe_name(origin.unwrap_or("unknown"));
    format!("results/{origin}/{}.{}.result.csv", input.name, &input.sha256[..12])
}

/// The result file of an input that is refused or taken whole: one row with a blank record number, and one for each further
/// finding. None = 正常.
pub fn whole_file(
    encoding: Encoding,
    origin: Option<&str>,
    header: Option<&Header>,
    findings: &[Finding],
) -> Result<Spooled> {
    let mut file = ResultFile::new(encoding, header);
    let keys = RecordKeys { insurer_code: origin.unwrap_or_default(), ..RecordKeys::default() };
    file.record(keys, findings)?;
    file.finish()
}
