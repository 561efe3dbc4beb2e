use std::ops::Deref;

use crate::abi::{Field, PricePhase, MAX_COST, NUM_DIMENSIONS};
use crate::host;
use crate::verdict::Writer;
use crate::{Identity, Request, Text, Verdict};

/// One question of the hook `price_response`: what an attempt costs at worst, before it is made, and what it cost, after
/// it. Money is an `i64` of nano-dollars, a billionth of a US dollar, and never a float.
#[derive(Debug, Default)]
pub struct Pricing(Request);

impl Deref for Pricing {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.0
    }
}

impl Pricing {
    /// Who the request belongs to.
    pub fn identity(&self) -> Identity {
        Identity::default()
    }

    /// The estimate before the attempt, or what is final after it.
    pub fn phase(&self) -> PricePhase {
        PricePhase(host::number(Field::PRICE_PHASE))
    }

    /// The provider that answers.
    pub fn provider(&self) -> Text {
        host::text(Field::PROVIDER)
    }

    /// The provider's name of the model. [`model`](Request::model) is the one that the client sent.
    pub fn provider_model(&self) -> Text {
        host::text(Field::MODEL)
    }

    /// How many units of each [`dimension`](crate::dimension) are used: at least [`NUM_DIMENSIONS`] elements, more if the
    /// host knows more dimensions.
    pub fn usage(&self) -> Vec<i64> {
        host::list(Field::USAGE, NUM_DIMENSIONS)
    }

    /// What a million units of each dimension cost, in nano-dollars, as long as the usage. None if the model has no price.
    pub fn price(&self) -> Option<Vec<i64>> {
        let price = host::list(Field::PRICE, NUM_DIMENSIONS);
        if price.is_empty() {
            return None;
        }
        Some(price)
    }

    /// Books the cost in nano-dollars, from 0 to [`MAX_COST`].
    pub fn charge(&self, cost: i64) -> Verdict {
        Writer::new().number(Field::COST, 0, cost).verdict()
    }

    /// Books the cost, and says what of it each dimension contributed, which never adds up to more than the cost.
    pub fn charge_parts(&self, cost: i64, breakdown: &[i64]) -> Verdict {
        Writer::new().number(Field::COST, 0, cost).list(Field::COST_BREAKDOWN, breakdown).verdict()
    }
}

/// How many units a price is for.
const PER_MILLION: u64 = 1_000_000;

/// Prices usage by a row of prices per million units, exactly: the sum of the products, rounded once, half up. The
/// breakdown has each dimension's part, rounded down; what rounding leaves over goes to the largest part, so that the
/// parts add up to the cost. Numbers below 0 count as 0. A cost above [`MAX_COST`] is `MAX_COST`, without a breakdown if
/// its parts add up to more.
pub fn cost(usage: &[i64], price: &[i64]) -> (i64, Vec<i64>) {
    let product = |(&units, &price): (&i64, &i64)| units.max(0) as u128 * price.max(0) as u128;
    // What 64 bits do not hold is over 18,000 dollars: no division by 128 bits, which guests are slow at.
    let whole = |millionths: u128| u64::try_from(millionths).map_or(MAX_COST, |m| (m / PER_MILLION).min(MAX_COST as u64) as i64);

    let products: Vec<u128> = usage.iter().zip(price).map(product).collect();
    let cost = whole(products.iter().fold(u128::from(PER_MILLION / 2), |sum, &p| sum.saturating_add(p)));
    let mut breakdown: Vec<i64> = products.iter().map(|&p| whole(p)).collect();
    let rest = cost - breakdown.iter().sum::<i64>();
    if rest < 0 {
        breakdown.fill(0); // of a cost that was cut, no part is known
    } else if let Some(largest) = breakdown.iter_mut().rev().max_by_key(|part| **part) {
        *largest += rest;
    }
    (cost, breakdown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USD: i64 = 1_000_000_000;

    #[test]
    fn cost_of_a_row() {
        let facts: &[(&str, &[i64], &[i64], i64, &[i64])] = &[
            ("nothing", &[], &[], 0, &[]),
            ("a chat", &[11, 9], &[USD * 27 / 100, USD * 11 / 10], 12870, &[2970, 9900]),
            ("half rounds up", &[1], &[500_000], 1, &[1]),
            ("less rounds down", &[1], &[499_999], 0, &[0]),
            ("one rounding for all", &[1, 1], &[300_000, 300_000], 1, &[1, 0]),
            ("the rest goes to the largest", &[1, 1], &[1_400_000, 2_400_000], 4, &[1, 3]),
            ("below 0 counts as 0", &[-5, 9], &[USD, USD], 9000, &[0, 9000]),
            ("a price below 0 counts as 0", &[5, 9], &[-USD, USD], 9000, &[0, 9000]),
            ("the most", &[1_000_000], &[MAX_COST], MAX_COST, &[MAX_COST]),
            ("over the most", &[1_000_000, 1_000_000], &[MAX_COST, 1], MAX_COST, &[0, 0]),
            ("over 64 bits", &[i64::MAX], &[i64::MAX], MAX_COST, &[MAX_COST]),
            ("over 64 bits in the sum", &[1 << 62, 1 << 62, 1 << 62, 1 << 62], &[1, 1, 1, 1], MAX_COST, &[0, 0, 0, 0]),
        ];
        for (name, usage, price, want, breakdown) in facts {
            assert_eq!(cost(usage, price), (*want, breakdown.to_vec()), "{}", name);
        }
    }
}
