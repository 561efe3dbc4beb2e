/** What a policy remembers: values, counters and windows, kept by the gateway in a namespace of the policy's own, for all its
 * instances. Keys and values are texts.
 *
 *     const window = sallyport.kv.windowAdd(a.clientAddress, 1, 10, 60_000);
 *     if (!window.allowed) return a.deny(429, "Ten requests a minute are enough.");
 *
 * It needs the grant `kv: own`; without it the call ends, and the policy has failed. Keys are 1 to 256 bytes, values up to
 * 64 KiB. A hook may make 64 calls, which move up to 1 MiB together; beyond that, and where the namespace is full, the code is
 * Code.OverQuota. It is Code.Unavailable while the gateway cannot store anything. A kill of the gateway loses up to the last
 * second. Times are milliseconds. */

import * as abi from "./abi";
import { Code } from "./abi";
import { demand } from "./host";

/** Reads what is stored under a key, null if nothing is. A counter is read as decimal text. If it cannot be read the call ends,
 * and the policy has failed. */
export function get(key: string): string | null {
  const utf8 = String.UTF8.encode(key);
  let value = new ArrayBuffer(FIRST_READ);
  let length = abi.kv_get(at(utf8), utf8.byteLength, at(value), value.byteLength);
  while (length > value.byteLength) { // again if it has grown meanwhile
    value = new ArrayBuffer(length);
    length = abi.kv_get(at(utf8), utf8.byteLength, at(value), length);
  }
  if (length == Code.NotFound) return null;
  demand("kv_get", length);
  return String.UTF8.decodeUnsafe(changetype<usize>(value), length);
}

/** The version of what is stored under a key, 0 if nothing is. Each change gives a key a version that none had before. Ask for it
 * before get, and hand it to cas: then no change in between is overwritten. If it cannot be read the call ends. */
export function version(key: string): i64 {
  const utf8 = String.UTF8.encode(key);
  const answer = abi.kv_version(at(utf8), utf8.byteLength);
  if (answer == abi.NO_VALUE) return 0;
  demand("kv_version", <i32>min<i64>(answer, 0));
  return answer;
}

/** Stores a value for ttl, or for good if that is 0. It returns Code.OK or another code. */
export function set(key: string, value: string, ttl: i64 = 0): Code {
  const utf8 = String.UTF8.encode(key), text = String.UTF8.encode(value);
  return code("kv_set", abi.kv_set(at(utf8), utf8.byteLength, at(text), text.byteLength, ttl));
}

/** Removes a key, whatever it holds. That there is none is Code.OK as well. */
export function remove(key: string): Code {
  const utf8 = String.UTF8.encode(key);
  const answer = abi.kv_delete(at(utf8), utf8.byteLength);
  return answer == Code.NotFound ? Code.OK : code("kv_delete", answer);
}

/** Is set if the key has that version; version 0 is for a key that is not there. It returns the new version, above 0, or a code:
 * Code.Conflict if the key has another version, Code.NotFound if there is no such key. */
export function cas(key: string, version: i64, value: string, ttl: i64 = 0): i64 {
  const utf8 = String.UTF8.encode(key), text = String.UTF8.encode(value);
  const answer = abi.kv_cas(at(utf8), utf8.byteLength, version, at(text), text.byteLength, ttl);
  if (answer < 0) code("kv_cas", answer == abi.NO_VALUE ? Code.NotSupported : <i32>answer);
  return answer;
}

/** How a counter stands. */
export class Count {
  /** What it is now. */
  value: i64 = 0;
  /** Whether it was added to. */
  applied: bool = false;
  /** Code.OK, or why nothing is known. */
  code: Code = Code.OK;
}

/** Adds to a counter, if the sum is within floor and ceiling, both included; else it changes nothing. A key that is not there is 0;
 * adding creates it, to live for ttl, or for good if that is 0. A delta of 0 asks only. */
export function incr(key: string, delta: i64, floor: i64, ceiling: i64, ttl: i64 = 0): Count {
  const utf8 = String.UTF8.encode(key);
  const answer = abi.kv_incr(at(utf8), utf8.byteLength, delta, floor, ceiling, ttl, <i32>out);
  const count = new Count();
  count.code = code("kv_incr", answer);
  count.applied = answer == 1;
  if (answer >= 0) count.value = load<i64>(out);
  return count;
}

/** How a sliding window stands. */
export class Window {
  /** Whether the units were added. */
  allowed: bool = false;
  /** Units that count now. */
  used: i64 = 0;
  /** Milliseconds until none counts any more or, if they were not added, until there is room for them. */
  reset: i64 = 0;
  /** Code.OK, or why nothing is known. */
  code: Code = Code.OK;
}

/** Adds n units to a sliding window, if no more than limit were then added within any time as long as length, at most 366 days; else
 * it adds nothing. An n of 0 asks only. */
export function windowAdd(key: string, n: i64, limit: i64, length: i64): Window {
  const utf8 = String.UTF8.encode(key);
  const answer = abi.kv_window_add(at(utf8), utf8.byteLength, n, limit, length, <i32>out);
  const window = new Window();
  window.code = code("kv_window_add", answer);
  window.allowed = answer == 1;
  if (answer >= 0) {
    window.used = load<i64>(out);
    window.reset = load<i64>(out, 8);
  }
  return window;
}

/** The keys that begin with a prefix, in the order of their bytes, up to limit of those behind cursor: the last one is the cursor to
 * go on with. If they cannot be read the call ends, and the policy has failed. */
export function keys(prefix: string, cursor: string = "", limit: i32 = i32.MAX_VALUE): string[] {
  const all: string[] = [];
  const utf8 = String.UTF8.encode(prefix), packed = new ArrayBuffer(LIST_ROOM);
  let behind = String.UTF8.encode(cursor);
  while (all.length < limit) {
    const length = abi.kv_list(at(utf8), utf8.byteLength, at(behind), behind.byteLength, at(packed), LIST_ROOM);
    demand("kv_list", length);
    if (length <= 0) break;
    const end = changetype<usize>(packed) + length;
    let key = changetype<usize>(packed);
    let size: i32 = 0;
    for (; key < end; key += 4 + size) {
      size = load<i32>(key);
      if (all.length < limit) all.push(String.UTF8.decodeUnsafe(key + 4, size));
      if (key + 4 + size == end) behind = packed.slice(<i32>(key + 4 - changetype<usize>(packed)), length);
    }
  }
  return all;
}

/** Room for what is read at first: most values are shorter. */
const FIRST_READ: i32 = 256;
/** Room for keys. A single one always fits. */
const LIST_ROOM: i32 = 2048;
/** Room for two numbers. */
const out: usize = memory.data(16, 8);

function at(buffer: ArrayBuffer): i32 {
  return <i32>changetype<usize>(buffer);
}

/** Ends the call if the policy lacks the grant, or the host the function: no policy can mean that. */
function code(what: string, answer: i32): Code {
  if (answer == Code.NotGranted || answer == Code.NotSupported) demand(what, answer);
  return <Code>min(answer, 0);
}
