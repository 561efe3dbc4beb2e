import * as abi from "./abi";
import { Code, CredentialShape, Field, NUM_LIMITS, Period } from "./abi";
import { demand, grantedText, number } from "./host";
import { Identity, Label, Request } from "./request";
import { Verdict, Writer } from "./verdict";

/** A key of the gateway's store, as lookup found it. Its properties are those of the latest lookup. */
export class StoredKey extends Identity {
  constructor(readonly handle: i32) { super(); }
}

/** How much may be spent in a period. */
export class Budget {
  /** amount is in nano-dollars; timezone is whose midnights count, as "Europe/Berlin". */
  constructor(public amount: i64, public period: Period, public timezone: string = "UTC") {}
}

/** An identity that exists in no store, but in a policy's verdict. Texts are printable and at most 128 bytes long. */
export class PolicyIdentity {
  /** For people, records and metrics; default: the id. */
  name: string = "";
  /** Default: none. */
  team: string = "";
  /** At most 64 aliases and chains, exact or "prefix*"; default: all. */
  models: string[] = [];
  /** For requests that name none; default: none. */
  defaultModel: string = "";
  /** Unix milliseconds; default: never. */
  expires: i64 = 0;
  /** At most 16, for reports. */
  labels: Label[] = [];
  /** By Limit, 0 for none; default: none. */
  limits: StaticArray<i64> = new StaticArray<i64>(NUM_LIMITS);
  /** At most 8, no two of the same period and time zone; default: none. */
  budgets: Budget[] = [];

  /** The gateway calls it policy:<policy's name>/<id>, and counts limits and budgets by that. */
  constructor(public id: string) {}
}

/** One question of the hook authenticate: a request that nobody has vouched for yet or, for a policy with a veto, one that
 * another policy let in. */
export class Authentication extends Request {
  /** What can be said of the credential from its characters. */
  get shape(): CredentialShape { return <CredentialShape>number(Field.CredentialShape); }

  /** The credential itself, without "Bearer ", empty if the request has none. It needs the grant credential; without it the
   * call ends, and the policy has failed. */
  get credential(): string { return grantedText(Field.Credential); }

  /** Finds the key that the request's credential belongs to, null if there is none. It needs the grant "identities: read";
   * without it the call ends, and the policy has failed. The key may be disabled, revoked or expired: its state says so. */
  lookup(): StoredKey | null {
    const digest = new StaticArray<u8>(abi.DIGEST_SIZE);
    const at = <i32>changetype<usize>(digest);
    if (abi.get(Field.CredentialDigest, 0, at, abi.DIGEST_SIZE) != abi.DIGEST_SIZE) return null;
    const handle = abi.identity_lookup(at, abi.DIGEST_SIZE);
    if (handle == Code.NotFound) return null;
    demand("identity_lookup", handle);
    return new StoredKey(handle);
  }

  /** Whom another policy let in, null if nobody did yet. Only a policy with a veto is asked then, and may deny or pass. Ask
   * before lookup, which shows the key that it found in the same place. */
  get allowed(): Identity | null {
    const who = new Identity();
    return who.keyId.length == 0 ? null : who;
  }

  /** Lets the request in as the stored key. */
  allow(key: StoredKey): Verdict {
    return new Writer().number(Field.AllowHandle, 0, key.handle).verdict;
  }

  /** Lets the request in as an identity of the policy's own. */
  allowAs(who: PolicyIdentity): Verdict {
    const w = new Writer()
      .element(Field.AllowId, 0, who.id)
      .text(Field.AllowName, who.name)
      .text(Field.AllowTeam, who.team)
      .text(Field.AllowDefaultModel, who.defaultModel)
      .list(Field.AllowLimits, who.limits);
    for (let i = 0; i < who.models.length; i++) w.element(Field.AllowModels, i, who.models[i]);
    for (let i = 0; i < who.labels.length; i++) {
      w.element(Field.AllowLabels, i, who.labels[i].name + "=" + who.labels[i].value);
    }
    if (who.expires != 0) w.number(Field.AllowExpires, 0, who.expires);
    for (let i = 0; i < who.budgets.length; i++) {
      const budget = who.budgets[i];
      w.number(Field.AllowBudgetAmount, i, budget.amount);
      w.number(Field.AllowBudgetPeriod, i, budget.period);
      w.element(Field.AllowBudgetTimezone, i, budget.timezone);
    }
    return w.verdict;
  }

  /** Refuses the request with an HTTP status, 400 to 499 or 503, and tells the client why: up to 512 bytes, printable. Without
   * a message the gateway finds a sentence. */
  deny(status: i32, message: string): Verdict {
    return new Writer().number(Field.DenyStatus, 0, status).text(Field.DenyMessage, message).verdict;
  }

  /** deny with a code by which programs know the reason: 1 to 64 of a to z, 0 to 9 and _. */
  denyWithCode(status: i32, code: string, message: string): Verdict {
    return new Writer()
      .number(Field.DenyStatus, 0, status)
      .text(Field.DenyMessage, message)
      .element(Field.DenyCode, 0, code)
      .verdict;
  }
}

const question = new Authentication();

/** Serves the hook authenticate: who does the request belong to? Return its result from the export. */
export function authenticate(decide: (a: Authentication) => Verdict): i32 {
  return decide(question);
}
