//! Rules between the fields of one record, as its layout declares them (`group`, `ordered`, `together`, `barred`).

use shikaku_schemas::layout::Layout;

use super::{Finding, Value};

/// A field and values of it.
type Condition = (usize, &'static [String]);

/// The rules of one layout version, their fields looked up once. A rule about a field that the version does not have is
/// not there.
pub struct Between {
    group: Option<GroupRule>,
    /// First, second, code.
    ordered: Vec<(usize, usize, &'static str)>,
    /// Field, what it needs, code.
    together: Vec<(usize, usize, &'static str)>,
    barred: Vec<(Condition, &'static str)>,
}

struct GroupRule {
    key: usize,
    members: Vec<usize>,
    /// Members that must be there, with their codes.
    needs: Vec<(usize, &'static str)>,
    needs_key: &'static str,
    key_alone: &'static str,
    key_alone_if: Option<Condition>,
}

impl Between {
    /// For files of one layout and an origin of one 制度.
    pub fn new(layout: &'static Layout, scheme: &str) -> Self {
        let at = |name: &str| layout.index(name);
        let pair = |a: &str, b: &str, code: &'static str| Some((at(a)?, at(b)?, code));
        let group = layout.group.as_ref().and_then(|group| {
            let fields = || (0..).zip(&layout.fields);
            let alone = group.key_alone_if.split_first();
            Some(GroupRule {
                key: at(&group.key)?,
                members: fields().filter(|(_, f)| f.in_group).map(|(i, _)| i).collect(),
                needs: fields().filter_map(|(i, f)| Some((i, f.group_needs.as_deref()?))).collect(),
                needs_key: &group.needs_key,
                key_alone: &group.key_alone,
                key_alone_if: alone.and_then(|(field, values)| Some((at(field)?, values))),
            })
        });
        let barred = layout.barred.iter().filter(|rule| rule.schemes.iter().any(|s| s == scheme));
        Self {
            group,
            ordered: layout.ordered.iter().filter_map(|r| pair(&r.first, &r.second, &r.code)).collect(),
            together: layout.together.iter().filter_map(|r| pair(&r.field, &r.needs, &r.code)).collect(),
            barred: barred.filter_map(|r| Some(((at(&r.field)?, r.values.as_slice()), r.code.as_str()))).collect(),
        }
    }

    /// Checks one record whose fields were typed; `sent` says which fields were not blank in the file.
    pub fn check(&self, values: &[Value<'_>], sent: &dyn Fn(usize) -> bool, findings: &mut Vec<Finding>) {
        let holds = |(field, wanted): Condition| wanted.iter().any(|w| w == values[field].text());
        if let Some(group) = &self.group {
            if group.members.iter().any(|i| sent(*i)) {
                if !sent(group.key) {
                    findings.push(Finding::declared(group.needs_key));
                }
                let missing = group.needs.iter().filter(|(i, _)| !sent(*i));
                findings.extend(missing.map(|(_, code)| Finding::declared(code)));
            } else if sent(group.key) && !group.key_alone_if.is_some_and(holds) {
                findings.push(Finding::declared(group.key_alone));
            }
        }
        for (first, second, code) in &self.ordered {
            if values[*first].date().zip(values[*second].date()).is_some_and(|(first, second)| second < first) {
                findings.push(Finding::declared(code));
            }
        }
        for (field, needs, code) in &self.together {
            if sent(*field) && !sent(*needs) {
                findings.push(Finding::declared(code));
            }
        }
        for (condition, code) in &self.barred {
            if holds(*condition) {
                findings.push(Finding::declared(code));
            }
        }
    }
}
