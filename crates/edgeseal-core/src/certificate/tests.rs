//! Validation of certificates: what is refused with which error, and what is accepted with which
//! result.

mod accepted;
mod accepted_keys;
mod arbitrary;
mod paths;
mod pki;
mod preflight;
mod refused_chains;
mod refused_keys;
mod refused_paths;
mod sentences;
mod signatures;
mod texts;

use super::*;
