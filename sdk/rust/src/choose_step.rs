use std::ops::Deref;

use crate::abi::{ErrorClass, Field, StepHealth};
use crate::host;
use crate::verdict::Writer;
use crate::{Identity, Request, Text, Verdict};

/// One question of the hook `choose_step`: before the first attempt of an exchange, and again after each that failed.
/// Steps are counted from 0; the lists have an element for each.
#[derive(Debug, Default)]
pub struct StepChoice(Request);

impl Deref for StepChoice {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.0
    }
}

impl StepChoice {
    /// Who the request belongs to.
    pub fn identity(&self) -> Identity {
        Identity::default()
    }

    /// The chain's name or, for a plain alias, that alias, which is a chain of one step.
    pub fn chain(&self) -> Text {
        host::text(Field::CHAIN)
    }

    /// The number of steps, at least 1.
    pub fn steps(&self) -> usize {
        host::number(Field::STEP_COUNT) as usize
    }

    /// 1 before the first attempt.
    pub fn attempt(&self) -> i64 {
        host::number(Field::ATTEMPT)
    }

    /// How the attempt before failed.
    pub fn last_error(&self) -> ErrorClass {
        ErrorClass(host::number(Field::LAST_ERROR))
    }

    /// The step of the attempt before.
    pub fn last_step(&self) -> Option<usize> {
        host::optional(Field::LAST_STEP).map(|step| step as usize)
    }

    /// The alias that a step names.
    pub fn step_model(&self, step: usize) -> Text {
        host::element(Field::STEP_MODEL, step as i32).unwrap_or_default()
    }

    /// A step's provider.
    pub fn step_provider(&self, step: usize) -> Text {
        host::element(Field::STEP_PROVIDER, step as i32).unwrap_or_default()
    }

    /// The steps' priorities: lower is tried first.
    pub fn priorities(&self) -> Vec<i64> {
        host::list(Field::STEP_PRIORITY, 0)
    }

    /// The steps' shares within one priority, at least 0.
    pub fn weights(&self) -> Vec<i64> {
        host::list(Field::STEP_WEIGHT, 0)
    }

    /// How often each step was tried in this exchange.
    pub fn tries(&self) -> Vec<i64> {
        host::list(Field::STEP_TRIES, 0)
    }

    /// Which steps may be chosen now. The gateway knows retries, circuits, parked credentials and what the last error
    /// forbids, so that a policy need not.
    pub fn available(&self) -> Vec<bool> {
        host::list(Field::STEP_AVAILABLE, 0).into_iter().map(|n| n != 0).collect()
    }

    /// How each step does.
    pub fn health(&self) -> Vec<StepHealth> {
        host::list(Field::STEP_HEALTH, 0).into_iter().map(StepHealth).collect()
    }

    /// In how many milliseconds each step may be asked again; 0 if it may now.
    pub fn cooldowns(&self) -> Vec<i64> {
        host::list(Field::STEP_COOLDOWN, 0)
    }

    /// How many microseconds each step takes to its first content: moving averages that follow peaks at once. 0 is not
    /// known.
    pub fn latencies(&self) -> Vec<i64> {
        host::list(Field::STEP_LATENCY, 0)
    }

    /// How many attempts are under way at each step.
    pub fn active(&self) -> Vec<i64> {
        host::list(Field::STEP_ACTIVE, 0)
    }

    /// What a million tokens of input cost at each step, in nano-dollars; -1 where that is not known.
    pub fn input_prices(&self) -> Vec<i64> {
        host::list(Field::STEP_PRICE_INPUT, 0)
    }

    /// What a million tokens of output cost at each step, in nano-dollars; -1 where that is not known.
    pub fn output_prices(&self) -> Vec<i64> {
        host::list(Field::STEP_PRICE_OUTPUT, 0)
    }

    /// The largest contexts of the steps in tokens; 0 is not known.
    pub fn contexts(&self) -> Vec<i64> {
        host::list(Field::STEP_CONTEXT, 0)
    }

    /// What the chain asks for: weighted, latency, cost or sticky; empty where it asks for nothing.
    pub fn strategy(&self) -> Text {
        host::text(Field::STRATEGY)
    }

    /// A number from 0 to 2^53-1: where the strategy is sticky, requests of the same number belong to the same step.
    pub fn affinity(&self) -> Option<i64> {
        host::optional(Field::AFFINITY)
    }

    /// Has a step tried.
    pub fn choose(&self, step: usize) -> Verdict {
        Writer::new().number(Field::CHOSEN_STEP, 0, step as i64).verdict()
    }

    /// [`choose`](StepChoice::choose) with a reason for the record: up to 64 bytes of printable ASCII.
    pub fn choose_with_reason(&self, step: usize, reason: &str) -> Verdict {
        Writer::new().number(Field::CHOSEN_STEP, 0, step as i64).text(Field::CHOICE_REASON, reason).verdict()
    }

    /// [`stop`](StepChoice::stop) with a reason for the record.
    pub fn stop_with_reason(&self, reason: &str) -> Verdict {
        Writer::new().number(Field::STOP, 0, 1).text(Field::CHOICE_REASON, reason).verdict()
    }

    /// Has nothing more tried: the client gets the error of the attempt before. At the first attempt there is none, so it
    /// fails.
    pub fn stop(&self) -> Verdict {
        Writer::new().number(Field::STOP, 0, 1).verdict()
    }
}
