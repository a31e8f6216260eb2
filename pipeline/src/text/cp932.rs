//! CP932 (the Windows one) and UTF-8, strictly: what cannot be decoded is an error with its offset, never U+FFFD.

use std::borrow::Cow;

use encoding_rs::{DecoderResult, EncoderResult, SHIFT_JIS};
use serde::Deserialize;

/// Encoding of an origin's files and of what is written back to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Encoding {
    #[default]
    #[serde(rename = "cp932", alias = "CP932", alias = "shift_jis", alias = "Shift_JIS", alias = "windows-31j")]
    Cp932,
    #[serde(rename = "utf-8", alias = "UTF-8", alias = "utf8")]
    Utf8,
}

/// The first byte that decodes to no character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecodable {
    /// Offset in the bytes given.
    pub offset: usize,
    /// The byte and, for a broken pair, the one after it.
    pub bytes: [u8; 2],
    pub len: usize,
}

impl Undecodable {
    /// Hex of the bytes, for messages.
    pub fn hex(&self) -> String {
        self.bytes[..self.len].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Encoding {
    pub fn name(self) -> &'static str {
        match self {
            Self::Cp932 => "cp932",
            Self::Utf8 => "utf-8",
        }
    }

    /// Decodes all bytes or says where it cannot. ASCII is borrowed.
    pub fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, Undecodable> {
        if bytes.is_ascii() {
            // ASCII is the same in both encodings; from_utf8 cannot fail here.
            return Ok(String::from_utf8_lossy(bytes));
        }
        match self {
            Self::Utf8 => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Cow::Borrowed(text)),
                Err(error) => Err(at(bytes, error.valid_up_to(), 1)),
            },
            Self::Cp932 => decode_cp932(bytes).map(Cow::Owned),
        }
    }

    /// Encodes text for this origin; `None` if a character has no code (外字 are re-encoded arithmetically).
    pub fn encode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Utf8 => Some(text.as_bytes().to_vec()),
            Self::Cp932 => encode_cp932(text),
        }
    }

    /// Encodes text that we wrote ourselves: what has no code becomes `〓`, the mark for a missing character.
    pub fn encode_lossy(self, text: &str) -> Vec<u8> {
        self.encode(text).unwrap_or_else(|| {
            text.chars().flat_map(|c| self.encode(&c.to_string()).unwrap_or_else(|| vec![0x81, 0xac])).collect()
        })
    }
}

fn at(bytes: &[u8], offset: usize, len: usize) -> Undecodable {
    let mut found = [0u8; 2];
    let rest = &bytes[offset.min(bytes.len())..];
    let len = len.min(rest.len()).min(2);
    found[..len].copy_from_slice(&rest[..len]);
    Undecodable { offset, bytes: found, len }
}

fn decode_cp932(bytes: &[u8]) -> Result<String, Undecodable> {
    // encoding_rs maps 0x80 to U+0080; CP932 has no such character.
    let mut decoder = SHIFT_JIS.new_decoder_without_bom_handling();
    let mut text = String::with_capacity(decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(0));
    let (result, read) = decoder.decode_to_string_without_replacement(bytes, &mut text, true);
    match result {
        DecoderResult::InputEmpty if !text.contains('\u{80}') => Ok(text),
        DecoderResult::InputEmpty | DecoderResult::OutputFull => Err(first_bad(bytes)),
        DecoderResult::Malformed(length, after) => {
            let length = usize::from(length);
            let offset = read.saturating_sub(length + usize::from(after));
            // A lone 0x80 before the broken place is the first fault.
            let earlier = text.contains('\u{80}').then(|| first_bad(bytes)).filter(|e| e.offset < offset);
            // A broken pair is shown whole, though its second byte may be read again as a character of its own.
            let pair = matches!(bytes.get(offset), Some(0x81..=0x9f | 0xe0..=0xfc));
            Err(earlier.unwrap_or_else(|| at(bytes, offset, if length > 1 || pair { 2 } else { 1 })))
        }
    }
}

/// Walks character by character to the first byte that is none; used on the rare path only.
fn first_bad(bytes: &[u8]) -> Undecodable {
    let mut i = 0;
    while i < bytes.len() {
        let b = bytes[i];
        match b {
            0x80 | 0xa0 | 0xfd..=0xff => return at(bytes, i, 1),
            0x81..=0x9f | 0xe0..=0xfc => i += 2,
            _ => i += 1,
        }
    }
    at(bytes, bytes.len(), 1)
}

fn encode_cp932(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut encoder = SHIFT_JIS.new_encoder();
    loop {
        let need = encoder.max_buffer_length_from_utf8_without_replacement(rest.len())?;
        out.reserve(need);
        let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut out, true);
        rest = &rest[read..];
        match result {
            EncoderResult::InputEmpty => return Some(out),
            EncoderResult::OutputFull => {}
            EncoderResult::Unmappable(c) => {
                out.extend_from_slice(&gaiji_bytes(c)?);
                encoder = SHIFT_JIS.new_encoder();
            }
        }
    }
}

/// Bytes of a user-defined character (外字 F040–F9FC = U+E000–U+E757).
fn gaiji_bytes(c: char) -> Option<[u8; 2]> {
    let p = u32::from(c).checked_sub(0xe000).filter(|p| *p < 1880)?;
    let lead = u8::try_from(0xf0 + p / 188).ok()?;
    let t = u8::try_from(p % 188).ok()?;
    Some([lead, if t < 63 { t + 0x40 } else { t + 0x41 }])
}

/// Whether the text holds a user-defined character.
pub fn has_gaiji(text: &str) -> bool {
    !text.is_ascii() && text.chars().any(is_gaiji)
}

/// A private-use character that stands for one of the 1,880 user-defined codes F040–F9FC.
pub fn is_gaiji(c: char) -> bool {
    matches!(c, '\u{e000}'..='\u{e757}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_character_are_errors_with_their_offset() {
        for bad in [0x80u8, 0xa0, 0xfd, 0xfe, 0xff] {
            let error = Encoding::Cp932.decode(&[b'A', 0x83, 0x5c, bad, b'B']).unwrap_err();
            assert_eq!((error.offset, error.bytes[0]), (3, bad), "{bad:02x}");
        }
        let broken = Encoding::Cp932.decode(&[0x83, 0x5c, 0x83, 0x20]).unwrap_err();
        assert_eq!(broken.offset, 2);
        let cut = Encoding::Cp932.decode(&[b'A', 0x83]).unwrap_err();
        assert_eq!((cut.offset, cut.hex()), (1, "83".to_owned()));
        assert_eq!(Encoding::Utf8.decode(b"ab\xff").unwrap_err().offset, 2);
    }

    #[test]
    fn every_two_byte_code_decodes_or_fails_and_gaiji_encode_back() {
        let mut decoded = 0;
        for lead in (0x81..=0x9fu8).chain(0xe0..=0xfc) {
            for trail in (0x40..=0x7eu8).chain(0x80..=0xfc) {
                let Ok(text) = Encoding::Cp932.decode(&[lead, trail]).map(Cow::into_owned) else { continue };
                decoded += 1;
                assert!(!text.contains('\u{fffd}'));
                let back = Encoding::Cp932.encode(&text).unwrap();
                assert_eq!(Encoding::Cp932.decode(&back).unwrap(), text);
                if (0xf0..=0xf9).contains(&lead) {
                    assert_eq!(back, [lead, trail]);
                    assert!(has_gaiji(&text));
                }
            }
        }
        // 11,280 cells less 1,676 undefined ones (libraries.md §3).
        assert_eq!(decoded, 9604);
    }

    #[test]
    fn characters_without_a_code_do_not_encode() {
        assert_eq!(Encoding::Cp932.encode("𠮟"), None);
        assert_eq!(Encoding::Cp932.encode_lossy("a𠮟"), [b'a', 0x81, 0xac]);
    }
}
