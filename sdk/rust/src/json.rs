//! Reads the configuration, which is JSON: a small reader, without anything that a policy's configuration does not need.
//!
//! ```
//! let config = sallyport::json::parse(r#"{"tiers": {"gold": ["fast", "slow"]}, "cents": 25}"#).unwrap();
//! assert_eq!(config.get("cents").int(), Some(25));
//! let gold: Vec<&str> = config.get("tiers").get("gold").items().iter().filter_map(|v| v.text()).collect();
//! assert_eq!(gold, ["fast", "slow"]);
//! ```

use std::fmt;

/// A JSON value. Looking for what is not there gives [`Value::Null`], so that look-ups can be chained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is written: which are whole, and which are money, the policy knows.
    Number(String),
    /// A text.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object, in the order of the source.
    Object(Vec<(String, Value)>),
}

/// What is wrong with a text that is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where, in bytes from the beginning.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not JSON: expected {} at byte {}", self.expected, self.at)
    }
}

impl std::error::Error for Malformed {}

static NULL: Value = Value::Null;

impl Value {
    /// The member of an object.
    pub fn get(&self, name: &str) -> &Value {
        self.members().iter().find(|(n, _)| n == name).map_or(&NULL, |(_, v)| v)
    }

    /// The members of an object, none of anything else.
    pub fn members(&self) -> &[(String, Value)] {
        match self {
            Value::Object(members) => members,
            _ => &[],
        }
    }

    /// The elements of an array, none of anything else.
    pub fn items(&self) -> &[Value] {
        match self {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is a whole one of 64 bits.
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Whether it is `true`.
    pub fn is_true(&self) -> bool {
        *self == Value::Bool(true)
    }

    /// Whether it is `null`, or not there.
    pub fn is_null(&self) -> bool {
        *self == Value::Null
    }
}

/// How deep arrays and objects may nest.
const MAX_DEPTH: usize = 64;

/// Parses a text. An empty one is no configuration: `Null`.
pub fn parse(text: &str) -> Result<Value, Malformed> {
    let mut p = Parser { text, at: 0, depth: 0 };
    p.space();
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let value = p.value()?;
    if p.at < text.len() {
        return p.expect("the end");
    }
    Ok(value)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn expect<T>(&self, expected: &'static str) -> Result<T, Malformed> {
        Err(Malformed { at: self.at, expected })
    }

    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// Takes a mark, and the space after it.
    fn take(&mut self, mark: u8) -> bool {
        let found = self.peek() == mark;
        if found {
            self.at += 1;
            self.space();
        }
        found
    }

    fn value(&mut self) -> Result<Value, Malformed> {
        let value = match self.peek() {
            b'{' => self.nested(Parser::object)?,
            b'[' => self.nested(Parser::list)?,
            b'"' => Value::Text(self.string()?),
            b'-' | b'0'..=b'9' => self.number()?,
            _ => self.word()?,
        };
        self.space();
        Ok(value)
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, Malformed>) -> Result<Value, Malformed> {
        if self.depth == MAX_DEPTH {
            return self.expect("less nesting");
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Value, Malformed> {
        let mut members = Vec::new();
        self.take(b'{');
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            if self.peek() != b'"' {
                return self.expect("a name");
            }
            let name = self.string()?;
            self.space();
            if !self.take(b':') {
                return self.expect("a colon");
            }
            members.push((name, self.value()?));
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.take(b',') {
                return self.expect("a comma or the object's end");
            }
        }
    }

    fn list(&mut self) -> Result<Value, Malformed> {
        let mut items = Vec::new();
        self.take(b'[');
        if self.take(b']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value()?);
            if self.take(b']') {
                return Ok(Value::List(items));
            }
            if !self.take(b',') {
                return self.expect("a comma or the array's end");
            }
        }
    }

    fn word(&mut self) -> Result<Value, Malformed> {
        for (word, value) in [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.expect("a value")
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        if !self.peek().is_ascii_digit() {
            return self.expect("a digit");
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, Malformed> {
        let begin = self.at;
        self.at += usize::from(self.peek() == b'-');
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits()?;
        }
        Ok(Value::Number(self.text[begin..self.at].to_string()))
    }

    /// Reads a string; the position is at its quote.
    fn string(&mut self) -> Result<String, Malformed> {
        let mut out = String::new();
        self.at += 1;
        loop {
            let begin = self.at;
            while !matches!(self.peek(), b'"' | b'\\' | 0..=0x1f) {
                self.at += 1;
            }
            out.push_str(&self.text[begin..self.at]); // marks are ASCII, so this is at the border of characters
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(out);
                }
                b'\\' => out.push(self.escape()?),
                _ => return self.expect("the string's end"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Malformed> {
        self.at += 1;
        let c = match self.peek() {
            c @ (b'"' | b'\\' | b'/') => c as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return self.expect("an escape"),
        };
        self.at += 1;
        Ok(c)
    }

    /// Reads `uXXXX`, and the other half of a pair.
    fn unicode(&mut self) -> Result<char, Malformed> {
        let high = self.hex()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).map_or_else(|| self.expect("the first half of a pair"), Ok);
        }
        if !self.text[self.at..].starts_with("\\u") {
            return self.expect("the other half of a pair");
        }
        self.at += 1;
        let low = self.hex()?;
        if !(0xdc00..0xe000).contains(&low) {
            return self.expect("the other half of a pair");
        }
        Ok(char::from_u32(0x10000 + ((high - 0xd800) << 10 | (low - 0xdc00))).unwrap_or_default())
    }

    fn hex(&mut self) -> Result<u32, Malformed> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5).unwrap_or_default();
        if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return self.expect("four hexadecimal digits");
        }
        self.at += 5;
        Ok(digits.iter().fold(0, |n, &d| n << 4 | (d as char).to_digit(16).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(t: &str) -> Value {
        Value::Text(t.to_string())
    }

    #[test]
    fn values() {
        let facts = [
            ("", Value::Null),
            (" null ", Value::Null),
            ("true", Value::Bool(true)),
            ("-0.5e+10", Value::Number("-0.5e+10".to_string())),
            ("[]", Value::List(vec![])),
            ("[1 , \"a\"]", Value::List(vec![Value::Number("1".to_string()), text("a")])),
            ("{ }", Value::Object(vec![])),
            ("{\"a\":{\"b\":false}}", Value::Object(vec![("a".to_string(), Value::Object(vec![("b".to_string(), Value::Bool(false))]))])),
            (r#""\"\\\/\b\f\n\r\t""#, text("\"\\/\u{8}\u{c}\n\r\t")),
            (r#""\u00e9\ud83d\ude00""#, text("é😀")),
            ("\"é😀\"", text("é😀")),
        ];
        for (source, want) in facts {
            assert_eq!(parse(source).as_ref(), Ok(&want), "{}", source);
        }
    }

    #[test]
    fn malformed() {
        let deep = "[".repeat(100_000);
        let facts = [
            " ", "x", "tru", "1 2", "01", "-", "1.", "1e", "[1", "[1,]", "[,1]", "{a:1}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "\"a", "\"\n\"",
            "\"\\x\"", "\"\\u12\"", "\"\\u12é\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\0", &deep,
        ];
        for source in facts {
            assert!(parse(source).is_err(), "{:.20}", source);
        }
        assert_eq!(parse("[1;]").unwrap_err().to_string(), "the configuration is not JSON: expected a comma or the array's end at byte 2");
    }

    // Whatever the bytes, it answers, and what it accepts it finds again.
    #[test]
    fn any_text() {
        let alphabet: Vec<char> = "{}[]:,\"\\u0d8e1-.tréfalsn ".chars().collect();
        let mut state = 1u64;
        for _ in 0..50_000 {
            let mut source = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                source.push(alphabet[(state >> 33) as usize % alphabet.len()]);
            }
            if let Err(e) = parse(&source) {
                assert!(e.at <= source.len());
            }
        }
    }

    #[test]
    fn look_ups() {
        let config = parse(r#"{"a": [1, 2.5, 99999999999999999999], "b": true}"#).unwrap();
        assert_eq!(config.get("a").items().iter().map(Value::int).collect::<Vec<_>>(), [Some(1), None, None]);
        assert!(config.get("b").is_true() && config.get("x").get("y").is_null() && config.get("b").text().is_none());
    }
}
