import { Field, KeyState, NUM_LIMITS } from "./abi";
import { list, namedText, now, number, text, texts } from "./host";

/** What every hook may know of the request. Its properties read from the host; a text that the request does not have is
 * empty. */
export class Request {
  /** The request id that the client gets. */
  get id(): string { return text(Field.RequestId); }

  /** GET or POST. */
  get method(): string { return text(Field.RequestMethod); }

  /** The path, without the configured prefix and without the query. */
  get path(): string { return text(Field.RequestPath); }

  /** openai, anthropic or gemini. */
  get format(): string { return text(Field.RequestFormat); }

  /** What is asked for: chat, completions, responses, embeddings, messages, count_tokens, generate, embed or models. */
  get operation(): string { return text(Field.RequestOperation); }

  /** The peer's IP address as text, without the port. */
  get clientAddress(): string { return text(Field.RequestClientAddress); }

  /** The model as the client named it: an alias or a chain. */
  get model(): string { return text(Field.RequestModel); }

  /** Whether the client asked for a stream. */
  get stream(): bool { return number(Field.RequestStream) != 0; }

  /** The request header of a lower-case name, empty if the request has none. Each header needs its grant in policies.yaml;
   * without it the call ends, and the policy has failed. */
  header(name: string): string { return namedText(Field.RequestHeaders, name); }
}

/** A name and a value for reports: 128 bytes with the = between them. */
export class Label {
  constructor(public name: string, public value: string) {}
}

/** Who the request belongs to. */
export class Identity {
  /** The id of the stored key, or policy:<name>/<id> of an identity that a policy made up. */
  get keyId(): string { return text(Field.IdentityKeyId); }

  /** The key's name. */
  get name(): string { return text(Field.IdentityName); }

  /** The team's name, empty without a team. */
  get team(): string { return text(Field.IdentityTeam); }

  /** Whether the key may be used. */
  get state(): KeyState { return <KeyState>number(Field.IdentityState); }

  /** Unix milliseconds from which on the key is refused, 0 for never. */
  get expires(): i64 { return number(Field.IdentityExpires); }

  /** Whether the key's time is over. */
  get expired(): bool {
    const ms = this.expires;
    return ms != 0 && now() >= ms;
  }

  /** The aliases and chains that may be used, exact or "prefix*". None means all. The gateway enforces them after
   * authenticate. */
  get models(): string[] { return texts(Field.IdentityModels); }

  /** The model of requests that name none, empty without one. */
  get defaultModel(): string { return text(Field.IdentityDefaultModel); }

  /** The names and values that the operator put on the key. */
  get labels(): Label[] {
    return texts(Field.IdentityLabels).map<Label>((label) => {
      const at = label.indexOf("=");
      return at < 0 ? new Label(label, "") : new Label(label.substring(0, at), label.substring(at + 1));
    });
  }

  /** The bounds of the key itself, not those of its teams, by Limit; 0 is none. At least NUM_LIMITS elements, more if the host
   * knows more limits. */
  get limits(): StaticArray<i64> {
    const limits = list(Field.IdentityLimits, NUM_LIMITS);
    return limits ? limits : new StaticArray<i64>(NUM_LIMITS);
  }
}
