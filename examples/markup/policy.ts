/** markup: what a request costs by its price row, and some percent on top of that, by team.
 *
 * A model without a price is left to the next policy. */
import * as sallyport from "./sallyport/assembly";

/** Percent on top for who is in no team of the list. */
let percent: i64 = 0;
let teams: Map<string, i64> = new Map();

/** The most that the configuration may say: eleven times the price. */
const MAX_PERCENT: i64 = 1000;

export function configure(): i32 {
  return sallyport.configure((text) => {
    const config = sallyport.Json.parse(text);
    percent = read(config.get("percent"));
    if (percent < 0) return "percent has to be a whole number from 0 to 1000";
    const list = config.get("teams");
    for (let i = 0; i < list.names.length; i++) {
      const own = read(list.items[i]);
      if (own < 0) return "teams." + list.names[i] + " has to be a whole number from 0 to 1000";
      teams.set(list.names[i], own);
    }
    return "";
  });
}

/** Reads a number of percent, -1 if it is none. */
function read(value: sallyport.Json): i64 {
  const n = value.int(-1);
  return n > MAX_PERCENT ? -1 : n;
}

export function price_response(): i32 {
  return sallyport.priceResponse(markUp);
}

function markUp(p: sallyport.Pricing): sallyport.Verdict {
  const price = p.price;
  if (!price) return sallyport.PASS;
  const team = p.identity.team;
  const extra = teams.has(team) ? teams.get(team) : percent;
  const usage = p.usage;
  const breakdown = new StaticArray<i64>(usage.length);
  const cost = add(sallyport.cost(usage, price, breakdown), extra, 50);
  for (let d = 0; d < breakdown.length; d++) breakdown[d] = add(breakdown[d], extra, 0);
  return p.charge(cost, breakdown);
}

/** Adds percent. The cost rounds half up; its parts round down, so that they never add up to more. */
function add(amount: i64, percent: i64, round: i64): i64 {
  return min<i64>((amount * (100 + percent) + round) / 100, sallyport.MAX_COST);
}
