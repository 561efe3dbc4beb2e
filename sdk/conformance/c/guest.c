/* The C SDK's guest of the golden cases in abi/testdata/conformance: it does the task that the request's model names, and
 * logs what it reads. The README beside the cases says what the tasks are. */
#include "sallyport.h"

SP_IMPORT("future") int32_t future(void);

/* A line of log, as it is put together. */
static char line[1024];
static uint32_t line_length;

static void put(sp_text text) {
    for (uint32_t i = 0; i < text.len && line_length < sizeof line; i++) line[line_length++] = text.at[i];
}

static void put_unsigned(uint64_t n) {
    char digits[20];
    uint32_t at = sizeof digits;
    do digits[--at] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    put((sp_text){digits + at, sizeof digits - at});
}

static void put_int(int64_t n) {
    if (n < 0) put(SP_TEXT("-"));
    put_unsigned(n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

static void begin(sp_text name) {
    line_length = 0;
    put(name);
    put(SP_TEXT("="));
}

static void end(void) { sp_log(SP_LOG_INFO, line, line_length); }

static void say(sp_text name, sp_text value) {
    begin(name);
    put(value);
    end();
}

static void say_int(sp_text name, int64_t value) {
    begin(name);
    put_int(value);
    end();
}

static void say_bool(sp_text name, bool value) { say(name, value ? SP_TEXT("true") : SP_TEXT("false")); }

/* Larger than any text of the cases. */
static char buffer[8192];

static sp_text read(int32_t field, int32_t index) { return sp_read(field, index, buffer, sizeof buffer); }

static void say_field(sp_text name, int32_t field) { say(name, read(field, 0)); }

static void say_number(sp_text name, int32_t field, sp_text absent) {
    int64_t n = sp_get_i64(field, 0);
    if (n == SP_NO_VALUE)
        say(name, absent);
    else
        say_int(name, n);
}

/* Logs the texts of a list. Labels are told with " is " for their first "=". */
static void say_texts(sp_text name, int32_t field, bool labels) {
    begin(name);
    for (int32_t i = 0;; i++) {
        sp_text element = read(field, i);
        if (element.len == 0) break;
        if (i > 0) put(SP_TEXT(","));
        uint32_t cut = 0;
        while (labels && cut < element.len && element.at[cut] != '=') cut++;
        put((sp_text){element.at, labels ? cut : element.len});
        if (labels) put(SP_TEXT(" is "));
        if (labels && cut < element.len) put((sp_text){element.at + cut + 1, element.len - cut - 1});
    }
    end();
}

static void say_list(sp_text name, const int64_t *list, int32_t count) {
    begin(name);
    for (int32_t i = 0; i < count; i++) {
        if (i > 0) put(SP_TEXT(","));
        put_int(list[i]);
    }
    end();
}

static void say_numbers(sp_text name, int32_t field) {
    int64_t list[SP_ROOM];
    say_list(name, list, sp_read_list(field, list, SP_ROOM));
}

static void say_identity(void) {
    say_field(SP_TEXT("key_id"), SP_FIELD_IDENTITY_KEY_ID);
    say_field(SP_TEXT("name"), SP_FIELD_IDENTITY_NAME);
    say_field(SP_TEXT("team"), SP_FIELD_IDENTITY_TEAM);
    say_number(SP_TEXT("state"), SP_FIELD_IDENTITY_STATE, SP_TEXT(""));
    say_number(SP_TEXT("expires"), SP_FIELD_IDENTITY_EXPIRES, SP_TEXT("never"));
    int64_t expires = sp_get_i64(SP_FIELD_IDENTITY_EXPIRES, 0);
    say_bool(SP_TEXT("expired"), expires != SP_NO_VALUE && sp_now() >= expires);
    say_texts(SP_TEXT("models"), SP_FIELD_IDENTITY_MODELS, false);
    say_texts(SP_TEXT("labels"), SP_FIELD_IDENTITY_LABELS, true);
    say_numbers(SP_TEXT("limits"), SP_FIELD_IDENTITY_LIMITS);
    say_field(SP_TEXT("default_model"), SP_FIELD_IDENTITY_DEFAULT_MODEL);
}

static int32_t say_request(void) {
    say_field(SP_TEXT("id"), SP_FIELD_REQUEST_ID);
    say_field(SP_TEXT("method"), SP_FIELD_REQUEST_METHOD);
    say_field(SP_TEXT("path"), SP_FIELD_REQUEST_PATH);
    say_field(SP_TEXT("format"), SP_FIELD_REQUEST_FORMAT);
    say_field(SP_TEXT("operation"), SP_FIELD_REQUEST_OPERATION);
    say_field(SP_TEXT("client_address"), SP_FIELD_REQUEST_CLIENT_ADDRESS);
    say_field(SP_TEXT("model"), SP_FIELD_REQUEST_MODEL);
    say_bool(SP_TEXT("stream"), sp_get_i64(SP_FIELD_REQUEST_STREAM, 0) == 1);
    return SP_RETURN_PASS;
}

static sp_text header(sp_text name) {
    int32_t len = sp_get_named(SP_FIELD_REQUEST_HEADERS, name.at, name.len, buffer, sizeof buffer);
    return (sp_text){buffer, len < 0 ? 0 : (uint32_t)len};
}

static int32_t headers(void) {
    sp_text team = header(SP_TEXT("x-team"));
    say_int(SP_TEXT("x-team bytes"), team.len);
    say(SP_TEXT("x-team"), (sp_text){team.at, team.len < 20 ? team.len : 20});
    say(SP_TEXT("x-absent"), header(SP_TEXT("x-absent")));
    return SP_RETURN_PASS;
}

static int32_t credential(void) {
    say_number(SP_TEXT("shape"), SP_FIELD_CREDENTIAL_SHAPE, SP_TEXT(""));
    if (sp_get(SP_FIELD_CREDENTIAL, 0, buffer, sizeof buffer) == SP_NOT_GRANTED) return sp_fail(SP_TEXT("credential: not granted"));
    say_field(SP_TEXT("credential"), SP_FIELD_CREDENTIAL);
    return SP_RETURN_PASS;
}

static int32_t lookup(void) {
    sp_text digest = read(SP_FIELD_CREDENTIAL_DIGEST, 0);
    int32_t handle = digest.len == 0 ? SP_NOT_FOUND : sp_identity_lookup(digest.at, digest.len);
    if (handle == SP_NOT_FOUND) {
        say(SP_TEXT("found"), SP_TEXT("nothing"));
        return SP_RETURN_PASS;
    }
    if (handle < 0) return sp_fail(SP_TEXT("identity_lookup: not granted"));
    say_identity();
    return sp_allow(handle);
}

/* An identity with everything that a policy can say of one. */
static int32_t own(void) {
    const sp_text models[] = {SP_TEXT("coding"), SP_TEXT("claude-*")};
    const sp_text labels[] = {SP_TEXT("env=prod"), SP_TEXT("note=a=b")};
    const sp_budget budgets[] = {{.nano_usd = 5000000000},
                                 {.nano_usd = 50000000000, .period = SP_PERIOD_MONTH, .timezone = SP_TEXT("Europe/Berlin")}};
    return sp_allow_identity(&(sp_identity){
        .id = SP_TEXT("u1"), .name = SP_TEXT("Ann"), .team = SP_TEXT("core"), .default_model = SP_TEXT("coding"),
        .models = models, .model_count = 2, .labels = labels, .label_count = 2, .budgets = budgets, .budget_count = 2,
        .limits = {[SP_LIMIT_RPM] = 60, [SP_LIMIT_CONCURRENT] = 2}, .expires = 1800000000000});
}

static int32_t veto(void) {
    if (read(SP_FIELD_IDENTITY_KEY_ID, 0).len == 0) return own();
    say_identity();
    return sp_deny_with_code(403, SP_TEXT("vetoed"), SP_TEXT("Not this one."));
}

static int32_t own_least(void) { return sp_allow_as(SP_TEXT("least"), NULL, 0); }

static int32_t own_wrong(void) {
    const sp_budget budget = {.timezone = SP_TEXT("Mars/Base")};
    int32_t answer = sp_allow_identity(&(sp_identity){.id = SP_TEXT("wrong"), .budgets = &budget, .budget_count = 1});
    return answer == SP_RETURN_ERROR ? sp_fail(SP_TEXT("setting allow.budget_timezone")) : answer;
}

static int32_t deny(void) { return sp_deny(403, SP_TEXT("Not today.")); }
static int32_t deny_bare(void) { return sp_deny(401, SP_TEXT("")); }
static int32_t deny_code(void) { return sp_deny_with_code(429, SP_TEXT("slow_down"), SP_TEXT("One at a time.")); }
static int32_t deny_wrong(void) {
    return sp_deny(200, SP_TEXT("fine")) == SP_RETURN_ERROR ? sp_fail(SP_TEXT("setting deny.status")) : SP_RETURN_VERDICT;
}
static int32_t fail(void) { return sp_fail(SP_TEXT("failed on purpose")); }

static int32_t world(void) {
    const sp_text levels[] = {SP_TEXT("debug"), SP_TEXT("info"), SP_TEXT("warn"), SP_TEXT("error")};
    for (int32_t level = SP_LOG_DEBUG; level <= SP_LOG_ERROR; level++) sp_log(level, levels[level].at, levels[level].len);
    say_int(SP_TEXT("now"), sp_now());
    uint8_t digits[8];
    if (sp_random(digits, sizeof digits) != SP_OK) return sp_fail(SP_TEXT("random"));
    uint64_t random = 0;
    for (uint32_t i = 0; i < sizeof digits; i++) random = random << 8 | digits[i];
    begin(SP_TEXT("random"));
    put_unsigned(random);
    end();
    int32_t length = sp_config(buffer, sizeof buffer);
    say(SP_TEXT("config"), (sp_text){buffer, length < 0 ? 0 : (uint32_t)length});
    return SP_RETURN_PASS;
}

static int32_t flood(void) {
    for (int32_t i = 0; i < 20; i++) say_int(SP_TEXT("line"), i);
    return SP_RETURN_PASS;
}

/* Provokes each code of the contract. */
static int32_t codes(void) {
    static const uint8_t nobody[SP_DIGEST_SIZE];
    uint8_t digest[SP_DIGEST_SIZE];
    sp_text secret = SP_TEXT("x-secret");
    say_int(SP_TEXT("length"), sp_get(SP_FIELD_REQUEST_ID, 0, NULL, 0));
    say_int(SP_TEXT("unknown field"), sp_get(9999, 0, buffer, sizeof buffer));
    say_bool(SP_TEXT("no value"), sp_get_i64(9999, 0) == SP_NO_VALUE);
    say_int(SP_TEXT("absent"), sp_get(SP_FIELD_IDENTITY_TEAM, 0, buffer, sizeof buffer));
    say_int(SP_TEXT("not granted"), sp_get_named(SP_FIELD_REQUEST_HEADERS, secret.at, secret.len, buffer, sizeof buffer));
    say_int(SP_TEXT("bad argument"), sp_get(SP_FIELD_REQUEST_ID, 5, buffer, sizeof buffer));
    say_int(SP_TEXT("wrong hook"), sp_get(SP_FIELD_CHAIN, 0, buffer, sizeof buffer));
    say_int(SP_TEXT("not found"), sp_identity_lookup(nobody, sizeof nobody));
    sp_get(SP_FIELD_CREDENTIAL_DIGEST, 0, digest, sizeof digest);
    for (int32_t i = 0; i < 16; i++) sp_identity_lookup(digest, sizeof digest);
    say_int(SP_TEXT("over quota"), sp_identity_lookup(digest, sizeof digest));
    say_int(SP_TEXT("not supported"), future());
    return SP_RETURN_PASS;
}

/* Logs what is stored under a key. */
static int32_t say_key(sp_text key) {
    int32_t length = sp_kv_get(key.at, key.len, buffer, sizeof buffer);
    if (length < 0 && length != SP_NOT_FOUND) return sp_fail(SP_TEXT("kv_get"));
    say(key, length < 0 ? SP_TEXT("none") : (sp_text){buffer, (uint32_t)length});
    return SP_RETURN_PASS;
}

static int32_t remember(void) { return say_key(SP_TEXT("a")); }

static int64_t swap(sp_text key, int64_t version, sp_text value) {
    return sp_kv_cas(key.at, key.len, version, value.at, value.len, 0);
}

static int32_t values(void) {
    sp_text greeting = SP_TEXT("greeting"), brief = SP_TEXT("brief"), gone = SP_TEXT("gone"), empty = SP_TEXT("empty");
    if (say_key(greeting) != SP_RETURN_PASS) return SP_RETURN_ERROR;
    int64_t before = sp_kv_version(greeting.at, greeting.len);
    say_bool(SP_TEXT("swapped"), before > 0 && swap(greeting, before, SP_TEXT("hi")) > before);
    say_int(SP_TEXT("conflict"), swap(greeting, before, SP_TEXT("hey")));
    say_int(SP_TEXT("not found"), swap(SP_TEXT("nobody"), before, SP_TEXT("hey")));
    say_bool(SP_TEXT("created"), swap(SP_TEXT("new"), 0, SP_TEXT("hey")) > 0);
    sp_kv_set(empty.at, empty.len, NULL, 0, 0);
    say_int(SP_TEXT("empty bytes"), sp_kv_get(empty.at, empty.len, buffer, sizeof buffer));
    sp_kv_set(brief.at, brief.len, "x", 1, 60000);
    sp_kv_delete(gone.at, gone.len);
    sp_kv_delete(gone.at, gone.len);
    return say_key(gone);
}

static int32_t counters(void) {
    static const int64_t adds[][3] = {{3, 0, 5}, {3, 0, 5}, {-4, 0, 5}, {-3, 0, 5}, {INT64_MAX, INT64_MIN, INT64_MAX}};
    sp_text n = SP_TEXT("n"), text = SP_TEXT("text");
    int64_t value;
    for (uint32_t i = 0; i < sizeof adds / sizeof adds[0]; i++) {
        int32_t applied = sp_kv_incr(n.at, n.len, adds[i][0], adds[i][1], adds[i][2], 0, &value);
        if (applied < 0) return sp_fail(SP_TEXT("kv_incr"));
        begin(n);
        put_int(value);
        put(applied ? SP_TEXT(" true") : SP_TEXT(" false"));
        end();
    }
    say_int(text, sp_kv_incr(text.at, text.len, 1, 0, 9, 0, &value));
    return SP_RETURN_PASS;
}

static int32_t windows(void) {
    static const int64_t units[] = {2, 2, 0};
    sp_text w = SP_TEXT("w");
    for (uint32_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        int64_t out[2]; /* used, reset */
        int32_t allowed = sp_kv_window_add(w.at, w.len, units[i], 3, 60000, out);
        if (allowed < 0) return sp_fail(SP_TEXT("kv_window_add"));
        begin(w);
        put(allowed ? SP_TEXT("true ") : SP_TEXT("false "));
        put_int(out[0]);
        put(SP_TEXT(" "));
        put_int(out[1]);
        end();
    }
    return SP_RETURN_PASS;
}

/* Counts the keys that begin with a prefix, and remembers the first and the last of them. */
static int32_t count_keys(sp_text prefix, sp_text *first, sp_text *last) {
    static char cursor[256], begins[256];
    uint32_t cursor_length = 0;
    int32_t count = 0, length;
    while ((length = sp_kv_list(prefix.at, prefix.len, cursor, cursor_length, buffer, sizeof buffer)) > 0) {
        uint32_t size;
        for (int32_t i = 0; i < length; i += 4 + (int32_t)size, count++) {
            __builtin_memcpy(&size, buffer + i, 4);
            __builtin_memcpy(cursor, buffer + i + 4, size);
            cursor_length = size;
            if (count == 0) __builtin_memcpy(begins, cursor, size), *first = (sp_text){begins, size};
        }
        *last = (sp_text){cursor, cursor_length};
    }
    return length < 0 ? length : count;
}

static int32_t keys(void) {
    sp_text first = SP_TEXT(""), last = SP_TEXT("");
    say_int(SP_TEXT("keys"), count_keys(SP_TEXT("user/"), &first, &last));
    say(SP_TEXT("first"), first);
    say(SP_TEXT("last"), last);
    say_int(SP_TEXT("none"), count_keys(SP_TEXT("nothing"), &first, &last));
    return SP_RETURN_PASS;
}

static int32_t gateway(void) {
    sp_text seen = SP_TEXT("seen_total"), bad = SP_TEXT("Bad");
    uint8_t sum[32];
    if (sp_digest("abc", 3, sum) != SP_OK) return sp_fail(SP_TEXT("digest"));
    begin(SP_TEXT("digest"));
    for (uint32_t i = 0; i < sizeof sum; i++) {
        put((sp_text){&"0123456789abcdef"[sum[i] >> 4], 1});
        put((sp_text){&"0123456789abcdef"[sum[i] & 15], 1});
    }
    end();
    int32_t length = sp_script(buffer, sizeof buffer);
    say(SP_TEXT("script"), (sp_text){buffer, length < 0 ? 0 : (uint32_t)length});
    sp_metric(seen.at, seen.len, 2);
    sp_metric(seen.at, seen.len, 3);
    say_int(SP_TEXT("bad metric"), sp_metric(bad.at, bad.len, 1));
    return SP_RETURN_PASS;
}

static int32_t unavailable(void) {
    say_int(SP_TEXT("set"), sp_kv_set("a", 1, "x", 1, 0));
    say_int(SP_TEXT("version"), sp_kv_version("a", 1));
    return SP_RETURN_PASS;
}

static int32_t choice(void) {
    say_field(SP_TEXT("key_id"), SP_FIELD_IDENTITY_KEY_ID);
    say_field(SP_TEXT("chain"), SP_FIELD_CHAIN);
    say_number(SP_TEXT("steps"), SP_FIELD_STEP_COUNT, SP_TEXT(""));
    say_number(SP_TEXT("attempt"), SP_FIELD_ATTEMPT, SP_TEXT(""));
    say_number(SP_TEXT("last_error"), SP_FIELD_LAST_ERROR, SP_TEXT(""));
    say_number(SP_TEXT("last_step"), SP_FIELD_LAST_STEP, SP_TEXT("none"));
    int32_t steps = (int32_t)sp_get_i64(SP_FIELD_STEP_COUNT, 0);
    for (int32_t i = 0; i < steps; i++) {
        begin(SP_TEXT("step"));
        put(read(SP_FIELD_STEP_MODEL, i));
        put(SP_TEXT(" of "));
        put(read(SP_FIELD_STEP_PROVIDER, i));
        end();
    }
    say_numbers(SP_TEXT("priorities"), SP_FIELD_STEP_PRIORITY);
    say_numbers(SP_TEXT("weights"), SP_FIELD_STEP_WEIGHT);
    say_numbers(SP_TEXT("tries"), SP_FIELD_STEP_TRIES);
    return sp_choose(steps - 1);
}

static int32_t states(void) {
    say_field(SP_TEXT("strategy"), SP_FIELD_STRATEGY);
    say_number(SP_TEXT("affinity"), SP_FIELD_AFFINITY, SP_TEXT("none"));
    say_numbers(SP_TEXT("available"), SP_FIELD_STEP_AVAILABLE);
    say_numbers(SP_TEXT("health"), SP_FIELD_STEP_HEALTH);
    say_numbers(SP_TEXT("cooldowns"), SP_FIELD_STEP_COOLDOWN);
    say_numbers(SP_TEXT("latencies"), SP_FIELD_STEP_LATENCY);
    say_numbers(SP_TEXT("active"), SP_FIELD_STEP_ACTIVE);
    say_numbers(SP_TEXT("input_prices"), SP_FIELD_STEP_PRICE_INPUT);
    say_numbers(SP_TEXT("output_prices"), SP_FIELD_STEP_PRICE_OUTPUT);
    say_numbers(SP_TEXT("contexts"), SP_FIELD_STEP_CONTEXT);
    return sp_choose_with_reason(0, SP_TEXT("first of all"));
}

static int32_t reason_wrong(void) {
    int32_t answer = sp_choose_with_reason(0, SP_TEXT("caf\xc3\xa9"));
    return answer == SP_RETURN_ERROR ? sp_fail(SP_TEXT("setting choice.reason")) : answer;
}

static int32_t stop_reason(void) { return sp_stop_with_reason(SP_TEXT("enough")); }

static int32_t choose_wrong(void) {
    int32_t answer = sp_choose((int32_t)sp_get_i64(SP_FIELD_STEP_COUNT, 0));
    return answer == SP_RETURN_ERROR ? sp_fail(SP_TEXT("setting chosen_step")) : answer;
}

static int32_t price(void) {
    int64_t usage[SP_ROOM], price[SP_ROOM], breakdown[SP_ROOM];
    say_field(SP_TEXT("key_id"), SP_FIELD_IDENTITY_KEY_ID);
    say_number(SP_TEXT("phase"), SP_FIELD_PRICE_PHASE, SP_TEXT(""));
    say_field(SP_TEXT("provider"), SP_FIELD_PROVIDER);
    say_field(SP_TEXT("provider_model"), SP_FIELD_MODEL);
    int32_t count = sp_read_list(SP_FIELD_USAGE, usage, SP_ROOM);
    say_list(SP_TEXT("usage"), usage, count);
    if (sp_read_list(SP_FIELD_PRICE, price, SP_ROOM) == 0) {
        say(SP_TEXT("price"), SP_TEXT("none"));
        return SP_RETURN_PASS;
    }
    say_list(SP_TEXT("price"), price, count);
    return sp_charge_parts(sp_cost(usage, price, breakdown, count), breakdown, count);
}

static int32_t charge(void) { return sp_charge(5); }

static int32_t charge_wrong(void) {
    return sp_charge(-1) == SP_RETURN_ERROR ? sp_fail(SP_TEXT("setting cost")) : SP_RETURN_VERDICT;
}

typedef struct {
    sp_text name;
    int32_t (*run)(void);
} task;

static const task authenticate_tasks[] = {
    {SP_TEXT("request"), say_request}, {SP_TEXT("headers"), headers}, {SP_TEXT("credential"), credential}, {SP_TEXT("lookup"), lookup},
    {SP_TEXT("veto"), veto}, {SP_TEXT("own"), own}, {SP_TEXT("own-least"), own_least}, {SP_TEXT("own-wrong"), own_wrong},
    {SP_TEXT("deny"), deny}, {SP_TEXT("deny-bare"), deny_bare}, {SP_TEXT("deny-code"), deny_code}, {SP_TEXT("deny-wrong"), deny_wrong},
    {SP_TEXT("fail"), fail}, {SP_TEXT("world"), world}, {SP_TEXT("flood"), flood}, {SP_TEXT("codes"), codes},
    {SP_TEXT("remember"), remember}, {SP_TEXT("values"), values}, {SP_TEXT("counters"), counters}, {SP_TEXT("windows"), windows},
    {SP_TEXT("keys"), keys}, {SP_TEXT("gateway"), gateway}, {SP_TEXT("unavailable"), unavailable}, {SP_TEXT(""), NULL},
};

static int32_t stop(void) { return sp_stop(); }

static const task choose_step_tasks[] = {
    {SP_TEXT("choice"), choice}, {SP_TEXT("choose-wrong"), choose_wrong}, {SP_TEXT("stop"), stop}, {SP_TEXT("fail"), fail},
    {SP_TEXT("states"), states}, {SP_TEXT("reason-wrong"), reason_wrong}, {SP_TEXT("stop-reason"), stop_reason},
    {SP_TEXT(""), NULL},
};

static const task price_response_tasks[] = {
    {SP_TEXT("price"), price}, {SP_TEXT("charge"), charge}, {SP_TEXT("charge-wrong"), charge_wrong}, {SP_TEXT("fail"), fail},
    {SP_TEXT(""), NULL},
};

static int32_t run(const task *tasks) {
    static char model[32];
    sp_text name = sp_read(SP_FIELD_REQUEST_MODEL, 0, model, sizeof model);
    for (; tasks->run; tasks++)
        if (sp_equal(name, tasks->name)) return tasks->run();
    return SP_RETURN_PASS;
}

SP_HOOK(authenticate) { return run(authenticate_tasks); }
SP_HOOK(choose_step) { return run(choose_step_tasks); }
SP_HOOK(price_response) { return run(price_response_tasks); }

SP_HOOK(configure) {
    int32_t length = sp_config(buffer, sizeof buffer);
    sp_text config = {buffer, length < 0 ? 0 : (uint32_t)length};
    return sp_equal(config, SP_TEXT("{\"refuse\":true}")) ? sp_fail(SP_TEXT("refused on purpose")) : SP_RETURN_VERDICT;
}
