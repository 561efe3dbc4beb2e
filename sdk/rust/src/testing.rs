//! A gateway in memory, in which policies are tested by native tests: no gateway, no WebAssembly. A test describes a
//! question by its fields and asks the policy's own export:
//!
//! ```
//! use sallyport::{testing::Gateway, Authentication, Field, Verdict};
//!
//! sallyport::authenticate!(deny);
//!
//! fn deny(a: &Authentication) -> Verdict {
//!     a.deny(403, &format!("No {} for you.", a.model()))
//! }
//!
//! let got = Gateway::new().text(Field::REQUEST_MODEL, "coding").ask(authenticate);
//! assert!(got.is_verdict());
//! assert_eq!(got.text(Field::DENY_MESSAGE), "No coding for you.");
//! ```
//!
//! It answers what it was told and keeps what the policy sets. It holds the policy to no range and no quota: that is the
//! gateway's part, and so are fuel and time limits.

mod memory;
mod sha256;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use crate::abi::{returns, Code, Field};

/// What a policy is asked, and the world that it sees.
#[derive(Clone, Debug)]
pub struct Gateway {
    texts: HashMap<i32, Vec<Vec<u8>>>,
    numbers: HashMap<i32, Vec<i64>>,
    headers: HashMap<String, Vec<u8>>,
    refused: HashMap<i32, Code>,
    lookup: i32,
    config: Vec<u8>,
    script: Vec<u8>,
    remembers: bool,
    now: i64,
    random: u8,
    got: Outcome,
}

/// How a hook ended, and what the policy set and logged.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    returned: i32,
    texts: HashMap<(i32, i32), Vec<u8>>,
    numbers: HashMap<(i32, i32), i64>,
    /// The lines that the policy logged.
    pub log: Vec<String>,
    /// What it counted, by name.
    pub metrics: BTreeMap<String, i64>,
    /// What it remembers. Hand it to [`Gateway::remembering`] to ask again.
    pub state: State,
}

pub use memory::State;

/// 2027-01-01 00:00 UTC, so that tests do not depend on the day.
const NEW_YEAR: i64 = 1_798_761_600_000;

/// How many lines a call may log.
const MAX_LOG_LINES: usize = 16;

impl Default for Gateway {
    fn default() -> Gateway {
        Gateway::new()
    }
}

impl Gateway {
    /// A gateway that knows nothing but the time, which is the beginning of 2027, and finds no key.
    pub fn new() -> Gateway {
        Gateway {
            texts: HashMap::new(),
            numbers: HashMap::new(),
            headers: HashMap::new(),
            refused: HashMap::new(),
            lookup: Code::NOT_FOUND.0,
            config: Vec::new(),
            script: Vec::new(),
            remembers: false,
            now: NEW_YEAR,
            random: 0,
            got: Outcome::default(),
        }
    }

    /// Gives a field a text.
    pub fn text(self, field: Field, value: &str) -> Gateway {
        self.texts(field, &[value])
    }

    /// Gives a field a list of texts.
    pub fn texts(mut self, field: Field, values: &[&str]) -> Gateway {
        self.texts.insert(field.0, values.iter().map(|v| v.as_bytes().to_vec()).collect());
        self
    }

    /// Gives a field a number.
    pub fn number(self, field: Field, value: i64) -> Gateway {
        self.numbers(field, &[value])
    }

    /// Gives a field a list of numbers.
    pub fn numbers(mut self, field: Field, values: &[i64]) -> Gateway {
        self.numbers.insert(field.0, values.to_vec());
        self
    }

    /// Gives the request a header, and the policy the grant to read it.
    pub fn header(mut self, name: &str, value: &str) -> Gateway {
        self.headers.insert(name.to_string(), value.as_bytes().to_vec());
        self
    }

    /// Answers a code to whoever reads or sets a field.
    pub fn refuse(mut self, field: Field, code: Code) -> Gateway {
        self.refused.insert(field.0, code);
        self
    }

    /// What a look-up answers: a handle above 0, or the number of a code.
    pub fn lookup(mut self, answer: i32) -> Gateway {
        self.lookup = answer;
        self
    }

    /// The policy's configuration, as JSON.
    pub fn config(mut self, json: &str) -> Gateway {
        self.config = json.as_bytes().to_vec();
        self
    }

    /// The source text that the policy runs.
    pub fn script(mut self, text: &str) -> Gateway {
        self.script = text.as_bytes().to_vec();
        self
    }

    /// Grants the policy to remember, and says what it does already.
    pub fn remembering(mut self, state: State) -> Gateway {
        self.remembers = true;
        self.got.state = state;
        self
    }

    /// The time in unix milliseconds.
    pub fn now(mut self, ms: i64) -> Gateway {
        self.now = ms;
        self
    }

    /// What every random byte is; default 0.
    pub fn random(mut self, byte: u8) -> Gateway {
        self.random = byte;
        self
    }

    /// Asks the export of a hook, or `configure`.
    pub fn ask(self, export: extern "C" fn() -> i32) -> Outcome {
        SERVING.with(|s| *s.borrow_mut() = Some(self));
        let returned = export();
        let gateway = SERVING.with(|s| s.borrow_mut().take()).expect("a gateway was put in place above");
        Outcome { returned, ..gateway.got }
    }
}

impl Outcome {
    /// Whether the policy gave a verdict.
    pub fn is_verdict(&self) -> bool {
        self.returned == returns::VERDICT
    }

    /// Whether it had no opinion.
    pub fn passed(&self) -> bool {
        self.returned == returns::PASS
    }

    /// Whether it said that it could not decide.
    pub fn failed(&self) -> bool {
        self.returned == returns::ERROR
    }

    /// What a text was set to, empty if it was not.
    pub fn text(&self, field: Field) -> String {
        self.element(field, 0).unwrap_or_default()
    }

    /// What a list of texts was set to.
    pub fn texts(&self, field: Field) -> Vec<String> {
        (0..).map_while(|i| self.element(field, i)).collect()
    }

    fn element(&self, field: Field, index: i32) -> Option<String> {
        self.texts.get(&(field.0, index)).map(|v| String::from_utf8_lossy(v).into_owned())
    }

    /// What a number, the first of a list, was set to.
    pub fn number(&self, field: Field) -> Option<i64> {
        self.number_at(field, 0)
    }

    /// What an element of a list was set to.
    pub fn number_at(&self, field: Field, index: usize) -> Option<i64> {
        self.numbers.get(&(field.0, index as i32)).copied()
    }
}

thread_local! {
    /// Who answers on this thread, so that tests may run in parallel.
    static SERVING: RefCell<Option<Gateway>> = RefCell::new(None);
}

/// The functions of the contract, as a native build links them.
pub(crate) mod imports {
    use super::{sha256::sha256, Gateway, State, MAX_LOG_LINES, SERVING};
    use crate::abi::{Code, ALL_INDEXES, NO_VALUE};

    fn with<T>(answer: impl FnOnce(&mut Gateway) -> T) -> T {
        SERVING.with(|s| answer(s.borrow_mut().as_mut().expect("there is no gateway here: ask the hook through sallyport::testing")))
    }

    /// Puts a value where the policy asked for it, by the rule of the contract.
    unsafe fn output(value: &[u8], buf: *mut u8, cap: usize) -> i32 {
        if value.is_empty() {
            return Code::ABSENT.0;
        }
        if value.len() <= cap {
            unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), buf, value.len()) }
        }
        value.len() as i32
    }

    unsafe fn input(ptr: *const u8, len: usize) -> Vec<u8> {
        unsafe { std::slice::from_raw_parts(ptr, len) }.to_vec()
    }

    pub unsafe fn get(field: i32, index: i32, buf: *mut u8, cap: usize) -> i32 {
        with(|g| {
            if let Some(code) = g.refused.get(&field) {
                return code.0;
            }
            let value = match g.numbers.get(&field) {
                Some(list) if index == ALL_INDEXES => list.iter().flat_map(|n| n.to_le_bytes()).collect(),
                _ => g.texts.get(&field).and_then(|list| list.get(index as usize)).cloned().unwrap_or_default(),
            };
            unsafe { output(&value, buf, cap) }
        })
    }

    pub unsafe fn get_i64(field: i32, index: i32) -> i64 {
        with(|g| match g.refused.get(&field) {
            Some(_) => NO_VALUE,
            None => g.numbers.get(&field).and_then(|list| list.get(index as usize)).copied().unwrap_or(NO_VALUE),
        })
    }

    pub unsafe fn get_named(_field: i32, name: *const u8, name_len: usize, buf: *mut u8, cap: usize) -> i32 {
        let name = String::from_utf8_lossy(&unsafe { input(name, name_len) }).into_owned();
        with(|g| g.headers.get(&name).map_or(Code::NOT_GRANTED.0, |value| unsafe { output(value, buf, cap) }))
    }

    pub unsafe fn set(field: i32, index: i32, ptr: *const u8, len: usize) -> i32 {
        let value = unsafe { input(ptr, len) };
        with(|g| {
            g.got.texts.insert((field, index), value);
            g.refused.get(&field).map_or(0, |code| code.0)
        })
    }

    pub unsafe fn set_i64(field: i32, index: i32, value: i64) -> i32 {
        with(|g| {
            g.got.numbers.insert((field, index), value);
            g.refused.get(&field).map_or(0, |code| code.0)
        })
    }

    pub unsafe fn identity_lookup(_digest: *const u8, _digest_len: usize) -> i32 {
        with(|g| g.lookup)
    }

    pub unsafe fn log(_level: i32, ptr: *const u8, len: usize) -> i32 {
        let line = String::from_utf8_lossy(&unsafe { input(ptr, len) }).into_owned();
        with(|g| {
            if g.got.log.len() == MAX_LOG_LINES {
                return Code::OVER_QUOTA.0;
            }
            g.got.log.push(line);
            0
        })
    }

    pub unsafe fn now() -> i64 {
        with(|g| g.now)
    }

    pub unsafe fn random(ptr: *mut u8, len: usize) -> i32 {
        with(|g| unsafe { std::ptr::write_bytes(ptr, g.random, len) });
        0
    }

    pub unsafe fn config(buf: *mut u8, cap: usize) -> i32 {
        with(|g| unsafe { output(&g.config, buf, cap) })
    }

    pub unsafe fn script(buf: *mut u8, cap: usize) -> i32 {
        with(|g| unsafe { output(&g.script, buf, cap) })
    }

    pub unsafe fn digest(ptr: *const u8, len: usize, out: *mut u8) -> i32 {
        let sum = sha256(&unsafe { input(ptr, len) });
        unsafe { std::ptr::copy_nonoverlapping(sum.as_ptr(), out, sum.len()) }
        0
    }

    pub unsafe fn metric(name: *const u8, name_len: usize, value: i64) -> i32 {
        let name = String::from_utf8_lossy(&unsafe { input(name, name_len) }).into_owned();
        with(|g| *g.got.metrics.entry(name).or_insert(0) += value);
        0
    }

    /// Asks what the policy remembers, if it may remember anything.
    fn state<T>(refused: T, answer: impl FnOnce(&mut State, i64) -> T) -> T {
        with(|g| if g.remembers { answer(&mut g.got.state, g.now) } else { refused })
    }

    const NOT_GRANTED: i32 = Code::NOT_GRANTED.0;

    pub unsafe fn kv_get(key: *const u8, key_len: usize, buf: *mut u8, cap: usize) -> i32 {
        let key = unsafe { input(key, key_len) };
        state(NOT_GRANTED, |s, now| match s.value(&key, now) {
            Ok(value) if value.is_empty() => 0,
            Ok(value) => unsafe { output(value, buf, cap) },
            Err(code) => code.0,
        })
    }

    pub unsafe fn kv_version(key: *const u8, key_len: usize) -> i64 {
        let key = unsafe { input(key, key_len) };
        state(NOT_GRANTED.into(), |s, now| s.version(&key, now).unwrap_or(NO_VALUE))
    }

    pub unsafe fn kv_set(key: *const u8, key_len: usize, ptr: *const u8, len: usize, ttl_ms: i64) -> i32 {
        let (key, value) = unsafe { (input(key, key_len), input(ptr, len)) };
        state(NOT_GRANTED, |s, now| {
            s.put(key, value, now, ttl_ms);
            0
        })
    }

    pub unsafe fn kv_delete(key: *const u8, key_len: usize) -> i32 {
        let key = unsafe { input(key, key_len) };
        state(NOT_GRANTED, |s, now| if s.remove(&key, now) { 0 } else { Code::NOT_FOUND.0 })
    }

    pub unsafe fn kv_cas(key: *const u8, key_len: usize, version: i64, ptr: *const u8, len: usize, ttl_ms: i64) -> i64 {
        let (key, value) = unsafe { (input(key, key_len), input(ptr, len)) };
        state(NOT_GRANTED.into(), |s, now| match s.version(&key, now) {
            None if version != 0 => Code::NOT_FOUND.0.into(),
            Some(other) if version != other => Code::CONFLICT.0.into(),
            _ => s.put(key, value, now, ttl_ms),
        })
    }

    pub unsafe fn kv_incr(
        key: *const u8, key_len: usize, delta: i64, floor: i64, ceiling: i64, ttl_ms: i64, out: *mut i64,
    ) -> i32 {
        let key = unsafe { input(key, key_len) };
        state(NOT_GRANTED, |s, now| match s.add(key, delta, floor..=ceiling, now, ttl_ms) {
            Ok((value, applied)) => {
                unsafe { *out = value };
                applied.into()
            }
            Err(code) => code.0,
        })
    }

    pub unsafe fn kv_window_add(key: *const u8, key_len: usize, n: i64, limit: i64, window_ms: i64, out: *mut i64) -> i32 {
        let key = unsafe { input(key, key_len) };
        state(NOT_GRANTED, |s, now| match s.slide(key, n, limit, window_ms, now) {
            Ok((allowed, used, reset)) => {
                unsafe { std::ptr::copy_nonoverlapping([used, reset].as_ptr(), out, 2) };
                allowed.into()
            }
            Err(code) => code.0,
        })
    }

    pub unsafe fn kv_list(
        prefix: *const u8, prefix_len: usize, cursor: *const u8, cursor_len: usize, buf: *mut u8, cap: usize,
    ) -> i32 {
        let (prefix, cursor) = unsafe { (input(prefix, prefix_len), input(cursor, cursor_len)) };
        state(NOT_GRANTED, |s, now| {
            let mut packed = Vec::new();
            for key in s.keys_behind(&prefix, &cursor, now) {
                if packed.len() + 4 + key.len() > cap {
                    break;
                }
                packed.extend((key.len() as u32).to_le_bytes());
                packed.extend(key);
            }
            unsafe { std::ptr::copy_nonoverlapping(packed.as_ptr(), buf, packed.len()) }
            packed.len() as i32
        })
    }
}

#[cfg(test)]
mod tests;
