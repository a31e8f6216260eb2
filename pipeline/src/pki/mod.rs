//! X.509 below the lists: strict DER, PEM, names, and the CA certificates that signatures are checked with.

pub mod ca;
pub mod der;
pub mod name;
pub mod pem;
