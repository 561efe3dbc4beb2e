/* pricing.c: what priceResponse is told, and money. Money is a BigInt of nano-dollars, so that no script can lose a part of
 * it by rounding; a Number is refused wherever money is expected. */
#include <string.h>

#include "guest.h"

/* The names of the dimensions, as a script writes them. */
static const char *const dimension_names[SP_NUM_DIMENSIONS] = {
    [SP_DIMENSION_INPUT] = "input",
    [SP_DIMENSION_OUTPUT] = "output",
    [SP_DIMENSION_CACHE_READ] = "cacheRead",
    [SP_DIMENSION_CACHE_WRITE_5M] = "cacheWrite5m",
    [SP_DIMENSION_CACHE_WRITE_1H] = "cacheWrite1h",
    [SP_DIMENSION_REASONING] = "reasoning",
    [SP_DIMENSION_AUDIO_INPUT] = "audioInput",
    [SP_DIMENSION_AUDIO_OUTPUT] = "audioOutput",
    [SP_DIMENSION_IMAGE] = "image",
    [SP_DIMENSION_REQUESTS] = "requests",
    [SP_DIMENSION_CACHE_READ_AUDIO] = "cacheReadAudio",
    [SP_DIMENSION_IMAGE_OUTPUT] = "imageOutput",
};

/* The same as atoms. A dimension that this guest has no name for is called by its number: it is priced by the same rule. */
static JSAtom dimensions[SP_ROOM];

static int name_dimensions(JSContext *ctx) {
    for (int d = 0; d < SP_ROOM; d++) {
        dimensions[d] = d < SP_NUM_DIMENSIONS ? JS_NewAtom(ctx, dimension_names[d]) : JS_NewAtomUInt32(ctx, (uint32_t)d);
        if (dimensions[d] == JS_ATOM_NULL) return -1;
    }
    return 0;
}

/* The number of a dimension by its name; -1 if there is none. */
static int dimension_of(JSAtom name) {
    for (int d = 0; d < SP_ROOM; d++)
        if (dimensions[d] == name) return d;
    return -1;
}

/* Reads money, or anything else that is counted exactly. -1 with an exception for what is no BigInt or does not fit. */
int money_of(JSContext *ctx, const char *what, JSValueConst value, int64_t *number) {
    if (!JS_IsBigInt(value)) {
        JS_ThrowTypeError(ctx, "%s must be a BigInt, as 5n or sallyport.usd(\"0.25\")", what);
        return -1;
    }
    if (JS_ToBigInt64(ctx, number, value) < 0) return -1;
    JSValue back = JS_NewBigInt64(ctx, *number);
    bool same = JS_IsStrictEqual(ctx, back, value);
    JS_FreeValue(ctx, back);
    if (!same) JS_ThrowRangeError(ctx, "%s does not fit into 64 bits", what);
    return same ? 0 : -1;
}

/* Reads an object by dimension. What it leaves out is 0; a name that is none is an error, because what was meant by it
 * would not be charged. */
int row_of(JSContext *ctx, const char *what, JSValueConst object, int64_t row[SP_ROOM]) {
    memset(row, 0, SP_ROOM * sizeof *row);
    if (!JS_IsObject(object)) {
        JS_ThrowTypeError(ctx, "%s must be an object by dimension, as {input: 5n}", what);
        return -1;
    }
    JSPropertyEnum *properties;
    uint32_t count;
    if (JS_GetOwnPropertyNames(ctx, &properties, &count, object, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY) < 0) return -1;
    int answer = 0;
    for (uint32_t i = 0; i < count && answer == 0; i++) {
        int dimension = dimension_of(properties[i].atom);
        if (dimension < 0) {
            const char *name = JS_AtomToCString(ctx, properties[i].atom);
            JS_ThrowTypeError(ctx, "%s.%s: there is no such dimension", what, name ? name : "");
            JS_FreeCString(ctx, name);
            answer = -1;
            continue;
        }
        JSValue value = JS_GetProperty(ctx, object, properties[i].atom);
        if (JS_IsException(value))
            answer = -1;
        else if (!JS_IsUndefined(value))
            answer = money_of(ctx, what, value, &row[dimension]);
        JS_FreeValue(ctx, value);
    }
    JS_FreePropertyEnum(ctx, properties, count);
    return answer;
}

static JSValue new_row(JSContext *ctx, const int64_t *row, int count) {
    JSValue object = JS_NewObject(ctx);
    for (int d = 0; d < count && !JS_IsException(object); d++)
        if (JS_DefinePropertyValue(ctx, object, dimensions[d], JS_NewBigInt64(ctx, row[d]), JS_PROP_C_W_E) < 0) return JS_EXCEPTION;
    return object;
}

/* The usage and the price row as the host has them; how many dimensions there are, 0 if there is no price. */
static int read_rows(int64_t usage[SP_ROOM], int64_t price[SP_ROOM]) {
    int32_t priced = sp_read_list(SP_FIELD_PRICE, price, SP_ROOM);
    int32_t used = sp_read_list(SP_FIELD_USAGE, usage, SP_ROOM);
    return priced <= 0 || used < 0 ? 0 : used > priced ? used : priced;
}

static JSValue get_list(JSContext *ctx, JSValueConst self, int field) {
    int64_t list[SP_ROOM];
    int32_t count = sp_read_list(field, list, SP_ROOM);
    if (count > 0) return new_row(ctx, list, count);
    int32_t code = sp_get(field, SP_ALL_INDEXES, NULL, 0);
    return code == SP_ABSENT ? JS_UNDEFINED : throw_code(ctx, field == SP_FIELD_PRICE ? "price" : "usage", code);
}

/* pricing.cost and pricing.breakdown: what the price row makes of the usage. */
static JSValue get_cost(JSContext *ctx, JSValueConst self) {
    int64_t usage[SP_ROOM], price[SP_ROOM];
    int count = read_rows(usage, price);
    return count ? JS_NewBigInt64(ctx, sp_cost(usage, price, NULL, count)) : JS_UNDEFINED;
}

static JSValue get_breakdown(JSContext *ctx, JSValueConst self) {
    int64_t usage[SP_ROOM], price[SP_ROOM], breakdown[SP_ROOM];
    int count = read_rows(usage, price);
    if (!count) return JS_UNDEFINED;
    sp_cost(usage, price, breakdown, count);
    return new_row(ctx, breakdown, count);
}

/* sallyport.cost(usage, price) */
JSValue js_cost(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    int64_t usage[SP_ROOM], price[SP_ROOM];
    if (row_of(ctx, "usage", argv[0], usage) < 0 || row_of(ctx, "price", argv[1], price) < 0) return JS_EXCEPTION;
    return JS_NewBigInt64(ctx, sp_cost(usage, price, NULL, SP_ROOM));
}

/* sallyport.usd("0.25"): dollars as decimal text, exactly. */
JSValue js_usd(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    enum { DECIMALS = 9, MAX_DIGITS = 18 };
    if (!JS_IsString(argv[0])) return JS_ThrowTypeError(ctx, "usd takes dollars as text, as usd(\"0.25\")");
    const char *text = JS_ToCString(ctx, argv[0]);
    if (!text) return JS_EXCEPTION;
    const char *at = text;
    bool negative = *at == '-';
    int64_t nano_usd = 0;
    int digits = 0, decimals = -1;
    for (at += negative; (*at >= '0' && *at <= '9') || (*at == '.' && decimals < 0 && digits > 0); at++) {
        if (*at == '.') {
            decimals = 0;
            continue;
        }
        if (digits++ < MAX_DIGITS) nano_usd = nano_usd * 10 + (*at - '0');
        if (decimals >= 0) decimals++;
    }
    bool good = *at == 0 && digits > 0 && decimals != 0 && decimals <= DECIMALS;
    for (int d = decimals < 0 ? 0 : decimals; d < DECIMALS; d++) digits++, nano_usd *= digits <= MAX_DIGITS ? 10 : 1;
    good = good && digits <= MAX_DIGITS;
    JSValue answer = good ? JS_NewBigInt64(ctx, negative ? -nano_usd : nano_usd)
                          : JS_ThrowRangeError(ctx, "usd takes dollars with up to %d decimals, as usd(\"0.25\")", DECIMALS);
    JS_FreeCString(ctx, text);
    return answer;
}

static JSValue get_phase(JSContext *ctx, JSValueConst self) {
    static const char *const names[] = {[SP_PHASE_ESTIMATE] = "estimate", [SP_PHASE_FINAL] = "final"};
    int64_t phase = sp_get_i64(SP_FIELD_PRICE_PHASE, 0);
    return phase <= 0 ? JS_UNDEFINED : name_value(ctx, names, COUNT(names), phase, "final");
}

static const JSCFunctionListEntry pricing_list[] = {
    GETTER("identity", get_identity),
    GETTER("phase", get_phase),
    GETTER_OF("provider", get_text, SP_FIELD_PROVIDER),
    GETTER_OF("providerModel", get_text, SP_FIELD_MODEL),
    GETTER_OF("usage", get_list, SP_FIELD_USAGE),
    GETTER_OF("price", get_list, SP_FIELD_PRICE),
    GETTER("cost", get_cost),
    GETTER("breakdown", get_breakdown),
};

/* The object that priceResponse gets. */
JSValue new_pricing(JSContext *ctx) {
    JSValue pricing = JS_NewObject(ctx);
    if (JS_IsException(pricing) || name_dimensions(ctx) < 0 || add_request_getters(ctx, pricing) < 0 ||
        JS_SetPropertyFunctionList(ctx, pricing, pricing_list, COUNT(pricing_list)) < 0 || JS_FreezeObject(ctx, pricing) < 0)
        return JS_EXCEPTION;
    return pricing;
}
