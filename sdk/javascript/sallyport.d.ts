// What a policy in JavaScript finds in the gateway. A script names it for editors:
//
//     // @ts-check
//     /// <reference path="./sallyport.d.ts" />
//     /** @param {Authentication} request */
//     export function authenticate(request) { … }
//
// Properties are read from the gateway when they are read in the script, and are valid until the hook returns. A property
// without a value is undefined. What the gateway refuses throws.

/** An amount of money in nano-dollars, a billionth of a dollar: 5n, or sallyport.usd("0.25"). */
type NanoUSD = bigint;

/** What every hook may know of the request. */
interface Request {
  /** The request id that the client gets. */
  readonly id: string;
  readonly method: "GET" | "POST";
  /** Without the configured prefix and without the query. */
  readonly path: string;
  readonly format: "openai" | "anthropic" | "gemini";
  /** chat, completions, responses, embeddings, messages, count_tokens, generate, embed or models. */
  readonly operation: string;
  /** The peer's IP address, without the port. */
  readonly clientAddress: string;
  /** The model as the client named it: an alias or a chain. */
  readonly model: string | undefined;
  /** Whether the client asked for a stream. */
  readonly stream: boolean;
  /** By name, in any case. Only at authenticate and later hooks of the same request; each header needs its grant:
   * `grants: {inputs: [request.headers.x-team]}`. Reading one without a grant throws. */
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** Who a request belongs to. */
interface Identity {
  /** The id of the stored key, or policy:<name>/<id> of an identity that a policy made up. */
  readonly keyId: string;
  readonly name: string | undefined;
  readonly team: string | undefined;
  /** The model of requests that name none. */
  readonly defaultModel: string | undefined;
  readonly state: "active" | "disabled" | "revoked" | "unknown";
  /** Milliseconds of Unix time from which on the key is refused. */
  readonly expires: number | undefined;
  /** Whether that time has come. */
  readonly expired: boolean;
  /** Aliases and chains that may be used, exact or "prefix*". Empty: all. */
  readonly models: string[];
  readonly labels: Record<string, string>;
  /** The bounds of the key itself, not those of its teams; 0 is none. */
  readonly limits: Record<Limit, number>;
}

/** Requests (r) and tokens (t) per minute, hour and day; requests at one time; the most of one request. */
type Limit =
  | "rpm" | "rph" | "rpd" | "tpm" | "tpd" | "inputTpm" | "inputTpd" | "outputTpm" | "outputTpd"
  | "concurrent" | "maxInputTokens" | "maxOutputTokens";

/** What authenticate gets. */
interface Authentication extends Request {
  /** As the client sent it, without "Bearer ". Needs the grant `inputs: [credential]`; throws without it. */
  readonly credential: string | undefined;
  /** What can be said of the credential from its characters. */
  readonly shape: "none" | "foreign" | "generated" | "mistyped";
  /** Whom another policy let in: only a policy with a veto is asked then, and may deny or pass. */
  readonly allowed: Identity | undefined;
  /** The stored key of the credential, undefined if there is none. It may be disabled, revoked or expired. Its properties are
   * those of the latest look-up. Needs the grant `identities: read`; throws without it. */
  lookup(): Identity | undefined;
}

/** An identity that exists in no store, but in a verdict. Texts are printable and at most 128 bytes long. */
interface PolicyIdentity {
  /** The gateway calls it policy:<policy's name>/<id>, and counts limits and budgets by that. */
  id: string;
  /** For people, records and metrics. Default: id. */
  name?: string;
  team?: string;
  /** At most 64 aliases and chains, exact or "prefix*". Default: all. */
  models?: string[];
  /** For requests that name no model. */
  defaultModel?: string;
  /** Milliseconds of Unix time, or a Date. Default: never. */
  expires?: number | Date;
  /** At most 16, for reports. */
  labels?: Record<string, string>;
  limits?: Partial<Record<Limit, number>>;
  /** At most 8, no two of the same period and time zone. */
  budgets?: Budget[];
}

/** How much may be spent in a period. */
interface Budget {
  amount: NanoUSD;
  /** Default: day. A week begins on Monday; total never begins anew. */
  per?: "day" | "week" | "month" | "total";
  /** Whose midnights count, as "Europe/Berlin". Default: UTC. */
  timezone?: string;
}

/** What chooseStep gets. */
interface StepChoice extends Request {
  readonly identity: Identity;
  /** For a plain alias that alias, with its one step. */
  readonly chain: string;
  readonly steps: Step[];
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** How the attempt before failed. */
  readonly lastError:
    | "none" | "notSent" | "transient" | "ambiguous" | "rejected" | "badCredential" | "rateLimited" | "contextLength"
    | "modelNotFound" | "contentPolicy";
  /** Index of the step of the attempt before. */
  readonly lastStep: number | undefined;
  /** What the chain asks for. */
  readonly strategy: "weighted" | "latency" | "cost" | "sticky" | undefined;
  /** Where the strategy is sticky, requests of the same number belong to the same step. */
  readonly affinity: number | undefined;
}

interface Step {
  readonly index: number;
  /** The alias that the step names. */
  readonly model: string;
  readonly provider: string;
  /** Lower is tried first. */
  readonly priority: number;
  /** Share within one priority, at least 0. */
  readonly weight: number;
  /** How often it was tried in this exchange. */
  readonly tries: number;
  /** Whether it may be chosen now. The gateway knows retries, circuits, parked credentials and what the last error forbids, so that
   * a policy need not. */
  readonly available: boolean;
  readonly health: "healthy" | "probing" | "open" | "parked" | "refused" | "drained" | "full" | "unknown";
  /** Milliseconds until it may be asked again; 0 if it may now. */
  readonly cooldown: number;
  /** Microseconds to the first content, a moving average that follows peaks at once. */
  readonly latency: number | undefined;
  /** Attempts under way. */
  readonly active: number;
  /** What a million tokens of input cost. */
  readonly inputPrice: NanoUSD | undefined;
  /** What a million tokens of output cost. */
  readonly outputPrice: NanoUSD | undefined;
  /** The largest context in tokens. */
  readonly context: number | undefined;
}

/** What providers count and charge for. A token stands in exactly one: input is what was neither read from nor written to a
 * cache, output what is neither reasoning nor audio nor image. Dimensions that are newer than this file have numbers. */
type Dimension =
  | "input" | "output" | "cacheRead" | "cacheWrite5m" | "cacheWrite1h" | "reasoning" | "audioInput" | "audioOutput"
  | "image" | "requests" | "cacheReadAudio" | "imageOutput";

/** What priceResponse gets. */
interface Pricing extends Request {
  readonly identity: Identity;
  /** estimate: the worst case, before the attempt; final: what was used. */
  readonly phase: "estimate" | "final";
  readonly provider: string;
  /** The provider's name of the model. */
  readonly providerModel: string;
  /** Units used. */
  readonly usage: Record<Dimension, bigint>;
  /** What a million units cost; undefined if the model has no price. */
  readonly price: Record<Dimension, NanoUSD> | undefined;
  /** What the price makes of the usage, exactly, rounded once; undefined without a price. */
  readonly cost: NanoUSD | undefined;
  /** What of that cost each dimension contributed. */
  readonly breakdown: Record<Dimension, NanoUSD> | undefined;
}

/** How a hook ends. */
interface Verdict<Hook> { readonly verdict: Hook }

/** What hooks may return: nothing is pass(). */
type Answer<Hook> = Verdict<Hook> | Verdict<"every"> | undefined | void;

declare const sallyport: {
  /** No opinion: the next policy is asked. */
  pass(): Verdict<"every">;
  /** The policy cannot decide. At authenticate the request is denied; elsewhere it is as if the policy had passed. */
  fail(why: string): Verdict<"every">;

  /** Lets the request in as a key that lookup() found in this call. */
  allow(key: Identity): Verdict<"authenticate">;
  /** Lets the request in as an identity of the policy's own. */
  allowAs(who: PolicyIdentity): Verdict<"authenticate">;
  /** Refuses with a status of 400 to 499, or 503, a message of up to 512 printable bytes for people, and a code of 1 to 64 of a to z,
   * 0 to 9 and _ for programs. Without a message the gateway finds a sentence. */
  deny(status: number, message?: string, code?: string): Verdict<"authenticate">;

  /** Has a step tried: one of choice.steps, or its index. The reason is for the record: up to 64 bytes of printable ASCII. */
  choose(step: Step | number, reason?: string): Verdict<"chooseStep">;
  /** Has nothing more tried: the client gets the last error. Not at the first attempt. */
  stop(reason?: string): Verdict<"chooseStep">;

  /** Charges a cost, 0 to 10,000 dollars. The breakdown never adds up to more. */
  charge(cost: NanoUSD, breakdown?: Partial<Record<Dimension, NanoUSD>>): Verdict<"priceResponse">;

  /** What stands under `config:` in policies.yaml. */
  readonly config: any;
  /** Writes a line to the gateway's log, cut at 1 KiB; beyond 16 lines in one call lines are dropped. console.log and the others do
   * the same. */
  log(level: "debug" | "info" | "warn" | "error", line: unknown): void;
  /** Milliseconds of Unix time, as Date.now(). */
  now(): number;
  /** So many random bytes, at most 4096. */
  random(count: number): Uint8Array;
  /** SHA-256 of a text or of bytes, up to 1 MiB: 32 bytes. */
  digest(of: string | Uint8Array): Uint8Array;
  /** Adds to a counter of the policy, for the operator's metrics. Default: 1. The name is 1 to 64 of a to z, 0 to 9 and _; a policy
   * has up to 16 of them. */
  metric(name: string, value?: number | bigint): void;
  /** Prices usage by prices per million units, exactly, rounded once, half up. */
  cost(usage: Partial<Record<Dimension, bigint>>, price: Partial<Record<Dimension, NanoUSD>>): NanoUSD;
  /** Dollars as decimal text, with up to 9 decimals: usd("0.25") is 250_000_000n. */
  usd(dollars: string): NanoUSD;
  readonly kv: KV;
};

/** What the gateway keeps for the policy, for all its instances: texts, counters and windows, each under a key of up to 256 bytes. Needs
 * the grant `kv: own`; throws without it, where a quota is used up, and while the gateway cannot store anything. Times to live are
 * in milliseconds; without one, or with 0, it is for good. */
interface KV {
  /** A counter is read as decimal text. */
  get(key: string): string | undefined;
  /** The version of what is stored, 0n if nothing is. Ask for it before get, and hand it to cas. */
  version(key: string): bigint;
  /** Stores a text of up to 64 KiB. */
  set(key: string, value: string, ttlMs?: number): void;
  /** Whether there was something. */
  delete(key: string): boolean;
  /** Is set if the key has that version; 0n is for a key that is not there. The new version, or undefined if it has another. */
  cas(key: string, version: bigint, value: string, ttlMs?: number): bigint | undefined;
  /** Adds to a counter, if the sum is within floor and ceiling, both included. Default: 1. */
  incr<N extends number | bigint>(key: string, delta?: N, options?: { floor?: N; ceiling?: N; ttlMs?: number }): { applied: boolean; value: N };
  /** Adds n units to a sliding window if no more than limit were then added within any windowMs. */
  windowAdd<N extends number | bigint>(key: string, n: N, limit: N, windowMs: number): { allowed: boolean; used: N; resetMs: number };
  /** The keys that begin with prefix, in the order of their bytes. */
  keys(prefix?: string): string[];
}
