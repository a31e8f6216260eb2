//! The field rules: one function per kind of field, driven by the layout alone.

use shikaku_schemas::codes;
use shikaku_schemas::layout::{Field, FieldType, Guard};
use shikaku_schemas::messages::FieldRule;

use super::{Context, Finding, Value};
use crate::read::records::RawRecord;
use crate::text::cp932::{Encoding, has_gaiji};
use crate::text::{digits, my_number, normal};
use crate::time::{parse_date, parse_timestamp};

/// Checks all fields of a D line (field 0 is the letter). Values of broken fields are blank.
pub fn check_fields(context: &Context<'_>, record: &RawRecord<'_>, first: usize) -> (Vec<Value>, Vec<Finding>) {
    let fields = &context.layout.fields;
    let mut findings = Vec::new();
    if record.misquoted {
        findings.push(Finding::of("200002"));
    }
    if record.len() != fields.len() + first {
        findings.push(Finding::of("200001"));
        return (vec![Value::Blank; fields.len()], findings);
    }
    let mut values = Vec::with_capacity(fields.len());
    for (index, field) in fields.iter().enumerate() {
        let bytes = record.field(index + first);
        values.push(check_field(context, index, field, bytes, record, &mut findings));
    }
    check_conditions(context, &values, record, first, &mut findings);
    (values, findings)
}

fn check_field(
    context: &Context<'_>,
    index: usize,
    field: &Field,
    bytes: &[u8],
    record: &RawRecord<'_>,
    findings: &mut Vec<Finding>,
) -> Value {
    let fail = |rule| Finding::field(context.layout, index, rule);
    if bytes.is_empty() {
        if field.required {
            findings.push(fail(FieldRule::Required));
        }
        return Value::Blank;
    }
    let text = match context.encoding.decode(bytes) {
        Ok(text) => text,
        Err(bad) => {
            // The offset inside the field is exact; fields before it add their bytes, commas and quotes.
            let before = offset_in_record(record, index) + length(bad.offset);
            findings.push(Finding {
                place: Some((record.line, record.byte + before, bad.hex())),
                ..fail(FieldRule::Undecodable)
            });
            return Value::Blank;
        }
    };
    if text.chars().any(char::is_control) {
        findings.push(fail(FieldRule::Control));
        return Value::Blank;
    }
    let mapped = context.code_maps.and_then(|maps| maps.get(&field.name)).and_then(|map| map.get(text.as_ref()));
    let typed = match mapped.filter(|_| field.kind == FieldType::Code) {
        Some(ours) => typed(field, ours, ours.as_bytes(), context.encoding),
        None => typed(field, &text, bytes, context.encoding),
    };
    match typed {
        Ok(value) => {
            let after = value.date().is_some_and(|d| d > context.created.date())
                || value.timestamp().is_some_and(|t| t > context.created);
            if field.not_after_created && after {
                findings.push(fail(FieldRule::Future));
            }
            if !field.schemes.is_empty() && !field.schemes.iter().any(|s| s == context.scheme) {
                findings.push(fail(FieldRule::Scheme));
            }
            if field.spaced && !text.contains('\u{3000}') {
                findings.push(fail(FieldRule::Spacing));
            }
            if field.kind == FieldType::Text && !field.ascii && has_gaiji(&text) {
                findings.push(fail(FieldRule::Gaiji));
            }
            if field.guard == Some(Guard::Record) && !context.allow_number_like_my_number && my_number::found_in(&text)
            {
                findings.push(Finding::of("900002"));
            }
            value
        }
        Err(rule) => {
            findings.push(fail(rule));
            Value::Blank
        }
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Bytes of the record before a field, without quotes.
fn offset_in_record(record: &RawRecord<'_>, index: usize) -> u64 {
    // Field 0 is the letter; each field before adds itself and one comma.
    (0..=index).map(|i| length(record.field(i).len()) + 1).sum()
}

fn typed(field: &Field, text: &str, bytes: &[u8], encoding: Encoding) -> Result<Value, FieldRule> {
    let all_digits = bytes.iter().all(u8::is_ascii_digit);
    let keep = || Ok(Value::Text(text.to_owned()));
    match field.kind {
        FieldType::Digits => match () {
            () if !all_digits || field.len.is_some_and(|len| bytes.len() != len) => Err(FieldRule::Characters),
            () if field.max.is_some_and(|max| bytes.len() > max) => Err(FieldRule::TooLong),
            () => keep(),
        },
        FieldType::Text => {
            if field.ascii && !bytes.iter().all(u8::is_ascii_graphic) {
                return Err(FieldRule::Characters);
            }
            let too_many = field.max.is_some_and(|max| text.chars().count() > max)
                || field.max_bytes.is_some_and(|max| cp932_length(text, bytes, encoding) > max);
            if too_many { Err(FieldRule::TooLong) } else { keep() }
        }
        FieldType::Code => match field.codes.as_deref().map(codes::list) {
            _ if !all_digits => Err(FieldRule::Characters),
            Some(list) if !list.contains(text) => Err(FieldRule::Code),
            _ => keep(),
        },
        FieldType::Date => parse_date(bytes).map(Value::Date).ok_or(FieldRule::Date),
        FieldType::Timestamp if !all_digits || bytes.len() != 14 => Err(FieldRule::Characters),
        FieldType::Timestamp => parse_timestamp(bytes).map(Value::Timestamp).ok_or(FieldRule::Date),
        FieldType::MemberNo => checked_number(bytes, 16, digits::luhn_ok).and_then(|()| keep()),
        FieldType::InsurerNo => checked_number(bytes, 8, digits::insurer_no_ok).and_then(|()| keep()),
        FieldType::InsurerCode => {
            if bytes.len() == 8 && bytes.iter().all(u8::is_ascii_alphanumeric) {
                keep()
            } else {
                Err(FieldRule::Characters)
            }
        }
        FieldType::Serial => match normal::serial(text) {
            Some(serial) => Ok(Value::Text(serial)),
            None if bytes.iter().all(u8::is_ascii_hexdigit) && text.trim_start_matches('0').len() > 40 => {
                Err(FieldRule::TooLong)
            }
            None => Err(FieldRule::Characters),
        },
    }
}

fn checked_number(bytes: &[u8], len: usize, ok: fn(&[u8]) -> bool) -> Result<(), FieldRule> {
    if bytes.len() != len || !bytes.iter().all(u8::is_ascii_digit) {
        Err(FieldRule::Characters)
    } else if ok(bytes) {
        Ok(())
    } else {
        Err(FieldRule::CheckDigit)
    }
}

/// Length in CP932, whatever the file's own encoding.
fn cp932_length(text: &str, bytes: &[u8], encoding: Encoding) -> usize {
    match encoding {
        Encoding::Cp932 => bytes.len(),
        Encoding::Utf8 => Encoding::Cp932.encode_lossy(text).len(),
    }
}

/// `required_if` and `blank_if`: rules that follow another field's value.
fn check_conditions(
    context: &Context<'_>,
    values: &[Value],
    record: &RawRecord<'_>,
    first: usize,
    findings: &mut Vec<Finding>,
) {
    let holds = |condition: &[String]| {
        condition.split_first().is_some_and(|(other, wanted)| {
            let value = context.layout.index(other).map_or("", |i| values[i].text());
            wanted.iter().any(|w| w == value)
        })
    };
    for (index, field) in context.layout.fields.iter().enumerate() {
        let sent = !record.field(index + first).is_empty();
        if !sent && holds(&field.required_if) {
            findings.push(Finding::field(context.layout, index, FieldRule::Required));
        }
        if sent && holds(&field.blank_if) {
            findings.push(Finding::field(context.layout, index, FieldRule::MustBeBlank));
        }
    }
}
