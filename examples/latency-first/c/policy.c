/* latency-first: the step that is likely to answer first. What is known of this moment counts most. Where nothing is, as
 * after a restart or a quiet hour, what the policy has learnt of this hour of the day stands in for it.
 *
 * What comes after a failed attempt it leaves to the policies behind it. It does what ../policy.rs does, and is a tenth of
 * its size. */
#include "sallyport.h"

enum { MAX_STEPS = 64, MAX_KEY = 256 };

#define MINUTE 60000
#define HOUR INT64_C(3600000)
#define MONTH (30 * 24 * HOUR)
#define UNKNOWN (-1)

static int64_t available[MAX_STEPS], priorities[MAX_STEPS], latencies[MAX_STEPS], active[MAX_STEPS];

/* A key as it is put together. What does not fit makes it empty, which the gateway refuses. */
typedef struct {
    char at[MAX_KEY];
    uint32_t len;
    bool over;
} key;

static void put(key *k, sp_text text) {
    k->over = k->over || text.len > MAX_KEY - k->len;
    for (uint32_t i = 0; i < text.len && !k->over; i++) k->at[k->len++] = text.at[i];
    if (k->over) k->len = 0;
}

/* Puts a step's name: its provider and its model. */
static void put_name(key *k, int32_t step) {
    static char text[MAX_KEY];
    put(k, sp_read(SP_FIELD_STEP_PROVIDER, step, text, sizeof text));
    put(k, SP_TEXT("/"));
    put(k, sp_read(SP_FIELD_STEP_MODEL, step, text, sizeof text));
}

/* The key of what is usual for a step at this hour of the day. */
static key note_of(int32_t step) {
    int64_t hour = sp_now() / HOUR % 24;
    char digits[2] = {(char)('0' + hour / 10), (char)('0' + hour % 10)};
    key k = {.len = 0};
    put(&k, SP_TEXT("hour/"));
    put(&k, (sp_text){digits, 2});
    put(&k, SP_TEXT("/"));
    put_name(&k, step);
    return k;
}

/* What a step usually takes at this hour, in microseconds; UNKNOWN, or a code below that. */
static int64_t usual(const key *note) {
    char digits[20];
    int32_t len = sp_kv_get(note->at, note->len, digits, sizeof digits);
    if (len == SP_NOT_FOUND || len > (int32_t)sizeof digits) return UNKNOWN;
    if (len < 0) return len + UNKNOWN;
    int64_t n = 0;
    for (int32_t i = 0; i < len; i++) {
        if (digits[i] < '0' || digits[i] > '9') return UNKNOWN;
        n = n * 10 + (digits[i] - '0');
    }
    return n;
}

static int32_t remember(const key *note, int64_t n) {
    char digits[20];
    uint32_t at = sizeof digits;
    do digits[--at] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    return sp_kv_set(note->at, note->len, digits + at, sizeof digits - at, MONTH);
}

/* Notes a latency, once a minute: an eighth of it goes into what is usual. Returns 0 or a code. That two instances may do
 * so at the same time loses one of many notes, and nothing else. */
static int32_t learn(int32_t step, const key *note, int64_t latency) {
    int64_t window[2];
    key noted = {.len = 0};
    put(&noted, SP_TEXT("noted/"));
    put_name(&noted, step);
    int32_t added = sp_kv_window_add(noted.at, noted.len, 1, 1, MINUTE, window);
    if (added <= 0) return added;
    int64_t n = usual(note);
    if (n < UNKNOWN) return (int32_t)(n - UNKNOWN);
    return remember(note, n == UNKNOWN ? latency : n + (latency - n) / 8);
}

/* What a step is likely to take, and how that is known. A value below UNKNOWN is a code. */
static int64_t expect(int32_t step, sp_text *why) {
    key note = note_of(step);
    *why = SP_TEXT("latency now");
    if (latencies[step] > 0) {
        int32_t code = learn(step, &note, latencies[step]);
        return code < 0 ? code + UNKNOWN : latencies[step];
    }
    int64_t n = usual(&note);
    *why = n == UNKNOWN ? SP_TEXT("not known yet") : SP_TEXT("latency of this hour");
    return n;
}

/* Of a step that nothing is known of one answer is awaited at a time, and that at once. */
static int64_t load_of(int32_t step, int64_t expected) {
    if (expected == UNKNOWN) return active[step] == 0 ? 0 : INT64_MAX;
    return expected > INT64_MAX / (active[step] + 1) ? INT64_MAX : expected * (active[step] + 1);
}

/* Counts the available steps of the lowest priority that has any. */
static int32_t count(int32_t steps, int64_t *lowest) {
    int32_t n = 0;
    for (int32_t i = 0; i < steps; i++) {
        if (available[i] != 1 || (n > 0 && priorities[i] > *lowest)) continue;
        n = n > 0 && priorities[i] == *lowest ? n + 1 : 1;
        *lowest = priorities[i];
    }
    return n;
}

SP_HOOK(choose_step) {
    int64_t lowest = 0, least = INT64_MAX;
    int32_t steps = sp_read_list(SP_FIELD_STEP_AVAILABLE, available, MAX_STEPS), best = -1;
    sp_read_list(SP_FIELD_STEP_PRIORITY, priorities, MAX_STEPS);
    if (sp_get_i64(SP_FIELD_ATTEMPT, 0) > 1 || count(steps, &lowest) < 2) return SP_RETURN_PASS;
    sp_read_list(SP_FIELD_STEP_LATENCY, latencies, MAX_STEPS);
    sp_read_list(SP_FIELD_STEP_ACTIVE, active, MAX_STEPS);
    sp_text reason = SP_TEXT("not known");
    for (int32_t i = 0; i < steps; i++) {
        if (available[i] != 1 || priorities[i] != lowest) continue;
        sp_text why;
        int64_t expected = expect(i, &why);
        if (expected < UNKNOWN) return sp_fail(SP_TEXT("nothing can be remembered: is kv granted?"));
        int64_t load = load_of(i, expected);
        if (best >= 0 && load >= least) continue;
        best = i;
        least = load;
        if (load < INT64_MAX) reason = why;
    }
    return sp_choose_with_reason(best, reason);
}
