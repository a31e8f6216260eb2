//! PEM as a stream: text before the BEGIN line is passed over, the body is decoded as it is read.

use std::io::{self, BufRead, BufReader, Read};

use super::der::SEQUENCE;
use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;

/// Longest line that is looked at; a body may stand on one line all the same.
const MAX_LINE: u64 = 4096;

/// The DER of a file, whether it is DER or PEM; `None` = it is neither.
pub fn der<'r>(mut source: impl Read + 'r, label: &str) -> io::Result<Option<Box<dyn Read + 'r>>> {
    let mut first = [0; 1];
    let n = source.read(&mut first)?;
    let whole = io::Cursor::new(first[..n].to_vec()).chain(source);
    // What we read is a SEQUENCE, which no text begins with.
    if first == [SEQUENCE] {
        return Ok(Some(Box::new(whole)));
    }
    Ok(body(whole, label)?.map(|body| -> Box<dyn Read + 'r> { Box::new(body) }))
}

/// The DER below the first `-----BEGIN <label>-----`; `None` = there is none.
fn body<R: Read>(source: R, label: &str) -> io::Result<Option<impl Read + use<R>>> {
    let begin = format!("-----BEGIN {label}-----");
    let mut source = BufReader::with_capacity(1 << 16, source);
    let mut line = Vec::new();
    loop {
        line.clear();
        if Read::by_ref(&mut source).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.trim_ascii_end() == begin.as_bytes() {
            let end = format!("-----END {label}-----").into_bytes();
            return Ok(Some(DecoderReader::new(Body { source, end, ended: false }, &STANDARD)));
        }
    }
}

/// Base64 letters of a body, without its line ends; an error if the END line is another.
struct Body<R> {
    source: BufReader<R>,
    end: Vec<u8>,
    ended: bool,
}

impl<R: Read> Body<R> {
    /// Whether a second body follows: it would be lost unseen.
    fn another(&mut self) -> io::Result<bool> {
        let mut line = Vec::new();
        while Read::by_ref(&mut self.source).take(MAX_LINE).read_until(b'\n', &mut line)? > 0 {
            if line.starts_with(b"-----BEGIN ") {
                return Ok(true);
            }
            line.clear();
        }
        Ok(false)
    }
}

impl<R: Read> Read for Body<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done == 0 && !self.ended && !out.is_empty() {
            let ahead = self.source.fill_buf()?;
            if ahead.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut used = 0;
            for byte in ahead {
                match byte {
                    b'-' => self.ended = true,
                    byte if byte.is_ascii_whitespace() => {}
                    _ if done == out.len() => break,
                    byte => {
                        out[done] = *byte;
                        done += 1;
                    }
                }
                if self.ended {
                    break;
                }
                used += 1;
            }
            self.source.consume(used);
        }
        if self.ended && done == 0 && !self.end.is_empty() {
            let mut line = Vec::new();
            Read::by_ref(&mut self.source).take(MAX_LINE).read_until(b'\n', &mut line)?;
            if line.trim_ascii_end() != std::mem::take(&mut self.end) || self.another()? {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let read = body(text.as_bytes(), "X").unwrap()?.read_to_end(&mut out);
        read.ok().map(|_| out)
    }

    #[test]
    fn reads_what_stands_between_the_lines_and_nothing_else() {
        assert_eq!(read("-----BEGIN X-----\nAAEC\n-----END X-----\n"), Some(vec![0, 1, 2]));
        assert_eq!(read("some text\r\n-----BEGIN X-----\r\nAA\r\nEC\r\n-----END X-----"), Some(vec![0, 1, 2]));
        for broken in [
            "",
            "AAEC",
            "-----BEGIN X-----\nAAEC\n",
            "-----BEGIN X-----\nAA*C\n-----END X-----\n",
            "-----BEGIN X-----\nAAEC\n-----END Y-----\n",
            "-----BEGIN X-----\nAAEC\n-----END X-----\n-----BEGIN X-----\nAAEC\n-----END X-----\n",
        ] {
            assert_eq!(read(broken), None, "{broken}");
        }
    }
}
