//! Normal forms by which 記号・番号 and names are compared (rules.md §3).

use unicode_normalization::UnicodeNormalization;

/// Key of 記号 or 番号: NFKC, without spaces and hyphen variants, upper case. Leading zeros are kept.
pub fn number_key(text: &str) -> String {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.to_owned();
    }
    text.nfkc().filter(|c| !is_space(*c) && !is_hyphen(*c)).flat_map(char::to_uppercase).collect()
}

/// Key of a name in kana: NFKC without spaces.
pub fn kana_key(text: &str) -> String {
    text.nfkc().filter(|c| !is_space(*c)).collect()
}

fn is_space(c: char) -> bool {
    matches!(c, '\u{20}' | '\u{3000}')
}

fn is_hyphen(c: char) -> bool {
    matches!(c, '\u{2d}' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{30fc}' | '\u{ff0d}')
}

/// Serial in text form: lower-case hex without leading zero nibbles. `None` when it is not hex, zero, or over 20 octets.
pub fn serial(text: &str) -> Option<String> {
    let trimmed = text.trim_start_matches('0');
    let ok = !trimmed.is_empty() && trimmed.bytes().all(|b| b.is_ascii_hexdigit()) && trimmed.len() <= 40;
    ok.then(|| trimmed.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbol_and_number_compare_by_their_key() {
        assert_eq!(number_key("６４４－０７ １８"), "6440718");
        assert_eq!(number_key("ａbｃ‐1ー２"), "ABC12");
        assert_eq!(number_key("ｶﾞ　００1"), "ガ001");
        assert_eq!(kana_key("ﾃｽﾄ　ﾊﾝﾖｳ"), "テストハンヨウ");
    }

    #[test]
    fn serials_lose_leading_zero_nibbles() {
        assert_eq!(serial("000AbC"), Some("abc".to_owned()));
        assert_eq!(serial("0"), None);
        assert_eq!(serial("12 3"), None);
        assert_eq!(serial(&"f".repeat(41)), None);
        assert_eq!(serial(&format!("00{}", "f".repeat(40))), Some("f".repeat(40)));
    }
}
