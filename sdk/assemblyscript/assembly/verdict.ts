import { Field, Level, Return, fieldName, meaning } from "./abi";
import { config, log, setNumber, setText } from "./host";

/** How a hook ends. The methods of questions that give an answer return one; a policy without an opinion returns PASS,
 * and one that cannot do its work returns fail. */
export type Verdict = i32;

/** Has the next policy asked. */
export const PASS: Verdict = Return.PASS;

/** The policy cannot decide. At authenticate the request is denied then; at the other hooks it is as if the policy had
 * passed. The reason goes to the gateway's log, never to the client. */
export function fail(why: string): Verdict {
  log(Level.Error, why);
  return Return.ERROR;
}

/** Serves the optional export configure, which is called once in each instance, before its first hook. It hands over what
 * stands under `config:` in policies.yaml, as JSON text, or an empty text. What apply returns, if it is not empty, says what
 * is wrong with it, and refuses the configuration, and with it the start or the reload of the gateway. */
export function configure(apply: (config: string) => string): i32 {
  const wrong = apply(config());
  return wrong.length == 0 ? Return.VERDICT : fail(wrong);
}

/** Sets one output after the other, until the host refuses one. */
export class Writer {
  verdict: Verdict = Return.VERDICT;

  element(field: Field, index: i32, value: string): Writer {
    if (this.verdict == Return.VERDICT) this.check(field, setText(field, index, value));
    return this;
  }

  /** Sets a text, unless it is empty: then the default holds. */
  text(field: Field, value: string): Writer {
    return value.length == 0 ? this : this.element(field, 0, value);
  }

  number(field: Field, index: i32, value: i64): Writer {
    if (this.verdict == Return.VERDICT) this.check(field, setNumber(field, index, value));
    return this;
  }

  /** Sets a list of numbers, as far as it is not 0 at its end: an older host may know fewer elements. */
  list(field: Field, values: StaticArray<i64>): Writer {
    let length = values.length;
    while (length > 0 && values[length - 1] == 0) length--;
    for (let i = 0; i < length; i++) this.number(field, i, values[i]);
    return this;
  }

  private check(field: Field, code: i32): void {
    if (code < 0) this.verdict = fail("setting " + fieldName(field) + ": " + meaning(code));
  }
}
