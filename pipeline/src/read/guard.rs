//! The 個人番号 guard over whole files, whatever their layout.

use std::io::{Read, Seek, SeekFrom};

use crate::base::error::{At, Result};
use crate::base::stamp::Reopen;
use crate::text::my_number::{found_in, found_leniently};

/// Bytes looked at together.
const PIECE: u64 = 1 << 20;
/// Bytes looked at twice, so that a number over a boundary is seen: twelve digits written as references of ten bytes, with
/// references between them.
const OVERLAP: usize = 512;

/// Whether any text of a file holds one, in either encoding, whatever its layout: for files that no layout could be
/// applied to and whose bytes would otherwise land unseen; from a byte on. Works in pieces of bounded size that overlap. UTF-16
/// is read by its byte order mark. Returns the line, from 1, of the first one.
pub fn found_in_file(file: &(impl Reopen + ?Sized), from: u64) -> Result<Option<u64>> {
    let path = file.place();
    let mut file = file.reopen()?;
    let mut mark = [0u8; 2];
    let wide = match file.read(&mut mark).at(path)? {
        2 if mark == [0xff, 0xfe] => Some(encoding_rs::UTF_16LE),
        2 if mark == [0xfe, 0xff] => Some(encoding_rs::UTF_16BE),
        _ => None,
    };
    let mut line = 1 + lines_before(&mut file, from).at(path)?;
    file.seek(SeekFrom::Start(from)).at(path)?;
    let mut piece: Vec<u8> = Vec::new();
    loop {
        let kept = piece.split_off(piece.len().saturating_sub(OVERLAP));
        line += count_lines(&piece);
        piece = kept;
        let read = Read::by_ref(&mut file).take(PIECE).read_to_end(&mut piece).at(path)?;
        let found = |bytes: &[u8]| match wide {
            Some(encoding) => found_in(&encoding.decode_without_bom_handling(bytes).0),
            None => found_leniently(bytes),
        };
        if found(&piece) {
            let before = piece.split(|b| *b == b'\n').take_while(|line| !found(line)).count();
            return Ok(Some(line + u64::try_from(before).unwrap_or(0).min(count_lines(&piece))));
        }
        if read == 0 {
            return Ok(None);
        }
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    u64::try_from(memchr::memchr_iter(b'\n', bytes).count()).unwrap_or(0)
}

fn lines_before(file: &mut std::fs::File, end: u64) -> std::io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let (mut source, mut piece, mut lines) = (file.take(end), vec![0; 1 << 16], 0);
    loop {
        match source.read(&mut piece)? {
            0 => return Ok(lines),
            n => lines += count_lines(&piece[..n]),
        }
    }
}
