//! The SDK for policies of the Sallyport gateway that are written in Rust. A policy exports the hooks that it wants to be
//! asked at, and answers each with a verdict:
//!
//! ```no_run
//! use sallyport::{Authentication, CredentialShape, PolicyIdentity, Verdict};
//!
//! sallyport::authenticate!(guest_pass);
//!
//! fn guest_pass(a: &Authentication) -> Verdict {
//!     if a.shape() != CredentialShape::NONE || a.client_address() != "127.0.0.1" {
//!         return Verdict::PASS;
//!     }
//!     a.allow_as(&PolicyIdentity { id: "guest", models: &["llama"], ..Default::default() })
//! }
//! # fn main() {}
//! ```
//!
//! The hooks' macros ([`authenticate!`], [`choose_step!`], [`price_response!`], [`configure!`]) stand in the policy's own
//! file because a policy is asked wherever its module has an export. What they name is a function from a question to
//! a [`Verdict`], or to a `Result` of one: an error is logged, and the policy has failed.
//!
//! Nothing is read before it is asked for: each method that reads is one call of the host, which takes some tens of
//! nanoseconds. What methods return belongs to the policy.
//!
//! The crate depends on the standard library alone and builds with Rust 1.63. In a native build a policy runs against
//! a gateway in memory, [`testing`].

#![forbid(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

mod abi;
mod authenticate;
mod choose_step;
mod host;
pub mod json;
pub mod kv;
mod price_response;
mod request;
mod text;
mod verdict;

#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use abi::*;
pub use authenticate::{Authentication, Budget, Label, PolicyIdentity, StoredKey};
pub use choose_step::StepChoice;
pub use host::{config, digest, log, log_panics, metric, now, random, random_u64, raw, script};
pub use price_response::{cost, Pricing};
pub use request::{Identity, Request};
pub use text::Text;
pub use verdict::{Error, Verdict};

#[doc(hidden)]
pub use verdict::{serve_configure, serve_hook};

/// Exports the hook `authenticate`: who does the request belong to? The argument is a function of an
/// [`&Authentication`](Authentication).
#[macro_export]
macro_rules! authenticate {
    ($decide:path) => {
        #[no_mangle]
        pub extern "C" fn authenticate() -> i32 {
            $crate::serve_hook(|| $decide(&$crate::Authentication::default()))
        }
    };
}

/// Exports the hook `choose_step`: which step of the chain is tried next? The argument is a function of a
/// [`&StepChoice`](StepChoice).
#[macro_export]
macro_rules! choose_step {
    ($decide:path) => {
        #[no_mangle]
        pub extern "C" fn choose_step() -> i32 {
            $crate::serve_hook(|| $decide(&$crate::StepChoice::default()))
        }
    };
}

/// Exports the hook `price_response`: what does an attempt cost? The argument is a function of a
/// [`&Pricing`](Pricing).
#[macro_export]
macro_rules! price_response {
    ($decide:path) => {
        #[no_mangle]
        pub extern "C" fn price_response() -> i32 {
            $crate::serve_hook(|| $decide(&$crate::Pricing::default()))
        }
    };
}

/// Exports `configure`, which is called once in each instance, before its first hook. The argument is a function of what
/// stands under `config:` in policies.yaml, as JSON text, or of an empty text; it returns a `Result<(), E>`. An error
/// refuses the configuration, and with it the start or the reload of the gateway.
#[macro_export]
macro_rules! configure {
    ($apply:path) => {
        #[no_mangle]
        pub extern "C" fn configure() -> i32 {
            $crate::serve_configure(|config| $apply(config))
        }
    };
}
