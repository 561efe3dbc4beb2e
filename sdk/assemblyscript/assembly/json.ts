/** How deep arrays and objects may nest. */
const MAX_DEPTH: i32 = 64;

/** What a JSON value is. */
export enum JsonKind {
  Null, // null, or nothing
  Bool,
  Number,
  Text,
  List,
  Object,
}

/** A JSON value, as a policy's configuration is one. Looking for what is not there gives null's value, so that look-ups can be
 * chained: `config.get("tiers").get("gold").items`. */
export class Json {
  /** A text, or a number as it is written: which are whole, and which are money, the policy knows. */
  source: string = "";
  /** The elements of an array, or an object's values. */
  items: Json[] = [];
  /** The names of an object's values, in their order. */
  names: string[] = [];

  constructor(public kind: JsonKind) {}

  /** The member of an object. */
  get(name: string): Json {
    const at = this.names.indexOf(name);
    return at < 0 ? new Json(JsonKind.Null) : this.items[at];
  }

  get isNull(): bool { return this.kind == JsonKind.Null; }

  /** Whether it is true. */
  get isTrue(): bool { return this.kind == JsonKind.Bool && this.source == "true"; }

  /** The text, or what else is to stand there if it is none. */
  text(otherwise: string = ""): string { return this.kind == JsonKind.Text ? this.source : otherwise; }

  /** Whether it is a whole number of 64 bits. */
  get isInt(): bool {
    if (this.kind != JsonKind.Number || this.source.length > 20) return false;
    const whole = I64.parseInt(this.source);
    return whole.toString() == this.source;
  }

  /** The number, or what else is to stand there if it is not a whole one of 64 bits. */
  int(otherwise: i64 = 0): i64 { return this.isInt ? I64.parseInt(this.source) : otherwise; }

  /** Parses a text. An empty one is no configuration: null's value. A text that is not JSON ends the call, and says where. */
  static parse(text: string): Json {
    if (text.length == 0) return new Json(JsonKind.Null);
    const parser = new Parser(text);
    parser.space();
    const value = parser.value();
    if (parser.at < text.length) parser.fail("the end");
    return value;
  }
}

class Parser {
  at: i32 = 0;
  depth: i32 = 0;

  constructor(public text: string) {}

  fail(expected: string): void {
    throw new Error("the configuration is not JSON: expected " + expected + " at character " + this.at.toString());
  }

  /** The next character, 0 at the end. */
  peek(): i32 {
    return this.at < this.text.length ? this.text.charCodeAt(this.at) : 0;
  }

  space(): void {
    for (let c = this.peek(); c == 0x20 || c == 0x09 || c == 0x0a || c == 0x0d; c = this.peek()) this.at++;
  }

  /** Takes a mark, and the space after it. */
  take(mark: string): bool {
    if (this.peek() != mark.charCodeAt(0)) return false;
    this.at++;
    this.space();
    return true;
  }

  value(): Json {
    const c = this.peek();
    if (++this.depth > MAX_DEPTH) this.fail("less nesting");
    let value: Json;
    if (c == 0x7b) value = this.object();
    else if (c == 0x5b) value = this.list();
    else if (c == 0x22) value = this.leaf(JsonKind.Text, this.string());
    else if (c == 0x2d || isDigit(c)) value = this.leaf(JsonKind.Number, this.number());
    else value = this.word();
    this.depth--;
    this.space();
    return value;
  }

  leaf(kind: JsonKind, source: string): Json {
    const value = new Json(kind);
    value.source = source;
    return value;
  }

  object(): Json {
    const value = new Json(JsonKind.Object);
    this.take("{");
    if (this.take("}")) return value;
    do {
      if (this.peek() != 0x22) this.fail("a name");
      value.names.push(this.string());
      this.space();
      if (!this.take(":")) this.fail("a colon");
      value.items.push(this.value());
    } while (this.take(","));
    if (!this.take("}")) this.fail("a comma or the object's end");
    return value;
  }

  list(): Json {
    const value = new Json(JsonKind.List);
    this.take("[");
    if (this.take("]")) return value;
    do value.items.push(this.value()); while (this.take(","));
    if (!this.take("]")) this.fail("a comma or the array's end");
    return value;
  }

  word(): Json {
    if (this.takeWord("true")) return this.leaf(JsonKind.Bool, "true");
    if (this.takeWord("false")) return this.leaf(JsonKind.Bool, "false");
    if (!this.takeWord("null")) this.fail("a value");
    return new Json(JsonKind.Null);
  }

  takeWord(word: string): bool {
    if (!this.text.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }

  digits(): void {
    if (!isDigit(this.peek())) this.fail("a digit");
    while (isDigit(this.peek())) this.at++;
  }

  number(): string {
    const begin = this.at;
    if (this.peek() == 0x2d) this.at++;
    if (this.peek() == 0x30) this.at++;
    else this.digits();
    if (this.peek() == 0x2e) {
      this.at++;
      this.digits();
    }
    if ((this.peek() | 0x20) == 0x65) {
      this.at++;
      if (this.peek() == 0x2b || this.peek() == 0x2d) this.at++;
      this.digits();
    }
    return this.text.substring(begin, this.at);
  }

  /** Reads a string; the position is at its quote. */
  string(): string {
    let out = "";
    this.at++;
    while (true) {
      const begin = this.at;
      let c = this.peek();
      while (c != 0x22 && c != 0x5c && c >= 0x20) {
        this.at++;
        c = this.peek();
      }
      out += this.text.substring(begin, this.at);
      if (c < 0x20) this.fail("the string's end");
      this.at++;
      if (c == 0x22) return out;
      out += this.escape();
    }
  }

  escape(): string {
    const c = this.peek();
    this.at++;
    switch (c) {
      case 0x22: case 0x5c: case 0x2f: return String.fromCharCode(c);
      case 0x62: return "\b";
      case 0x66: return "\f";
      case 0x6e: return "\n";
      case 0x72: return "\r";
      case 0x74: return "\t";
      case 0x75: return this.unicode();
    }
    this.fail("an escape");
    return "";
  }

  /** Reads the four digits after \u. Half of a pair stays one: strings are UTF-16 here too. */
  unicode(): string {
    let code = 0;
    for (let i = 0; i < 4; i++) {
      const c = this.peek(), letter = c | 0x20;
      if (isDigit(c)) code = (code << 4) | (c - 0x30);
      else if (letter >= 0x61 && letter <= 0x66) code = (code << 4) | (letter - 0x57);
      else this.fail("four hexadecimal digits");
      this.at++;
    }
    return String.fromCharCode(code);
  }
}

function isDigit(c: i32): bool {
  return c >= 0x30 && c <= 0x39;
}
