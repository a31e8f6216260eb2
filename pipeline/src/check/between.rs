//! Rules between the fields of one record, as its layout declares them (`group`, `ordered`, `together`, `barred`).

use shikaku_schemas::layout::Layout;

use super::{Finding, Value};

/// Checks one record whose fields were typed; `sent` says which fields were not blank in the file.
pub fn check(
    layout: &Layout,
    values: &[Value<'_>],
    sent: &dyn Fn(usize) -> bool,
    scheme: &str,
    findings: &mut Vec<Finding>,
) {
    // A rule about a field that this version does not have says nothing.
    let value = |name: &str| layout.index(name).map(|i| &values[i]);
    let is_sent = |name: &str| layout.index(name).is_some_and(sent);
    let holds = |condition: &[String]| {
        condition
            .split_first()
            .is_some_and(|(field, wanted)| value(field).is_some_and(|v| wanted.iter().any(|w| w == v.text())))
    };
    if let Some(group) = &layout.group {
        let there = (0..layout.fields.len()).any(|i| layout.fields[i].in_group && sent(i));
        let key = is_sent(&group.key);
        if there {
            if !key {
                findings.push(Finding::of(&group.needs_key));
            }
            for (index, field) in layout.fields.iter().enumerate() {
                if let Some(code) = field.group_needs.as_ref().filter(|_| !sent(index)) {
                    findings.push(Finding::of(code));
                }
            }
        } else if key && !holds(&group.key_alone_if) {
            findings.push(Finding::of(&group.key_alone));
        }
    }
    for rule in &layout.ordered {
        let dates = value(&rule.first).and_then(Value::date).zip(value(&rule.second).and_then(Value::date));
        if dates.is_some_and(|(first, second)| second < first) {
            findings.push(Finding::of(&rule.code));
        }
    }
    for rule in &layout.together {
        if is_sent(&rule.field) && !is_sent(&rule.needs) {
            findings.push(Finding::of(&rule.code));
        }
    }
    for rule in &layout.barred {
        let barred = value(&rule.field).is_some_and(|v| rule.values.iter().any(|w| w == v.text()));
        if barred && rule.schemes.iter().any(|s| s == scheme) {
            findings.push(Finding::of(&rule.code));
        }
    }
}
