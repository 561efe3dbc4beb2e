use crate::abi::{Field, KeyState, NUM_LIMITS};
use crate::host;
use crate::{Error, Text};

/// What every hook may know of the request. Its methods read from the host; a text that the request does not have is
/// empty. Every question dereferences to it.
#[derive(Debug, Default)]
pub struct Request(());

impl Request {
    /// The request id that the client gets.
    pub fn id(&self) -> Text {
        host::text(Field::REQUEST_ID)
    }

    /// `GET` or `POST`.
    pub fn method(&self) -> Text {
        host::text(Field::REQUEST_METHOD)
    }

    /// The path, without the configured prefix and without the query.
    pub fn path(&self) -> Text {
        host::text(Field::REQUEST_PATH)
    }

    /// `openai`, `anthropic` or `gemini`.
    pub fn format(&self) -> Text {
        host::text(Field::REQUEST_FORMAT)
    }

    /// What is asked for: `chat`, `completions`, `responses`, `embeddings`, `messages`, `count_tokens`, `generate`, `embed`
    /// or `models`.
    pub fn operation(&self) -> Text {
        host::text(Field::REQUEST_OPERATION)
    }

    /// The peer's IP address as text, without the port.
    pub fn client_address(&self) -> Text {
        host::text(Field::REQUEST_CLIENT_ADDRESS)
    }

    /// The model as the client named it: an alias or a chain.
    pub fn model(&self) -> Text {
        host::text(Field::REQUEST_MODEL)
    }

    /// Whether the client asked for a stream.
    pub fn stream(&self) -> bool {
        host::number(Field::REQUEST_STREAM) != 0
    }

    /// The request header of a lower-case name, empty if the request has none. Each header needs its grant in
    /// policies.yaml; without it the error's code is `NOT_GRANTED`.
    pub fn header(&self, name: &str) -> Result<Text, Error> {
        host::named(Field::REQUEST_HEADERS, name)
    }
}

/// Who the request belongs to.
#[derive(Debug, Default)]
pub struct Identity(());

impl Identity {
    /// The id of the stored key, or `policy:<name>/<id>` of an identity that a policy made up.
    pub fn key_id(&self) -> Text {
        host::text(Field::IDENTITY_KEY_ID)
    }

    /// The key's name.
    pub fn name(&self) -> Text {
        host::text(Field::IDENTITY_NAME)
    }

    /// The team's name, empty without a team.
    pub fn team(&self) -> Text {
        host::text(Field::IDENTITY_TEAM)
    }

    /// Whether the key may be used.
    pub fn state(&self) -> KeyState {
        KeyState(host::number(Field::IDENTITY_STATE))
    }

    /// Unix milliseconds from which on the key is refused.
    pub fn expires(&self) -> Option<i64> {
        host::optional(Field::IDENTITY_EXPIRES)
    }

    /// Whether the key's time is over.
    pub fn expired(&self) -> bool {
        self.expires().map_or(false, |ms| host::now() >= ms)
    }

    /// The aliases and chains that may be used, exact or `prefix*`. None means all. The gateway enforces them after
    /// `authenticate`.
    pub fn models(&self) -> Vec<Text> {
        host::texts(Field::IDENTITY_MODELS)
    }

    /// The model of requests that name none, empty without one.
    pub fn default_model(&self) -> Text {
        host::text(Field::IDENTITY_DEFAULT_MODEL)
    }

    /// The names and values that the operator put on the key.
    pub fn labels(&self) -> Vec<(Text, Text)> {
        let cut = |label: Text| {
            let at = label.iter().position(|&b| b == b'=').unwrap_or(label.len());
            (Text(label[..at].to_vec()), Text(label.get(at + 1..).unwrap_or_default().to_vec()))
        };
        host::texts(Field::IDENTITY_LABELS).into_iter().map(cut).collect()
    }

    /// The bounds of the key itself, not those of its teams, by [`limit`](crate::limit); 0 is none. At least
    /// [`NUM_LIMITS`] elements, more if the host knows more limits.
    pub fn limits(&self) -> Vec<i64> {
        let mut limits = host::list(Field::IDENTITY_LIMITS, NUM_LIMITS);
        if limits.is_empty() {
            limits.resize(NUM_LIMITS, 0);
        }
        limits
    }
}
