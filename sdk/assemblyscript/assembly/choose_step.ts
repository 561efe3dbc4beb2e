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

  /** Has a step tried. */
  choose(step: i32): Verdict {
    return new Writer().number(Field.ChosenStep, 0, step).verdict;
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
