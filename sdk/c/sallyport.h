/* sallyport.h: policies for the Sallyport gateway in C. One header, nothing else: no libc, no allocator.
 *
 *     #include "sallyport.h"
 *
 *     SP_HOOK(authenticate) {
 *         if (sp_get_i64(SP_FIELD_CREDENTIAL_SHAPE, 0) != SP_CREDENTIAL_NONE)
 *             return SP_RETURN_PASS;
 *         return sp_deny(401, SP_TEXT("No key, no model."));
 *     }
 *
 * Build it with clang and lld:
 *
 *     clang --target=wasm32 -O2 -ffreestanding -nostdlib -mbulk-memory -Wl,--no-entry -o policy.wasm policy.c
 *
 * A policy is asked at the hooks that it exports: SP_HOOK(authenticate), SP_HOOK(choose_step), SP_HOOK(price_response),
 * and SP_HOOK(configure) once per instance before them. An instance serves one call at a time, so that a policy may read
 * into static buffers. What fields and functions mean, and what a hook returns, is in abi/SPEC.md.
 *
 * Copy this file into your project, or put its folder on the include path. The parts between markers are generated. */
#ifndef SALLYPORT_H
#define SALLYPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Defines and exports a hook. Its body returns SP_RETURN_VERDICT, SP_RETURN_PASS or SP_RETURN_ERROR. */
#define SP_HOOK(name) __attribute__((export_name(#name))) int32_t sp_hook_##name(void)

#define SP_IMPORT(name) __attribute__((import_module(SP_MODULE), import_name(name)))

/* generated:begin constants */
#define SP_ABI_VERSION 1
#define SP_MODULE "sallyport:policy/1"

/* What a hook returns. */
enum {
    SP_RETURN_VERDICT = 0, /* a verdict was set */
    SP_RETURN_ERROR = 1, /* the policy failed and knows it */
    SP_RETURN_PASS = 2, /* no opinion: ask the next policy */
};

/* What a function answers instead of a length or a value. */
enum {
    SP_OK = 0,
    SP_UNKNOWN_FIELD = -1, /* this host does not know the field id */
    SP_ABSENT = -2, /* the field has no value in this call, or the index is past its end */
    SP_NOT_GRANTED = -3, /* policies.yaml does not grant this policy the field or the function */
    SP_BAD_ARGUMENT = -4, /* pointer, length, index, type or value out of range */
    SP_WRONG_HOOK = -5, /* the field does not belong to the hook that is running */
    SP_OVER_QUOTA = -6, /* a cap of this call or this policy is used up */
    SP_NOT_SUPPORTED = -7, /* the function is known to the contract but not served by this host */
    SP_NOT_FOUND = -8, /* nothing is stored under this name */
    SP_UNAVAILABLE = -9, /* the host cannot store it, or read it, just now */
    SP_CONFLICT = -10, /* the version is not the one that was expected */
};

/* SP_NO_VALUE is what get_i64 returns where get would answer with a code: no amount, count or time of the contract
 * ever takes this value. */
#define SP_NO_VALUE INT64_MIN
/* SP_ALL_INDEXES as the index of a list of i64 reads or writes the whole list at once, packed little-endian. */
#define SP_ALL_INDEXES (-1)
/* SP_DIGEST_SIZE is the size of a credential digest: HMAC-SHA-256 under a secret that never leaves the host. */
#define SP_DIGEST_SIZE 32
/* SP_MAX_COST bounds what one price_response verdict may charge: 10,000 dollars. More is a policy error. */
#define SP_MAX_COST INT64_C(10000000000000)

/* Levels of sp_log. */
enum {
    SP_LOG_DEBUG = 0,
    SP_LOG_INFO = 1,
    SP_LOG_WARN = 2,
    SP_LOG_ERROR = 3,
};

/* Dimension is one thing that providers count and charge for. A token stands in exactly one dimension: Input holds
 * only what was not read from or written to a cache, Output only what is not Reasoning, audio or an image. */
enum {
    SP_DIMENSION_INPUT = 0,
    SP_DIMENSION_OUTPUT = 1,
    SP_DIMENSION_CACHE_READ = 2,
    SP_DIMENSION_CACHE_WRITE_5M = 3,
    SP_DIMENSION_CACHE_WRITE_1H = 4,
    SP_DIMENSION_REASONING = 5,
    SP_DIMENSION_AUDIO_INPUT = 6,
    SP_DIMENSION_AUDIO_OUTPUT = 7,
    SP_DIMENSION_IMAGE = 8,
    SP_DIMENSION_REQUESTS = 9,
    SP_DIMENSION_CACHE_READ_AUDIO = 10,
    SP_DIMENSION_IMAGE_OUTPUT = 11,
    SP_NUM_DIMENSIONS = 12
};

/* CredentialShape is what can be said of a credential from its characters alone. */
enum {
    SP_CREDENTIAL_NONE = 0, /* the request has no credential */
    SP_CREDENTIAL_FOREIGN = 1, /* not of the form that Sallyport generates */
    SP_CREDENTIAL_GENERATED = 2, /* of that form, and the checksum fits */
    SP_CREDENTIAL_MISTYPED = 3, /* of that form by its prefix, but the checksum does not fit */
};

/* KeyState is the administrative state of a key. There is no deleted: rows stay. */
enum {
    SP_KEY_ACTIVE = 0,
    SP_KEY_DISABLED = 1,
    SP_KEY_REVOKED = 2,
};

/* ErrorClass says how the attempt before this one failed, in the terms that decide what may be tried next. */
enum {
    SP_ERROR_NONE = 0, /* there was no attempt yet */
    SP_ERROR_NOT_SENT = 1, /* provably not accepted: dial, TLS, stale connection */
    SP_ERROR_TRANSIENT = 2, /* rejected, may work again: 408, 409, 5xx */
    SP_ERROR_AMBIGUOUS = 3, /* the provider may have billed it: lost after the request was sent */
    SP_ERROR_REJECTED = 4, /* rejected for good: 400, 404, 413, 422 */
    SP_ERROR_BAD_CREDENTIAL = 5, /* the gateway's own credential was refused: 401, 402, 403 */
    SP_ERROR_RATE_LIMITED = 6, /* 429: the provider limits what this credential may ask of this model */
    SP_ERROR_CONTEXT_LENGTH = 7, /* rejected because the prompt does not fit: a step with a larger context may take it */
    SP_ERROR_MODEL_NOT_FOUND = 8, /* rejected because the provider does not know the model */
    SP_ERROR_CONTENT_POLICY = 9, /* rejected because of what was asked */
};

/* StepHealth says how a step does. The numbers are those of the wire. */
enum {
    SP_HEALTH_HEALTHY = 0, /* nothing speaks against it */
    SP_HEALTH_PROBING = 1, /* its circuit is half open: one attempt may find out */
    SP_HEALTH_OPEN = 2, /* its circuit is open after failures */
    SP_HEALTH_PARKED = 3, /* the provider limits requests */
    SP_HEALTH_REFUSED = 4, /* the provider refused the credential */
    SP_HEALTH_DRAINED = 5, /* taken out by hand */
    SP_HEALTH_FULL = 6, /* as many attempts are under way as it may have */
};

/* PricePhase says what a price is wanted for. */
enum {
    SP_PHASE_ESTIMATE = 1, /* the worst case, before the attempt */
    SP_PHASE_FINAL = 2, /* what was used, after it */
};

/* Limit is one thing of which an identity, a team or a model may have only so much. */
enum {
    SP_LIMIT_RPM = 0,
    SP_LIMIT_RPH = 1,
    SP_LIMIT_RPD = 2,
    SP_LIMIT_TPM = 3, /* input and output together */
    SP_LIMIT_TPD = 4,
    SP_LIMIT_INPUT_TPM = 5,
    SP_LIMIT_INPUT_TPD = 6,
    SP_LIMIT_OUTPUT_TPM = 7,
    SP_LIMIT_OUTPUT_TPD = 8,
    SP_LIMIT_CONCURRENT = 9, /* requests at one time */
    SP_LIMIT_MAX_INPUT_TOKENS = 10, /* of one request, as estimated before it is sent */
    SP_LIMIT_MAX_OUTPUT_TOKENS = 11, /* of one request: what it may ask for */
    SP_NUM_LIMITS = 12
};

/* Period is how long a budget lasts before it begins anew. */
enum {
    SP_PERIOD_DAY = 0, /* from midnight */
    SP_PERIOD_WEEK = 1, /* from midnight before Monday */
    SP_PERIOD_MONTH = 2, /* from midnight before the first */
    SP_PERIOD_TOTAL = 3, /* never anew */
};

/* The fields. SPEC.md says what each means. */
enum {
    SP_FIELD_REQUEST_ID = 1, /* bytes */
    SP_FIELD_REQUEST_METHOD = 2, /* bytes */
    SP_FIELD_REQUEST_PATH = 3, /* bytes */
    SP_FIELD_REQUEST_FORMAT = 4, /* bytes */
    SP_FIELD_REQUEST_OPERATION = 5, /* bytes */
    SP_FIELD_REQUEST_CLIENT_ADDRESS = 6, /* bytes */
    SP_FIELD_REQUEST_MODEL = 7, /* bytes */
    SP_FIELD_REQUEST_STREAM = 8, /* i64 */
    SP_FIELD_REQUEST_HEADERS = 9, /* bytes by name */
    SP_FIELD_CREDENTIAL = 20, /* bytes */
    SP_FIELD_CREDENTIAL_DIGEST = 21, /* bytes */
    SP_FIELD_CREDENTIAL_SHAPE = 22, /* i64 */
    SP_FIELD_IDENTITY_KEY_ID = 40, /* bytes */
    SP_FIELD_IDENTITY_NAME = 41, /* bytes */
    SP_FIELD_IDENTITY_TEAM = 42, /* bytes */
    SP_FIELD_IDENTITY_STATE = 43, /* i64 */
    SP_FIELD_IDENTITY_EXPIRES = 44, /* i64 */
    SP_FIELD_IDENTITY_MODELS = 45, /* list of bytes */
    SP_FIELD_IDENTITY_LABELS = 46, /* list of bytes */
    SP_FIELD_IDENTITY_LIMITS = 47, /* list of i64 */
    SP_FIELD_IDENTITY_DEFAULT_MODEL = 48, /* bytes */
    SP_FIELD_CHAIN = 60, /* bytes */
    SP_FIELD_STEP_COUNT = 61, /* i64 */
    SP_FIELD_ATTEMPT = 62, /* i64 */
    SP_FIELD_LAST_ERROR = 63, /* i64 */
    SP_FIELD_LAST_STEP = 64, /* i64 */
    SP_FIELD_STEP_MODEL = 65, /* list of bytes */
    SP_FIELD_STEP_PROVIDER = 66, /* list of bytes */
    SP_FIELD_STEP_PRIORITY = 67, /* list of i64 */
    SP_FIELD_STEP_WEIGHT = 68, /* list of i64 */
    SP_FIELD_STEP_TRIES = 69, /* list of i64 */
    SP_FIELD_STEP_AVAILABLE = 70, /* list of i64 */
    SP_FIELD_STEP_HEALTH = 71, /* list of i64 */
    SP_FIELD_STEP_COOLDOWN = 72, /* list of i64 */
    SP_FIELD_STEP_LATENCY = 73, /* list of i64 */
    SP_FIELD_STEP_ACTIVE = 74, /* list of i64 */
    SP_FIELD_STEP_PRICE_INPUT = 75, /* list of i64 */
    SP_FIELD_STEP_PRICE_OUTPUT = 76, /* list of i64 */
    SP_FIELD_STEP_CONTEXT = 77, /* list of i64 */
    SP_FIELD_STRATEGY = 78, /* bytes */
    SP_FIELD_AFFINITY = 79, /* i64 */
    SP_FIELD_PRICE_PHASE = 80, /* i64 */
    SP_FIELD_PROVIDER = 81, /* bytes */
    SP_FIELD_MODEL = 82, /* bytes */
    SP_FIELD_USAGE = 83, /* list of i64 */
    SP_FIELD_PRICE = 84, /* list of i64 */
    SP_FIELD_ALLOW_HANDLE = 1000, /* i64 */
    SP_FIELD_ALLOW_ID = 1001, /* bytes */
    SP_FIELD_ALLOW_NAME = 1002, /* bytes */
    SP_FIELD_ALLOW_TEAM = 1003, /* bytes */
    SP_FIELD_ALLOW_MODELS = 1004, /* list of bytes */
    SP_FIELD_ALLOW_EXPIRES = 1005, /* i64 */
    SP_FIELD_ALLOW_LIMITS = 1006, /* list of i64 */
    SP_FIELD_ALLOW_BUDGET_AMOUNT = 1007, /* list of i64 */
    SP_FIELD_ALLOW_BUDGET_PERIOD = 1008, /* list of i64 */
    SP_FIELD_ALLOW_BUDGET_TIMEZONE = 1009, /* list of bytes */
    SP_FIELD_DENY_STATUS = 1010, /* i64 */
    SP_FIELD_DENY_MESSAGE = 1011, /* bytes */
    SP_FIELD_DENY_CODE = 1012, /* bytes */
    SP_FIELD_ALLOW_DEFAULT_MODEL = 1013, /* bytes */
    SP_FIELD_ALLOW_LABELS = 1014, /* list of bytes */
    SP_FIELD_CHOSEN_STEP = 1020, /* i64 */
    SP_FIELD_STOP = 1021, /* i64 */
    SP_FIELD_CHOICE_REASON = 1022, /* bytes */
    SP_FIELD_COST = 1030, /* i64 */
    SP_FIELD_COST_BREAKDOWN = 1031, /* list of i64 */
};
/* generated:end */

/* generated:begin functions */

/* Reads a field into guest memory. Returns its length; if that is larger than cap, nothing is written. index is 0
 * for fields that are not lists. An i64 is 8 bytes little-endian. */
SP_IMPORT("get") int32_t sp_get(int32_t field, int32_t index, void *buf, uint32_t cap);

/* Reads an i64 field. Returns NO_VALUE (-2^63) where get would answer with a code. */
SP_IMPORT("get_i64") int64_t sp_get_i64(int32_t field, int32_t index);

/* Like get, for fields that are found by name. */
SP_IMPORT("get_named") int32_t sp_get_named(int32_t field, const void *name, uint32_t name_len, void *buf, uint32_t cap);

/* Writes an output field. Returns 0 or a code. */
SP_IMPORT("set") int32_t sp_set(int32_t field, int32_t index, const void *ptr, uint32_t len);

/* Writes an i64 output field. Returns 0 or a code. */
SP_IMPORT("set_i64") int32_t sp_set_i64(int32_t field, int32_t index, int64_t value);

/* Finds the stored key with this credential digest. Returns a handle above 0, valid during this call, and makes the
 * identity fields readable; NOT_FOUND if there is none. Only at authenticate. Needs the grant identities: read. */
SP_IMPORT("identity_lookup") int32_t sp_identity_lookup(const void *digest, uint32_t digest_len);

/* Writes a log line, 0 debug to 3 error, cut at 1 KiB; 16 lines a call. */
SP_IMPORT("log") int32_t sp_log(int32_t level, const void *ptr, uint32_t len);

/* Unix time in milliseconds. */
SP_IMPORT("now") int64_t sp_now(void);

/* Fills memory with random bytes, up to 4 KiB. */
SP_IMPORT("random") int32_t sp_random(void *ptr, uint32_t len);

/* Reads the policy's configuration (`config:` of policies.yaml) as JSON, like get. Absent without one. */
SP_IMPORT("config") int32_t sp_config(void *buf, uint32_t cap);

/* Reads the source text of a policy whose module runs one, like get. Absent for all others. */
SP_IMPORT("script") int32_t sp_script(void *buf, uint32_t cap);

/* Writes the SHA-256 of up to 1 MiB of memory to out, 32 bytes. Returns 0 or a code. */
SP_IMPORT("digest") int32_t sp_digest(const void *ptr, uint32_t len, void *out);

/* Adds a value of at least 0 to a counter of the policy, for the operator's metrics. The name is 1 to 64 of a to z,
 * 0 to 9 and _; a policy has up to 16 of them. Returns 0 or a code. */
SP_IMPORT("metric") int32_t sp_metric(const void *name, uint32_t name_len, int64_t value);

/* Reads what is stored under a key, like get; a counter as decimal text. NOT_FOUND if there is nothing. Needs the
 * grant kv: own. */
SP_IMPORT("kv_get") int32_t sp_kv_get(const void *key, uint32_t key_len, void *buf, uint32_t cap);

/* Returns the version of what is stored under a key, above 0; NO_VALUE if there is nothing, else a code. Ask for it
 * before the value, never after. Needs the grant kv: own. */
SP_IMPORT("kv_version") int64_t sp_kv_version(const void *key, uint32_t key_len);

/* Stores a value for so many milliseconds, or for good if ttl_ms is 0. Returns 0 or a code. Needs the grant kv:
 * own. */
SP_IMPORT("kv_set") int32_t sp_kv_set(const void *key, uint32_t key_len, const void *ptr, uint32_t len, int64_t ttl_ms);

/* Removes a key, whatever it holds. Returns 0; NOT_FOUND if there was nothing. Needs the grant kv: own. */
SP_IMPORT("kv_delete") int32_t sp_kv_delete(const void *key, uint32_t key_len);

/* Is kv_set if the key has that version; version 0 is for a key that is not there. Returns the new version, above
 * 0; CONFLICT if it has another one; NOT_FOUND if there is no such key. Needs the grant kv: own. */
SP_IMPORT("kv_cas") int64_t sp_kv_cas(const void *key, uint32_t key_len, int64_t version, const void *ptr, uint32_t len, int64_t ttl_ms);

/* Adds delta to a counter if the sum is within floor and ceiling, both included. Returns 1 if it did, 0 if not, and
 * writes what the counter is then to out, as an i64. A key that is not there is 0; adding creates it, to live for
 * ttl_ms, or for good if that is 0. A delta of 0 asks only. Needs the grant kv: own. */
SP_IMPORT("kv_incr") int32_t sp_kv_incr(const void *key, uint32_t key_len, int64_t delta, int64_t floor, int64_t ceiling, int64_t ttl_ms, void *out);

/* Adds n units to a sliding window if no more than limit were then added within any window_ms, at most 366 days.
 * Returns 1 if it did, 0 if not, and writes two i64 to out: how many units count now, and in how many milliseconds
 * none counts any more or, if it did not, there is room for n. An n of 0 asks only. Needs the grant kv: own. */
SP_IMPORT("kv_window_add") int32_t sp_kv_window_add(const void *key, uint32_t key_len, int64_t n, int64_t limit, int64_t window_ms, void *out);

/* Reads keys that begin with prefix and come behind cursor, in the order of their bytes: as many as fit, each as
 * its length in 4 bytes little-endian and its bytes. Returns how many bytes that are, 0 at the end; the last key is
 * the cursor to go on with. If not even one fits, nothing is written and its length with the 4 bytes is returned.
 * Needs the grant kv: own. */
SP_IMPORT("kv_list") int32_t sp_kv_list(const void *prefix, uint32_t prefix_len, const void *cursor, uint32_t cursor_len, void *buf, uint32_t cap);

/* generated:end */

/* A text: not terminated, never changed. */
typedef struct {
    const char *at;
    uint32_t len;
} sp_text;

/* The text of a string literal. */
#define SP_TEXT(literal) ((sp_text){"" literal, sizeof(literal) - 1})

/* Whether two texts are the same. */
static inline bool sp_equal(sp_text a, sp_text b) {
    if (a.len != b.len) return false;
    for (uint32_t i = 0; i < a.len; i++)
        if (a.at[i] != b.at[i]) return false;
    return true;
}

/* Whether a text begins with another. */
static inline bool sp_begins(sp_text text, sp_text with) {
    return text.len >= with.len && sp_equal((sp_text){text.at, with.len}, with);
}

/* Reads a field into buf. It answers an empty text if the field has no value, may not be read, or does not fit: use
 * sp_get where that has to be told apart. */
static inline sp_text sp_read(int32_t field, int32_t index, void *buf, uint32_t cap) {
    int32_t len = sp_get(field, index, buf, cap);
    if (len < 0 || (uint32_t)len > cap) return (sp_text){(const char *)buf, 0};
    return (sp_text){(const char *)buf, (uint32_t)len};
}

/* Logs why the policy cannot decide. Return its result from the hook. */
static inline int32_t sp_fail(sp_text why) {
    sp_log(SP_LOG_ERROR, why.at, why.len);
    return SP_RETURN_ERROR;
}

/* What the helpers below return: the verdict, unless the host refused an output. */
static inline int32_t sp_verdict(int32_t code) { return code == SP_OK ? SP_RETURN_VERDICT : SP_RETURN_ERROR; }

/* Lets the request in as the stored identity that sp_identity_lookup answered this handle for. */
static inline int32_t sp_allow(int32_t handle) { return sp_verdict(sp_set_i64(SP_FIELD_ALLOW_HANDLE, 0, handle)); }

/* How much may be spent in a period. A time zone without a text is UTC. */
typedef struct {
    int64_t nano_usd;
    int32_t period; /* SP_PERIOD_... */
    sp_text timezone;
} sp_budget;

/* An identity of the policy's own, which exists in no store but in a verdict. Only id is required: what is left 0 or
 * empty has the default of SPEC.md. */
typedef struct {
    sp_text id, name, team, default_model;
    const sp_text *models;
    int32_t model_count;
    const sp_text *labels; /* each name=value */
    int32_t label_count;
    const sp_budget *budgets;
    int32_t budget_count;
    int64_t limits[SP_NUM_LIMITS]; /* by SP_LIMIT_... */
    int64_t expires;               /* unix milliseconds */
} sp_identity;

/* Sets a text, unless it is empty: then the default holds. */
static inline int32_t sp_set_text(int32_t field, sp_text text) {
    return text.len == 0 ? SP_OK : sp_set(field, 0, text.at, text.len);
}

/* Sets a list of texts. */
static inline int32_t sp_set_texts(int32_t field, const sp_text *texts, int32_t count) {
    int32_t code = SP_OK;
    for (int32_t i = 0; i < count && code == SP_OK; i++) code = sp_set(field, i, texts[i].at, texts[i].len);
    return code;
}

/* Sets the three lists that budgets consist of. */
static inline int32_t sp_set_budgets(const sp_budget *budgets, int32_t count) {
    int32_t code = SP_OK;
    for (int32_t i = 0; i < count && code == SP_OK; i++) {
        sp_text zone = budgets[i].timezone.len ? budgets[i].timezone : SP_TEXT("UTC");
        code = sp_set_i64(SP_FIELD_ALLOW_BUDGET_AMOUNT, i, budgets[i].nano_usd);
        if (code == SP_OK) code = sp_set_i64(SP_FIELD_ALLOW_BUDGET_PERIOD, i, budgets[i].period);
        if (code == SP_OK) code = sp_set(SP_FIELD_ALLOW_BUDGET_TIMEZONE, i, zone.at, zone.len);
    }
    return code;
}

/* Lets the request in as an identity of the policy's own. */
static inline int32_t sp_allow_identity(const sp_identity *who) {
    int32_t code = sp_set(SP_FIELD_ALLOW_ID, 0, who->id.at, who->id.len);
    if (code == SP_OK) code = sp_set_text(SP_FIELD_ALLOW_NAME, who->name);
    if (code == SP_OK) code = sp_set_text(SP_FIELD_ALLOW_TEAM, who->team);
    if (code == SP_OK) code = sp_set_text(SP_FIELD_ALLOW_DEFAULT_MODEL, who->default_model);
    if (code == SP_OK) code = sp_set_texts(SP_FIELD_ALLOW_MODELS, who->models, who->model_count);
    if (code == SP_OK) code = sp_set_texts(SP_FIELD_ALLOW_LABELS, who->labels, who->label_count);
    if (code == SP_OK && who->expires != 0) code = sp_set_i64(SP_FIELD_ALLOW_EXPIRES, 0, who->expires);
    for (int32_t i = 0; i < SP_NUM_LIMITS && code == SP_OK; i++) /* an older host knows fewer limits */
        if (who->limits[i] != 0) code = sp_set_i64(SP_FIELD_ALLOW_LIMITS, i, who->limits[i]);
    if (code == SP_OK) code = sp_set_budgets(who->budgets, who->budget_count);
    return sp_verdict(code);
}

/* Lets the request in as an identity of the policy's own, with these models, or with all if count is 0. */
static inline int32_t sp_allow_as(sp_text id, const sp_text *models, int32_t count) {
    int32_t code = sp_set(SP_FIELD_ALLOW_ID, 0, id.at, id.len);
    if (code == SP_OK) code = sp_set_texts(SP_FIELD_ALLOW_MODELS, models, count);
    return sp_verdict(code);
}

/* Refuses the request with an HTTP status, 400 to 499 or 503, and tells the client why. Without a message the gateway
 * finds a sentence. */
static inline int32_t sp_deny(int32_t status, sp_text message) {
    int32_t code = sp_set_i64(SP_FIELD_DENY_STATUS, 0, status);
    if (code == SP_OK) code = sp_set_text(SP_FIELD_DENY_MESSAGE, message);
    return sp_verdict(code);
}

/* sp_deny with a code by which programs know the reason: 1 to 64 of a to z, 0 to 9 and _. */
static inline int32_t sp_deny_with_code(int32_t status, sp_text reason, sp_text message) {
    int32_t code = sp_set_i64(SP_FIELD_DENY_STATUS, 0, status);
    if (code == SP_OK) code = sp_set_text(SP_FIELD_DENY_MESSAGE, message);
    if (code == SP_OK) code = sp_set(SP_FIELD_DENY_CODE, 0, reason.at, reason.len);
    return sp_verdict(code);
}

/* Has a step tried. */
static inline int32_t sp_choose(int32_t step) { return sp_verdict(sp_set_i64(SP_FIELD_CHOSEN_STEP, 0, step)); }

/* Has nothing more tried. Not at the first attempt. */
static inline int32_t sp_stop(void) { return sp_verdict(sp_set_i64(SP_FIELD_STOP, 0, 1)); }

/* sp_choose with a reason for the record: up to 64 bytes of printable ASCII. */
static inline int32_t sp_choose_with_reason(int32_t step, sp_text reason) {
    int32_t code = sp_set_i64(SP_FIELD_CHOSEN_STEP, 0, step);
    if (code == SP_OK) code = sp_set_text(SP_FIELD_CHOICE_REASON, reason);
    return sp_verdict(code);
}

/* sp_stop with a reason for the record. */
static inline int32_t sp_stop_with_reason(sp_text reason) {
    int32_t code = sp_set_i64(SP_FIELD_STOP, 0, 1);
    if (code == SP_OK) code = sp_set_text(SP_FIELD_CHOICE_REASON, reason);
    return sp_verdict(code);
}

/* Room for a list by dimension or by limit, with some for what hosts will know that this header does not. */
#define SP_ROOM 64

/* Reads a list of numbers and answers how many there are: 0 if there is none, or it may not be read; -1 if it is longer
 * than count. What the host does not have is 0, so that list may be indexed by any constant below count. */
static inline int32_t sp_read_list(int32_t field, int64_t *list, int32_t count) {
    int32_t len = sp_get(field, SP_ALL_INDEXES, list, (uint32_t)count * 8);
    if (len > count * 8) return -1;
    len = len < 0 ? 0 : len / 8;
    for (int32_t i = len; i < count; i++) list[i] = 0;
    return len;
}

/* An exact amount in millionths of a nano-dollar. What 64 bits do not hold is over 18,000 dollars, more than
 * SP_MAX_COST, so that how much more does not matter. */
typedef struct {
    uint64_t low;
    bool over;
} sp_millionths;

static inline sp_millionths sp_multiply(uint64_t a, uint64_t b) {
    uint64_t a_low = (uint32_t)a, a_high = a >> 32, b_low = (uint32_t)b, b_high = b >> 32;
    uint64_t middle = a_high * b_low + (a_low * b_low >> 32), other = a_low * b_high + (uint32_t)middle;
    bool over = a_high * b_high + (middle >> 32) + (other >> 32) != 0;
    return (sp_millionths){a * b, over};
}

static inline sp_millionths sp_add(sp_millionths a, sp_millionths b) {
    uint64_t low = a.low + b.low;
    return (sp_millionths){low, a.over || b.over || low < b.low};
}

static inline int64_t sp_floor(sp_millionths amount) {
    uint64_t whole = amount.low / 1000000;
    return amount.over || whole > (uint64_t)SP_MAX_COST ? SP_MAX_COST : (int64_t)whole;
}

/* Prices usage by a row of prices per million units, exactly: the sum of the products, rounded once, half up. It fills
 * breakdown, of count elements as the others, with each dimension's part, rounded down; what rounding leaves over goes
 * to the largest part, so that the parts add up to the cost. Numbers below 0 count as 0. A cost above SP_MAX_COST is
 * SP_MAX_COST, without a breakdown if its parts add up to more. breakdown may be NULL. */
static inline int64_t sp_cost(const int64_t *usage, const int64_t *price, int64_t *breakdown, int32_t count) {
    sp_millionths sum = {500000, false};
    int64_t parts = 0, most = 0; /* parts of at most SP_MAX_COST do not overflow */
    int32_t largest = 0;
    for (int32_t d = 0; d < count; d++) {
        sp_millionths product = {0, false};
        if (usage[d] > 0 && price[d] > 0) product = sp_multiply((uint64_t)usage[d], (uint64_t)price[d]);
        sum = sp_add(sum, product);
        int64_t part = sp_floor(product);
        parts += part;
        if (part > most) most = part, largest = d;
        if (breakdown) breakdown[d] = part;
    }
    int64_t cost = sp_floor(sum);
    if (breakdown && count > 0) {
        breakdown[largest] += cost - parts;
        if (parts > cost) /* of a cost that was cut, no part is known */
            for (int32_t d = 0; d < count; d++) breakdown[d] = 0;
    }
    return cost;
}

/* Charges a cost in nano-dollars. */
static inline int32_t sp_charge(int64_t nano_usd) { return sp_verdict(sp_set_i64(SP_FIELD_COST, 0, nano_usd)); }

/* Charges a cost, and says what of it each dimension contributed. */
static inline int32_t sp_charge_parts(int64_t nano_usd, const int64_t *breakdown, int32_t count) {
    while (count > 0 && breakdown[count - 1] == 0) count--; /* an older host knows fewer dimensions */
    int32_t code = sp_set_i64(SP_FIELD_COST, 0, nano_usd);
    if (code == SP_OK && count > 0) code = sp_set(SP_FIELD_COST_BREAKDOWN, SP_ALL_INDEXES, breakdown, (uint32_t)count * 8);
    return sp_verdict(code);
}

#endif
