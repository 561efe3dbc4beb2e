use std::ops::Deref;

use crate::abi::{ErrorClass, Field};
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

    /// Has a step tried.
    pub fn choose(&self, step: usize) -> Verdict {
        Writer::new().number(Field::CHOSEN_STEP, 0, step as i64).verdict()
    }

    /// Has nothing more tried: the client gets the error of the attempt before. At the first attempt there is none, so it
    /// fails.
    pub fn stop(&self) -> Verdict {
        Writer::new().number(Field::STOP, 0, 1).verdict()
    }
}
