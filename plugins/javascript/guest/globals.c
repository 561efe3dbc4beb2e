/* globals.c: the globals `sallyport` and `console`, and Math.random. */
#include <string.h>

#include "guest.h"

/* Room for the text of a log line, a little more than the host keeps of one. */
enum { MAX_LINE = 1100 };

/* A BigInt in what is logged, which JSON has no form for: as text. */
static JSValue js_readable(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    return JS_IsBigInt(argv[1]) ? JS_ToString(ctx, argv[1]) : JS_DupValue(ctx, argv[1]);
}

/* A value as it is logged: objects as JSON, if they have such a form; errors and functions as text. */
static JSValue readable(JSContext *ctx, JSValueConst value) {
    if (JS_IsObject(value) && !JS_IsError(value) && !JS_IsFunction(ctx, value)) {
        JSValue replacer = JS_NewCFunction(ctx, js_readable, "", 2);
        JSValue json = JS_JSONStringify(ctx, value, replacer, JS_UNDEFINED);
        JS_FreeValue(ctx, replacer);
        if (JS_IsString(json)) return json;
        JS_FreeValue(ctx, JS_IsException(json) ? JS_GetException(ctx) : json);
    }
    return JS_ToString(ctx, value);
}

/* console.log(…) and the others: their arguments as one line of the gateway's log. */
static JSValue js_console(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv, int level) {
    char line[MAX_LINE];
    size_t used = 0;
    for (int i = 0; i < argc; i++) {
        JSValue value = readable(ctx, argv[i]);
        size_t length;
        const char *text = JS_IsException(value) ? NULL : JS_ToCStringLen(ctx, &length, value);
        JS_FreeValue(ctx, value);
        if (!text) return JS_EXCEPTION;
        if (i > 0 && used < sizeof line) line[used++] = ' ';
        if (length > sizeof line - used) length = sizeof line - used;
        memcpy(line + used, text, length);
        used += length;
        JS_FreeCString(ctx, text);
    }
    sp_log(level, line, (uint32_t)used); /* lines beyond the quota are dropped */
    return JS_UNDEFINED;
}

/* sallyport.log("warn", line) */
static JSValue js_log(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    static const char *const names[] = {
        [SP_LOG_DEBUG] = "debug", [SP_LOG_INFO] = "info", [SP_LOG_WARN] = "warn", [SP_LOG_ERROR] = "error"};
    const char *name = JS_ToCString(ctx, argv[0]);
    if (!name) return JS_EXCEPTION;
    int level = 0;
    while (level < COUNT(names) && strcmp(name, names[level]) != 0) level++;
    JS_FreeCString(ctx, name);
    if (level == COUNT(names)) return JS_ThrowTypeError(ctx, "the level of a log line must be debug, info, warn or error");
    return js_console(ctx, self, 1, argv + 1, level);
}

static JSValue js_now(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) { return JS_NewInt64(ctx, sp_now()); }

/* sallyport.random(16): so many random bytes. */
static JSValue js_random(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    enum { MOST = 4096 };
    uint8_t bytes[MOST];
    int32_t count;
    if (JS_ToInt32(ctx, &count, argv[0]) < 0) return JS_EXCEPTION;
    int32_t code = count < 0 || count > MOST ? SP_BAD_ARGUMENT : sp_random(bytes, (uint32_t)count);
    return code == SP_OK ? JS_NewUint8ArrayCopy(ctx, bytes, (size_t)count) : throw_code(ctx, "random", code);
}

/* Math.random, from the host's randomness: the engine's own begins with the time, which two instances may share and a
 * state that is restored repeats. */
static JSValue js_math_random(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    uint64_t bits;
    int32_t code = sp_random(&bits, sizeof bits);
    return code == SP_OK ? JS_NewFloat64(ctx, (double)(bits >> 11) * 0x1p-53) : throw_code(ctx, "random", code);
}

static const JSCFunctionListEntry sallyport_list[] = {
    JS_CFUNC_DEF("log", 2, js_log),   JS_CFUNC_DEF("now", 0, js_now), JS_CFUNC_DEF("random", 1, js_random),
    JS_CFUNC_DEF("cost", 2, js_cost), JS_CFUNC_DEF("usd", 1, js_usd),
};

static const JSCFunctionListEntry console_list[] = {
    JS_CFUNC_MAGIC_DEF("debug", 1, js_console, SP_LOG_DEBUG), JS_CFUNC_MAGIC_DEF("log", 1, js_console, SP_LOG_INFO),
    JS_CFUNC_MAGIC_DEF("info", 1, js_console, SP_LOG_INFO),   JS_CFUNC_MAGIC_DEF("warn", 1, js_console, SP_LOG_WARN),
    JS_CFUNC_MAGIC_DEF("error", 1, js_console, SP_LOG_ERROR),
};

/* sallyport.config is what stands under `config:` in policies.yaml; undefined if nothing does. */
static JSValue read_config(JSContext *ctx) {
    JSValue text = whole_text(ctx, "config", sp_config);
    if (!JS_IsString(text)) return text;
    size_t length;
    const char *json = JS_ToCStringLen(ctx, &length, text);
    JS_FreeValue(ctx, text);
    if (!json) return JS_EXCEPTION;
    JSValue config = JS_ParseJSON(ctx, json, length, "config");
    JS_FreeCString(ctx, json);
    return config;
}

static int add_sallyport(JSContext *ctx, JSValueConst global) {
    JSValue sallyport = JS_NewObject(ctx);
    if (JS_IsException(sallyport) || add_verdicts(ctx, sallyport) < 0 || add_kv(ctx, sallyport) < 0 ||
        JS_SetPropertyFunctionList(ctx, sallyport, sallyport_list, COUNT(sallyport_list)) < 0)
        return -1;
    JSValue config = read_config(ctx);
    if (JS_IsException(config) || JS_DefinePropertyValueStr(ctx, sallyport, "config", config, JS_PROP_ENUMERABLE) < 0) return -1;
    if (JS_FreezeObject(ctx, sallyport) < 0) return -1;
    return JS_DefinePropertyValueStr(ctx, global, "sallyport", sallyport, 0);
}

int add_globals(JSContext *ctx) {
    JSValue global = JS_GetGlobalObject(ctx), math = JS_GetPropertyStr(ctx, global, "Math"), console = JS_NewObject(ctx);
    int answer = add_sallyport(ctx, global);
    if (answer >= 0) {
        JSValue random = JS_NewCFunction(ctx, js_math_random, "random", 0);
        answer = JS_DefinePropertyValueStr(ctx, math, "random", random, JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
    }
    if (answer >= 0) answer = JS_SetPropertyFunctionList(ctx, console, console_list, COUNT(console_list));
    if (answer >= 0) answer = JS_DefinePropertyValueStr(ctx, global, "console", console, JS_PROP_C_W_E);
    JS_FreeValue(ctx, math);
    JS_FreeValue(ctx, global);
    return answer;
}
