//! The way to the gateway: its functions, and in a native build those of the gateway in memory.

use crate::abi::{Code, Field, Level, ALL_INDEXES, NO_VALUE};
use crate::{Error, Text};

/// The functions of the contract, one to one, with slices for pointers and lengths. A negative answer is a code.
pub mod raw {
    #[cfg(not(target_arch = "wasm32"))]
    use crate::testing::imports;

    #[cfg(target_arch = "wasm32")]
    mod imports {
        #[link(wasm_import_module = "sallyport:policy/1")]
        extern "C" {
            pub fn get(field: i32, index: i32, buf: *mut u8, cap: usize) -> i32;
            pub fn get_i64(field: i32, index: i32) -> i64;
            pub fn get_named(field: i32, name: *const u8, name_len: usize, buf: *mut u8, cap: usize) -> i32;
            pub fn set(field: i32, index: i32, ptr: *const u8, len: usize) -> i32;
            pub fn set_i64(field: i32, index: i32, value: i64) -> i32;
            pub fn identity_lookup(digest: *const u8, digest_len: usize) -> i32;
            pub fn log(level: i32, ptr: *const u8, len: usize) -> i32;
            pub fn now() -> i64;
            pub fn random(ptr: *mut u8, len: usize) -> i32;
            pub fn config(buf: *mut u8, cap: usize) -> i32;
            pub fn script(buf: *mut u8, cap: usize) -> i32;
            pub fn digest(ptr: *const u8, len: usize, out: *mut u8) -> i32;
            pub fn metric(name: *const u8, name_len: usize, value: i64) -> i32;
            pub fn kv_get(key: *const u8, key_len: usize, buf: *mut u8, cap: usize) -> i32;
            pub fn kv_version(key: *const u8, key_len: usize) -> i64;
            pub fn kv_set(key: *const u8, key_len: usize, ptr: *const u8, len: usize, ttl_ms: i64) -> i32;
            pub fn kv_delete(key: *const u8, key_len: usize) -> i32;
            pub fn kv_cas(key: *const u8, key_len: usize, version: i64, ptr: *const u8, len: usize, ttl_ms: i64) -> i64;
            pub fn kv_incr(
                key: *const u8, key_len: usize, delta: i64, floor: i64, ceiling: i64, ttl_ms: i64, out: *mut i64,
            ) -> i32;
            pub fn kv_window_add(key: *const u8, key_len: usize, n: i64, limit: i64, window_ms: i64, out: *mut i64) -> i32;
            pub fn kv_list(
                prefix: *const u8, prefix_len: usize, cursor: *const u8, cursor_len: usize, buf: *mut u8, cap: usize,
            ) -> i32;
        }
    }

    // Safety of all: the host stays within the slice that it is told, and keeps nothing of it.

    /// Reads a field. An answer above the buffer's length means that nothing was written.
    pub fn get(field: i32, index: i32, buf: &mut [u8]) -> i32 {
        unsafe { imports::get(field, index, buf.as_mut_ptr(), buf.len()) }
    }

    /// Reads a number, or [`NO_VALUE`](crate::NO_VALUE).
    pub fn get_i64(field: i32, index: i32) -> i64 {
        unsafe { imports::get_i64(field, index) }
    }

    /// Reads a field that is found by name.
    pub fn get_named(field: i32, name: &str, buf: &mut [u8]) -> i32 {
        unsafe { imports::get_named(field, name.as_ptr(), name.len(), buf.as_mut_ptr(), buf.len()) }
    }

    /// Writes an output.
    pub fn set(field: i32, index: i32, value: &[u8]) -> i32 {
        unsafe { imports::set(field, index, value.as_ptr(), value.len()) }
    }

    /// Writes a number.
    pub fn set_i64(field: i32, index: i32, value: i64) -> i32 {
        unsafe { imports::set_i64(field, index, value) }
    }

    /// Finds a stored key by its credential's digest and returns its handle.
    pub fn identity_lookup(digest: &[u8]) -> i32 {
        unsafe { imports::identity_lookup(digest.as_ptr(), digest.len()) }
    }

    /// Writes a log line.
    pub fn log(level: i32, line: &str) -> i32 {
        unsafe { imports::log(level, line.as_ptr(), line.len()) }
    }

    /// Unix time in milliseconds.
    pub fn now() -> i64 {
        unsafe { imports::now() }
    }

    /// Fills the buffer with random bytes.
    pub fn random(buf: &mut [u8]) -> i32 {
        unsafe { imports::random(buf.as_mut_ptr(), buf.len()) }
    }

    /// Reads the configuration, like [`get`].
    pub fn config(buf: &mut [u8]) -> i32 {
        unsafe { imports::config(buf.as_mut_ptr(), buf.len()) }
    }

    /// Reads the source text of a policy whose module runs one, like [`get`].
    pub fn script(buf: &mut [u8]) -> i32 {
        unsafe { imports::script(buf.as_mut_ptr(), buf.len()) }
    }

    /// Writes the SHA-256 of bytes.
    pub fn digest(bytes: &[u8], out: &mut [u8; 32]) -> i32 {
        unsafe { imports::digest(bytes.as_ptr(), bytes.len(), out.as_mut_ptr()) }
    }

    /// Adds to a counter of the policy.
    pub fn metric(name: &str, value: i64) -> i32 {
        unsafe { imports::metric(name.as_ptr(), name.len(), value) }
    }

    /// Reads what is stored under a key, like [`get`].
    pub fn kv_get(key: &[u8], buf: &mut [u8]) -> i32 {
        unsafe { imports::kv_get(key.as_ptr(), key.len(), buf.as_mut_ptr(), buf.len()) }
    }

    /// The version of what is stored under a key, [`NO_VALUE`](crate::NO_VALUE) or a code.
    pub fn kv_version(key: &[u8]) -> i64 {
        unsafe { imports::kv_version(key.as_ptr(), key.len()) }
    }

    /// Stores a value.
    pub fn kv_set(key: &[u8], value: &[u8], ttl_ms: i64) -> i32 {
        unsafe { imports::kv_set(key.as_ptr(), key.len(), value.as_ptr(), value.len(), ttl_ms) }
    }

    /// Removes a key.
    pub fn kv_delete(key: &[u8]) -> i32 {
        unsafe { imports::kv_delete(key.as_ptr(), key.len()) }
    }

    /// Stores a value if the key has that version. The answer is the new one, or a code.
    pub fn kv_cas(key: &[u8], version: i64, value: &[u8], ttl_ms: i64) -> i64 {
        unsafe { imports::kv_cas(key.as_ptr(), key.len(), version, value.as_ptr(), value.len(), ttl_ms) }
    }

    /// Adds to a counter within bounds.
    pub fn kv_incr(key: &[u8], delta: i64, floor: i64, ceiling: i64, ttl_ms: i64, value: &mut i64) -> i32 {
        unsafe { imports::kv_incr(key.as_ptr(), key.len(), delta, floor, ceiling, ttl_ms, value) }
    }

    /// Adds to a sliding window.
    pub fn kv_window_add(key: &[u8], n: i64, limit: i64, window_ms: i64, out: &mut [i64; 2]) -> i32 {
        unsafe { imports::kv_window_add(key.as_ptr(), key.len(), n, limit, window_ms, out.as_mut_ptr()) }
    }

    /// Reads keys behind a cursor, each as its length in 4 bytes little-endian and its bytes.
    pub fn kv_list(prefix: &[u8], cursor: &[u8], buf: &mut [u8]) -> i32 {
        unsafe { imports::kv_list(prefix.as_ptr(), prefix.len(), cursor.as_ptr(), cursor.len(), buf.as_mut_ptr(), buf.len()) }
    }
}

/// How much is read at first, on the stack: most texts are shorter.
const FIRST_READ: usize = 256;

/// Reads what has a length that is not known before. Absence is an empty text.
pub(crate) fn read(mut ask: impl FnMut(&mut [u8]) -> i32) -> Result<Text, Code> {
    let mut first = [0; FIRST_READ];
    let answer = ask(&mut first);
    if answer < 0 {
        return if answer == Code::ABSENT.0 { Ok(Text::default()) } else { Err(Code(answer)) };
    }
    let length = answer as usize;
    if length <= FIRST_READ {
        return Ok(Text(first[..length].to_vec()));
    }
    let mut whole = vec![0; length];
    loop {
        let answer = ask(&mut whole);
        if answer < 0 {
            return Err(Code(answer));
        }
        let fits = answer as usize <= whole.len(); // what is remembered may have changed meanwhile
        whole.resize(answer as usize, 0);
        if fits {
            return Ok(Text(whole));
        }
    }
}

/// Reads a text, or an element of a list of them.
pub(crate) fn element(field: Field, index: i32) -> Result<Text, Code> {
    read(|buf| raw::get(field.0, index, buf))
}

/// Reads a field that every policy may read. There is no error to hand on: it has a value or it has none.
pub(crate) fn text(field: Field) -> Text {
    element(field, 0).unwrap_or_default()
}

/// Reads all elements of a list of texts.
pub(crate) fn texts(field: Field) -> Vec<Text> {
    (0..).map(|i| element(field, i).unwrap_or_default()).take_while(|t| !t.is_empty()).collect()
}

pub(crate) fn named(field: Field, name: &str) -> Result<Text, Error> {
    read(|buf| raw::get_named(field.0, name, buf)).map_err(|code| Error::new(format!("{}.{}", field.name(), name), code))
}

pub(crate) fn optional(field: Field) -> Option<i64> {
    match raw::get_i64(field.0, 0) {
        NO_VALUE => None,
        n => Some(n),
    }
}

/// Reads a number, or 0 if there is none.
pub(crate) fn number(field: Field) -> i64 {
    optional(field).unwrap_or(0)
}

/// Reads a whole list of numbers, empty if there is none. At least `least` elements of one that is there.
pub(crate) fn list(field: Field, least: usize) -> Vec<i64> {
    let packed = read(|buf| raw::get(field.0, ALL_INDEXES, buf)).unwrap_or_default();
    let mut numbers: Vec<i64> = packed.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect();
    if !numbers.is_empty() && numbers.len() < least {
        numbers.resize(least, 0); // an older host knows fewer of them
    }
    numbers
}

/// Writes a line to the gateway's log, under the policy's name. It is cut at 1 KiB; beyond 16 lines in one call lines
/// are dropped.
pub fn log(level: Level, line: &str) {
    raw::log(level as i32, line);
}

/// Has panics logged before they end the call, for some kilobytes of code. Call it in `configure`.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| log(Level::Error, &panic.to_string())));
}

/// The gateway's time, as unix milliseconds.
pub fn now() -> i64 {
    raw::now()
}

/// Fills `buf` with random bytes, at most 4 KiB.
pub fn random(buf: &mut [u8]) -> Result<(), Error> {
    match raw::random(buf) {
        0 => Ok(()),
        code => Err(Error::new("random".to_string(), Code(code))),
    }
}

/// A random number.
pub fn random_u64() -> Result<u64, Error> {
    let mut digits = [0; 8];
    random(&mut digits)?;
    Ok(u64::from_be_bytes(digits))
}

/// What stands under `config:` in policies.yaml, as JSON text, empty if nothing does. [`configure!`](crate::configure)
/// hands it over.
pub fn config() -> Result<Text, Error> {
    read(raw::config).map_err(|code| Error::new("config".to_string(), code))
}

/// The SHA-256 of up to 1 MiB, computed by the gateway, which is quicker at it than a guest.
pub fn digest(bytes: &[u8]) -> Result<[u8; 32], Error> {
    let mut sum = [0; 32];
    match raw::digest(bytes, &mut sum) {
        0 => Ok(sum),
        code => Err(Error::new("digest".to_string(), Code(code))),
    }
}

/// Adds a value of at least 0 to a counter of the policy, which operators find among the gateway's metrics. The name is 1 to 64 of
/// a to z, 0 to 9 and _; a policy has up to 16 of them.
pub fn metric(name: &str, value: i64) -> Result<(), Error> {
    match raw::metric(name, value) {
        0 => Ok(()),
        code => Err(Error::new("metric".to_string(), Code(code))),
    }
}

/// The source text of a policy whose module runs one, empty for all others.
pub fn script() -> Result<Text, Error> {
    read(raw::script).map_err(|code| Error::new("script".to_string(), code))
}
