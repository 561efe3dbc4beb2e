use std::ops::Deref;

use crate::abi::{Code, CredentialShape, Field, Period, NUM_LIMITS};
use crate::host::{self, raw};
use crate::verdict::Writer;
use crate::{Error, Identity, Request, Text, Verdict};

/// One question of the hook `authenticate`: a request that nobody has vouched for yet or, for a policy with a veto, one
/// that another policy let in.
#[derive(Debug, Default)]
pub struct Authentication(Request);

impl Deref for Authentication {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.0
    }
}

/// A key of the gateway's store, as [`Authentication::lookup`] found it. What it shows as [`Identity`] is the key of the
/// latest lookup.
#[derive(Debug)]
pub struct StoredKey {
    handle: i64,
    identity: Identity,
}

impl Deref for StoredKey {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

/// An identity that exists in no store, but in a policy's verdict. Texts are printable and at most 128 bytes long. Fill in
/// what it has, and leave the rest to `..Default::default()`.
#[derive(Clone, Debug, Default)]
pub struct PolicyIdentity<'a> {
    /// Required; the gateway calls it `policy:<policy's name>/<id>`, and counts limits and budgets by that.
    pub id: &'a str,
    /// For people, records and metrics; default: the id.
    pub name: &'a str,
    /// Default: none.
    pub team: &'a str,
    /// At most 64 aliases and chains, exact or `prefix*`; default: all.
    pub models: &'a [&'a str],
    /// For requests that name none; default: none.
    pub default_model: &'a str,
    /// Unix milliseconds; default: never.
    pub expires: Option<i64>,
    /// At most 16, for reports.
    pub labels: &'a [Label<'a>],
    /// By [`limit`](crate::limit), 0 for none; default: none.
    pub limits: [i64; NUM_LIMITS],
    /// At most 8, no two of the same period and time zone; default: none.
    pub budgets: &'a [Budget<'a>],
}

/// A name and a value for reports: 128 bytes with the `=` between them.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    /// What is said.
    pub name: &'a str,
    /// What it is.
    pub value: &'a str,
}

/// How much may be spent in a period.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget<'a> {
    /// In nano-dollars.
    pub amount: i64,
    /// Default: a day.
    pub period: Period,
    /// Whose midnights count, as `Europe/Berlin`; default: UTC.
    pub timezone: &'a str,
}

impl Authentication {
    /// What can be said of the credential from its characters.
    pub fn shape(&self) -> CredentialShape {
        CredentialShape(host::number(Field::CREDENTIAL_SHAPE))
    }

    /// The credential itself, without `Bearer `, empty if the request has none. It needs the grant `credential`; without
    /// it the error's code is `NOT_GRANTED`.
    pub fn credential(&self) -> Result<Text, Error> {
        host::element(Field::CREDENTIAL, 0).map_err(|code| Error::new(Field::CREDENTIAL.name().to_string(), code))
    }

    /// Finds the key that the request's credential belongs to. It needs the grant `identities: read`; without it the
    /// error's code is `NOT_GRANTED`. The key may be disabled, revoked or expired: its state says so.
    pub fn lookup(&self) -> Result<Option<StoredKey>, Error> {
        let digest = host::text(Field::CREDENTIAL_DIGEST);
        if digest.is_empty() {
            return Ok(None);
        }
        match raw::identity_lookup(&digest) {
            handle if handle > 0 => Ok(Some(StoredKey { handle: handle.into(), identity: Identity::default() })),
            code if Code(code) == Code::NOT_FOUND => Ok(None),
            code => Err(Error::new("identity_lookup".to_string(), Code(code))),
        }
    }

    /// Whom another policy let in. Only a policy with a veto is asked then, and may deny or pass. Ask before
    /// [`lookup`](Authentication::lookup), which shows the key that it found in the same place.
    pub fn allowed(&self) -> Option<Identity> {
        let who = Identity::default();
        if who.key_id().is_empty() {
            return None;
        }
        Some(who)
    }

    /// Lets the request in as the stored key.
    pub fn allow(&self, key: &StoredKey) -> Verdict {
        Writer::new().number(Field::ALLOW_HANDLE, 0, key.handle).verdict()
    }

    /// Lets the request in as an identity of the policy's own.
    pub fn allow_as(&self, who: &PolicyIdentity) -> Verdict {
        let mut w = Writer::new()
            .element(Field::ALLOW_ID, 0, who.id.as_bytes())
            .text(Field::ALLOW_NAME, who.name)
            .text(Field::ALLOW_TEAM, who.team)
            .text(Field::ALLOW_DEFAULT_MODEL, who.default_model)
            .list(Field::ALLOW_LIMITS, &who.limits);
        for (i, model) in who.models.iter().enumerate() {
            w = w.element(Field::ALLOW_MODELS, i, model.as_bytes());
        }
        for (i, label) in who.labels.iter().enumerate() {
            w = w.element(Field::ALLOW_LABELS, i, format!("{}={}", label.name, label.value).as_bytes());
        }
        if let Some(ms) = who.expires {
            w = w.number(Field::ALLOW_EXPIRES, 0, ms);
        }
        for (i, budget) in who.budgets.iter().enumerate() {
            let zone = if budget.timezone.is_empty() { "UTC" } else { budget.timezone };
            w = w
                .number(Field::ALLOW_BUDGET_AMOUNT, i, budget.amount)
                .number(Field::ALLOW_BUDGET_PERIOD, i, budget.period.0)
                .element(Field::ALLOW_BUDGET_TIMEZONE, i, zone.as_bytes());
        }
        w.verdict()
    }

    /// Refuses the request with an HTTP status, 400 to 499 or 503, and tells the client why: up to 512 bytes, printable.
    /// Without a message the gateway finds a sentence.
    pub fn deny(&self, status: i64, message: &str) -> Verdict {
        self.denial(status, message).verdict()
    }

    /// [`deny`](Authentication::deny) with a code by which programs know the reason: 1 to 64 of a to z, 0 to 9 and _.
    pub fn deny_with_code(&self, status: i64, code: &str, message: &str) -> Verdict {
        self.denial(status, message).element(Field::DENY_CODE, 0, code.as_bytes()).verdict()
    }

    fn denial(&self, status: i64, message: &str) -> Writer {
        Writer::new().number(Field::DENY_STATUS, 0, status).text(Field::DENY_MESSAGE, message)
    }
}
