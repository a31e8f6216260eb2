//! The 個人番号 guard: twelve digits standing alone with a valid check digit (domain.md §1).

use std::io::{Read, Seek, SeekFrom};

use super::cp932::Encoding;
use super::digits::my_number_digit;
use crate::error::{At, Result};
use crate::stamp::Reopen;

/// Bytes looked at together.
const PIECE: u64 = 1 << 20;
/// Bytes looked at twice, so that a number over a boundary is seen: twelve full-width digits in UTF-8 are 36.
const OVERLAP: usize = 64;

/// Value of a half- or full-width digit.
fn digit(c: char) -> Option<u32> {
    match c {
        '0'..='9' => Some(u32::from(c) - u32::from('0')),
        '０'..='９' => Some(u32::from(c) - u32::from('０')),
        _ => None,
    }
}

/// Whether the text holds a run of exactly twelve digits whose check digit is right.
pub fn found_in(text: &str) -> bool {
    // Twelve digits need at least twelve bytes; most fields are shorter or hold none.
    if text.len() < 12 {
        return false;
    }
    let mut run = [0u32; 12];
    let mut length = 0usize;
    for c in text.chars().chain(['\n']) {
        match digit(c) {
            Some(d) => {
                if length < 12 {
                    run[length] = d;
                }
                length += 1;
            }
            None => {
                if length == 12 && is_my_number(&run) {
                    return true;
                }
                length = 0;
            }
        }
    }
    false
}

/// The same for bytes that need not decode: half-width digits are ASCII in both encodings.
pub fn found_in_bytes(bytes: &[u8], encoding: Encoding) -> bool {
    bytes.len() >= 12
        && match encoding.decode(bytes) {
            Ok(text) => found_in(&text),
            Err(_) => found_leniently(bytes),
        }
}

/// In either encoding, whatever does not decode. Replacement characters are no digits.
fn found_leniently(bytes: &[u8]) -> bool {
    let (cp932, _) = encoding_rs::SHIFT_JIS.decode_without_bom_handling(bytes);
    found_in(&cp932) || found_in(&String::from_utf8_lossy(bytes))
}

/// Whether any text of a file holds one, in either encoding, whatever its layout: for files that no layout could be
/// applied to and whose bytes would otherwise land unseen; from a byte on. Works in pieces of bounded size that overlap. UTF-16
/// is read by its byte order mark.
pub fn found_in_file(file: &(impl Reopen + ?Sized), from: u64) -> Result<bool> {
    let path = file.place();
    let mut file = file.reopen()?;
    let mut mark = [0u8; 2];
    let wide = match file.read(&mut mark).at(path)? {
        2 if mark == [0xff, 0xfe] => Some(encoding_rs::UTF_16LE),
        2 if mark == [0xfe, 0xff] => Some(encoding_rs::UTF_16BE),
        _ => None,
    };
    file.seek(SeekFrom::Start(from)).at(path)?;
    let mut piece: Vec<u8> = Vec::new();
    loop {
        let kept = piece.split_off(piece.len().saturating_sub(OVERLAP));
        piece = kept;
        let read = Read::by_ref(&mut file).take(PIECE).read_to_end(&mut piece).at(path)?;
        let found = match wide {
            Some(encoding) => found_in(&encoding.decode_without_bom_handling(&piece).0),
            None => found_leniently(&piece),
        };
        if found {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
    }
}

fn is_my_number(run: &[u32; 12]) -> bool {
    let mut body = [0u32; 11];
    body.copy_from_slice(&run[..11]);
    my_number_digit(&body) == run[11]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number with a valid check digit, made here; no real one stands in the repository.
    fn sample() -> String {
        let body = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1];
        format!("12345678901{}", my_number_digit(&body))
    }

    #[test]
    fn found_alone_in_half_and_full_width_only() {
        let n = sample();
        let wide: String = n.chars().map(|c| char::from_u32(u32::from(c) - 0x30 + 0xff10).unwrap()).collect();
        assert!(found_in(&n));
        assert!(found_in(&format!("東京都{wide}番地")));
        assert!(!found_in(&format!("{n}0")));
        assert!(!found_in(&format!("9{n}")));
        let mut wrong = n.clone();
        let last = wrong.pop().unwrap();
        wrong.push(if last == '9' { '0' } else { '9' });
        assert!(!found_in(&wrong));
    }
}
