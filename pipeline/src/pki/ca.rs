//! CA certificates: the trust anchors that CRLs are verified against, found by AuthorityKeyIdentifier.

use std::io::Read as _;
use std::path::Path;

use chrono::NaiveDateTime;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::pkcs8::DecodePublicKey;
use rsa::traits::{PublicKeyParts as _, SignatureScheme as _};
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use crate::base::digest;
use crate::base::error::{At, Error, Result};
use crate::base::time::from_millis;

/// Signature algorithms of CRLs (libraries.md §2, formats.md §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    RsaSha256,
    RsaSha384,
    RsaSha512,
    EcdsaSha256,
    EcdsaSha384,
    EcdsaSha512,
}

impl Algorithm {
    /// By the DER content of its object identifier.
    pub fn of_oid(oid: &[u8]) -> Option<Self> {
        const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
        const ECDSA: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
        if let Some(last) = oid.strip_prefix(&RSA) {
            return match last {
                [11] => Some(Self::RsaSha256),
                [12] => Some(Self::RsaSha384),
                [13] => Some(Self::RsaSha512),
                _ => None,
            };
        }
        match oid.strip_prefix(&ECDSA)? {
            [2] => Some(Self::EcdsaSha256),
            [3] => Some(Self::EcdsaSha384),
            [4] => Some(Self::EcdsaSha512),
            _ => None,
        }
    }

    pub fn hasher(self) -> super::der::Hasher {
        use super::der::Hasher;
        use sha2::Digest as _;
        match self {
            Self::RsaSha256 | Self::EcdsaSha256 => Hasher::Sha256(sha2::Sha256::new()),
            Self::RsaSha384 | Self::EcdsaSha384 => Hasher::Sha384(sha2::Sha384::new()),
            Self::RsaSha512 | Self::EcdsaSha512 => Hasher::Sha512(sha2::Sha512::new()),
        }
    }

    /// DER of the DigestInfo that RSA signatures carry before the digest (RFC 8017 §9.2).
    fn rsa_prefix(self) -> Option<[u8; 19]> {
        let (id, length) = match self {
            Self::RsaSha256 => (1, 32),
            Self::RsaSha384 => (2, 48),
            Self::RsaSha512 => (3, 64),
            _ => return None,
        };
        let total = 17 + length;
        Some([
            0x30, total, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, id, 0x05, 0x00, 0x04,
            length,
        ])
    }
}

#[derive(Clone)]
enum PublicKey {
    Rsa(Box<rsa::RsaPublicKey>),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
}

/// One trust anchor.
#[derive(Clone)]
pub struct Ca {
    /// 発行者鍵識別子: SubjectKeyIdentifier in hex.
    pub key_id: String,
    /// What the subject name says (`name::key`), which CRLs must name as issuer.
    pub subject: Vec<u8>,
    /// End of the certificate, JST.
    pub not_after: NaiveDateTime,
    key: PublicKey,
}

/// Loads one CA certificate, PEM or DER.
pub fn load(path: &Path) -> Result<Ca> {
    // A CA file that is not there is a fault of the configuration that names it.
    let bytes = std::fs::read(path).at(path).map_err(|e| Error::usage(format!("CA file {e}")))?;
    let bad = |what: &str| Error::usage(format!("{}: {what}", path.display()));
    let source = super::pem::der(bytes.as_slice(), "CERTIFICATE").at(path)?;
    let mut der = Vec::new();
    let mut source = source.ok_or_else(|| bad("is neither DER nor PEM"))?;
    source.read_to_end(&mut der).map_err(|_| bad("the PEM text cannot be read"))?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| bad("is no X.509 certificate"))?;
    let spki = certificate.public_key().raw;
    let point = certificate.public_key().subject_public_key.data.as_ref();
    let key = if let Ok(key) = rsa::RsaPublicKey::from_public_key_der(spki) {
        PublicKey::Rsa(Box::new(key))
    } else if let Ok(key) = p256::ecdsa::VerifyingKey::from_sec1_bytes(point) {
        PublicKey::P256(key)
    } else if let Ok(key) = p384::ecdsa::VerifyingKey::from_sec1_bytes(point) {
        PublicKey::P384(key)
    } else {
        return Err(bad("the key is neither RSA nor ECDSA P-256 or P-384"));
    };
    if certificate.key_usage().ok().flatten().is_some_and(|usage| !usage.value.crl_sign()) {
        return Err(bad("its key usage does not allow to sign CRLs"));
    }
    let key_id = certificate.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(digest::hex(id.0)),
        _ => None,
    });
    let key_id = key_id.ok_or_else(|| bad("has no SubjectKeyIdentifier"))?;
    let end = certificate.validity().not_after.timestamp();
    // JST is UTC+9.
    let not_after = from_millis(end.saturating_add(9 * 3600).saturating_mul(1000));
    Ok(Ca { not_after, key_id, subject: super::name::key(certificate.subject().as_raw()), key })
}

impl Ca {
    /// Kind and size of its key, and whether that is enough today (CRYPTREC, NIST SP 800-57: RSA from 2048 bits on).
    pub fn strength(&self) -> (String, bool) {
        match &self.key {
            PublicKey::Rsa(key) => {
                let bits = key.size() * 8;
                (format!("RSA-{bits}"), bits >= 2048)
            }
            PublicKey::P256(_) => ("ECDSA P-256".to_owned(), true),
            PublicKey::P384(_) => ("ECDSA P-384".to_owned(), true),
        }
    }

    /// Verifies a signature over a digest.
    pub fn verify(&self, algorithm: Algorithm, digest: &[u8], signature: &[u8]) -> bool {
        match (&self.key, algorithm.rsa_prefix()) {
            (PublicKey::Rsa(key), Some(prefix)) => {
                let scheme = rsa::Pkcs1v15Sign { hash_len: Some(digest.len()), prefix: Box::new(prefix) };
                scheme.verify(key, digest, signature).is_ok()
            }
            (PublicKey::P256(key), None) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok()),
            (PublicKey::P384(key), None) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok()),
            _ => false,
        }
    }
}
