//! Master keys: they wrap the data key of each file. Randomness is passed in.

use std::path::Path;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::base::error::{At, Error, Result};

/// Where random bytes come from; the library has no source of its own.
pub trait Entropy: Send + Sync {
    /// Fills the buffer with unpredictable bytes.
    fn fill(&self, buffer: &mut [u8]) -> Result<()>;
}

/// The key file as it stands on disk (mode 0600).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    /// Master key that new data keys are wrapped with.
    current: String,
    /// Key of the chain's HMAC, base64.
    chain: String,
    master: Vec<MasterKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MasterKey {
    id: String,
    /// 32 bytes, base64.
    key: String,
}

/// Master keys in memory. Its debug form shows no key.
pub struct Keys {
    current: String,
    chain: Vec<u8>,
    masters: Vec<(String, [u8; 32])>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("current", &self.current).finish_non_exhaustive()
    }
}

/// Footer key metadata as Parquet's key tools write it (PKMT1), with a single-wrapped data key.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyMaterial {
    key_material_type: String,
    internal_storage: bool,
    is_footer_key: bool,
    #[serde(rename = "kmsInstanceID")]
    kms_instance_id: String,
    #[serde(rename = "kmsInstanceURL")]
    kms_instance_url: String,
    #[serde(rename = "masterKeyID")]
    master_key_id: String,
    #[serde(rename = "wrappedDEK")]
    wrapped_dek: String,
    double_wrapping: bool,
}

/// Ids have one length, so that a wrapped key can be replaced in its place.
fn id_of(number: u32) -> String {
    format!("k{number:04}")
}

fn first_id() -> String {
    id_of(1)
}

impl Keys {
    /// Makes a new key file's content.
    pub fn generate(entropy: &dyn Entropy) -> Result<String> {
        let mut key = [0u8; 32];
        entropy.fill(&mut key)?;
        let mut chain = [0u8; 32];
        entropy.fill(&mut chain)?;
        let master = vec![MasterKey { id: first_id(), key: BASE64.encode(key) }];
        let file = KeyFile { current: first_id(), chain: BASE64.encode(chain), master };
        Ok(serde_json::to_string_pretty(&file)?)
    }

    pub fn load(path: &Path) -> Result<Self> {
        // A key file that is not there or not readable is a fault of the configuration that names it.
        let text = std::fs::read_to_string(path).at(path).map_err(|e| Error::usage(format!("key file {e}")))?;
        Self::parse(&text).map_err(|e| Error::usage(format!("{}: {e}", path.display())))
    }

    fn parse(text: &str) -> Result<Self> {
        // Parse errors of the key file are not passed on: they could show parts of it.
        let bad = || Error::usage("the key file is not usable");
        let file: KeyFile = serde_json::from_str(text).map_err(|_| bad())?;
        let mut masters = Vec::new();
        for master in file.master {
            let bytes = BASE64.decode(&master.key).map_err(|_| bad())?;
            masters.push((master.id, bytes.try_into().map_err(|_| bad())?));
        }
        let keys = Self { current: file.current, chain: BASE64.decode(&file.chain).map_err(|_| bad())?, masters };
        keys.master(&keys.current)?;
        Ok(keys)
    }

    fn master(&self, id: &str) -> Result<&[u8; 32]> {
        let found = self.masters.iter().find(|(own, _)| own == id).map(|(_, key)| key);
        found.ok_or_else(|| Error::Crypto(format!("master key {id} is not in the key file")))
    }

    /// Id of the master key that wraps new data keys.
    pub fn current(&self) -> &str {
        &self.current
    }

    /// Ids of all master keys.
    pub fn ids(&self) -> Vec<String> {
        self.masters.iter().map(|(id, _)| id.clone()).collect()
    }

    /// Text of a key file with one more master key, which is the current one from then on.
    pub fn with_new_master(text: &str, entropy: &dyn Entropy) -> Result<String> {
        Self::parse(text)?;
        let mut file: KeyFile = serde_json::from_str(text)?;
        let number = |id: &str| id.strip_prefix('k').and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
        let next = file.master.iter().map(|m| number(&m.id)).max().unwrap_or(0) + 1;
        let mut key = [0u8; 32];
        entropy.fill(&mut key)?;
        file.current = id_of(next);
        file.master.push(MasterKey { id: id_of(next), key: BASE64.encode(key) });
        Ok(serde_json::to_string_pretty(&file)?)
    }

    /// Text of a key file with its current master key alone.
    pub fn without_old_masters(text: &str) -> Result<String> {
        Self::parse(text)?;
        let mut file: KeyFile = serde_json::from_str(text)?;
        let current = file.current.clone();
        file.master.retain(|m| m.id == current);
        Ok(serde_json::to_string_pretty(&file)?)
    }

    /// A fresh data key and the metadata that holds it wrapped.
    pub fn new_data_key(&self, entropy: &dyn Entropy) -> Result<([u8; 32], Vec<u8>)> {
        let mut data_key = [0u8; 32];
        entropy.fill(&mut data_key)?;
        let mut nonce = [0u8; 12];
        entropy.fill(&mut nonce)?;
        Ok((data_key, self.wrap(&data_key, nonce)?))
    }

    /// The same data key wrapped by the current master key.
    pub fn rewrap(&self, metadata: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>> {
        let mut nonce = [0u8; 12];
        entropy.fill(&mut nonce)?;
        self.wrap(&self.open_data_key(metadata)?, nonce)
    }

    fn wrap(&self, data_key: &[u8; 32], nonce: [u8; 12]) -> Result<Vec<u8>> {
        let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*self.master(&self.current)?));
        let sealed = cipher
            .encrypt(&Nonce::from(nonce), Payload { msg: data_key.as_slice(), aad: self.current.as_bytes() })
            .map_err(|_| Error::Crypto("a data key could not be wrapped".to_owned()))?;
        let material = KeyMaterial {
            key_material_type: "PKMT1".to_owned(),
            internal_storage: true,
            is_footer_key: true,
            kms_instance_id: "DEFAULT".to_owned(),
            kms_instance_url: "DEFAULT".to_owned(),
            master_key_id: self.current.clone(),
            wrapped_dek: BASE64.encode([nonce.as_slice(), &sealed].concat()),
            double_wrapping: false,
        };
        Ok(serde_json::to_vec(&material)?)
    }

    /// Opens the data key held in a file's key metadata.
    pub fn open_data_key(&self, metadata: &[u8]) -> Result<[u8; 32]> {
        let bad = || Error::Crypto("a data key could not be opened".to_owned());
        let material: KeyMaterial = serde_json::from_slice(metadata).map_err(|_| bad())?;
        let sealed = BASE64.decode(&material.wrapped_dek).map_err(|_| bad())?;
        let (nonce, sealed) = sealed.split_at_checked(12).ok_or_else(bad)?;
        let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*self.master(&material.master_key_id)?));
        let nonce: [u8; 12] = nonce.try_into().map_err(|_| bad())?;
        let aad = material.master_key_id.as_bytes();
        let opened = cipher.decrypt(&Nonce::from(nonce), Payload { msg: sealed, aad }).map_err(|_| bad())?;
        opened.try_into().map_err(|_| bad())
    }

    /// Mark of a master key by which another key of the same id shows; it tells nothing of the key. `None` = not held.
    pub fn mark(&self, id: &str) -> Option<String> {
        let key = self.master(id).ok()?;
        Some(hmac(key, &format!("shikaku master key {id}"))[..32].to_owned())
    }

    /// The same of the chain key.
    pub fn chain_mark(&self) -> String {
        hmac(&self.chain, "shikaku chain key")[..32].to_owned()
    }

    /// The same keys with another one current, if it is held.
    pub fn with_current(&self, id: &str) -> Result<Self> {
        self.master(id)?;
        Ok(Self { current: id.to_owned(), chain: self.chain.clone(), masters: self.masters.clone() })
    }

    /// MAC of an event by its place and hash; no other text that is signed starts so.
    pub fn event_mac(&self, seq: i64, hash: &str) -> String {
        self.mac(&format!("event {seq} {hash}"))
    }

    /// HMAC of the chain's head and of what an access record says was asked.
    pub fn mac(&self, text: &str) -> String {
        hmac(&self.chain, text)
    }
}

fn hmac(key: &[u8], text: &str) -> String {
    // HMAC takes a key of any length, so this cannot fail.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else { return String::new() };
    mac.update(text.as_bytes());
    crate::base::digest::hex(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(std::sync::atomic::AtomicU8);
    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) -> Result<()> {
            buffer.fill_with(|| self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            Ok(())
        }
    }

    #[test]
    fn a_data_key_comes_back_from_its_metadata_and_only_with_the_right_master_key() {
        let entropy = Counting(0.into());
        let keys = Keys::parse(&Keys::generate(&entropy).unwrap()).unwrap();
        let other = Keys::parse(&Keys::generate(&entropy).unwrap()).unwrap();
        let (key, metadata) = keys.new_data_key(&entropy).unwrap();
        assert_eq!(keys.open_data_key(&metadata).unwrap(), key);
        assert!(other.open_data_key(&metadata).is_err());
        assert!(!format!("{keys:?}").contains("chain"));
    }
}
