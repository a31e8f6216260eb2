//! The field rules: one function per kind of field, driven by the layout alone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use shikaku_schemas::code::Code;
use shikaku_schemas::codes::{self, CodeList};
use shikaku_schemas::layout::{Field, FieldType, Guard};
use shikaku_schemas::messages::FieldRule;

use super::{Context, Finding, Value};
use crate::base::time::{parse_date, parse_timestamp};
use crate::read::records::RawRecord;
use crate::text::cp932::{Encoding, Undecodable, has_gaiji};
use crate::text::{digits, my_number, normal};

/// Code of a likely 個人番号 in 記号 or 番号.
pub const MY_NUMBER: Code = Code::MyNumberInKey;

/// The rules of a layout's fields, made ready for one file.
pub struct Checker<'a> {
    context: Context<'a>,
    plans: Vec<Plan<'a>>,
}

/// What a field's rules look up, looked up once.
struct Plan<'a> {
    codes: Option<&'static CodeList>,
    map: Option<&'a BTreeMap<String, String>>,
    barred: bool,
    required_if: Option<(usize, &'static [String])>,
    blank_if: Option<(usize, &'static [String])>,
}

impl<'a> Checker<'a> {
    pub fn new(context: Context<'a>) -> Self {
        let layout = context.layout;
        let condition =
            |own: &'static [String]| own.split_first().and_then(|(other, wanted)| Some((layout.index(other)?, wanted)));
        let plan = |field: &'static Field| Plan {
            codes: field.codes.as_deref().map(codes::list),
            map: context.code_maps.and_then(|maps| maps.get(&field.name)).filter(|_| field.kind == FieldType::Code),
            barred: !field.schemes.is_empty() && !field.schemes.iter().any(|s| s == context.scheme),
            required_if: condition(&field.required_if),
            blank_if: condition(&field.blank_if),
        };
        let plans = layout.fields.iter().map(plan).collect();
        Self { context, plans }
    }

    /// Checks all fields of a record, the first one at position `first`. Values of broken fields are blank.
    pub fn fields<'r>(&self, record: &RawRecord<'r>, first: usize, findings: &mut Vec<Finding>) -> Vec<Value<'r>> {
        let fields = &self.context.layout.fields;
        if record.misquoted {
            findings.push(Finding::of(Code::Quoting));
        }
        if record.misshapen {
            findings.push(Finding::of(Code::Elements));
        }
        // What is surplus in XML stands behind the fields, which are what they are.
        if record.len() != fields.len() + first && !(record.misshapen && record.len() > fields.len()) {
            findings.push(Finding::of(Code::FieldCount));
            return vec![Value::Blank; fields.len()];
        }
        let mut values = Vec::with_capacity(fields.len());
        for index in 0..fields.len() {
            values.push(self.field(index, record, index + first, findings));
        }
        self.conditions(&values, record, first, findings);
        values
    }

    /// Whether nothing was sent in a field: no byte, or spaces only.
    pub fn is_blank(&self, bytes: &[u8]) -> bool {
        blank(bytes, self.context.encoding)
    }

    fn is_guarded(&self, index: usize) -> bool {
        let field = &self.context.layout.fields[index];
        field.guard == Some(Guard::Record) && !self.context.allow_number_like_my_number
    }

    /// Fields of a record, the first one at position `first`, that hold what looks like a 個人番号: their bytes in the file.
    pub fn my_numbers(&self, record: &RawRecord<'_>, first: usize) -> Vec<Range<u64>> {
        let encoding = self.context.encoding;
        let found = |at: &usize| {
            let bytes = record.field(*at);
            looks_like_my_number(&encoding.decode(bytes), bytes, encoding)
        };
        let guarded = (0..self.context.layout.fields.len()).filter(|i| self.is_guarded(*i)).map(|i| i + first);
        guarded.filter(found).map(|at| record.raw_range(at)).collect()
    }

    fn field<'r>(&self, index: usize, record: &RawRecord<'r>, at: usize, findings: &mut Vec<Finding>) -> Value<'r> {
        let (context, plan) = (&self.context, &self.plans[index]);
        let field = &context.layout.fields[index];
        let bytes = record.field(at);
        let fail = |rule| Finding::field(context.layout, index, rule);
        if self.is_blank(bytes) {
            if field.required {
                findings.push(fail(FieldRule::Required));
            }
            return Value::Blank;
        }
        // The guard holds whatever else is wrong with the field, and for what the field is compared by.
        let decoded = context.encoding.decode(bytes);
        if self.is_guarded(index) && looks_like_my_number(&decoded, bytes, context.encoding) {
            findings.push(Finding::of(MY_NUMBER));
        }
        let text = match decoded {
            Ok(text) => text,
            Err(bad) => {
                let (line, byte) = record.place(at, bad.offset);
                findings.push(Finding { place: Some((line, byte, bad.hex())), ..fail(FieldRule::Undecodable) });
                return Value::Blank;
            }
        };
        if has_control(&text) {
            findings.push(fail(FieldRule::Control));
            return Value::Blank;
        }
        let mapped = plan.map.and_then(|map| map.get(text.as_ref()));
        let text = mapped.map_or(text, |ours| Cow::Owned(ours.clone()));
        match typed(field, plan, text, bytes, context.encoding) {
            Ok(value) => {
                let after = value.date().is_some_and(|d| d > context.created.date())
                    || value.timestamp().is_some_and(|t| t > context.created);
                if field.not_after_created && after {
                    findings.push(fail(FieldRule::Future));
                }
                if plan.barred {
                    findings.push(fail(FieldRule::Scheme));
                }
                if field.spaced && !is_spaced(value.text()) {
                    findings.push(fail(FieldRule::Spacing));
                }
                if field.kind == FieldType::Text && !field.ascii && has_gaiji(value.text()) {
                    findings.push(fail(FieldRule::Gaiji));
                }
                value
            }
            Err(rule) => {
                findings.push(fail(rule));
                Value::Blank
            }
        }
    }

    /// `required_if` and `blank_if`: rules that follow another field's value.
    fn conditions(&self, values: &[Value<'_>], record: &RawRecord<'_>, first: usize, findings: &mut Vec<Finding>) {
        let holds = |condition: Option<(usize, &[String])>| {
            condition.is_some_and(|(other, wanted)| wanted.iter().any(|w| w == values[other].text()))
        };
        for (index, plan) in self.plans.iter().enumerate() {
            if plan.required_if.is_none() && plan.blank_if.is_none() {
                continue;
            }
            let sent = !self.is_blank(record.field(index + first));
            if !sent && holds(plan.required_if) {
                findings.push(Finding::field(self.context.layout, index, FieldRule::Required));
            }
            if sent && holds(plan.blank_if) {
                findings.push(Finding::field(self.context.layout, index, FieldRule::MustBeBlank));
            }
        }
    }
}

/// As it was sent, or by what it is compared by.
fn looks_like_my_number(decoded: &Result<Cow<'_, str>, Undecodable>, bytes: &[u8], encoding: Encoding) -> bool {
    match decoded {
        Ok(text) => text.len() >= 12 && (my_number::found_in(text) || my_number::found_in(&normal::number_key(text))),
        Err(_) => my_number::found_in_bytes(bytes, encoding),
    }
}

/// No byte, or half- and full-width spaces only.
fn blank(bytes: &[u8], encoding: Encoding) -> bool {
    let wide: &[u8] = match encoding {
        Encoding::Cp932 => b"\x81\x40",
        Encoding::Utf8 => "\u{3000}".as_bytes(),
    };
    let mut rest = bytes;
    while let Some(next) = rest.strip_prefix(b" ").or_else(|| rest.strip_prefix(wide)) {
        rest = next;
    }
    rest.is_empty()
}

fn has_control(text: &str) -> bool {
    if text.is_ascii() { text.bytes().any(|b| b.is_ascii_control()) } else { text.chars().any(char::is_control) }
}

/// One full-width space, and something on both sides of it.
fn is_spaced(text: &str) -> bool {
    text.split_once('\u{3000}')
        .is_some_and(|(family, given)| !family.is_empty() && !given.is_empty() && !given.contains('\u{3000}'))
}

fn typed<'r>(
    field: &Field,
    plan: &Plan<'_>,
    text: Cow<'r, str>,
    bytes: &[u8],
    encoding: Encoding,
) -> Result<Value<'r>, FieldRule> {
    let own = text.as_bytes();
    let all_digits = own.iter().all(u8::is_ascii_digit);
    match field.kind {
        FieldType::Digits => match () {
            () if !all_digits || field.len.is_some_and(|len| own.len() != len) => return Err(FieldRule::Characters),
            () if field.max.is_some_and(|max| own.len() > max) => return Err(FieldRule::TooLong),
            () if field.min.is_some_and(|min| text.parse().is_ok_and(|n: u64| n < min)) => {
                return Err(FieldRule::Characters);
            }
            () => {}
        },
        FieldType::Text => {
            if field.ascii && !own.iter().all(u8::is_ascii_graphic) {
                return Err(FieldRule::Characters);
            }
            if field.max.is_some_and(|max| own.len() > max && text.chars().count() > max) {
                return Err(FieldRule::TooLong);
            }
            if let Some(max) = field.max_bytes {
                // What goes back into receipts must have a CP932 form, whatever the file's own encoding.
                let length = match encoding {
                    Encoding::Cp932 => bytes.len(),
                    Encoding::Utf8 => {
                        let stored = Encoding::Cp932.encode(&text).ok_or(FieldRule::Unusable)?;
                        // ¥ and ‾ have bytes that read as other characters: key and bytes would part ways.
                        let read = Encoding::Cp932.decode(&stored).map_err(|_| FieldRule::Unusable)?;
                        if *read != *text && normal::number_key(&read) != normal::number_key(&text) {
                            return Err(FieldRule::Unusable);
                        }
                        stored.len()
                    }
                };
                if length > max {
                    return Err(FieldRule::TooLong);
                }
                if normal::number_key(&text).is_empty() {
                    return Err(FieldRule::Unusable);
                }
            }
        }
        FieldType::Code => match plan.codes {
            Some(list) if list.is_digits() && !all_digits => return Err(FieldRule::Characters),
            _ if !own.iter().all(u8::is_ascii_alphanumeric) => return Err(FieldRule::Characters),
            Some(list) if !list.contains(&text) => return Err(FieldRule::Code),
            _ => {}
        },
        FieldType::Date => return parse_date(own).map(Value::Date).ok_or(FieldRule::Date),
        FieldType::Timestamp if !all_digits || own.len() != 14 => return Err(FieldRule::Characters),
        FieldType::Timestamp => return parse_timestamp(own).map(Value::Timestamp).ok_or(FieldRule::Date),
        FieldType::MemberNo => checked_number(own, 16, digits::luhn_ok)?,
        FieldType::InsurerNo => checked_number(own, 8, digits::insurer_no_ok)?,
        FieldType::InsurerCode => {
            if own.len() != 8 || !own.iter().all(u8::is_ascii_alphanumeric) {
                return Err(FieldRule::Characters);
            }
        }
        FieldType::Serial => {
            let too_long = own.iter().all(u8::is_ascii_hexdigit) && text.trim_start_matches('0').len() > 40;
            let serial = normal::serial(&text);
            return serial.map(|s| Value::Text(Cow::Owned(s))).ok_or(if too_long {
                FieldRule::TooLong
            } else {
                FieldRule::Characters
            });
        }
    }
    Ok(Value::Text(text))
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
