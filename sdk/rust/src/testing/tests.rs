//! The crate's own tests: policies of each hook, asked in the gateway in memory.

use super::Gateway;
use crate::*;

macro_rules! hook {
    ($question:ty, $decide:expr) => {{
        extern "C" fn export() -> i32 {
            let decide: fn(&$question) -> Verdict = $decide;
            serve_hook(|| decide(&<$question>::default()))
        }
        export
    }};
}

#[test]
fn a_request_is_read() {
    let long = "x".repeat(5000);
    let got = Gateway::new()
        .text(Field::REQUEST_ID, "req_1")
        .text(Field::REQUEST_MODEL, &long)
        .number(Field::REQUEST_STREAM, 1)
        .header("x-team", "core")
        .ask(hook!(Authentication, |a| {
            assert_eq!(a.id(), "req_1");
            assert_eq!(a.model().len(), 5000);
            assert!(a.stream() && a.path().is_empty());
            assert_eq!(a.header("x-team").unwrap(), "core");
            let refused = a.header("x-other").unwrap_err();
            assert_eq!(refused.code, Code::NOT_GRANTED);
            assert_eq!(refused.to_string(), "request.headers.x-other: policies.yaml does not grant this policy the field or the function");
            Verdict::PASS
        }));
    assert!(got.passed());
}

#[test]
fn an_identity_is_read() {
    let got = Gateway::new()
        .text(Field::IDENTITY_KEY_ID, "k1")
        .texts(Field::IDENTITY_MODELS, &["a", "b*"])
        .texts(Field::IDENTITY_LABELS, &["env=prod", "note=a=b", "bare"])
        .numbers(Field::IDENTITY_LIMITS, &[60])
        .number(Field::IDENTITY_STATE, 2)
        .number(Field::IDENTITY_EXPIRES, 1000)
        .now(1000)
        .ask(hook!(StepChoice, |c| {
            let who = c.identity();
            assert_eq!(who.models(), [Text(b"a".to_vec()), Text(b"b*".to_vec())]);
            let labels: Vec<String> = who.labels().iter().map(|(n, v)| format!("{} is {}", n, v)).collect();
            assert_eq!(labels, ["env is prod", "note is a=b", "bare is "]);
            assert_eq!(who.limits()[limit::RPM], 60);
            assert_eq!(who.limits()[limit::CONCURRENT], 0);
            assert!(who.state() == KeyState::REVOKED && who.expired());
            Verdict::PASS
        }));
    assert!(got.passed());
}

#[test]
fn keys_are_looked_up() {
    extern "C" fn export() -> i32 {
        serve_hook(|| -> Result<Verdict, Error> {
            let a = Authentication::default();
            Ok(match a.lookup()? {
                Some(key) => a.allow(&key),
                None => Verdict::PASS,
            })
        })
    }
    let gateway = Gateway::new().text(Field::CREDENTIAL_DIGEST, "digest");
    assert!(Gateway::new().lookup(1).ask(export).passed(), "without a credential");
    assert!(gateway.clone().ask(export).passed(), "of an unknown key");
    assert_eq!(gateway.clone().lookup(3).ask(export).number(Field::ALLOW_HANDLE), Some(3));
    let refused = gateway.lookup(Code::NOT_GRANTED.0).ask(export);
    assert!(refused.failed());
    assert_eq!(refused.log, ["identity_lookup: policies.yaml does not grant this policy the field or the function"]);
}

fn whole() -> Verdict {
    Authentication::default().allow_as(&PolicyIdentity {
        id: "u1",
        models: &["coding"],
        labels: &[Label { name: "env", value: "prod" }],
        limits: {
            let mut limits = [0; NUM_LIMITS];
            limits[limit::CONCURRENT] = 2;
            limits
        },
        budgets: &[Budget { amount: 5, ..Default::default() }, Budget { amount: 50, period: Period::PER_MONTH, timezone: "Europe/Berlin" }],
        ..Default::default()
    })
}

#[test]
fn an_identity_is_allowed() {
    let got = Gateway::new().ask(hook!(Authentication, |_| whole()));
    assert!(got.is_verdict());
    assert_eq!(got.text(Field::ALLOW_ID), "u1");
    assert_eq!(got.texts(Field::ALLOW_MODELS), ["coding"]);
    assert_eq!(got.texts(Field::ALLOW_LABELS), ["env=prod"]);
    assert_eq!(got.texts(Field::ALLOW_BUDGET_TIMEZONE), ["UTC", "Europe/Berlin"]);
    assert_eq!(got.number_at(Field::ALLOW_LIMITS, limit::CONCURRENT), Some(2));
    assert_eq!(got.number_at(Field::ALLOW_LIMITS, limit::MAX_OUTPUT_TOKENS), None, "an older host does not know it");
    assert_eq!(got.number_at(Field::ALLOW_BUDGET_AMOUNT, 1), Some(50));
    assert_eq!(got.number_at(Field::ALLOW_BUDGET_PERIOD, 1), Some(2));
    assert_eq!(got.number(Field::ALLOW_EXPIRES), None);
}

#[test]
fn a_refused_output_fails() {
    for field in [Field::ALLOW_ID, Field::ALLOW_MODELS, Field::ALLOW_LABELS, Field::ALLOW_LIMITS, Field::ALLOW_BUDGET_TIMEZONE] {
        let got = Gateway::new().refuse(field, Code::BAD_ARGUMENT).ask(hook!(Authentication, |_| whole()));
        assert!(got.failed(), "{}", field.name());
        assert_eq!(got.log, [format!("setting {}: pointer, length, index, type or value out of range", field.name())]);
    }
}

#[test]
fn a_denial_has_a_code() {
    let got = Gateway::new().ask(hook!(Authentication, |a| a.deny_with_code(429, "slow_down", "")));
    assert_eq!((got.number(Field::DENY_STATUS), got.text(Field::DENY_CODE).as_str()), (Some(429), "slow_down"));
    assert!(got.texts(Field::DENY_MESSAGE).is_empty(), "the default message holds");
}

#[test]
fn a_step_is_chosen() {
    let choice = Gateway::new().number(Field::STEP_COUNT, 2).number(Field::LAST_ERROR, 2).numbers(Field::STEP_TRIES, &[1, 0]);
    let got = choice.clone().ask(hook!(StepChoice, |c| {
        assert!(c.last_step().is_none() && c.last_error() == ErrorClass::TRANSIENT && c.steps() == 2);
        c.choose(c.tries().iter().position(|&t| t == 0).unwrap())
    }));
    assert_eq!(got.number(Field::CHOSEN_STEP), Some(1));
    assert_eq!(choice.ask(hook!(StepChoice, |c| c.stop())).number(Field::STOP), Some(1));
}

#[test]
fn a_step_is_chosen_by_how_it_does() {
    let choice = Gateway::new()
        .text(Field::STRATEGY, "latency")
        .number(Field::AFFINITY, 9_007_199_254_740_991)
        .numbers(Field::STEP_AVAILABLE, &[0, 1])
        .numbers(Field::STEP_HEALTH, &[3, 0])
        .numbers(Field::STEP_COOLDOWN, &[1500, 0])
        .numbers(Field::STEP_LATENCY, &[420_000, 0])
        .numbers(Field::STEP_ACTIVE, &[3, 0])
        .numbers(Field::STEP_PRICE_INPUT, &[-1, 5])
        .numbers(Field::STEP_PRICE_OUTPUT, &[-1, 6])
        .numbers(Field::STEP_CONTEXT, &[0, 128_000]);
    let got = choice.ask(hook!(StepChoice, |c| {
        assert_eq!((c.strategy().to_str().into_owned().as_str(), c.affinity()), ("latency", Some((1 << 53) - 1)));
        assert_eq!(c.health(), [StepHealth::PARKED, StepHealth::HEALTHY]);
        assert_eq!((c.cooldowns(), c.latencies(), c.active()), (vec![1500, 0], vec![420_000, 0], vec![3, 0]));
        assert_eq!((c.input_prices(), c.output_prices(), c.contexts()), (vec![-1, 5], vec![-1, 6], vec![0, 128_000]));
        c.choose_with_reason(c.available().iter().position(|&a| a).unwrap(), "available")
    }));
    assert_eq!((got.number(Field::CHOSEN_STEP), got.text(Field::CHOICE_REASON).as_str()), (Some(1), "available"));
    let got = Gateway::new().ask(hook!(StepChoice, |c| {
        assert!(c.affinity().is_none() && c.strategy().is_empty() && c.available().is_empty());
        c.stop_with_reason("enough")
    }));
    assert_eq!((got.number(Field::STOP), got.text(Field::CHOICE_REASON).as_str()), (Some(1), "enough"));
}

#[test]
fn a_price_is_charged() {
    let pricing = Gateway::new().numbers(Field::USAGE, &[11, 9]).numbers(Field::PRICE, &[270_000_000, 1_100_000_000]);
    let got = pricing.ask(hook!(Pricing, |p| {
        let (usage, price) = (p.usage(), p.price().unwrap());
        assert_eq!((usage.len(), price.len()), (NUM_DIMENSIONS, NUM_DIMENSIONS));
        let (cost, breakdown) = cost(&usage, &price);
        p.charge_parts(cost, &breakdown)
    }));
    assert_eq!((got.number(Field::COST), got.number_at(Field::COST_BREAKDOWN, 1)), (Some(12870), Some(9900)));
    assert_eq!(got.number_at(Field::COST_BREAKDOWN, 2), None, "an older host does not know it");
    assert!(Gateway::new().ask(hook!(Pricing, |p| p.price().map_or(Verdict::PASS, |_| p.charge(1)))).passed());
}

#[test]
fn a_configuration_is_refused() {
    extern "C" fn export() -> i32 {
        serve_configure(|config| json::parse(config).map(|_| ()))
    }
    assert!(Gateway::new().ask(export).is_verdict());
    let got = Gateway::new().config("{").ask(export);
    assert!(got.failed() && got.log[0].starts_with("the configuration is not JSON"));
}

#[test]
fn the_world_is_seen() {
    let got = Gateway::new().random(1).ask(hook!(Pricing, |_| {
        assert_eq!((now(), random_u64().unwrap()), (1_798_761_600_000, 0x0101_0101_0101_0101));
        for _ in 0..20 {
            log(Level::Info, "line");
        }
        Verdict::PASS
    }));
    assert_eq!(got.log.len(), 16);
}

/// Asks a policy that does something and passes.
fn remembering(state: testing::State, export: extern "C" fn() -> i32) -> testing::Outcome {
    let got = Gateway::new().remembering(state).ask(export);
    assert!(got.passed(), "{:?}", got.log);
    got
}

#[test]
fn values_are_remembered() {
    let got = remembering(
        testing::State::new().with("greeting", "hello"),
        hook!(Authentication, |_| {
            let before = kv::version("greeting").unwrap();
            assert_eq!(kv::get("greeting").unwrap().unwrap(), "hello");
            let after = kv::cas("greeting", before, "hi", None).unwrap();
            assert!(after > before && kv::version("greeting") == Ok(after));
            assert_eq!(kv::cas("greeting", before, "hey", None).unwrap_err().code, Code::CONFLICT);
            assert_eq!(kv::cas("none", before, "hey", None).unwrap_err().code, Code::NOT_FOUND);
            assert_eq!((kv::version("none"), kv::get("none")), (Ok(0), Ok(None)));
            kv::set("long", "x".repeat(5000), Some(std::time::Duration::from_nanos(1))).unwrap();
            assert_eq!(kv::get("long").unwrap().unwrap().len(), 5000);
            kv::set("empty", "", None).unwrap();
            assert_eq!(kv::get("empty").unwrap().unwrap(), "");
            kv::delete("empty").unwrap();
            kv::delete("empty").unwrap();
            Verdict::PASS
        }),
    );
    assert_eq!(got.state.get("greeting").unwrap(), "hi");
    assert_eq!(got.state.keys(), ["greeting", "long"]);
    let later = Gateway::new().now(1_798_761_600_001).remembering(got.state).ask(hook!(Authentication, |_| {
        assert_eq!(kv::get("long"), Ok(None));
        Verdict::PASS
    }));
    assert!(later.passed());
}

#[test]
fn counters_and_windows_are_bounded() {
    let got = remembering(
        testing::State::new(),
        hook!(Authentication, |_| {
            for (delta, value, applied) in [(0, 0, true), (3, 3, true), (3, 3, false), (-4, 3, false), (-3, 0, true), (i64::MAX, 0, false)] {
                assert_eq!(kv::incr("n", delta, 0..=5, None), Ok(kv::Count { value, applied }), "{:+}", delta);
            }
            let minute = std::time::Duration::from_secs(60);
            assert_eq!(kv::window_add("w", 2, 3, minute), Ok(kv::Window { allowed: true, used: 2, reset: minute }));
            assert_eq!(kv::window_add("w", 2, 3, minute), Ok(kv::Window { allowed: false, used: 2, reset: minute }));
            assert_eq!(kv::window_add("w", 0, 3, minute).unwrap().used, 2);
            assert_eq!(kv::incr("w", 1, 0..=9, None).unwrap_err().code, Code::BAD_ARGUMENT);
            assert_eq!(kv::get("w").unwrap_err().code, Code::BAD_ARGUMENT);
            Verdict::PASS
        }),
    );
    let later = Gateway::new().now(1_798_761_660_000).remembering(got.state).ask(hook!(Authentication, |_| {
        let window = kv::window_add("w", 3, 3, std::time::Duration::from_secs(60)).unwrap();
        assert!(window.allowed && window.used == 3);
        Verdict::PASS
    }));
    assert!(later.passed());
}

#[test]
fn keys_are_listed() {
    let mut state = testing::State::new().with("other", "");
    for i in 0..300 {
        state = state.with(&format!("user/{:03}", i), "");
    }
    remembering(
        state,
        hook!(Authentication, |_| {
            let keys: Vec<String> = kv::keys("user/").map(|key| key.unwrap().to_string()).collect();
            assert_eq!((keys.len(), &*keys[0], &*keys[299]), (300, "user/000", "user/299"));
            assert_eq!(kv::keys("nothing").count(), 0);
            Verdict::PASS
        }),
    );
}

#[test]
fn remembering_needs_its_grant() {
    let got = Gateway::new().ask(hook!(Authentication, |_| {
        let codes = [
            kv::get("a").unwrap_err().code,
            kv::version("a").unwrap_err().code,
            kv::set("a", "", None).unwrap_err().code,
            kv::delete("a").unwrap_err().code,
            kv::cas("a", 0, "", None).unwrap_err().code,
            kv::incr("a", 1, 0..=9, None).unwrap_err().code,
            kv::window_add("a", 1, 9, std::time::Duration::from_secs(1)).unwrap_err().code,
            kv::keys("").next().unwrap().unwrap_err().code,
        ];
        assert_eq!(codes, [Code::NOT_GRANTED; 8]);
        Verdict::PASS
    }));
    assert!(got.passed());
}

#[test]
fn what_a_policy_counts_is_kept() {
    let got = Gateway::new().script("pass()").ask(hook!(Authentication, |_| {
        metric("seen_total", 2).unwrap();
        metric("seen_total", 3).unwrap();
        assert_eq!(script().unwrap(), "pass()");
        for (length, want) in [
            (0, 0xe3b0c442),
            (3, 0x9834876d),
            (55, 0x9f4390f8),
            (56, 0xb35439a4),
            (64, 0xffe054fe),
            (1000, 0x41edece4),
        ] {
            let sum = digest(&vec![b'a'; length]).unwrap();
            assert_eq!(u32::from_be_bytes([sum[0], sum[1], sum[2], sum[3]]), want, "{}", length);
        }
        Verdict::PASS
    }));
    assert_eq!(got.metrics["seen_total"], 5);
}
