import { ErrorClass, Field } from "./abi";
import { list, number, text } from "./host";
import { Identity, Request } from "./request";
import { Verdict, Writer } from "./verdict";

/** One question of the hook choose_step: before the first attempt of an exchange, and again after each that failed. Steps
 * are counted from 0; the lists have an element for each. */
export class StepChoice extends Request {
  /** Who the request belongs to. */
  get identity(): Identity { return new Identity(); }

  /** The chain's name or, for a plain alias, that alias, which is a chain of one step. */
  get chain(): string { return text(Field.Chain); }

  /** The number of steps, at least 1. */
  get length(): i32 { return <i32>number(Field.StepCount); }

  /** 1 before the first attempt. */
  get attempt(): i32 { return <i32>number(Field.Attempt); }

  /** How the attempt before failed. */
  get lastError(): ErrorClass { return <ErrorClass>number(Field.LastError); }

  /** The step of the attempt before, -1 if there was none. */
  get lastStep(): i32 { return <i32>number(Field.LastStep, -1); }

  /** The alias that a step names. */
  stepModel(step: i32): string { return text(Field.StepModel, step); }

  /** A step's provider. */
  stepProvider(step: i32): string { return text(Field.StepProvider, step); }

  /** The steps' priorities: lower is tried first. */
  get priorities(): StaticArray<i64> { return bySteps(Field.StepPriority); }

  /** The steps' shares within one priority, at least 0. */
  get weights(): StaticArray<i64> { return bySteps(Field.StepWeight); }

  /** How often each step was tried in this exchange. */
  get tries(): StaticArray<i64> { return bySteps(Field.StepTries); }

  /** Which steps may be chosen now: 1 where it may, else 0. The gateway knows retries, circuits, parked credentials and what the
   * last error forbids, so that a policy need not. */
  get available(): StaticArray<i64> { return bySteps(Field.StepAvailable); }

  /** How each step does, a number of StepHealth. */
  get health(): StaticArray<i64> { return bySteps(Field.StepHealth); }

  /** In how many milliseconds each step may be asked again; 0 if it may now. */
  get cooldowns(): StaticArray<i64> { return bySteps(Field.StepCooldown); }

  /** How many microseconds each step takes to its first content: moving averages that follow peaks at once. 0 is not known. */
  get latencies(): StaticArray<i64> { return bySteps(Field.StepLatency); }

  /** How many attempts are under way at each step. */
  get active(): StaticArray<i64> { return bySteps(Field.StepActive); }

  /** What a million tokens of input cost at each step, in nano-dollars; -1 where that is not known. */
  get inputPrices(): StaticArray<i64> { return bySteps(Field.StepPriceInput); }

  /** What a million tokens of output cost at each step, in nano-dollars; -1 where that is not known. */
  get outputPrices(): StaticArray<i64> { return bySteps(Field.StepPriceOutput); }

  /** The largest contexts of the steps in tokens; 0 is not known. */
  get contexts(): StaticArray<i64> { return bySteps(Field.StepContext); }

  /** What the chain asks for: weighted, latency, cost or sticky; empty where it asks for nothing. */
  get strategy(): string { return text(Field.Strategy); }

  /** A number from 0 to 2^53-1, -1 if there is none: where the strategy is sticky, requests of the same number belong to the same
   * step. */
  get affinity(): i64 { return number(Field.Affinity, -1); }

  /** Has a step tried. */
  choose(step: i32): Verdict {
    return new Writer().number(Field.ChosenStep, 0, step).verdict;
  }

  /** choose with a reason for the record: up to 64 bytes of printable ASCII. */
  chooseWithReason(step: i32, reason: string): Verdict {
    return new Writer().number(Field.ChosenStep, 0, step).text(Field.ChoiceReason, reason).verdict;
  }

  /** stop with a reason for the record. */
  stopWithReason(reason: string): Verdict {
    return new Writer().number(Field.Stop, 0, 1).text(Field.ChoiceReason, reason).verdict;
  }

  /** Has nothing more tried: the client gets the error of the attempt before. At the first attempt there is none, so it
   * fails. */
  stop(): Verdict {
    return new Writer().number(Field.Stop, 0, 1).verdict;
  }
}

function bySteps(field: Field): StaticArray<i64> {
  const all = list(field);
  return all ? all : new StaticArray<i64>(0);
}

const question = new StepChoice();

/** Serves the hook choose_step: which step of the chain is tried next? */
export function chooseStep(decide: (c: StepChoice) => Verdict): i32 {
  return decide(question);
}
