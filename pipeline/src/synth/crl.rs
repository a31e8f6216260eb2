//! The sample CA and its CRLs (RFC 5280): a key from the seed, deterministic signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{NaiveDateTime, TimeDelta};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha256};

use super::der;
use super::world::day;
use crate::base::error::{Error, Result};
use crate::base::time::hms;

const ECDSA_SHA256: [u32; 7] = [1, 2, 840, 10045, 4, 3, 2];
const EC_PUBLIC_KEY: [u32; 6] = [1, 2, 840, 10045, 2, 1];
const PRIME256V1: [u32; 7] = [1, 2, 840, 10045, 3, 1, 7];

/// The certificate authority of the sample. Its key is worthless: anyone can derive it from the seed.
pub struct Ca {
    key: SigningKey,
    public: Vec<u8>,
    key_id: Vec<u8>,
}

/// One revoked certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The integer's bytes; first, so that entries sort by serial once lengths are equal.
    pub serial: Vec<u8>,
    /// JST.
    pub revoked_at: NaiveDateTime,
    pub reason: Option<u8>,
    /// JST.
    pub invalid_from: Option<NaiveDateTime>,
}

/// The bytes of a serial in hex, 20 octets wide so that they sort as numbers.
pub fn serial_bytes(hex: &str) -> Result<Vec<u8>> {
    let padded = format!("{hex:0>40}");
    let byte = |i: usize| u8::from_str_radix(padded.get(2 * i..2 * i + 2).unwrap_or_default(), 16);
    (0..20).map(byte).collect::<std::result::Result<_, _>>().map_err(|_| Error::failed("synth: a serial is not hex"))
}

fn extension(arcs: &[u32], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![der::oid(arcs)];
    if critical {
        parts.push(der::boolean_true());
    }
    parts.push(der::octet_string(value));
    der::sequence(&parts)
}

fn utc(jst: NaiveDateTime) -> NaiveDateTime {
    jst - TimeDelta::hours(9)
}

fn algorithm() -> Vec<u8> {
    der::sequence(&[der::oid(&ECDSA_SHA256)])
}

fn name() -> Vec<u8> {
    let attribute = |arc: u32, value: Vec<u8>| der::set(&[der::sequence(&[der::oid(&[2, 5, 4, arc]), value])]);
    der::sequence(&[
        attribute(6, der::printable_string("JP")),
        attribute(10, der::utf8_string("shikaku")),
        attribute(3, der::utf8_string("shikaku synthetic CA")),
    ])
}

impl Ca {
    pub fn new(seed: u64) -> Result<Self> {
        let scalar = Sha256::new().chain_update(b"shikaku synthetic CA").chain_update(seed.to_be_bytes()).finalize();
        let key = SigningKey::from_slice(&scalar).map_err(|_| Error::failed("synth: the seed makes no CA key"))?;
        let public = key.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        // RFC 7093 method 1.
        let key_id = Sha256::digest(&public).iter().take(20).copied().collect();
        Ok(Self { key, public, key_id })
    }

    /// The self-signed certificate, PEM.
    pub fn certificate(&self) -> String {
        let public = der::sequence(&[
            der::sequence(&[der::oid(&EC_PUBLIC_KEY), der::oid(&PRIME256V1)]),
            der::bit_string(0, &self.public),
        ]);
        let extensions = der::sequence(&[
            extension(&[2, 5, 29, 14], false, &der::octet_string(&self.key_id)),
            extension(&[2, 5, 29, 19], true, &der::sequence(&[der::boolean_true()])),
            // cRLSign is bit 6.
            extension(&[2, 5, 29, 15], true, &der::bit_string(1, &[0x02])),
        ]);
        let midnight = |date| der::time(day(date).and_time(hms(0, 0, 0)));
        let tbs = der::sequence(&[
            der::context(0, &der::integer(&[2])),
            der::integer(&[1]),
            algorithm(),
            name(),
            der::sequence(&[midnight("20200101"), midnight("20400101")]),
            name(),
            public,
            der::context(3, &extensions),
        ]);
        let text = STANDARD.encode(self.signed(tbs));
        let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
        for (i, c) in text.chars().enumerate() {
            if i > 0 && i % 64 == 0 {
                pem.push('\n');
            }
            pem.push(c);
        }
        pem + "\n-----END CERTIFICATE-----\n"
    }

    fn signed(&self, tbs: Vec<u8>) -> Vec<u8> {
        let signature: Signature = self.key.sign(&tbs);
        let signature = der::bit_string(0, signature.to_der().as_bytes());
        der::sequence(&[tbs, algorithm(), signature])
    }

    /// One CRL in DER: number, distribution point, entries in the order of their serials.
    pub fn crl(&self, uri: &str, number: u64, this_update: NaiveDateTime, mut entries: Vec<Entry>) -> Vec<u8> {
        entries.sort();
        let revoked: Vec<Vec<u8>> = entries.iter().map(entry).collect();
        let point = der::context(0, &der::context(0, &der::element(0x86, uri.as_bytes())));
        let extensions = der::sequence(&[
            extension(&[2, 5, 29, 35], false, &der::sequence(&[der::element(0x80, &self.key_id)])),
            extension(&[2, 5, 29, 20], false, &der::integer(&number.to_be_bytes())),
            extension(&[2, 5, 29, 28], true, &der::sequence(&[point])),
        ]);
        let mut parts = vec![
            der::integer(&[1]),
            algorithm(),
            name(),
            der::time(utc(this_update)),
            der::time(utc(this_update + TimeDelta::hours(25))),
        ];
        // RFC 5280 §5.1.2.6: no list at all when nothing is revoked.
        if !revoked.is_empty() {
            parts.push(der::sequence(&revoked));
        }
        parts.push(der::context(0, &extensions));
        self.signed(der::sequence(&parts))
    }
}

fn entry(entry: &Entry) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(reason) = entry.reason {
        extensions.push(extension(&[2, 5, 29, 21], false, &der::enumerated(reason)));
    }
    if let Some(from) = entry.invalid_from {
        extensions.push(extension(&[2, 5, 29, 24], false, &der::generalized_time(utc(from))));
    }
    let mut parts = vec![der::integer(&entry.serial), der::time(utc(entry.revoked_at))];
    if !extensions.is_empty() {
        parts.push(der::sequence(&extensions));
    }
    der::sequence(&parts)
}
