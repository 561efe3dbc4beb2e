import * as abi from "./abi";
import { Code, Field, Level, fieldName, meaning } from "./abi";

/** Room for what is read at first: most texts are shorter. */
const FIRST_READ: i32 = 1024;
const first: usize = memory.data(1024);

/** Reads what has a length that is not known before. A negative answer of ask is a code, and is returned by code. */
class Reader {
  code: i32 = 0;

  /** A text, or an element of a list of them. */
  element(field: Field, index: i32): string {
    const length = abi.get(field, index, <i32>first, FIRST_READ);
    if (length <= FIRST_READ) return this.text(length, first);
    const whole = new ArrayBuffer(length);
    return this.text(abi.get(field, index, <i32>changetype<usize>(whole), length), changetype<usize>(whole));
  }

  /** A text by its name. */
  named(field: Field, name: string): string {
    const utf8 = String.UTF8.encode(name);
    const at = <i32>changetype<usize>(utf8);
    const length = abi.get_named(field, at, utf8.byteLength, <i32>first, FIRST_READ);
    if (length <= FIRST_READ) return this.text(length, first);
    const whole = new ArrayBuffer(length);
    return this.text(abi.get_named(field, at, utf8.byteLength, <i32>changetype<usize>(whole), length), changetype<usize>(whole));
  }

  config(): string {
    const length = abi.config(<i32>first, FIRST_READ);
    if (length <= FIRST_READ) return this.text(length, first);
    const whole = new ArrayBuffer(length);
    return this.text(abi.config(<i32>changetype<usize>(whole), length), changetype<usize>(whole));
  }

  script(): string {
    const length = abi.script(<i32>first, FIRST_READ);
    if (length <= FIRST_READ) return this.text(length, first);
    const whole = new ArrayBuffer(length);
    return this.text(abi.script(<i32>changetype<usize>(whole), length), changetype<usize>(whole));
  }

  private text(answer: i32, at: usize): string {
    this.code = min(answer, 0);
    return answer <= 0 ? "" : String.UTF8.decodeUnsafe(at, answer);
  }
}

const reader = new Reader();

/** Reads a text, empty if it has no value or may not be read. */
export function text(field: Field, index: i32 = 0): string {
  return reader.element(field, index);
}

/** Reads a text that needs a grant. Without it the call ends, and the policy has failed. */
export function grantedText(field: Field): string {
  const value = reader.element(field, 0);
  demand(fieldName(field), reader.code);
  return value;
}

/** Reads a text by its name, of which each needs its own grant. Without it the call ends, and the policy has failed. */
export function namedText(field: Field, name: string): string {
  const value = reader.named(field, name);
  demand(fieldName(field) + "." + name, reader.code);
  return value;
}

/** Reads all elements of a list of texts. */
export function texts(field: Field): string[] {
  const all: string[] = [];
  let element = reader.element(field, 0);
  while (element.length > 0) {
    all.push(element);
    element = reader.element(field, all.length);
  }
  return all;
}

/** Reads a number, or absent if there is none. */
export function number(field: Field, absent: i64 = 0): i64 {
  const n = abi.get_i64(field, 0);
  return n == abi.NO_VALUE ? absent : n;
}

/** Reads a whole list of numbers, null if there is none. Of one that is there it has at least `least` elements: an older
 * host may know fewer. */
export function list(field: Field, least: i32 = 0): StaticArray<i64> | null {
  const length = abi.get(field, abi.ALL_INDEXES, 0, 0);
  if (length <= 0) return null;
  const numbers = new StaticArray<i64>(max(length >> 3, least));
  abi.get(field, abi.ALL_INDEXES, <i32>changetype<usize>(numbers), length);
  return numbers;
}

/** Ends the call unless the host did what it was asked for: a policy that lacks a grant cannot decide. */
export function demand(what: string, answer: i32): void {
  if (answer < 0 && answer != Code.Absent) throw new Error(what + ": " + meaning(answer));
}

/** Writes a text and returns 0 or a code. */
export function setText(field: Field, index: i32, value: string): i32 {
  const utf8 = String.UTF8.encode(value);
  return abi.set(field, index, <i32>changetype<usize>(utf8), utf8.byteLength);
}

/** Writes a number and returns 0 or a code. */
export function setNumber(field: Field, index: i32, value: i64): i32 {
  return abi.set_i64(field, index, value);
}

/** Writes a line to the gateway's log, under the policy's name. It is cut at 1 KiB; beyond 16 lines in one call lines are
 * dropped. */
export function log(level: Level, line: string): void {
  const utf8 = String.UTF8.encode(line);
  abi.log(level, <i32>changetype<usize>(utf8), utf8.byteLength);
}

/** The gateway's time, as unix milliseconds. */
export function now(): i64 {
  return abi.now();
}

/** A random number. */
export function random(): u64 {
  demand("random", abi.random(<i32>first, 8));
  return bswap(load<u64>(first));
}

/** What stands under `config:` in policies.yaml, as JSON text, empty if nothing does. */
export function config(): string {
  const value = reader.config();
  demand("config", reader.code);
  return value;
}

/** The source text of a policy whose module runs one, empty for all others. */
export function script(): string {
  const value = reader.script();
  demand("script", reader.code);
  return value;
}

/** The SHA-256 of up to 1 MiB, computed by the gateway, which is quicker at it than a guest. More than that ends the call. */
export function digest(bytes: ArrayBuffer): Uint8Array {
  const sum = new Uint8Array(32);
  demand("digest", abi.digest(<i32>changetype<usize>(bytes), bytes.byteLength, <i32>sum.dataStart));
  return sum;
}

/** Adds a value of at least 0 to a counter of the policy, which operators find among the gateway's metrics. The name is 1 to 64
 * of a to z, 0 to 9 and _; a policy has up to 16 of them. It returns Code.OK or another code. */
export function metric(name: string, value: i64): Code {
  const utf8 = String.UTF8.encode(name);
  return <Code>abi.metric(<i32>changetype<usize>(utf8), utf8.byteLength, value);
}

/** What ends a call: the message goes to the gateway's log. The compiler calls it where its option --use names it. */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const why = message ? message : "the policy ended itself";
  log(Level.Error, why + " (" + (file ? file : "?") + ":" + line.toString() + ")");
  unreachable();
}
