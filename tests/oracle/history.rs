//! Slow, obvious oracle for the recorded history of members and coverages, written from domain.md §2–§3, answers.md
//! ("Time and identity", the SUB paragraph of "Files in") and formats.md §1 alone, without sight of the implementation.
//! It keeps the whole state after every night and reads the versions off by comparing neighbouring nights.
//! Where the documents leave a choice there is an `// AMBIGUOUS:`.

use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Register, // 1 登録
    Update,   // 2 更新
    Delete,   // 3 削除
    Relink,   // 4 紐付訂正
}

/// The member's basic data: no history in valid time, latest only (domain.md §2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub name: String,
    pub sex: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    pub number: String,
    pub acquired: i32,
    pub lost: Option<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub op: Op,
    pub member: u32,
    pub link: i64, // ignored for Delete
    pub image: Image,
    pub cover: Option<(u32, Cover)>, // coverage_seq and its fields; for Delete only the seq counts
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Night {
    pub at: i64, // not decreasing; the same `at` twice = two runs of one night
    pub lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Duplicate,
    AlreadyRegistered,
    NotRegistered,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version<T> {
    pub value: T,
    pub from: i64,
    pub to: Option<i64>, // exclusive
}

/// What is current at one moment. A coverage has no link of its own: the person behind a member is the same for all
/// its coverages, so the member's link is every coverage's link.
#[derive(Debug, Clone, Default)]
struct State {
    members: BTreeMap<u32, (i64, Image)>,
    covers: BTreeMap<(u32, u32), Cover>,
}

#[derive(Debug, Clone)]
pub struct World {
    municipal: bool, // 市町村国保
    now: State,
    ends: Vec<(i64, State)>, // the state at the end of each night
}

impl World {
    pub fn new(municipal: bool) -> World {
        World { municipal, now: State::default(), ends: Vec::new() }
    }

    /// Lines apply in file order; a record in error is skipped alone (answers.md, SUB).
    pub fn night(&mut self, n: &Night) -> Vec<Verdict> {
        let verdicts = n.lines.iter().map(|line| self.line(line)).collect();
        // Only the last state of a night becomes a row (answers.md, "Time and identity"): a second run of the same
        // night replaces what its first run left, so nothing both begins and ends at one `at`.
        self.ends.retain(|(at, _)| *at != n.at);
        self.ends.push((n.at, self.now.clone()));
        verdicts
    }

    pub fn members(&self) -> Vec<(u32, Version<(i64, Image)>)> {
        let nights: Vec<_> = self.ends.iter().map(|(at, s)| (*at, s.members.clone())).collect();
        versions(&nights)
    }

    /// Each coverage carries the member's link of that time: a changed link is a new version of all of them.
    pub fn coverages(&self) -> Vec<((u32, u32), Version<(i64, Cover)>)> {
        let mut nights = Vec::new();
        for (at, state) in &self.ends {
            let mut rows = BTreeMap::new();
            for (key, cover) in &state.covers {
                // Always there: removing a member removes its coverages.
                if let Some((link, _)) = state.members.get(&key.0) {
                    rows.insert(*key, (*link, cover.clone()));
                }
            }
            nights.push((*at, rows));
        }
        versions(&nights)
    }

    fn line(&mut self, line: &Line) -> Verdict {
        match line.op {
            Op::Register => self.register(line),
            Op::Update => self.update(line),
            Op::Delete => self.delete(line),
            Op::Relink => self.relink(line),
        }
    }

    /// Without coverage_seq a line speaks of the member alone, with it of the coverage.
    fn exists(&self, line: &Line) -> bool {
        match &line.cover {
            None => self.now.members.contains_key(&line.member),
            Some((seq, _)) => self.now.covers.contains_key(&(line.member, *seq)),
        }
    }

    /// 登録 of an existing one: the same image is a duplicate, else an error. The image includes the link; a line
    /// without coverage_seq is compared with the member alone, whatever coverages it has. A new coverage_seq of an
    /// existing member is accepted and, a line being a full image, replaces the member's basic data too.
    fn register(&mut self, line: &Line) -> Verdict {
        if !self.exists(line) {
            return self.store(line);
        }
        let same_member = self.now.members.get(&line.member) == Some(&(line.link, line.image.clone()));
        let same_cover = match &line.cover {
            None => true,
            Some((seq, cover)) => self.now.covers.get(&(line.member, *seq)) == Some(cover),
        };
        if same_member && same_cover { Verdict::Duplicate } else { Verdict::AlreadyRegistered }
    }

    /// 更新 of an unknown member or coverage_seq is an error; 市町村国保 send everything as 2, so theirs is an upsert.
    /// AMBIGUOUS: an 更新 that changes nothing is accepted; "duplicate" is said of 登録 only.
    fn update(&mut self, line: &Line) -> Verdict {
        if !self.exists(line) && !self.municipal {
            return Verdict::NotRegistered;
        }
        self.store(line)
    }

    /// 削除 without coverage_seq removes the member with all coverages, with it that coverage (the member stays: one
    /// without coverage is allowed, domain.md §3). AMBIGUOUS: 削除 of an unknown one is an error, as for 更新.
    fn delete(&mut self, line: &Line) -> Verdict {
        if !self.exists(line) {
            return Verdict::NotRegistered;
        }
        match &line.cover {
            None => {
                self.now.members.remove(&line.member);
                self.now.covers.retain(|(member, _), _| *member != line.member);
            }
            Some((seq, _)) => {
                self.now.covers.remove(&(line.member, *seq));
            }
        }
        Verdict::Accepted
    }

    /// 紐付訂正 changes link_no only, of the member and (State has one link for both) all its coverages.
    /// AMBIGUOUS: it speaks of the member, so a coverage_seq in the line is ignored, known or not.
    fn relink(&mut self, line: &Line) -> Verdict {
        match self.now.members.get_mut(&line.member) {
            None => Verdict::NotRegistered,
            Some((link, _)) => {
                *link = line.link;
                Verdict::Accepted
            }
        }
    }

    /// AMBIGUOUS: "blank clears" is about fields; a line without coverage_seq leaves the coverages as they are.
    fn store(&mut self, line: &Line) -> Verdict {
        self.now.members.insert(line.member, (line.link, line.image.clone()));
        if let Some((seq, cover)) = &line.cover {
            self.now.covers.insert((line.member, *seq), cover.clone());
        }
        Verdict::Accepted
    }
}

/// For each key the longest runs of nights that ended with an equal value, by key, then from. A key that is gone at the
/// end of a night ends its version there (the tombstone), and may begin another later.
fn versions<K: Ord + Copy, T: PartialEq + Clone>(nights: &[(i64, BTreeMap<K, T>)]) -> Vec<(K, Version<T>)> {
    let mut done: Vec<(K, Version<T>)> = Vec::new();
    let mut open: BTreeMap<K, Version<T>> = BTreeMap::new();
    for (at, rows) in nights {
        let ended: Vec<K> = open.iter().filter(|(k, v)| rows.get(k) != Some(&v.value)).map(|(k, _)| *k).collect();
        for key in ended {
            if let Some(version) = open.remove(&key) {
                done.push((key, Version { to: Some(*at), ..version }));
            }
        }
        for (key, value) in rows {
            open.entry(*key).or_insert_with(|| Version { value: value.clone(), from: *at, to: None });
        }
    }
    done.extend(open);
    done.sort_by_key(|(key, version)| (*key, version.from));
    done
}
