/* identity.c: writing an identity of the policy's own to the host. Every member that a script gives is either written or an
 * error: `limit` in place of `limits` must not let somebody in without any. */
#include <string.h>

#include "guest.h"

static bool write_text(JSContext *ctx, const char *output, int32_t field, int32_t index, JSValueConst value) {
    if (!JS_IsString(value)) {
        JS_ThrowTypeError(ctx, "setting %s: it must be a text", output);
        return false;
    }
    size_t length;
    const char *text = JS_ToCStringLen(ctx, &length, value);
    if (!text) return false;
    int32_t code = sp_set(field, index, text, (uint32_t)length);
    JS_FreeCString(ctx, text);
    return !refused(ctx, output, code);
}

static bool whole_number(JSContext *ctx, const char *output, JSValueConst value, int64_t *number) {
    double n = 0;
    if (JS_ToFloat64(ctx, &n, value) < 0) return false;
    if ((JS_IsNumber(value) || JS_IsDate(value)) && n >= -9007199254740991.0 && n <= 9007199254740991.0 && n == (double)(int64_t)n) {
        *number = (int64_t)n;
        return true;
    }
    JS_ThrowTypeError(ctx, "setting %s: it must be a whole number", output);
    return false;
}

/* Calls a function for each member of an object, or element of an array, until one fails. */
typedef bool visit(JSContext *ctx, int32_t index, const char *name, JSValueConst value);

static bool for_each(JSContext *ctx, const char *output, JSValueConst object, visit *f) {
    JSPropertyEnum *properties;
    uint32_t count;
    if (!JS_IsObject(object)) {
        JS_ThrowTypeError(ctx, "setting %s: it must be an object", output);
        return false;
    }
    if (JS_GetOwnPropertyNames(ctx, &properties, &count, object, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY) < 0) return false;
    bool good = true;
    for (uint32_t i = 0; i < count && good; i++) {
        const char *name = JS_AtomToCString(ctx, properties[i].atom);
        JSValue value = JS_GetProperty(ctx, object, properties[i].atom);
        good = name && !JS_IsException(value) && (JS_IsUndefined(value) || f(ctx, (int32_t)i, name, value));
        JS_FreeCString(ctx, name);
        JS_FreeValue(ctx, value);
    }
    JS_FreePropertyEnum(ctx, properties, count);
    return good;
}

static bool unknown(JSContext *ctx, const char *output, const char *name) {
    JS_ThrowTypeError(ctx, "setting %s: there is no %s", output, name);
    return false;
}

static bool write_model(JSContext *ctx, int32_t index, const char *name, JSValueConst model) {
    return write_text(ctx, "allow.models", SP_FIELD_ALLOW_MODELS, index, model);
}

/* A label is written as "name=value". */
static bool write_label(JSContext *ctx, int32_t index, const char *name, JSValueConst value) {
    char label[512];
    size_t name_length = strlen(name), length;
    if (!JS_IsString(value)) {
        JS_ThrowTypeError(ctx, "setting allow.labels: %s must be a text", name);
        return false;
    }
    const char *text = JS_ToCStringLen(ctx, &length, value);
    if (!text) return false;
    int32_t code = SP_BAD_ARGUMENT;
    if (name_length + 1 + length <= sizeof label && !strchr(name, '=')) {
        memcpy(label, name, name_length);
        label[name_length] = '=';
        memcpy(label + name_length + 1, text, length);
        code = sp_set(SP_FIELD_ALLOW_LABELS, index, label, (uint32_t)(name_length + 1 + length));
    }
    JS_FreeCString(ctx, text);
    return !refused(ctx, "allow.labels", code);
}

static bool write_limit(JSContext *ctx, int32_t index, const char *name, JSValueConst value) {
    int64_t most;
    for (int32_t limit = 0; limit < SP_NUM_LIMITS; limit++) {
        if (strcmp(name, limit_names[limit]) != 0) continue;
        if (!whole_number(ctx, "allow.limits", value, &most)) return false;
        /* an older host knows fewer limits: one that is not set is not written */
        return most == 0 || !refused(ctx, "allow.limits", sp_set_i64(SP_FIELD_ALLOW_LIMITS, limit, most));
    }
    return unknown(ctx, "allow.limits", name);
}

static bool write_amount(JSContext *ctx, int32_t budget, JSValueConst amount) {
    int64_t nano_usd;
    if (money_of(ctx, "setting allow.budget_amount: it", amount, &nano_usd) < 0) return false;
    return !refused(ctx, "allow.budget_amount", sp_set_i64(SP_FIELD_ALLOW_BUDGET_AMOUNT, budget, nano_usd));
}

static bool write_period(JSContext *ctx, int32_t budget, JSValueConst per) {
    static const char *const names[] = {
        [SP_PERIOD_DAY] = "day", [SP_PERIOD_WEEK] = "week", [SP_PERIOD_MONTH] = "month", [SP_PERIOD_TOTAL] = "total"};
    const char *name = JS_ToCString(ctx, per);
    if (!name) return false;
    int period = 0;
    while (period < COUNT(names) && strcmp(name, names[period]) != 0) period++;
    JS_FreeCString(ctx, name);
    if (period == COUNT(names)) JS_ThrowTypeError(ctx, "setting allow.budget_period: it must be day, week, month or total");
    return period < COUNT(names) && !refused(ctx, "allow.budget_period", sp_set_i64(SP_FIELD_ALLOW_BUDGET_PERIOD, budget, period));
}

/* The budget that is being written, and whether it has what every budget needs. */
static int32_t budget_index;
static bool has_amount;

static bool write_budget_member(JSContext *ctx, int32_t index, const char *name, JSValueConst value) {
    if (strcmp(name, "amount") == 0) return has_amount = write_amount(ctx, budget_index, value);
    if (strcmp(name, "per") == 0) return write_period(ctx, budget_index, value);
    if (strcmp(name, "timezone") == 0)
        return write_text(ctx, "allow.budget_timezone", SP_FIELD_ALLOW_BUDGET_TIMEZONE, budget_index, value);
    return unknown(ctx, "a budget of allowAs", name);
}

/* Lists have no gaps: what a budget leaves to the default is spelt out first. */
static bool write_budget(JSContext *ctx, int32_t index, const char *name, JSValueConst budget) {
    budget_index = index;
    has_amount = false;
    if (refused(ctx, "allow.budget_period", sp_set_i64(SP_FIELD_ALLOW_BUDGET_PERIOD, index, SP_PERIOD_DAY)) ||
        refused(ctx, "allow.budget_timezone", sp_set(SP_FIELD_ALLOW_BUDGET_TIMEZONE, index, "UTC", 3)) ||
        !for_each(ctx, "a budget of allowAs", budget, write_budget_member))
        return false;
    if (!has_amount) JS_ThrowTypeError(ctx, "setting allow.budget_amount: a budget has no amount");
    return has_amount;
}

static bool write_expires(JSContext *ctx, JSValueConst value) {
    int64_t at;
    return whole_number(ctx, "allow.expires", value, &at) && !refused(ctx, "allow.expires", sp_set_i64(SP_FIELD_ALLOW_EXPIRES, 0, at));
}

static bool write_member(JSContext *ctx, int32_t index, const char *name, JSValueConst value) {
    static const struct { const char *name, *output; int32_t field; } texts[] = {
        {"id", "allow.id", SP_FIELD_ALLOW_ID},
        {"name", "allow.name", SP_FIELD_ALLOW_NAME},
        {"team", "allow.team", SP_FIELD_ALLOW_TEAM},
        {"defaultModel", "allow.default_model", SP_FIELD_ALLOW_DEFAULT_MODEL},
    };
    static const struct { const char *name, *output; visit *write; } lists[] = {
        {"models", "allow.models", write_model},
        {"labels", "allow.labels", write_label},
        {"limits", "allow.limits", write_limit},
        {"budgets", "allow.budgets", write_budget},
    };
    for (int i = 0; i < COUNT(texts); i++)
        if (strcmp(name, texts[i].name) == 0) return write_text(ctx, texts[i].output, texts[i].field, 0, value);
    for (int i = 0; i < COUNT(lists); i++)
        if (strcmp(name, lists[i].name) == 0) return for_each(ctx, lists[i].output, value, lists[i].write);
    return strcmp(name, "expires") == 0 ? write_expires(ctx, value) : unknown(ctx, "an identity by allowAs", name);
}

/* allowAs({id: "u1", …}) */
bool write_identity(JSContext *ctx, JSValueConst who) { return for_each(ctx, "an identity by allowAs", who, write_member); }
