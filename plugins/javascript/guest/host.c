/* host.c: fields and functions of the host as JavaScript values. */
#include "guest.h"

/* What the host's codes mean to who writes a script. */
static const char *meaning(int32_t code) {
    switch (code) {
    case SP_UNKNOWN_FIELD: return "this gateway does not know it";
    case SP_NOT_GRANTED: return "not granted: see the policy's grants in policies.yaml";
    case SP_BAD_ARGUMENT: return "out of range";
    case SP_WRONG_HOOK: return "belongs to another hook";
    case SP_OVER_QUOTA: return "the quota is used up";
    case SP_NOT_SUPPORTED: return "this gateway does not support it";
    case SP_NOT_FOUND: return "not found";
    case SP_UNAVAILABLE: return "not available just now";
    default: return "refused";
    }
}

/* Throws what the host answered. */
JSValue throw_code(JSContext *ctx, const char *what, int32_t code) {
    return JS_ThrowPlainError(ctx, "%s: %s (code %d)", what, meaning(code), (int)code);
}

/* Most texts fit here; only what is longer costs an allocation. An instance serves one call at a time. */
static char buffer[4096];

/* Turns the answer to a read into what was read: undefined where there is nothing. */
static JSValue text_from(JSContext *ctx, const char *what, int32_t answer, const char *at) {
    if (answer >= 0) return JS_NewStringLen(ctx, at, (size_t)answer);
    return answer == SP_ABSENT ? JS_UNDEFINED : throw_code(ctx, what, answer);
}

/* Where a text comes from: a function, a header, or else a field. */
typedef struct {
    int32_t (*function)(void *buf, uint32_t cap);
    int32_t field, index;
    const char *name;
    size_t name_length;
} source;

static int32_t read_source(const source *from, char *buf, uint32_t cap) {
    if (from->function) return from->function(buf, cap);
    if (from->name) return sp_get_named(SP_FIELD_REQUEST_HEADERS, from->name, (uint32_t)from->name_length, buf, cap);
    return sp_get(from->field, from->index, buf, cap);
}

static JSValue read_text(JSContext *ctx, const char *what, const source *from) {
    int32_t n = read_source(from, buffer, sizeof buffer);
    if (n <= (int32_t)sizeof buffer) return text_from(ctx, what, n, buffer);
    char *large = js_malloc(ctx, (size_t)n);
    if (!large) return JS_EXCEPTION;
    JSValue text = text_from(ctx, what, read_source(from, large, (uint32_t)n), large);
    js_free(ctx, large);
    return text;
}

/* A text, or an element of a list of them. */
JSValue text_of(JSContext *ctx, const char *what, int32_t field, int32_t index) {
    return read_text(ctx, what, &(source){.field = field, .index = index});
}

/* The header of a name. what ends with that name. */
JSValue header_of(JSContext *ctx, const char *what, const char *name, size_t length) {
    return read_text(ctx, what, &(source){.name = name, .name_length = length});
}

/* Everything that a function of the host answers. */
JSValue whole_text(JSContext *ctx, const char *what, int32_t (*read)(void *buf, uint32_t cap)) {
    return read_text(ctx, what, &(source){.function = read});
}

/* Numbers of the contract that are not money stay below 2^53: a Number holds them exactly. */
JSValue number_of(JSContext *ctx, const char *what, int32_t field) {
    int64_t n = sp_get_i64(field, 0);
    if (n != SP_NO_VALUE) return JS_NewInt64(ctx, n);
    int32_t code = sp_get(field, 0, NULL, 0); /* says why there is none */
    return code == SP_ABSENT ? JS_UNDEFINED : throw_code(ctx, what, code);
}

/* The names by which errors call the fields that are read as they stand: those of SPEC.md. */
static const char *field_name(int field) {
    switch (field) {
    case SP_FIELD_REQUEST_ID: return "request.id";
    case SP_FIELD_REQUEST_METHOD: return "request.method";
    case SP_FIELD_REQUEST_PATH: return "request.path";
    case SP_FIELD_REQUEST_FORMAT: return "request.format";
    case SP_FIELD_REQUEST_OPERATION: return "request.operation";
    case SP_FIELD_REQUEST_CLIENT_ADDRESS: return "request.client_address";
    case SP_FIELD_REQUEST_MODEL: return "request.model";
    case SP_FIELD_CREDENTIAL: return "credential";
    case SP_FIELD_IDENTITY_KEY_ID: return "identity.key_id";
    case SP_FIELD_IDENTITY_NAME: return "identity.name";
    case SP_FIELD_IDENTITY_TEAM: return "identity.team";
    case SP_FIELD_IDENTITY_EXPIRES: return "identity.expires";
    case SP_FIELD_IDENTITY_DEFAULT_MODEL: return "identity.default_model";
    case SP_FIELD_CHAIN: return "chain";
    case SP_FIELD_ATTEMPT: return "attempt";
    case SP_FIELD_LAST_STEP: return "last_step";
    case SP_FIELD_STRATEGY: return "strategy";
    case SP_FIELD_AFFINITY: return "affinity";
    case SP_FIELD_PROVIDER: return "provider";
    case SP_FIELD_MODEL: return "model";
    default: return "field";
    }
}

/* Getters of fields that are read as they stand. */
JSValue get_text(JSContext *ctx, JSValueConst self, int field) { return text_of(ctx, field_name(field), field, 0); }
JSValue get_number(JSContext *ctx, JSValueConst self, int field) { return number_of(ctx, field_name(field), field); }

/* What a number of the contract is called. A host may be newer than this guest. */
JSValue name_value(JSContext *ctx, const char *const *names, int count, int64_t number, const char *otherwise) {
    return JS_NewString(ctx, number >= 0 && number < count ? names[number] : otherwise);
}

/* The call that runs, never 0. 24 bits of it go into an object, beside a number of 8 bits. */
static uint32_t call = 1;

void begin_call(void) { call = call == 0xffffff ? 1 : call + 1; }

JSValue new_of_call(JSContext *ctx, JSClassID class, int32_t number) {
    JSValue object = JS_NewObjectClass(ctx, (int)class);
    if (!JS_IsException(object)) JS_SetOpaque(object, (void *)(uintptr_t)(call << 8 | (uint32_t)number));
    return object;
}

/* The number of an object of this call; -1 and an exception for any other. What a script kept of an earlier call would
 * otherwise speak of another request. */
int32_t number_of_call(JSContext *ctx, JSValueConst object, JSClassID class) {
    uint32_t of = (uint32_t)(uintptr_t)JS_GetOpaque(object, class);
    if (of >> 8 == call) return (int32_t)(of & 0xff);
    JS_ThrowTypeError(ctx, of == 0 ? "not an object of the gateway" : "an object of an earlier call");
    return -1;
}

int add_class(JSContext *ctx, JSClassID *class, const JSClassDef *definition, const JSCFunctionListEntry *list, int count) {
    JS_NewClassID(JS_GetRuntime(ctx), class);
    if (JS_NewClass(JS_GetRuntime(ctx), *class, definition) < 0) return -1;
    JSValue prototype = JS_NewObject(ctx);
    if (JS_IsException(prototype) || JS_SetPropertyFunctionList(ctx, prototype, list, count) < 0) return -1;
    JS_SetClassProto(ctx, *class, prototype);
    return 0;
}
