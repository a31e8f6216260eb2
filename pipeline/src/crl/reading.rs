//! Reading the files of a set side by side: their entries to one sorter, their bytes to the landing.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use shikaku_schemas::code::Code;
use shikaku_schemas::operator;

use super::entries;
use super::judge::Cause;
use super::parse::{self, Header, Stop};
use crate::base::error::{At, Error, Result};
use crate::base::threads::spawn_scoped;
use crate::lake::sort::{Batch, Sorter};
use crate::pki::ca::Ca;
use crate::pki::der::Malformed;
use crate::pki::pem;
use crate::store::Store;
use crate::store::input::Input;
use crate::store::staged::{Landed, Lander};

/// Largest CRL that is taken, in bytes: 10 million entries are 350–420 MB (libraries.md §2).
const MAX_BYTES: i64 = 2_000_000_000;
/// Bytes of entries that a reader gathers before it hands them over.
const HAND_OVER: usize = 1 << 20;

/// One CRL of a set.
pub(super) struct Read {
    pub input: Input,
    /// What it says of itself, if it could be read and verified.
    pub header: Option<Header>,
    /// What it is refused by, in the order of the checks.
    pub causes: Vec<Cause>,
    pub rows: i64,
    pub landed: Option<Landed>,
}

/// What one thread read and landed, by the place of each file.
type Share = (Vec<(usize, Read)>, Vec<(usize, Landed)>);

/// Reads the files of a set side by side; their entries go to one sorter.
pub(super) struct SetReader<'r, 's> {
    pub store: &'s Store,
    pub cas: &'r [Ca],
    pub issuers: &'r [String],
    pub sorter: &'r Mutex<Sorter<'s>>,
    /// A CRL was refused: the set will not be taken, and no entry is needed any more.
    pub failed: AtomicBool,
}

impl SetReader<'_, '_> {
    /// Reads and lands all files, on threads of their own: a sort inside the pool that waited for the sorter would wait for
    /// itself.
    pub fn read_all(&self, inputs: Vec<Input>, lander: Lander<'_>) -> Result<Vec<Read>> {
        let (next, landing) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || -> Result<Share> {
            let (mut read, mut landed) = (Vec::new(), Vec::new());
            while let Some((at, input)) = claim(&next, &inputs) {
                read.push((at, self.read_one(at, input)?));
            }
            while let Some((at, input)) = claim(&landing, &inputs) {
                landed.push((at, lander.stage(input)?));
            }
            Ok((read, landed))
        };
        let threads = rayon::current_num_threads();
        let done: Vec<Result<Share>> = std::thread::scope(|scope| -> Result<_> {
            let started: Vec<_> = (0..threads).map(|_| spawn_scoped(scope, work)).collect::<Result<_>>()?;
            let joined = started.into_iter().map(std::thread::ScopedJoinHandle::join);
            Ok(joined.map(|one| one.unwrap_or_else(|_| Err(Error::internal("a reader of the set stopped")))).collect())
        })?;
        let (mut all, mut places) = (BTreeMap::new(), Vec::new());
        for one in done {
            let (read, landed) = one?;
            all.extend(read);
            places.extend(landed);
        }
        for (at, landed) in places {
            if let Some(read) = all.get_mut(&at) {
                read.landed = Some(landed);
            }
        }
        Ok(all.into_values().collect())
    }

    fn read_one(&self, point: usize, input: &Input) -> Result<Read> {
        let mut rows = 0i64;
        let outcome = match input.bytes > MAX_BYTES {
            true => Err(Cause::new(Code::TooLarge, format!("{} バイト", input.bytes))),
            false => self.parse(point, input, &mut rows)?,
        };
        if outcome.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        let (header, causes) = outcome.map_or_else(|cause| (None, vec![cause]), |header| (Some(header), Vec::new()));
        Ok(Read { input: input.clone(), header, causes, rows, landed: None })
    }

    fn parse(&self, point: usize, input: &Input, rows: &mut i64) -> Result<std::result::Result<Header, Cause>> {
        let read = self.entries(point, input, self.cas, rows).and_then(|(header, kept)| {
            if kept {
                return Ok(header);
            }
            // Several CAs of one name: now it is known which, and the entries are read again.
            *rows = 0;
            let own: Vec<Ca> = self.cas.iter().filter(|ca| ca.key_id == header.issuer_key_id).cloned().collect();
            let (header, kept) = self.entries(point, input, &own, rows)?;
            // A list without its entries must never come into force.
            if kept { Ok(header) } else { Err(Stop::Own(Error::internal("the entries of a CRL were not kept"))) }
        });
        match read {
            Ok(header) => Ok(Ok(header)),
            Err(Stop::Own(error)) => Err(error),
            Err(Stop::Malformed(bad)) => {
                let file = &input.sha256[..12];
                tracing::warn!(file, code = bad.code.text(), offset = bad.offset, what = bad.what, "CRL refused");
                Ok(Err(Cause::new(bad.code, format!("{}、オフセット{}", operator::cause(bad.what), bad.offset))))
            }
        }
    }

    /// Reads one CRL; whether its entries were kept.
    fn entries(
        &self,
        point: usize,
        input: &Input,
        cas: &[Ca],
        rows: &mut i64,
    ) -> std::result::Result<(Header, bool), Stop> {
        let (mut batch, mut record, mut kept) = (Batch::default(), Vec::new(), true);
        let header = parse::read(der(self.store, input)?, cas, |ca, entry| {
            *rows += 1;
            let issuer = ca.and_then(|ca| self.issuers.binary_search(&ca.key_id).ok());
            let Some(issuer) = issuer.filter(|_| !self.failed.load(Ordering::Relaxed)) else {
                kept = false;
                return Ok(());
            };
            entries::pack(&entry, issuer, point, &mut record)?;
            batch.push(&record)?;
            if batch.size() >= HAND_OVER { self.hand_over(&mut batch) } else { Ok(()) }
        })?;
        self.hand_over(&mut batch).map_err(Stop::Own)?;
        // When another CRL was refused, no entry of the set will be needed.
        Ok((header, kept || self.failed.load(Ordering::Relaxed)))
    }

    fn hand_over(&self, batch: &mut Batch) -> Result<()> {
        let mut sorter = self.sorter.lock().map_err(|_| Error::internal("a reader of the set stopped"))?;
        sorter.absorb(batch)
    }
}

fn der(store: &Store, input: &Input) -> std::result::Result<Box<dyn std::io::Read>, Stop> {
    let der = input.open(store).and_then(|source| pem::der(source, "X509 CRL").at(&input.path));
    let neither = Malformed { code: Code::CrlMalformed, what: "is neither DER nor PEM", offset: 0 };
    der.map_err(Stop::Own)?.ok_or_else(|| neither.into())
}

fn claim<'i>(next: &AtomicUsize, inputs: &'i [Input]) -> Option<(usize, &'i Input)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    inputs.get(at).map(|input| (at, input))
}
