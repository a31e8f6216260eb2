//! Check digits of the field.

fn digit(b: u8) -> Option<u32> {
    b.is_ascii_digit().then(|| u32::from(b - b'0'))
}

/// Luhn mod 10 over all digits, the last one being the check digit. 被保険者枝番 (**own**, domain.md §1).
pub fn luhn_ok(text: &[u8]) -> bool {
    weighted_sum(text).is_some_and(|sum| sum % 10 == 0)
}

/// The weights 1, 2, 1, 2 … from the right with digit sums: the check digit itself has weight 1.
fn weighted_sum(text: &[u8]) -> Option<u32> {
    text.iter().rev().enumerate().try_fold(0, |sum, (i, b)| {
        let d = digit(*b)? * if i % 2 == 0 { 1 } else { 2 };
        Some(sum + d / 10 + d % 10)
    })
}

/// Check digit of 保険者番号: weights 2, 1, 2, 1 … from the right of the body, digit sums, mod 10 (domain.md §1).
/// The same sum as Luhn; kept apart because the two rules may part ways.
pub fn insurer_no_ok(text: &[u8]) -> bool {
    text.len() == 8 && luhn_ok(text)
}

/// The digit that makes `body` pass [`luhn_ok`].
pub fn luhn_digit(body: &str) -> char {
    let sum = weighted_sum(format!("{body}0").as_bytes()).unwrap_or(0);
    char::from_digit((10 - sum % 10) % 10, 10).unwrap_or('0')
}

/// Check digit of 個人番号 over an 11-digit body (domain.md §1).
pub fn my_number_digit(body: &[u32; 11]) -> u32 {
    let sum: u32 = body.iter().rev().zip(1u32..).map(|(p, n)| p * if n <= 6 { n + 1 } else { n - 5 }).sum();
    match sum % 11 {
        0 | 1 => 0,
        r => 11 - r,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insurer_numbers_of_the_sources_pass_and_single_digit_changes_fail() {
        for good in ["01130012", "06132013", "01010016"] {
            assert!(insurer_no_ok(good.as_bytes()), "{good}");
            for i in 0..8 {
                for d in b'0'..=b'9' {
                    let mut changed = good.as_bytes().to_vec();
                    if changed[i] != d {
                        changed[i] = d;
                        assert!(!insurer_no_ok(&changed));
                    }
                }
            }
        }
    }

    #[test]
    fn luhn_digit_completes_a_body() {
        for body in ["000000000000001", "123456789012345"] {
            let full = format!("{body}{}", luhn_digit(body));
            assert!(luhn_ok(full.as_bytes()));
        }
    }
}
