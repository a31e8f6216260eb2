//! Keys, and what is sealed with them.

pub mod keys;
pub mod stream;

use keys::{Entropy, Keys};

/// How restricted tables, landings and sorted runs are sealed.
#[derive(Clone, Copy)]
pub struct Sealing<'a> {
    pub keys: &'a Keys,
    pub entropy: &'a dyn Entropy,
}
