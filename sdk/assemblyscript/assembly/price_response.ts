import { Field, MAX_COST, NUM_DIMENSIONS, PricePhase } from "./abi";
import { list, number, text } from "./host";
import { Identity, Request } from "./request";
import { Verdict, Writer } from "./verdict";

/** One question of the hook price_response: what an attempt costs at worst, before it is made, and what it cost, after it.
 * Money is an i64 of nano-dollars, a billionth of a US dollar, and never a float. */
export class Pricing extends Request {
  /** Who the request belongs to. */
  get identity(): Identity { return new Identity(); }

  /** The estimate before the attempt, or what is final after it. */
  get phase(): PricePhase { return <PricePhase>number(Field.PricePhase); }

  /** The provider that answers. */
  get provider(): string { return text(Field.Provider); }

  /** The provider's name of the model; model is the one that the client sent. */
  get providerModel(): string { return text(Field.Model); }

  /** How many units of each Dimension are used: at least NUM_DIMENSIONS elements, more if the host knows more dimensions. */
  get usage(): StaticArray<i64> {
    const usage = list(Field.Usage, NUM_DIMENSIONS);
    return usage ? usage : new StaticArray<i64>(NUM_DIMENSIONS);
  }

  /** What a million units of each Dimension cost, in nano-dollars, as long as usage. null if the model has no price. */
  get price(): StaticArray<i64> | null { return list(Field.Price, NUM_DIMENSIONS); }

  /** Books the cost in nano-dollars, from 0 to MAX_COST. The breakdown says what of it each Dimension contributed, and never
   * adds up to more. */
  charge(cost: i64, breakdown: StaticArray<i64> | null = null): Verdict {
    const w = new Writer().number(Field.Cost, 0, cost);
    if (breakdown) w.list(Field.CostBreakdown, breakdown);
    return w.verdict;
  }
}

const question = new Pricing();

/** Serves the hook price_response: what does an attempt cost? */
export function priceResponse(decide: (p: Pricing) => Verdict): i32 {
  return decide(question);
}

/** How many units a price is for. */
const PER_MILLION: u64 = 1_000_000;

/** An exact amount in millionths of a nano-dollar. What 64 bits do not hold is over 18,000 dollars, more than MAX_COST, so
 * that how much more does not matter. */
class Millionths {
  low: u64 = 0;
  over: bool = false;

  add(a: u64, over: bool): void {
    this.low += a;
    this.over = this.over || over || this.low < a;
  }

  addProduct(a: u64, b: u64): void {
    const aLow = a & 0xffffffff, aHigh = a >> 32, bLow = b & 0xffffffff, bHigh = b >> 32;
    const middle = aHigh * bLow + ((aLow * bLow) >> 32), other = aLow * bHigh + (middle & 0xffffffff);
    this.add(a * b, aHigh * bHigh + (middle >> 32) + (other >> 32) != 0);
  }

  /** The amount in whole nano-dollars, up to MAX_COST. */
  get floor(): i64 {
    const whole = this.low / PER_MILLION;
    return this.over || whole > <u64>MAX_COST ? MAX_COST : <i64>whole;
  }
}

/** Prices usage by a row of prices per million units, exactly: the sum of the products, rounded once, half up. It fills
 * breakdown, as far as that is long, with each dimension's part, rounded down; what rounding leaves over goes to the largest
 * part, so that the parts add up to the cost. Numbers below 0 count as 0. A cost above MAX_COST is MAX_COST, without a
 * breakdown if its parts add up to more. */
export function cost(usage: StaticArray<i64>, price: StaticArray<i64>, breakdown: StaticArray<i64>): i64 {
  const sum = new Millionths();
  sum.add(PER_MILLION / 2, false);
  let known: i64 = 0, unknown: i64 = 0, largest = 0;
  for (let d = 0; d < min(usage.length, price.length); d++) {
    const units = <u64>max<i64>(usage[d], 0), each = <u64>max<i64>(price[d], 0);
    sum.addProduct(units, each);
    const product = new Millionths();
    product.addProduct(units, each);
    const part = product.floor;
    if (d >= breakdown.length) {
      unknown += part;
      continue;
    }
    breakdown[d] = part;
    known += part;
    if (part > breakdown[largest]) largest = d;
  }
  const cost = sum.floor;
  const rest = cost - known - unknown;
  if (rest < 0) breakdown.fill(0); // of a cost that was cut, no part is known
  else if (breakdown.length > 0) breakdown[largest] += rest;
  return cost;
}
