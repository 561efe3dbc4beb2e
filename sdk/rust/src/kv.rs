//! What a policy remembers: values, counters and windows, kept by the gateway in a namespace of the policy's own, for all its
//! instances.
//!
//! ```no_run
//! use sallyport::{kv, Authentication, Error, Verdict};
//! use std::time::Duration;
//!
//! fn ten_a_minute(a: &Authentication) -> Result<Verdict, Error> {
//!     let window = kv::window_add(a.client_address(), 1, 10, Duration::from_secs(60))?;
//!     Ok(if window.allowed { Verdict::PASS } else { a.deny(429, "Ten requests a minute are enough.") })
//! }
//! ```
//!
//! It needs the grant `kv: own`; without it errors have the code [`NOT_GRANTED`](Code::NOT_GRANTED). Keys are 1 to 256 bytes. A
//! hook may make 64 calls, which move up to 1 MiB together; beyond that, and where the namespace is full, the code is
//! [`OVER_QUOTA`](Code::OVER_QUOTA). It is [`UNAVAILABLE`](Code::UNAVAILABLE) while the gateway cannot store anything. A kill of
//! the gateway loses up to the last second.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::abi::{Code, NO_VALUE};
use crate::host::{raw, read};
use crate::{Error, Text};

/// Reads what is stored under a key. A counter is read as decimal text.
pub fn get(key: impl AsRef<[u8]>) -> Result<Option<Text>, Error> {
    match read(|buf| raw::kv_get(key.as_ref(), buf)) {
        Ok(value) => Ok(Some(value)),
        Err(Code::NOT_FOUND) => Ok(None),
        Err(code) => Err(Error::new("kv_get".to_string(), code)),
    }
}

/// The version of what is stored under a key, 0 if nothing is. Each change gives a key a version that none had before. Ask for it
/// before [`get`], and hand it to [`cas`]: then no change in between is overwritten.
pub fn version(key: impl AsRef<[u8]>) -> Result<i64, Error> {
    match raw::kv_version(key.as_ref()) {
        NO_VALUE => Ok(0),
        answer => check_long("kv_version", answer),
    }
}

/// Stores a value of up to 64 KiB, for a time, or for good if that is `None`.
pub fn set(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<(), Error> {
    check("kv_set", raw::kv_set(key.as_ref(), value.as_ref(), ttl_ms(ttl))).map(drop)
}

/// Removes a key, whatever it holds. That there is none is no error.
pub fn delete(key: impl AsRef<[u8]>) -> Result<(), Error> {
    match raw::kv_delete(key.as_ref()) {
        code if code == Code::NOT_FOUND.0 => Ok(()),
        code => check("kv_delete", code).map(drop),
    }
}

/// Is [`set`] if the key has that version; version 0 is for a key that is not there. It returns the new version. If the key has
/// another version the code is [`CONFLICT`](Code::CONFLICT); if there is no such key, [`NOT_FOUND`](Code::NOT_FOUND).
pub fn cas(key: impl AsRef<[u8]>, version: i64, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<i64, Error> {
    check_long("kv_cas", raw::kv_cas(key.as_ref(), version, value.as_ref(), ttl_ms(ttl)))
}

/// How a counter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// What it is now.
    pub value: i64,
    /// Whether it was added to.
    pub applied: bool,
}

/// Adds to a counter, if the sum is within the bounds; else it changes nothing. A key that is not there is 0; adding creates it, to
/// live for a time, or for good if that is `None`. To add 0 asks only.
pub fn incr(key: impl AsRef<[u8]>, delta: i64, bounds: RangeInclusive<i64>, ttl: Option<Duration>) -> Result<Count, Error> {
    let mut value = 0;
    let answer = raw::kv_incr(key.as_ref(), delta, *bounds.start(), *bounds.end(), ttl_ms(ttl), &mut value);
    Ok(Count { applied: check("kv_incr", answer)? == 1, value })
}

/// How a sliding window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Whether the units were added.
    pub allowed: bool,
    /// Units that count now.
    pub used: i64,
    /// How long it takes until none counts any more or, if they were not added, until there is room for them.
    pub reset: Duration,
}

/// Adds units to a sliding window, if no more than `limit` were then added within any time as long as `length`, at most 366 days;
/// else it adds nothing. To add 0 asks only.
pub fn window_add(key: impl AsRef<[u8]>, units: i64, limit: i64, length: Duration) -> Result<Window, Error> {
    let mut out = [0; 2];
    let answer = raw::kv_window_add(key.as_ref(), units, limit, milliseconds(length), &mut out);
    let allowed = check("kv_window_add", answer)? == 1;
    Ok(Window { allowed, used: out[0], reset: Duration::from_millis(out[1] as u64) })
}

/// The keys that begin with a prefix, in the order of their bytes. An error is the last one. Keys that come or go meanwhile may be
/// among them or not.
pub fn keys(prefix: impl AsRef<[u8]>) -> Keys {
    Keys { prefix: prefix.as_ref().to_vec(), cursor: Vec::new(), read: VecDeque::new(), done: false }
}

/// What [`keys`] returns.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: Vec<u8>,
    cursor: Vec<u8>,
    read: VecDeque<Text>,
    done: bool,
}

/// How many bytes of keys are asked for at a time. A single key has always room there.
const LIST_ROOM: usize = 2048;

impl Iterator for Keys {
    type Item = Result<Text, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read.is_empty() && !self.done {
            if let Err(code) = self.more() {
                self.done = true;
                return Some(Err(code));
            }
        }
        self.read.pop_front().map(Ok)
    }
}

impl Keys {
    fn more(&mut self) -> Result<(), Error> {
        let mut packed = [0; LIST_ROOM];
        let length = check("kv_list", raw::kv_list(&self.prefix, &self.cursor, &mut packed))? as usize;
        let mut rest = &packed[..length.min(LIST_ROOM)];
        while rest.len() > 4 {
            let (head, tail) = rest.split_at(4);
            let (key, behind) = tail.split_at(u32::from_le_bytes(head.try_into().unwrap()) as usize);
            self.read.push_back(Text(key.to_vec()));
            rest = behind;
        }
        match self.read.back() {
            Some(key) => self.cursor = key.to_vec(),
            None => self.done = true,
        }
        Ok(())
    }
}

/// What lives for a time lives at least for a millisecond: 0 would be for good.
fn ttl_ms(ttl: Option<Duration>) -> i64 {
    ttl.map_or(0, |time| milliseconds(time).max(1))
}

fn milliseconds(time: Duration) -> i64 {
    let rounded_up = (time.as_nanos() + 999_999) / 1_000_000;
    i64::try_from(rounded_up).unwrap_or(i64::MAX)
}

fn check(what: &str, answer: i32) -> Result<i32, Error> {
    if answer < 0 {
        return Err(Error::new(what.to_string(), Code(answer)));
    }
    Ok(answer)
}

/// The least number is the answer of a host that does not know the function.
fn check_long(what: &str, answer: i64) -> Result<i64, Error> {
    if answer >= 0 {
        return Ok(answer);
    }
    let code = i32::try_from(answer).map_or(Code::NOT_SUPPORTED, Code);
    Err(Error::new(what.to_string(), code))
}
