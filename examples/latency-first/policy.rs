//! latency-first: the step that is likely to answer first. What is known of this moment counts most. Where nothing is, as
//! after a restart or a quiet hour, what the policy has learnt of this hour of the day stands in for it.
//!
//! What comes after a failed attempt it leaves to the policies behind it.

use sallyport::{kv, now, Error, StepChoice, Verdict};
use std::time::Duration;

sallyport::choose_step!(choose);

/// How often a step's latency is noted.
const NOTED: Duration = Duration::from_secs(60);
/// How long a note of an hour lasts that is not made anew.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn choose(c: &StepChoice) -> Result<Verdict, Error> {
    let (available, priorities) = (c.available(), c.priorities());
    let lowest = (0..available.len()).filter(|&i| available[i]).map(|i| priorities[i]).min();
    let candidates: Vec<usize> = (0..available.len()).filter(|&i| available[i] && Some(priorities[i]) == lowest).collect();
    if c.attempt() > 1 || candidates.len() < 2 {
        return Ok(Verdict::PASS);
    }
    let (latencies, active) = (c.latencies(), c.active());
    let hour = now() / 3_600_000 % 24;
    let mut best = (i64::MAX, candidates[0], "not known");
    for step in candidates {
        let name = format!("{}/{}", c.step_provider(step), c.step_model(step));
        let note = format!("hour/{:02}/{}", hour, name);
        let (expected, why) = match latencies[step] {
            0 => (usual(&note)?, "latency of this hour"),
            latency => {
                learn(&name, &note, latency)?;
                (Some(latency), "latency now")
            }
        };
        // Of a step that nothing is known of one answer is awaited at a time, and that at once.
        let (load, why) = match expected {
            Some(latency) => (latency.saturating_mul(active[step] + 1), why),
            None if active[step] == 0 => (0, "not known yet"),
            None => (i64::MAX, "not known yet"),
        };
        if load < best.0 {
            best = (load, step, why);
        }
    }
    Ok(c.choose_with_reason(best.1, best.2))
}

/// What a step usually takes at this hour, in microseconds.
fn usual(note: &str) -> Result<Option<i64>, Error> {
    Ok(kv::get(note)?.and_then(|text| text.to_str().parse().ok()))
}

/// Notes a latency, once a minute: an eighth of it goes into what is usual. That two instances may do so at the same time
/// loses one of many notes, and nothing else.
fn learn(name: &str, note: &str, latency: i64) -> Result<(), Error> {
    if !kv::window_add(format!("noted/{}", name), 1, 1, NOTED)?.allowed {
        return Ok(());
    }
    let usual = usual(note)?.map_or(latency, |usual| usual + (latency - usual) / 8);
    kv::set(note, usual.to_string(), Some(KEPT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sallyport::testing::{Gateway, Outcome, State};
    use sallyport::Field;

    /// Two steps of one priority, and what the policy remembers.
    fn ask(available: &[i64], latencies: &[i64], active: &[i64], state: State) -> Outcome {
        Gateway::new()
            .number(Field::ATTEMPT, 1)
            .texts(Field::STEP_PROVIDER, &["p", "q"])
            .texts(Field::STEP_MODEL, &["a", "b"])
            .numbers(Field::STEP_PRIORITY, &[1, 1])
            .numbers(Field::STEP_AVAILABLE, available)
            .numbers(Field::STEP_LATENCY, latencies)
            .numbers(Field::STEP_ACTIVE, active)
            .remembering(state)
            .ask(choose_step)
    }

    fn chosen(got: &Outcome) -> (Option<i64>, String) {
        (got.number(Field::CHOSEN_STEP), got.text(Field::CHOICE_REASON))
    }

    #[test]
    fn what_is_known_now() {
        let facts: &[(&[i64], &[i64], i64, &str)] = &[
            (&[300, 200], &[0, 0], 1, "latency now"),
            (&[300, 200], &[0, 1], 0, "latency now"),
            (&[300, 0], &[0, 0], 1, "not known yet"),
            (&[300, 0], &[9, 1], 0, "latency now"),
            (&[0, 0], &[1, 0], 1, "not known yet"),
        ];
        for (latencies, active, step, why) in facts {
            let got = ask(&[1, 1], latencies, active, State::default());
            assert_eq!(chosen(&got), (Some(*step), why.to_string()), "{:?} {:?}", latencies, active);
        }
    }

    #[test]
    fn what_was_learnt() {
        let first = ask(&[1, 1], &[300, 200], &[0, 0], State::default());
        let later = ask(&[1, 1], &[0, 0], &[0, 0], first.state);
        assert_eq!(chosen(&later), (Some(1), "latency of this hour".to_string()));
        let busy = ask(&[1, 1], &[0, 0], &[0, 1], later.state);
        assert_eq!(chosen(&busy), (Some(0), "latency of this hour".to_string()));
    }

    #[test]
    fn nothing_to_decide() {
        assert!(ask(&[0, 1], &[300, 200], &[0, 0], State::default()).passed());
        assert!(ask(&[0, 0], &[300, 200], &[0, 0], State::default()).passed());
        let again = Gateway::new().number(Field::ATTEMPT, 2).numbers(Field::STEP_AVAILABLE, &[1, 1]).numbers(Field::STEP_PRIORITY, &[1, 1]);
        assert!(again.ask(choose_step).passed());
    }

    #[test]
    fn without_the_grant_it_fails() {
        let choice = Gateway::new().number(Field::ATTEMPT, 1).numbers(Field::STEP_AVAILABLE, &[1, 1]).numbers(Field::STEP_PRIORITY, &[1, 1]);
        assert!(choice.numbers(Field::STEP_LATENCY, &[300, 200]).numbers(Field::STEP_ACTIVE, &[0, 0]).ask(choose_step).failed());
    }
}
