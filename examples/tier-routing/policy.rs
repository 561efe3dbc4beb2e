//! tier-routing: which providers answer depends on the customer's tier, which a header of the request tells.
//!
//! A tier lists providers in the order in which they are tried. A step whose provider the tier does not list is never
//! chosen.

use sallyport::{json, ErrorClass, StepChoice, Verdict};
use std::sync::Mutex;

sallyport::configure!(configured);
sallyport::choose_step!(route);

struct Settings {
    header: String,
    /// The tier of requests without the header, or with one that is not listed.
    otherwise: usize,
    /// By name, each with its providers.
    tiers: Vec<(String, Vec<String>)>,
}

/// An instance serves one call at a time: the lock is never waited for.
static SETTINGS: Mutex<Option<Settings>> = Mutex::new(None);

fn configured(config: &str) -> Result<(), String> {
    let config = json::parse(config).map_err(|e| e.to_string())?;
    let texts = |list: &json::Value| list.items().iter().filter_map(|v| v.text().map(String::from)).collect::<Vec<_>>();
    let tiers: Vec<_> = config.get("tiers").members().iter().map(|(name, list)| (name.clone(), texts(list))).collect();
    if let Some((name, _)) = tiers.iter().find(|(_, providers)| providers.is_empty()) {
        return Err(format!("tiers.{} needs a list of providers", name));
    }
    let otherwise = config.get("default").text().ok_or("default is required: the tier of requests without one")?;
    let otherwise = tiers.iter().position(|(name, _)| name == otherwise).ok_or(format!("the tier {} is not listed", otherwise))?;
    let header = config.get("header").text().unwrap_or("x-tier").to_string();
    *SETTINGS.lock().map_err(|e| e.to_string())? = Some(Settings { header, otherwise, tiers });
    Ok(())
}

fn route(c: &StepChoice) -> Result<Verdict, String> {
    let settings = SETTINGS.lock().map_err(|e| e.to_string())?;
    let settings = settings.as_ref().ok_or("there is no configuration")?;
    if [ErrorClass::REJECTED, ErrorClass::CONTENT_POLICY].contains(&c.last_error()) {
        return Ok(c.stop()); // what a provider refused for good, every other would refuse too
    }
    let asked = c.header(&settings.header).map_err(|e| e.to_string())?;
    let tier = settings.tiers.iter().find(|(name, _)| asked == name.as_str()).unwrap_or(&settings.tiers[settings.otherwise]);
    let available = c.available(); // retries, circuits and parked credentials are the gateway's business
    for provider in &tier.1 {
        for (step, &available) in available.iter().enumerate() {
            if available && c.step_provider(step) == provider.as_str() {
                return Ok(c.choose_with_reason(step, "tier"));
            }
        }
    }
    if c.attempt() > 1 {
        return Ok(c.stop());
    }
    Ok(Verdict::PASS) // none of the chain's providers is the tier's: the next policy decides
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport::testing::{Gateway, Outcome};
    use sallyport::Field;

    const CONFIG: &str = r#"{"tiers": {"gold": ["fast", "cheap"], "free": ["cheap"]}, "default": "free"}"#;

    /// A chain of one cheap and two fast steps, of which some were tried.
    fn ask(tier: &str, tries: &[i64], last_error: ErrorClass) -> Outcome {
        assert!(Gateway::new().config(CONFIG).ask(configure).is_verdict());
        Gateway::new()
            .header("x-tier", tier)
            .texts(Field::STEP_PROVIDER, &["cheap", "fast", "fast"])
            .numbers(Field::STEP_AVAILABLE, &tries.iter().map(|&n| (n == 0) as i64).collect::<Vec<_>>())
            .number(Field::ATTEMPT, 1 + tries.iter().sum::<i64>())
            .number(Field::LAST_ERROR, last_error.0)
            .ask(choose_step)
    }

    #[test]
    fn steps_by_tier() {
        let facts: &[(&str, &[i64], Option<i64>)] = &[
            ("gold", &[0, 0, 0], Some(1)),
            ("gold", &[0, 1, 0], Some(2)),
            ("gold", &[0, 1, 1], Some(0)),
            ("gold", &[1, 1, 1], None),
            ("free", &[0, 0, 0], Some(0)),
            ("free", &[1, 0, 0], None),
            ("", &[0, 0, 0], Some(0)),
            ("platinum", &[0, 0, 0], Some(0)),
        ];
        for (tier, tries, want) in facts {
            let got = ask(tier, tries, ErrorClass::TRANSIENT);
            assert_eq!(got.number(Field::CHOSEN_STEP), *want, "{} {:?}", tier, tries);
            assert_eq!(got.number(Field::STOP).is_some(), want.is_none(), "{} {:?}", tier, tries);
        }
    }

    #[test]
    fn nothing_after_a_rejection() {
        assert_eq!(ask("gold", &[0, 1, 0], ErrorClass::REJECTED).number(Field::STOP), Some(1));
    }

    #[test]
    fn other_chains_are_left_to_others() {
        assert!(Gateway::new().config(CONFIG).ask(configure).is_verdict());
        let choice = Gateway::new().header("x-tier", "gold").text(Field::STEP_PROVIDER, "local").numbers(Field::STEP_AVAILABLE, &[1]);
        assert!(choice.number(Field::ATTEMPT, 1).ask(choose_step).passed());
    }

    #[test]
    fn without_the_grant_it_fails() {
        assert!(Gateway::new().config(CONFIG).ask(configure).is_verdict());
        assert!(Gateway::new().numbers(Field::STEP_AVAILABLE, &[1]).ask(choose_step).failed());
    }

    #[test]
    fn configurations_that_are_refused() {
        for config in ["", "{", r#"{"tiers": {"a": ["p"]}}"#, r#"{"tiers": {"a": []}, "default": "a"}"#, r#"{"tiers": {"a": ["p"]}, "default": "b"}"#] {
            assert!(Gateway::new().config(config).ask(configure).failed(), "{}", config);
        }
    }
}
