//! The 個人番号 guard: twelve digits with a valid check digit, standing alone (domain.md §1).
//!
//! They count as one number when nothing stands between them, when they are written 4-4-4 with one kind of separator, or when
//! character references (`&#…;`) stand between or for them. Other runs with spaces are none: `20261001 1130` is a moment.

use unicode_normalization::UnicodeNormalization as _;

use super::cp932::Encoding;
use super::digits::my_number_digit;

/// Digits of a group in the written form.
const GROUP: usize = 4;

/// Value of a half- or full-width digit.
fn digit(c: char) -> Option<u32> {
    match c {
        '0'..='9' => Some(u32::from(c) - u32::from('0')),
        '０'..='９' => Some(u32::from(c) - u32::from('０')),
        _ => None,
    }
}

/// What people put between groups of digits; variants of one sign are one kind.
fn separator(c: char) -> Option<char> {
    match c {
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{30fc}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' | '\u{ff70}' => {
            Some('-')
        }
        ' ' | '\u{3000}' | '\u{a0}' => Some(' '),
        _ => None,
    }
}

/// Characters that are not seen: between two digits they are nothing.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// Whether the text holds one.
pub fn found_in(text: &str) -> bool {
    // Twelve digits need at least twelve bytes; most fields are shorter or hold none.
    if text.len() < 12 {
        return false;
    }
    // Names and addresses hold few digits; a full-width one starts with 0xEF in UTF-8, a reference with an ampersand.
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if digits < 12 && memchr::memchr2(0xef, b'&', text.as_bytes()).is_none() {
        return false;
    }
    if text.contains("&#") {
        let [read, joined] = without_references(text);
        return look(&read) || look(&joined);
    }
    look(text)
}

/// A run of digits.
#[derive(Clone, Copy)]
struct Group {
    /// The first twelve.
    digits: [u32; 12],
    length: usize,
    /// The one separator between it and the next group.
    joined_by: Option<char>,
}

fn look(text: &str) -> bool {
    let groups = groups(text);
    if groups.iter().any(|group| group.length == 12 && is_my_number(&group.digits)) {
        return true;
    }
    // 4-4-4 with one kind of separator, and not a part of a longer row of such groups.
    groups.windows(3).enumerate().any(|(at, three)| {
        let kind = three[0].joined_by;
        let before = at.checked_sub(1).and_then(|before| groups[before].joined_by);
        let written = kind.is_some() && three[1].joined_by == kind && three.iter().all(|g| g.length == GROUP);
        written && before != kind && three[2].joined_by != kind && {
            let mut run = [0u32; 12];
            for (part, group) in run.chunks_exact_mut(GROUP).zip(three) {
                part.copy_from_slice(&group.digits[..GROUP]);
            }
            is_my_number(&run)
        }
    })
}

fn groups(text: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    // What stands since the last digit: nothing, one separator, or anything else.
    let mut between: Option<Option<char>> = Some(None);
    let mut inside = false;
    for c in text.chars().filter(|c| !is_invisible(*c)) {
        let Some(digit) = digit(c) else {
            between = match (inside, separator(c)) {
                (true, Some(kind)) => Some(Some(kind)),
                _ => None,
            };
            inside = false;
            continue;
        };
        if !inside {
            if let (Some(last), Some(Some(kind))) = (groups.last_mut(), between) {
                last.joined_by = Some(kind);
            }
            groups.push(Group { digits: [0; 12], length: 0, joined_by: None });
            inside = true;
        }
        if let Some(group) = groups.last_mut() {
            if let Some(slot) = group.digits.get_mut(group.length) {
                *slot = digit;
            }
            group.length += 1;
        }
    }
    groups
}

/// The text with its character references read, and with those that stand for no digit left out.
fn without_references(text: &str) -> [String; 2] {
    let (mut read, mut joined) = (String::with_capacity(text.len()), String::with_capacity(text.len()));
    let mut rest = text;
    while let Some(at) = rest.find("&#") {
        let (before, reference) = rest.split_at(at);
        read.push_str(before);
        joined.push_str(before);
        let end = reference.find(';').filter(|end| *end <= 12);
        let number = end.and_then(|end| {
            let name = &reference[2..end];
            match name.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => name.parse().ok(),
            }
        });
        match (number.and_then(char::from_u32), end) {
            (Some(c), Some(end)) => {
                read.push(c);
                joined.extend(digit(c).map(|_| c));
                rest = &reference[end + 1..];
            }
            _ => {
                read.push_str("&#");
                joined.push_str("&#");
                rest = &reference[2..];
            }
        }
    }
    read.push_str(rest);
    joined.push_str(rest);
    [read, joined]
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
pub fn found_leniently(bytes: &[u8]) -> bool {
    let (cp932, _) = encoding_rs::SHIFT_JIS.decode_without_bom_handling(bytes);
    found_in(&cp932) || found_in(&String::from_utf8_lossy(bytes))
}

/// Raw bytes with their digits made blanks of the same length: of any width and form that compares as a digit, and character
/// references whole. Nothing else changes.
pub fn blanked(bytes: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        let reference = rest.starts_with(b"&#").then(|| rest.iter().take(12).position(|b| *b == b';')).flatten();
        let length = match (encoding, first) {
            (_, _) if reference.is_some() => reference.map_or(1, |end| end + 1),
            (Encoding::Cp932, 0x81..=0x9f | 0xe0..=0xfc) => 2,
            (Encoding::Utf8, 0xc2..=0xdf) => 2,
            (Encoding::Utf8, 0xe0..=0xef) => 3,
            (Encoding::Utf8, 0xf0..=0xf4) => 4,
            _ => 1,
        };
        let (own, behind) = rest.split_at(length.min(rest.len()));
        let is_digit =
            reference.is_some() || encoding.decode(own).is_ok_and(|text| text.nfkc().any(|c| c.is_ascii_digit()));
        match (is_digit, encoding, own.len()) {
            (false, ..) => out.extend_from_slice(own),
            (true, Encoding::Cp932, 2) => out.extend_from_slice(b"\x81\x40"),
            (true, Encoding::Utf8, 3) => out.extend_from_slice("\u{3000}".as_bytes()),
            (true, _, length) => out.resize(out.len() + length, b' '),
        }
        rest = behind;
    }
    out
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

    fn spread(separators: [&str; 2]) -> String {
        let n = sample();
        format!("{}{}{}{}{}", &n[..4], separators[0], &n[4..8], separators[1], &n[8..])
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

    #[test]
    fn separated_digits_are_one_number_in_groups_of_four_with_one_kind_of_separator() {
        for same in ["-", "－", "‐", "ー", "﹣", " ", "\u{3000}"] {
            assert!(found_in(&format!("備考{}。", spread([same, same]))), "{same:?}");
        }
        assert!(found_in(&spread(["-", "－"])), "two ways to write one sign");
        assert!(found_in(&format!("1-1 {}", spread(["-", "-"]))));
        for other in [["-", " "], ["--", "--"], ["/", "/"]] {
            assert!(!found_in(&spread(other)), "{other:?}");
        }
        assert!(!found_in(&format!("{}-1234", spread(["-", "-"]))), "a longer row of groups is another number");
        let n = sample();
        assert!(!found_in(&format!("{} {}", &n[..8], &n[8..])), "other runs with spaces are none");
    }

    #[test]
    fn references_between_or_for_digits_do_not_hide_a_number() {
        let n = sample();
        assert!(found_in(&format!("{}&#8203;{}", &n[..6], &n[6..])));
        assert!(found_in(&format!("{}&#x30;{}", &n[..9], &n[10..])));
        assert!(found_in(&spread(["&#45;", "&#45;"])));
        assert!(found_in(&format!("{}\u{200b}{}", &n[..5], &n[5..])));
        let all: String = n.bytes().map(|b| format!("&#{b};")).collect();
        assert!(found_in(&all));
        assert!(!found_in("&#;&#x;&#99999999999;&#"));
    }

    #[test]
    fn blanked_bytes_keep_their_length_and_lose_their_digits_alone() {
        let text = "記号12-３４";
        for encoding in [Encoding::Cp932, Encoding::Utf8] {
            let bytes = encoding.encode(text).unwrap();
            let out = blanked(&bytes, encoding);
            assert_eq!(out.len(), bytes.len());
            assert_eq!(encoding.decode(&out).unwrap(), "記号  -\u{3000}\u{3000}");
        }
        // Whatever compares as a digit is one, and a reference is none of the sender's text any more.
        for text in ["①②", "𝟏𝟐", "¹²", "&#49;&#x32;"] {
            let out = blanked(text.as_bytes(), Encoding::Utf8);
            assert!(out.len() == text.len() && String::from_utf8(out).unwrap().trim().is_empty(), "{text}");
        }
        assert_eq!(blanked(b"\x87\x40\x87\x41", Encoding::Cp932), b"\x81\x40\x81\x40");
    }
}
