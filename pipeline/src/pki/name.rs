//! Names as RFC 5280 §7.1 compares them: by what they say, not by the string type and the spaces they are written with.

use unicode_normalization::UnicodeNormalization;

use super::der::Elements;
use super::der::{OID, SEQUENCE};

const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;

/// What two equal names have in common, from the DER of a Name; one that cannot be taken apart stands for itself alone.
pub fn key(der: &[u8]) -> Vec<u8> {
    parts(der).unwrap_or_else(|| der.to_vec())
}

fn parts(der: &[u8]) -> Option<Vec<u8>> {
    let mut outer = Elements(der);
    let (SEQUENCE, content, _) = outer.next_element()? else { return None };
    let (mut key, mut names) = (Vec::new(), Elements(content));
    while !names.is_empty() {
        let (SET, content, _) = names.next_element()? else { return None };
        let mut pairs = Vec::new();
        let mut attributes = Elements(content);
        while !attributes.is_empty() {
            let (SEQUENCE, content, _) = attributes.next_element()? else { return None };
            let mut pair = Elements(content);
            let (OID, oid, _) = pair.next_element()? else { return None };
            let (tag, value, _) = pair.next_element()?;
            pairs.push((oid.to_vec(), value_key(tag, value)));
        }
        pairs.sort();
        put(&mut key, &[]);
        for (oid, value) in pairs {
            put(&mut key, &oid);
            put(&mut key, &value);
        }
    }
    Some(key)
}

fn put(key: &mut Vec<u8>, part: &[u8]) {
    key.extend_from_slice(&part.len().to_be_bytes());
    key.extend_from_slice(part);
}

/// RFC 4518 in what names of authorities need: NFKC, case folded, spaces at the ends gone and runs of them one.
fn value_key(tag: u8, value: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(value) {
        Ok(text) if matches!(tag, UTF8_STRING | PRINTABLE_STRING) => {
            let folded: String = text.nfkc().flat_map(char::to_lowercase).collect();
            folded.split_whitespace().collect::<Vec<_>>().join(" ").into_bytes()
        }
        _ => [&[tag], value].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::der::encode;
    use super::*;

    fn name(tag: u8, text: &str) -> Vec<u8> {
        let pair = [encode(OID, &[0x55, 4, 3]), encode(tag, text.as_bytes())].concat();
        encode(SEQUENCE, &encode(SET, &encode(SEQUENCE, &pair)))
    }

    #[test]
    fn string_type_case_and_spaces_do_not_tell_names_apart() {
        let own = key(&name(PRINTABLE_STRING, "Sample  CA 1"));
        assert_eq!(own, key(&name(UTF8_STRING, " sample ca 1")));
        assert_ne!(own, key(&name(UTF8_STRING, "sample ca 2")));
        assert_ne!(own, key(&name(0x14, "Sample  CA 1")));
        assert_eq!(key(b"no name"), b"no name");
    }
}
