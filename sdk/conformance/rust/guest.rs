//! The Rust SDK's guest of the golden cases in abi/testdata/conformance: it does the task that the request's model names,
//! and logs what it reads. The README beside the cases says what the tasks are.

use sallyport::{
    json, kv, limit, log, raw, Authentication, Budget, Error, Field, Identity, Label, Level, Period, PolicyIdentity, Pricing, StepChoice, Text,
    Verdict, DIGEST_SIZE, NO_VALUE, NUM_LIMITS,
};
use std::fmt::Display;
use std::time::Duration;

sallyport::authenticate!(who);
sallyport::choose_step!(which);
sallyport::price_response!(how_much);
sallyport::configure!(configured);

#[link(wasm_import_module = "sallyport:policy/1")]
extern "C" {
    fn future() -> i32;
}

fn configured(config: &str) -> Result<(), String> {
    sallyport::log_panics();
    let config = json::parse(config).map_err(|e| e.to_string())?;
    if config.get("refuse").is_true() {
        return Err("refused on purpose".to_string());
    }
    Ok(())
}

/// Logs a name and a value.
fn say(name: &str, value: impl Display) {
    log(Level::Info, &format!("{}={}", name, value));
}

fn join<T: Display>(all: &[T]) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

fn who(a: &Authentication) -> Result<Verdict, Error> {
    match &*a.model().to_str() {
        "request" => say_request(a),
        "headers" => {
            let team = a.header("x-team")?;
            say("x-team bytes", team.len());
            say("x-team", Text(team[..team.len().min(20)].to_vec()));
            say("x-absent", a.header("x-absent")?);
        }
        "credential" => {
            say("shape", a.shape().0);
            say("credential", a.credential()?);
        }
        "lookup" => match a.lookup()? {
            Some(key) => {
                say_identity(&key);
                return Ok(a.allow(&key));
            }
            None => say("found", "nothing"),
        },
        "veto" => {
            if let Some(allowed) = a.allowed() {
                say_identity(&allowed);
                return Ok(a.deny_with_code(403, "vetoed", "Not this one."));
            }
            return Ok(own(a));
        }
        "own" => return Ok(own(a)),
        "own-least" => return Ok(a.allow_as(&PolicyIdentity { id: "least", ..Default::default() })),
        "own-wrong" => {
            let budgets = [Budget { timezone: "Mars/Base", ..Default::default() }];
            return Ok(a.allow_as(&PolicyIdentity { id: "wrong", budgets: &budgets, ..Default::default() }));
        }
        "deny" => return Ok(a.deny(403, "Not today.")),
        "deny-bare" => return Ok(a.deny(401, "")),
        "deny-code" => return Ok(a.deny_with_code(429, "slow_down", "One at a time.")),
        "deny-wrong" => return Ok(a.deny(200, "fine")),
        "fail" => return Ok(Verdict::fail("failed on purpose")),
        "world" => world()?,
        "flood" => (0..20).for_each(|i| say("line", i)),
        "codes" => codes(),
        "remember" => say_key("a")?,
        "values" => values()?,
        "counters" => counters()?,
        "windows" => windows()?,
        "keys" => keys()?,
        "gateway" => gateway()?,
        "unavailable" => {
            say("set", raw::kv_set(b"a", b"x", 0));
            say("version", raw::kv_version(b"a"));
        }
        _ => {}
    }
    Ok(Verdict::PASS)
}

/// An identity with everything that a policy can say of one.
fn own(a: &Authentication) -> Verdict {
    let mut limits = [0; NUM_LIMITS];
    limits[limit::RPM] = 60;
    limits[limit::CONCURRENT] = 2;
    a.allow_as(&PolicyIdentity {
        id: "u1",
        name: "Ann",
        team: "core",
        models: &["coding", "claude-*"],
        default_model: "coding",
        expires: Some(1_800_000_000_000),
        labels: &[Label { name: "env", value: "prod" }, Label { name: "note", value: "a=b" }],
        limits,
        budgets: &[
            Budget { amount: 5_000_000_000, ..Default::default() },
            Budget { amount: 50_000_000_000, period: Period::PER_MONTH, timezone: "Europe/Berlin" },
        ],
    })
}

fn say_request(a: &Authentication) {
    say("id", a.id());
    say("method", a.method());
    say("path", a.path());
    say("format", a.format());
    say("operation", a.operation());
    say("client_address", a.client_address());
    say("model", a.model());
    say("stream", a.stream());
}

fn say_identity(i: &Identity) {
    say("key_id", i.key_id());
    say("name", i.name());
    say("team", i.team());
    say("state", i.state().0);
    say("expires", i.expires().map_or("never".to_string(), |ms| ms.to_string()));
    say("expired", i.expired());
    say("models", join(&i.models()));
    say("labels", join(&i.labels().iter().map(|(name, value)| format!("{} is {}", name, value)).collect::<Vec<_>>()));
    say("limits", join(&i.limits()));
    say("default_model", i.default_model());
}

fn world() -> Result<(), Error> {
    for (level, line) in [(Level::Debug, "debug"), (Level::Info, "info"), (Level::Warn, "warn"), (Level::Error, "error")] {
        log(level, line);
    }
    say("now", sallyport::now());
    say("random", sallyport::random_u64()?);
    say("config", sallyport::config()?);
    Ok(())
}

/// Provokes each code of the contract.
fn codes() {
    let mut buf = [0; 64];
    say("length", raw::get(Field::REQUEST_ID.0, 0, &mut []));
    say("unknown field", raw::get(9999, 0, &mut buf));
    say("no value", raw::get_i64(9999, 0) == NO_VALUE);
    say("absent", raw::get(Field::IDENTITY_TEAM.0, 0, &mut buf));
    say("not granted", raw::get_named(Field::REQUEST_HEADERS.0, "x-secret", &mut buf));
    say("bad argument", raw::get(Field::REQUEST_ID.0, 5, &mut buf));
    say("wrong hook", raw::get(Field::CHAIN.0, 0, &mut buf));
    say("not found", raw::identity_lookup(&[0; DIGEST_SIZE]));
    raw::get(Field::CREDENTIAL_DIGEST.0, 0, &mut buf);
    for _ in 0..16 {
        raw::identity_lookup(&buf[..DIGEST_SIZE]);
    }
    say("over quota", raw::identity_lookup(&buf[..DIGEST_SIZE]));
    say("not supported", unsafe { future() });
}

/// Logs what is stored under a key.
fn say_key(key: &str) -> Result<(), Error> {
    say(key, kv::get(key)?.map_or("none".to_string(), |value| value.to_string()));
    Ok(())
}

/// Logs with which code a change was refused.
fn say_refusal<T>(name: &str, result: Result<T, Error>) {
    say(name, result.err().map_or(0, |e| e.code.0));
}

fn values() -> Result<(), Error> {
    say_key("greeting")?;
    let before = kv::version("greeting")?;
    say("swapped", kv::cas("greeting", before, "hi", None)? > before);
    say_refusal("conflict", kv::cas("greeting", before, "hey", None));
    say_refusal("not found", kv::cas("nobody", before, "hey", None));
    say("created", kv::cas("new", 0, "hey", None)? > 0);
    kv::set("empty", "", None)?;
    say("empty bytes", kv::get("empty")?.map_or(-1, |value| value.len() as i64));
    kv::set("brief", "x", Some(Duration::from_secs(60)))?;
    kv::delete("gone")?;
    kv::delete("gone")?;
    say_key("gone")
}

fn counters() -> Result<(), Error> {
    for (delta, bounds) in [(3, 0..=5), (3, 0..=5), (-4, 0..=5), (-3, 0..=5), (i64::MAX, i64::MIN..=i64::MAX)] {
        let count = kv::incr("n", delta, bounds, None)?;
        say("n", format!("{} {}", count.value, count.applied));
    }
    say_refusal("text", kv::incr("text", 1, 0..=9, None));
    Ok(())
}

fn windows() -> Result<(), Error> {
    for n in [2, 2, 0] {
        let w = kv::window_add("w", n, 3, Duration::from_secs(60))?;
        say("w", format!("{} {} {}", w.allowed, w.used, w.reset.as_millis()));
    }
    Ok(())
}

fn keys() -> Result<(), Error> {
    let all = kv::keys("user/").collect::<Result<Vec<Text>, Error>>()?;
    say("keys", all.len());
    say("first", all.first().cloned().unwrap_or_default());
    say("last", all.last().cloned().unwrap_or_default());
    say("none", kv::keys("nothing").count());
    Ok(())
}

fn gateway() -> Result<(), Error> {
    say("digest", sallyport::digest(b"abc")?.iter().map(|b| format!("{:02x}", b)).collect::<String>());
    say("script", sallyport::script()?);
    sallyport::metric("seen_total", 2)?;
    sallyport::metric("seen_total", 3)?;
    say_refusal("bad metric", sallyport::metric("Bad", 1));
    Ok(())
}

fn which(c: &StepChoice) -> Verdict {
    match &*c.model().to_str() {
        "choice" => {
            say_choice(c);
            c.choose(c.steps() - 1)
        }
        "states" => {
            say_states(c);
            c.choose_with_reason(0, "first of all")
        }
        "choose-wrong" => c.choose(c.steps()),
        "reason-wrong" => c.choose_with_reason(0, "caf\u{e9}"),
        "stop-reason" => c.stop_with_reason("enough"),
        "stop" => c.stop(),
        "fail" => Verdict::fail("failed on purpose"),
        _ => Verdict::PASS,
    }
}

fn say_choice(c: &StepChoice) {
    say("key_id", c.identity().key_id());
    say("chain", c.chain());
    say("steps", c.steps());
    say("attempt", c.attempt());
    say("last_error", c.last_error().0);
    say("last_step", c.last_step().map_or("none".to_string(), |step| step.to_string()));
    for i in 0..c.steps() {
        say("step", format!("{} of {}", c.step_model(i), c.step_provider(i)));
    }
    say("priorities", join(&c.priorities()));
    say("weights", join(&c.weights()));
    say("tries", join(&c.tries()));
}

fn say_states(c: &StepChoice) {
    say("strategy", c.strategy());
    say("affinity", c.affinity().map_or("none".to_string(), |n| n.to_string()));
    say("available", join(&c.available().iter().map(|&a| a as i64).collect::<Vec<_>>()));
    say("health", join(&c.health().iter().map(|h| h.0).collect::<Vec<_>>()));
    say("cooldowns", join(&c.cooldowns()));
    say("latencies", join(&c.latencies()));
    say("active", join(&c.active()));
    say("input_prices", join(&c.input_prices()));
    say("output_prices", join(&c.output_prices()));
    say("contexts", join(&c.contexts()));
}

fn how_much(p: &Pricing) -> Verdict {
    match &*p.model().to_str() {
        "price" => price(p),
        "charge" => p.charge(5),
        "charge-wrong" => p.charge(-1),
        "fail" => Verdict::fail("failed on purpose"),
        _ => Verdict::PASS,
    }
}

fn price(p: &Pricing) -> Verdict {
    say("key_id", p.identity().key_id());
    say("phase", p.phase().0);
    say("provider", p.provider());
    say("provider_model", p.provider_model());
    let usage = p.usage();
    say("usage", join(&usage));
    match p.price() {
        Some(price) => {
            say("price", join(&price));
            let (cost, breakdown) = sallyport::cost(&usage, &price);
            p.charge_parts(cost, &breakdown)
        }
        None => {
            say("price", "none");
            Verdict::PASS
        }
    }
}
