/** The AssemblyScript SDK's guest of the golden cases in abi/testdata/conformance: it does the task that the request's model
 * names, and logs what it reads. The README beside the cases says what the tasks are. */

import * as sallyport from "../../assemblyscript/assembly";
import { Field, Level, kv } from "../../assemblyscript/assembly";
import * as raw from "../../assemblyscript/assembly/abi";

@external("sallyport:policy/1", "future")
declare function future(): i32;

export function authenticate(): i32 { return sallyport.authenticate(who); }
export function choose_step(): i32 { return sallyport.chooseStep(which); }
export function price_response(): i32 { return sallyport.priceResponse(howMuch); }

export function configure(): i32 {
  return sallyport.configure((config) => (sallyport.Json.parse(config).get("refuse").isTrue ? "refused on purpose" : ""));
}

/** Logs a name and a value. */
function say(name: string, value: string): void {
  sallyport.log(Level.Info, name + "=" + value);
}

function sayInt(name: string, value: i64): void {
  say(name, value.toString());
}

/** Joins numbers. The library's own join of an array of i64 drops their upper halves. */
function numbers(all: StaticArray<i64>): string {
  let text = "";
  for (let i = 0; i < all.length; i++) text += (i > 0 ? "," : "") + all[i].toString();
  return text;
}

function who(a: sallyport.Authentication): sallyport.Verdict {
  const task = a.model;
  if (task == "request") sayRequest(a);
  if (task == "headers") sayHeaders(a);
  if (task == "credential") {
    sayInt("shape", a.shape);
    say("credential", a.credential);
  }
  if (task == "lookup") {
    const key = a.lookup();
    if (key) {
      sayIdentity(key);
      return a.allow(key);
    }
    say("found", "nothing");
  }
  if (task == "veto") {
    const allowed = a.allowed;
    if (!allowed) return a.allowAs(own());
    sayIdentity(allowed);
    return a.denyWithCode(403, "vetoed", "Not this one.");
  }
  if (task == "own") return a.allowAs(own());
  if (task == "own-least") return a.allowAs(new sallyport.PolicyIdentity("least"));
  if (task == "own-wrong") {
    const wrong = new sallyport.PolicyIdentity("wrong");
    wrong.budgets = [new sallyport.Budget(0, sallyport.Period.PerDay, "Mars/Base")];
    return a.allowAs(wrong);
  }
  if (task == "deny") return a.deny(403, "Not today.");
  if (task == "deny-bare") return a.deny(401, "");
  if (task == "deny-code") return a.denyWithCode(429, "slow_down", "One at a time.");
  if (task == "deny-wrong") return a.deny(200, "fine");
  if (task == "fail") return sallyport.fail("failed on purpose");
  if (task == "world") world();
  if (task == "flood") for (let i = 0; i < 20; i++) sayInt("line", i);
  if (task == "codes") codes();
  if (task == "remember") sayKey("a");
  if (task == "values") values();
  if (task == "counters") counters();
  if (task == "windows") windows();
  if (task == "keys") keys();
  if (task == "gateway") gateway();
  if (task == "unavailable") {
    const a = String.UTF8.encode("a");
    sayInt("set", raw.kv_set(<i32>changetype<usize>(a), 1, <i32>changetype<usize>(a), 1, 0));
    sayInt("version", raw.kv_version(<i32>changetype<usize>(a), 1));
  }
  return sallyport.PASS;
}

/** An identity with everything that a policy can say of one. */
function own(): sallyport.PolicyIdentity {
  const who = new sallyport.PolicyIdentity("u1");
  who.name = "Ann";
  who.team = "core";
  who.models = ["coding", "claude-*"];
  who.defaultModel = "coding";
  who.expires = 1_800_000_000_000;
  who.labels = [new sallyport.Label("env", "prod"), new sallyport.Label("note", "a=b")];
  who.limits[sallyport.Limit.RequestsPerMinute] = 60;
  who.limits[sallyport.Limit.Concurrent] = 2;
  who.budgets = [
    new sallyport.Budget(5_000_000_000, sallyport.Period.PerDay),
    new sallyport.Budget(50_000_000_000, sallyport.Period.PerMonth, "Europe/Berlin"),
  ];
  return who;
}

function sayRequest(a: sallyport.Authentication): void {
  say("id", a.id);
  say("method", a.method);
  say("path", a.path);
  say("format", a.format);
  say("operation", a.operation);
  say("client_address", a.clientAddress);
  say("model", a.model);
  say("stream", a.stream.toString());
}

function sayHeaders(a: sallyport.Authentication): void {
  const team = a.header("x-team");
  sayInt("x-team bytes", team.length);
  say("x-team", team.substring(0, 20));
  say("x-absent", a.header("x-absent"));
}

function sayIdentity(i: sallyport.Identity): void {
  say("key_id", i.keyId);
  say("name", i.name);
  say("team", i.team);
  sayInt("state", i.state);
  say("expires", i.expires == 0 ? "never" : i.expires.toString());
  say("expired", i.expired.toString());
  say("models", i.models.join(","));
  say("labels", i.labels.map<string>((l) => l.name + " is " + l.value).join(","));
  say("limits", numbers(i.limits));
  say("default_model", i.defaultModel);
}

function world(): void {
  sallyport.log(Level.Debug, "debug");
  sallyport.log(Level.Info, "info");
  sallyport.log(Level.Warn, "warn");
  sallyport.log(Level.Error, "error");
  sayInt("now", sallyport.now());
  say("random", sallyport.random().toString());
  say("config", sallyport.config());
}

/** Provokes each code of the contract. */
function codes(): void {
  const buf = <i32>memory.data(64);
  const name = String.UTF8.encode("x-secret");
  sayInt("length", raw.get(Field.RequestId, 0, 0, 0));
  sayInt("unknown field", raw.get(9999, 0, buf, 64));
  say("no value", (raw.get_i64(9999, 0) == sallyport.NO_VALUE).toString());
  sayInt("absent", raw.get(Field.IdentityTeam, 0, buf, 64));
  sayInt("not granted", raw.get_named(Field.RequestHeaders, <i32>changetype<usize>(name), name.byteLength, buf, 64));
  sayInt("bad argument", raw.get(Field.RequestId, 5, buf, 64));
  sayInt("wrong hook", raw.get(Field.Chain, 0, buf, 64));
  memory.fill(buf, 0, 64);
  sayInt("not found", raw.identity_lookup(buf, sallyport.DIGEST_SIZE));
  raw.get(Field.CredentialDigest, 0, buf, 64);
  for (let i = 0; i < 16; i++) raw.identity_lookup(buf, sallyport.DIGEST_SIZE);
  sayInt("over quota", raw.identity_lookup(buf, sallyport.DIGEST_SIZE));
  sayInt("not supported", future());
}

/** Logs what is stored under a key. */
function sayKey(key: string): void {
  const value = kv.get(key);
  say(key, value === null ? "none" : value);
}

function values(): void {
  sayKey("greeting");
  const before = kv.version("greeting");
  say("swapped", (kv.cas("greeting", before, "hi") > before).toString());
  sayInt("conflict", kv.cas("greeting", before, "hey"));
  sayInt("not found", kv.cas("nobody", before, "hey"));
  say("created", (kv.cas("new", 0, "hey") > 0).toString());
  kv.set("empty", "");
  const empty = kv.get("empty");
  sayInt("empty bytes", empty === null ? -1 : empty.length);
  kv.set("brief", "x", 60_000);
  kv.remove("gone");
  kv.remove("gone");
  sayKey("gone");
}

function count(delta: i64, floor: i64, ceiling: i64): void {
  const n = kv.incr("n", delta, floor, ceiling);
  say("n", n.value.toString() + " " + n.applied.toString());
}

function counters(): void {
  count(3, 0, 5);
  count(3, 0, 5);
  count(-4, 0, 5);
  count(-3, 0, 5);
  count(i64.MAX_VALUE, i64.MIN_VALUE, i64.MAX_VALUE);
  sayInt("text", kv.incr("text", 1, 0, 9).code);
}

function slide(n: i64): void {
  const w = kv.windowAdd("w", n, 3, 60_000);
  say("w", w.allowed.toString() + " " + w.used.toString() + " " + w.reset.toString());
}

function windows(): void {
  slide(2);
  slide(2);
  slide(0);
}

function keys(): void {
  const all = kv.keys("user/");
  sayInt("keys", all.length);
  say("first", all.length > 0 ? all[0] : "");
  say("last", all.length > 0 ? all[all.length - 1] : "");
  sayInt("none", kv.keys("nothing").length);
}

function gateway(): void {
  const sum = sallyport.digest(String.UTF8.encode("abc"));
  let hex = "";
  for (let i = 0; i < sum.length; i++) hex += (sum[i] < 16 ? "0" : "") + (<u32>sum[i]).toString(16);
  say("digest", hex);
  say("script", sallyport.script());
  sallyport.metric("seen_total", 2);
  sallyport.metric("seen_total", 3);
  sayInt("bad metric", sallyport.metric("Bad", 1));
}

function which(c: sallyport.StepChoice): sallyport.Verdict {
  const task = c.model;
  if (task == "choice") {
    sayChoice(c);
    return c.choose(c.length - 1);
  }
  if (task == "states") {
    sayStates(c);
    return c.chooseWithReason(0, "first of all");
  }
  if (task == "choose-wrong") return c.choose(c.length);
  if (task == "reason-wrong") return c.chooseWithReason(0, "caf\u00e9");
  if (task == "stop-reason") return c.stopWithReason("enough");
  if (task == "stop") return c.stop();
  if (task == "fail") return sallyport.fail("failed on purpose");
  return sallyport.PASS;
}

function sayChoice(c: sallyport.StepChoice): void {
  say("key_id", c.identity.keyId);
  say("chain", c.chain);
  sayInt("steps", c.length);
  sayInt("attempt", c.attempt);
  sayInt("last_error", c.lastError);
  say("last_step", c.lastStep < 0 ? "none" : c.lastStep.toString());
  for (let i = 0; i < c.length; i++) say("step", c.stepModel(i) + " of " + c.stepProvider(i));
  say("priorities", numbers(c.priorities));
  say("weights", numbers(c.weights));
  say("tries", numbers(c.tries));
}

function sayStates(c: sallyport.StepChoice): void {
  say("strategy", c.strategy);
  say("affinity", c.affinity < 0 ? "none" : c.affinity.toString());
  say("available", numbers(c.available));
  say("health", numbers(c.health));
  say("cooldowns", numbers(c.cooldowns));
  say("latencies", numbers(c.latencies));
  say("active", numbers(c.active));
  say("input_prices", numbers(c.inputPrices));
  say("output_prices", numbers(c.outputPrices));
  say("contexts", numbers(c.contexts));
}

function howMuch(p: sallyport.Pricing): sallyport.Verdict {
  const task = p.model;
  if (task == "price") return price(p);
  if (task == "charge") return p.charge(5);
  if (task == "charge-wrong") return p.charge(-1);
  if (task == "fail") return sallyport.fail("failed on purpose");
  return sallyport.PASS;
}

function price(p: sallyport.Pricing): sallyport.Verdict {
  say("key_id", p.identity.keyId);
  sayInt("phase", p.phase);
  say("provider", p.provider);
  say("provider_model", p.providerModel);
  const usage = p.usage, price = p.price;
  say("usage", numbers(usage));
  if (!price) {
    say("price", "none");
    return sallyport.PASS;
  }
  say("price", numbers(price));
  const breakdown = new StaticArray<i64>(usage.length);
  return p.charge(sallyport.cost(usage, price, breakdown), breakdown);
}
