/* kv.c: what the gateway keeps for the policy, in sallyport.kv, and sallyport.digest and sallyport.metric. */
#include <string.h>

#include "guest.h"

/* A text argument while it is in use. */
typedef struct {
    const char *at;
    size_t length;
} text;

static bool take(JSContext *ctx, JSValueConst value, const char *what, text *t) {
    t->at = NULL;
    if (JS_IsString(value))
        t->at = JS_ToCStringLen(ctx, &t->length, value);
    else
        JS_ThrowTypeError(ctx, "%s must be a text", what);
    return t->at != NULL;
}

static void give(JSContext *ctx, text t) { JS_FreeCString(ctx, t.at); }

/* A whole number, as Number or BigInt; otherwise is for one that is left out. */
static bool number(JSContext *ctx, const char *what, JSValueConst value, int64_t otherwise, int64_t *n) {
    double d;
    *n = otherwise;
    if (JS_IsUndefined(value)) return true;
    if (JS_IsBigInt(value)) return money_of(ctx, what, value, n) == 0;
    if (JS_IsNumber(value) && JS_ToFloat64(ctx, &d, value) == 0 && d >= -0x1p53 && d <= 0x1p53 && d == (double)(int64_t)d) {
        *n = (int64_t)d;
        return true;
    }
    JS_ThrowTypeError(ctx, "%s must be a whole number", what);
    return false;
}

/* A count in the form that the script uses. */
static JSValue count_as(JSContext *ctx, bool big, int64_t n) { return big ? JS_NewBigInt64(ctx, n) : JS_NewInt64(ctx, n); }

static JSValue outcome(JSContext *ctx, const char *what, int32_t code) {
    return code >= 0 ? JS_UNDEFINED : throw_code(ctx, what, code);
}

/* kv.get(key): undefined if there is nothing. */
static JSValue js_get(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    char small[1024], *buffer = small;
    text key;
    if (!take(ctx, argv[0], "the key", &key)) return JS_EXCEPTION;
    int32_t n = sp_kv_get(key.at, (uint32_t)key.length, small, sizeof small), room = sizeof small;
    while (n > room) { /* again, if it has grown meanwhile */
        char *large = js_realloc(ctx, buffer == small ? NULL : buffer, (size_t)n);
        if (!large) break;
        buffer = large, room = n;
        n = sp_kv_get(key.at, (uint32_t)key.length, buffer, (uint32_t)room);
    }
    give(ctx, key);
    JSValue value = JS_UNDEFINED;
    if (n > room)
        value = JS_EXCEPTION;
    else if (n >= 0)
        value = JS_NewStringLen(ctx, buffer, (size_t)n);
    else if (n != SP_NOT_FOUND && n != SP_ABSENT)
        value = throw_code(ctx, "kv_get", n);
    if (buffer != small) js_free(ctx, buffer);
    return value;
}

/* kv.version(key): 0n if there is nothing. */
static JSValue js_version(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    text key;
    if (!take(ctx, argv[0], "the key", &key)) return JS_EXCEPTION;
    int64_t version = sp_kv_version(key.at, (uint32_t)key.length);
    give(ctx, key);
    if (version == SP_NO_VALUE) version = 0;
    return version >= 0 ? JS_NewBigInt64(ctx, version) : throw_code(ctx, "kv_version", (int32_t)version);
}

/* kv.set(key, value, ttlMs) */
static JSValue js_set(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    text key, value;
    int64_t ttl;
    if (!number(ctx, "ttlMs", argv[2], 0, &ttl) || !take(ctx, argv[0], "the key", &key)) return JS_EXCEPTION;
    bool good = take(ctx, argv[1], "the value", &value);
    int32_t code = good ? sp_kv_set(key.at, (uint32_t)key.length, value.at, (uint32_t)value.length, ttl) : 0;
    give(ctx, key);
    give(ctx, value);
    return good ? outcome(ctx, "kv_set", code) : JS_EXCEPTION;
}

/* kv.delete(key): whether there was something. */
static JSValue js_delete(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    text key;
    if (!take(ctx, argv[0], "the key", &key)) return JS_EXCEPTION;
    int32_t code = sp_kv_delete(key.at, (uint32_t)key.length);
    give(ctx, key);
    return code >= 0 || code == SP_NOT_FOUND ? JS_NewBool(ctx, code >= 0) : throw_code(ctx, "kv_delete", code);
}

/* kv.cas(key, version, value, ttlMs): the new version; undefined if the key has another version by now. */
static JSValue js_cas(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    text key, value;
    int64_t version, ttl;
    if (!number(ctx, "the version", argv[1], 0, &version) || !number(ctx, "ttlMs", argv[3], 0, &ttl)) return JS_EXCEPTION;
    if (!take(ctx, argv[0], "the key", &key)) return JS_EXCEPTION;
    bool good = take(ctx, argv[2], "the value", &value);
    int64_t made = good ? sp_kv_cas(key.at, (uint32_t)key.length, version, value.at, (uint32_t)value.length, ttl) : 0;
    give(ctx, key);
    give(ctx, value);
    if (!good) return JS_EXCEPTION;
    if (made == SP_CONFLICT || made == SP_NOT_FOUND) return JS_UNDEFINED;
    return made >= 0 ? JS_NewBigInt64(ctx, made) : throw_code(ctx, "kv_cas", (int32_t)made);
}

static bool option(JSContext *ctx, JSValueConst options, const char *name, int64_t otherwise, int64_t *n) {
    JSValue value = JS_IsObject(options) ? JS_GetPropertyStr(ctx, options, name) : JS_UNDEFINED;
    bool good = !JS_IsException(value) && number(ctx, name, value, otherwise, n);
    JS_FreeValue(ctx, value);
    return good;
}

/* kv.incr(key, delta, {floor, ceiling, ttlMs}): {applied, value} */
static JSValue js_incr(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    text key;
    int64_t delta, floor, ceiling, ttl, value = 0;
    if (!number(ctx, "delta", argv[1], 1, &delta) || !option(ctx, argv[2], "floor", INT64_MIN, &floor) ||
        !option(ctx, argv[2], "ceiling", INT64_MAX, &ceiling) || !option(ctx, argv[2], "ttlMs", 0, &ttl) ||
        !take(ctx, argv[0], "the key", &key))
        return JS_EXCEPTION;
    int32_t applied = sp_kv_incr(key.at, (uint32_t)key.length, delta, floor, ceiling, ttl, &value);
    give(ctx, key);
    if (applied < 0) return throw_code(ctx, "kv_incr", applied);
    JSValue answer = JS_NewObject(ctx);
    JS_DefinePropertyValueStr(ctx, answer, "applied", JS_NewBool(ctx, applied == 1), JS_PROP_C_W_E);
    JS_DefinePropertyValueStr(ctx, answer, "value", count_as(ctx, JS_IsBigInt(argv[1]), value), JS_PROP_C_W_E);
    return answer;
}

/* kv.windowAdd(key, n, limit, windowMs): {allowed, used, resetMs} */
static JSValue js_window_add(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    text key;
    int64_t n, limit, window, out[2] = {0, 0};
    if (!number(ctx, "n", argv[1], 1, &n) || !number(ctx, "limit", argv[2], 0, &limit) ||
        !number(ctx, "windowMs", argv[3], 0, &window) || !take(ctx, argv[0], "the key", &key))
        return JS_EXCEPTION;
    int32_t allowed = sp_kv_window_add(key.at, (uint32_t)key.length, n, limit, window, out);
    give(ctx, key);
    if (allowed < 0) return throw_code(ctx, "kv_window_add", allowed);
    JSValue answer = JS_NewObject(ctx);
    JS_DefinePropertyValueStr(ctx, answer, "allowed", JS_NewBool(ctx, allowed == 1), JS_PROP_C_W_E);
    JS_DefinePropertyValueStr(ctx, answer, "used", count_as(ctx, JS_IsBigInt(argv[1]), out[0]), JS_PROP_C_W_E);
    JS_DefinePropertyValueStr(ctx, answer, "resetMs", JS_NewInt64(ctx, out[1]), JS_PROP_C_W_E);
    return answer;
}

/* kv.keys(prefix): all of them, in the order of their bytes. */
static JSValue js_keys(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    char room[4096], cursor[1024];
    uint32_t cursor_length = 0, count = 0, length;
    text prefix = {"", 0};
    if (!JS_IsUndefined(argv[0]) && !take(ctx, argv[0], "the prefix", &prefix)) return JS_EXCEPTION;
    JSValue list = JS_NewArray(ctx);
    int32_t n = 0;
    while (!JS_IsException(list) && (n = sp_kv_list(prefix.at, (uint32_t)prefix.length, cursor, cursor_length, room, sizeof room)) > 0) {
        if (n > (int32_t)sizeof room) n = SP_BAD_ARGUMENT; /* keys are far shorter */
        for (int32_t at = 0; at + 4 <= n; at += 4 + (int32_t)length) {
            memcpy(&length, room + at, sizeof length);
            JSValue key = JS_NewStringLen(ctx, room + at + 4, length);
            if (JS_IsException(key) || JS_DefinePropertyValueUint32(ctx, list, count++, key, JS_PROP_C_W_E) < 0) n = SP_OVER_QUOTA;
            cursor_length = length < sizeof cursor ? length : sizeof cursor;
            memcpy(cursor, room + at + 4, cursor_length);
        }
        if (n < 0) break;
    }
    if (!JS_IsUndefined(argv[0])) give(ctx, prefix);
    if (n >= 0 || JS_IsException(list)) return list;
    JS_FreeValue(ctx, list);
    return JS_HasException(ctx) ? JS_EXCEPTION : throw_code(ctx, "kv_list", n);
}

/* sallyport.digest(text or bytes): 32 bytes of SHA-256. */
static JSValue js_digest(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    uint8_t digest[32];
    size_t length;
    text t = {NULL, 0};
    const uint8_t *bytes = JS_IsString(argv[0]) ? NULL : JS_GetUint8Array(ctx, &length, argv[0]);
    if (JS_IsString(argv[0]) && take(ctx, argv[0], "", &t)) bytes = (const uint8_t *)t.at, length = t.length;
    if (!bytes) return JS_EXCEPTION;
    int32_t code = sp_digest(bytes, (uint32_t)length, digest);
    if (t.at) give(ctx, t);
    return code == SP_OK ? JS_NewUint8ArrayCopy(ctx, digest, sizeof digest) : throw_code(ctx, "digest", code);
}

/* sallyport.metric(name, value): counts for the operator's metrics. */
static JSValue js_metric(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    text name;
    int64_t value;
    if (!number(ctx, "the value", argv[1], 1, &value) || !take(ctx, argv[0], "the name", &name)) return JS_EXCEPTION;
    int32_t code = sp_metric(name.at, (uint32_t)name.length, value);
    give(ctx, name);
    return outcome(ctx, "metric", code);
}

static const JSCFunctionListEntry kv_list[] = {
    JS_CFUNC_DEF("get", 1, js_get),       JS_CFUNC_DEF("version", 1, js_version), JS_CFUNC_DEF("set", 3, js_set),
    JS_CFUNC_DEF("delete", 1, js_delete), JS_CFUNC_DEF("cas", 4, js_cas),         JS_CFUNC_DEF("incr", 3, js_incr),
    JS_CFUNC_DEF("windowAdd", 4, js_window_add), JS_CFUNC_DEF("keys", 1, js_keys),
};

static const JSCFunctionListEntry list[] = {JS_CFUNC_DEF("digest", 1, js_digest), JS_CFUNC_DEF("metric", 2, js_metric)};

int add_kv(JSContext *ctx, JSValueConst sallyport) {
    JSValue kv = JS_NewObject(ctx);
    if (JS_IsException(kv) || JS_SetPropertyFunctionList(ctx, kv, kv_list, COUNT(kv_list)) < 0 || JS_FreezeObject(ctx, kv) < 0) return -1;
    if (JS_DefinePropertyValueStr(ctx, sallyport, "kv", kv, JS_PROP_ENUMERABLE) < 0) return -1;
    return JS_SetPropertyFunctionList(ctx, sallyport, list, COUNT(list));
}
