//! Hostile DER: every CRL sample with its structure taken apart and put together wrongly, or with bytes changed. None is taken
//! that is not, byte for byte, what a CA signed; none ends in a panic or in more memory than a list may take.
//!
//! `SHIKAKU_FUZZ_MINUTES` = how long; without it a few thousand cases.

use std::collections::HashSet;
use std::sync::OnceLock;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use shikaku_pipeline::crl::entries;
use shikaku_pipeline::crl::parse::{self, Header};
use shikaku_pipeline::pki::ca::{self, Ca};
use shikaku_pipeline::pki::pem;

use crate::common::samples;
use crate::hostile::{edited, edits, resident};
use crate::plan::Dice;

/// One element, taken apart where its content is made of elements.
#[derive(Clone)]
struct Node {
    tag: u8,
    content: Vec<u8>,
    parts: Vec<Node>,
}

/// Elements of these bytes; none if they are not made of elements alone.
fn parse_nodes(mut bytes: &[u8], depth: usize) -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    while let [tag, first, rest @ ..] = bytes {
        let count = if *first < 0x80 { 0 } else { usize::from(first & 0x7f) };
        let digits = rest.get(..count)?;
        let long = digits.iter().try_fold(0usize, |n, b| n.checked_mul(256)?.checked_add(usize::from(*b)))?;
        let length = if count == 0 { usize::from(*first) } else { long };
        let content = rest.get(count..)?.get(..length)?;
        let inside = tag & 0x20 != 0 || *tag == 4;
        let parts = if inside && depth < 12 { parse_nodes(content, depth + 1) } else { None };
        nodes.push(Node { tag: *tag, content: content.to_vec(), parts: parts.unwrap_or_default() });
        bytes = &rest[count + length..];
    }
    bytes.is_empty().then_some(nodes)
}

fn encode(nodes: &[Node], dice: &mut Dice, broken: bool, out: &mut Vec<u8>) {
    for node in nodes {
        let mut content = Vec::new();
        if node.parts.is_empty() {
            content.clone_from(&node.content);
        } else {
            encode(&node.parts, dice, broken, &mut content);
        }
        out.push(node.tag);
        let length = content.len();
        match if broken { dice.below(60) } else { 99 } {
            // Indefinite, one too long, one too short, not minimal, beyond all memory.
            0 => out.push(0x80),
            1 => length_bytes(length + 1, out),
            2 => length_bytes(length.saturating_sub(1), out),
            3 => out.extend([0x82, 0, u8::try_from(length % 256).unwrap()]),
            4 => out.extend([0x84, 0xff, 0xff, 0xff, 0xff]),
            _ => length_bytes(length, out),
        }
        out.extend(content);
    }
}

fn length_bytes(length: usize, out: &mut Vec<u8>) {
    if length < 128 {
        out.push(u8::try_from(length).unwrap());
    } else {
        let digits: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
        out.push(0x80 | u8::try_from(digits.len()).unwrap());
        out.extend(digits);
    }
}

/// Changes something somewhere below.
fn change(nodes: &mut Vec<Node>, dice: &mut Dice) {
    if nodes.is_empty() {
        return;
    }
    let at = dice.below(nodes.len());
    if !nodes[at].parts.is_empty() && dice.percent(80) {
        return change(&mut nodes[at].parts, dice);
    }
    match dice.below(7) {
        0 => nodes[at].tag = u8::try_from(dice.below(256)).unwrap(),
        1 => {
            let copy = nodes[at].clone();
            nodes.insert(at, copy);
        }
        2 => drop(nodes.remove(at)),
        3 => {
            let other = dice.below(nodes.len());
            nodes.swap(at, other);
        }
        4 => nodes[at].parts.clear(),
        5 => {
            nodes[at].content = vec![u8::try_from(dice.below(256)).unwrap(); dice.below(40)];
            nodes[at].parts.clear();
        }
        _ => {
            let inside = Node { tag: nodes[at].tag, content: Vec::new(), parts: vec![nodes[at].clone()] };
            nodes[at] = inside;
        }
    }
}

fn cas() -> &'static [Ca] {
    static CAS: OnceLock<Vec<Ca>> = OnceLock::new();
    CAS.get_or_init(|| {
        let names = ["ca-rsa2048", "ca-rsa2048-next", "ca-p256", "ca-p384"];
        names.map(|name| ca::load(&samples().join(format!("crl/{name}.pem"))).unwrap()).into()
    })
}

/// Reads bytes as a file of a set is read, every entry sorted and unsorted again.
fn taken(bytes: &[u8]) -> Option<Header> {
    let source = pem::der(bytes, "X509 CRL").ok()??;
    let mut record = Vec::new();
    let read = parse::read(source, cas(), |_, entry| {
        entries::pack(&entry, 1, 2, &mut record)?;
        let own = entries::unpack(&record).unwrap();
        assert_eq!(own.serial, shikaku_pipeline::pki::der::serial_text(entry.serial));
        Ok(())
    });
    read.ok()
}

/// What a CA signs of a CRL: the first element inside the outermost one, whose own head is not signed.
fn signed_part(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut der = Vec::new();
    std::io::Read::read_to_end(&mut pem::der(bytes, "X509 CRL").ok()??, &mut der).ok()?;
    let size = |at: usize| -> Option<(usize, usize)> {
        let first = *der.get(at + 1)?;
        let count = if first < 0x80 { 0 } else { usize::from(first & 0x7f) };
        let digits = der.get(at + 2..at + 2 + count)?;
        let long = digits.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
        Some((2 + count, if count == 0 { usize::from(first) } else { long }))
    };
    let start = size(0)?.0;
    let (head, length) = size(start)?;
    Some(der.get(start..start + head + length)?.to_vec())
}

struct Seed {
    name: String,
    bytes: Vec<u8>,
}

fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for class in ["good", "odd", "bad"] {
        for entry in std::fs::read_dir(samples().join("crl").join(class)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            seeds.push(Seed { name, bytes });
        }
    }
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    seeds
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a fuzz run ends by the clock")]
fn whatever_is_not_what_a_ca_signed_is_refused() {
    let minutes = std::env::var("SHIKAKU_FUZZ_MINUTES").ok().and_then(|m| m.parse::<u64>().ok());
    let (started, seeds) = (std::time::Instant::now(), seeds());
    let goes_on = |cases: u64| match minutes {
        Some(minutes) => started.elapsed().as_secs() < minutes * 60,
        None => cases < 3_000,
    };
    let signed: HashSet<Vec<u8>> = seeds.iter().filter_map(|s| signed_part(&s.bytes)).collect();
    let (mut dice, mut runner) = (Dice(7), TestRunner::deterministic());
    let (mut cases, mut before, mut sound) = (0u64, resident(), 0u64);
    // Changed files pile further changes up.
    let mut pool: Vec<Vec<u8>> = Vec::new();
    while goes_on(cases) {
        let which = dice.below(seeds.len() + pool.len());
        let own = seeds.get(which).map_or_else(|| &pool[which - seeds.len()], |seed| &seed.bytes);
        let name = seeds.get(which).map_or("a changed one", |seed| &seed.name);
        let nodes = if dice.percent(70) { parse_nodes(own, 0) } else { None };
        let bytes = match nodes {
            Some(mut nodes) => {
                (0..=dice.below(4)).for_each(|_| change(&mut nodes, &mut dice));
                let (broken, mut out) = (dice.percent(30), Vec::new());
                encode(&nodes, &mut dice, broken, &mut out);
                out
            }
            None => edited(own, &edits().new_tree(&mut runner).unwrap().current()),
        };
        cases += 1;
        if let Some(header) = taken(&bytes) {
            sound += 1;
            let own = signed_part(&bytes).is_some_and(|own| signed.contains(&own));
            assert!(own, "{name} changed is taken: {header:?}");
        }
        if bytes.len() < 60_000 && pool.len() < 4_000 {
            pool.push(bytes);
        } else if let Some(slot) = which.checked_sub(seeds.len()).filter(|_| bytes.len() < 60_000) {
            pool[slot] = bytes;
        }
        if cases % 1000 == 0 {
            let now = resident();
            assert!(now < before + 256_000, "{now} kB resident after {cases} cases, {before} before; last: {name}");
            before = before.max(now.min(before + 10_000));
        }
    }
    eprintln!("{cases} cases, {sound} of them what a CA signed, {} kB resident", resident());
}
