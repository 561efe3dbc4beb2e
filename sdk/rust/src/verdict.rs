use std::fmt;

use crate::abi::{returns, Code, Field, Level};
use crate::host::{self, raw};

/// How a hook ends. The methods of questions that give an answer return one; a policy without an opinion returns
/// [`Verdict::PASS`], and one that cannot do its work [`Verdict::fail`].
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict(i32);

impl Verdict {
    /// Has the next policy asked.
    pub const PASS: Verdict = Verdict(returns::PASS);

    /// The policy cannot decide. At `authenticate` the request is denied then; at the other hooks it is as if the policy
    /// had passed. The reason goes to the gateway's log, never to the client.
    pub fn fail(why: impl fmt::Display) -> Verdict {
        host::log(Level::Error, &why.to_string());
        Verdict(returns::ERROR)
    }

    /// What the hook returns to the host.
    pub fn code(self) -> i32 {
        self.0
    }
}

impl<E: fmt::Display> From<Result<Verdict, E>> for Verdict {
    fn from(result: Result<Verdict, E>) -> Verdict {
        result.unwrap_or_else(Verdict::fail)
    }
}

/// An answer of the host that is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The field or function.
    pub what: String,
    /// Why it was not done.
    pub code: Code,
}

impl Error {
    pub(crate) fn new(what: String, code: Code) -> Error {
        Error { what, code }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.code.meaning())
    }
}

impl std::error::Error for Error {}

/// Sets one output after the other, until the host refuses one.
pub(crate) struct Writer(Result<(), Error>);

impl Writer {
    pub fn new() -> Writer {
        Writer(Ok(()))
    }

    fn write(mut self, field: Field, set: impl FnOnce() -> i32) -> Writer {
        if self.0.is_ok() {
            let code = set();
            if code < 0 {
                self.0 = Err(Error::new(format!("setting {}", field.name()), Code(code)));
            }
        }
        self
    }

    pub fn element(self, field: Field, index: usize, value: &[u8]) -> Writer {
        self.write(field, || raw::set(field.0, index as i32, value))
    }

    /// Sets a text, unless it is empty: then the default holds.
    pub fn text(self, field: Field, value: &str) -> Writer {
        if value.is_empty() {
            return self;
        }
        self.element(field, 0, value.as_bytes())
    }

    pub fn number(self, field: Field, index: usize, value: i64) -> Writer {
        self.write(field, || raw::set_i64(field.0, index as i32, value))
    }

    /// Sets a list of numbers, as far as it is not 0 at its end: an older host may know fewer elements.
    pub fn list(self, field: Field, values: &[i64]) -> Writer {
        let length = values.iter().rposition(|&v| v != 0).map_or(0, |last| last + 1);
        values[..length].iter().enumerate().fold(self, |w, (i, &v)| w.number(field, i, v))
    }

    /// The verdict, unless an output was refused.
    pub fn verdict(self) -> Verdict {
        Verdict::from(self.0.map(|()| Verdict(returns::VERDICT)))
    }
}

/// Serves a hook; the macros of this crate call it.
pub fn serve_hook<V: Into<Verdict>>(decide: impl FnOnce() -> V) -> i32 {
    decide().into().code()
}

/// Serves `configure`; the macro calls it.
pub fn serve_configure<E: fmt::Display>(apply: impl FnOnce(&str) -> Result<(), E>) -> i32 {
    let applied = match host::config() {
        Ok(config) => apply(&config.to_str()).map_err(|e| e.to_string()),
        Err(e) => Err(e.to_string()),
    };
    Verdict::from(applied.map(|()| Verdict(returns::VERDICT))).code()
}
