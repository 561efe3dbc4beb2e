/** trial: whoever comes without a credential may try some models, within limits and a budget that the policy states itself.
 *
 * Nobody has to make a key for that: each address is an identity, or all of them are one. */
import * as sallyport from "./sallyport/assembly";

const CENT: i64 = 10_000_000; // in nano-dollars

/** What everybody gets. It is made once, and only its id differs from call to call. */
const trial = new sallyport.PolicyIdentity("");
let shared: bool = false;

export function configure(): i32 {
  return sallyport.configure(apply);
}

function apply(text: string): string {
  const config = sallyport.Json.parse(text);
  trial.models = config.get("models").items.map<string>((m) => m.text());
  if (trial.models.length == 0 || trial.models.includes("")) return "models is required: the aliases and chains that may be tried";
  trial.defaultModel = config.get("default_model").text();
  trial.team = config.get("team").text();
  trial.labels = [new sallyport.Label("kind", "trial")];
  trial.name = "trial";

  const cents = config.get("cents_per_day").int(-1);
  if (cents < 0 || cents > 100_000_00) return "cents_per_day has to be a whole number from 0 to 10000000";
  trial.budgets = [new sallyport.Budget(cents * CENT, sallyport.Period.PerDay, config.get("timezone").text("UTC"))];

  trial.limits[sallyport.Limit.RequestsPerMinute] = config.get("requests_per_minute").int(5);
  trial.limits[sallyport.Limit.RequestsPerDay] = config.get("requests_per_day").int(100);
  trial.limits[sallyport.Limit.Concurrent] = config.get("concurrent").int(1);
  trial.limits[sallyport.Limit.MaxOutputTokens] = config.get("max_output_tokens").int(1024);
  shared = config.get("shared").isTrue;
  return "";
}

export function authenticate(): i32 {
  return sallyport.authenticate(admit);
}

function admit(a: sallyport.Authentication): sallyport.Verdict {
  // Who shows a credential wants to be known by it: a mistyped key must not turn into a trial.
  if (a.shape != sallyport.CredentialShape.None) return sallyport.PASS;
  trial.id = shared ? "everybody" : a.clientAddress;
  if (trial.id.length == 0) return sallyport.PASS;
  return a.allowAs(trial);
}
