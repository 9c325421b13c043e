//! What C++ links: every symbol of Wasmtime's C API.
pub use wasmtime_c_api::*;
