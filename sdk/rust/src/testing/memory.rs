//! What policies remember, in memory.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::abi::Code;

/// What a policy remembers: values, counters and windows by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    entries: BTreeMap<Vec<u8>, Entry>,
    version: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    held: Held,
    version: i64,
    expires: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    /// A value, or a counter as decimal text.
    Value(Vec<u8>),
    /// When units were added to a window, and how many. They count for one window, where the gateway counts them up to a
    /// sixteenth longer.
    Window(Vec<(i64, i64)>),
}

impl State {
    /// A state in which nothing is remembered.
    pub fn new() -> State {
        State::default()
    }

    /// Remembers a value for good.
    pub fn with(mut self, key: &str, value: &str) -> State {
        self.put(key.into(), value.into(), 0, 0);
        self
    }

    /// What is stored under a key; a counter as decimal text. Nothing for a window.
    pub fn get(&self, key: &str) -> Option<String> {
        match &self.entries.get(key.as_bytes())?.held {
            Held::Value(value) => Some(String::from_utf8_lossy(value).into_owned()),
            Held::Window(_) => None,
        }
    }

    /// All keys, in order.
    pub fn keys(&self) -> Vec<String> {
        self.entries.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }

    fn live(&self, key: &[u8], now: i64) -> Option<&Entry> {
        self.entries.get(key).filter(|e| e.expires.map_or(true, |end| now < end))
    }

    pub(super) fn value(&self, key: &[u8], now: i64) -> Result<&[u8], Code> {
        match self.live(key, now).map(|e| &e.held) {
            Some(Held::Value(value)) => Ok(value),
            Some(Held::Window(_)) => Err(Code::BAD_ARGUMENT),
            None => Err(Code::NOT_FOUND),
        }
    }

    pub(super) fn version(&self, key: &[u8], now: i64) -> Option<i64> {
        self.live(key, now).map(|e| e.version)
    }

    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>, now: i64, ttl_ms: i64) -> i64 {
        let expires = Some(now + ttl_ms).filter(|_| ttl_ms > 0);
        self.hold(key, Held::Value(value), expires)
    }

    fn hold(&mut self, key: Vec<u8>, held: Held, expires: Option<i64>) -> i64 {
        self.version += 1;
        self.entries.insert(key, Entry { held, version: self.version, expires });
        self.version
    }

    pub(super) fn remove(&mut self, key: &[u8], now: i64) -> bool {
        let found = self.live(key, now).is_some();
        self.entries.remove(key);
        found
    }

    pub(super) fn add(
        &mut self, key: Vec<u8>, delta: i64, bounds: RangeInclusive<i64>, now: i64, ttl_ms: i64,
    ) -> Result<(i64, bool), Code> {
        let before: i64 = match self.value(&key, now) {
            Ok(text) => std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).ok_or(Code::BAD_ARGUMENT)?,
            Err(Code::NOT_FOUND) => 0,
            Err(code) => return Err(code),
        };
        let sum = match before.checked_add(delta).filter(|sum| bounds.contains(sum)) {
            Some(sum) => sum,
            None => return Ok((before, false)),
        };
        if delta != 0 {
            let expires = match self.live(&key, now) {
                Some(entry) => entry.expires,
                None => Some(now + ttl_ms).filter(|_| ttl_ms > 0),
            };
            self.hold(key, Held::Value(sum.to_string().into_bytes()), expires);
        }
        Ok((sum, true))
    }

    pub(super) fn slide(&mut self, key: Vec<u8>, n: i64, limit: i64, window_ms: i64, now: i64) -> Result<(bool, i64, i64), Code> {
        let mut hits = match self.live(&key, now).map(|e| &e.held) {
            Some(Held::Window(hits)) => hits.clone(),
            Some(Held::Value(_)) => return Err(Code::BAD_ARGUMENT),
            None => Vec::new(),
        };
        if n < 0 || limit < 0 || window_ms <= 0 {
            return Err(Code::BAD_ARGUMENT);
        }
        hits.retain(|(at, _)| at + window_ms > now);
        let used: i64 = hits.iter().map(|(_, units)| units).sum();
        let until = |mut units: i64, hits: &[(i64, i64)]| {
            let counted = hits.iter().take_while(|(_, hit)| {
                let more = units > 0;
                units -= hit;
                more
            });
            counted.last().map_or(0, |(at, _)| at + window_ms - now)
        };
        if n > 0 && used + n > limit {
            return Ok((false, used, until(used + n - limit, &hits)));
        }
        if n > 0 {
            hits.push((now, n));
        }
        let reset = until(used + n, &hits);
        if n > 0 {
            self.hold(key, Held::Window(hits), None);
        }
        Ok((true, used + n, reset))
    }

    pub(super) fn keys_behind<'a>(&'a self, prefix: &'a [u8], cursor: &'a [u8], now: i64) -> impl Iterator<Item = &'a [u8]> {
        let keys = self.entries.keys().map(Vec::as_slice);
        keys.filter(move |key| key.starts_with(prefix) && *key > cursor && self.live(key, now).is_some())
    }
}
