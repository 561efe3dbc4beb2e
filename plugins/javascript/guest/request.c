/* request.c: what every hook is told of a request, and who it belongs to. */
#include <string.h>

#include "guest.h"

static JSClassID headers_class, identity_class;

static JSValue get_stream(JSContext *ctx, JSValueConst self) {
    return JS_NewBool(ctx, sp_get_i64(SP_FIELD_REQUEST_STREAM, 0) == 1);
}

/* How errors call a header. */
#define HEADER "request.headers."

/* A header is read when its property is. Names are compared as HTTP does, without regard to case. */
static int find_header(JSContext *ctx, JSPropertyDescriptor *found, JSValueConst self, JSAtom property) {
    JSValue key = JS_AtomToValue(ctx, property);
    size_t length = 0;
    const char *asked = JS_IsString(key) ? JS_ToCStringLen(ctx, &length, key) : NULL;
    JS_FreeValue(ctx, key);
    if (!asked) return JS_HasException(ctx) ? -1 : 0; /* a symbol, or a number */
    char what[sizeof HEADER + 256] = HEADER;
    int answer = 0;
    if (length < 256 && strcmp(asked, "toJSON") != 0) { /* that one JSON.stringify asks every object for */
        char *name = what + sizeof HEADER - 1;
        for (size_t i = 0; i < length; i++) name[i] = asked[i] >= 'A' && asked[i] <= 'Z' ? (char)(asked[i] | 0x20) : asked[i];
        JSValue value = header_of(ctx, what, name, length);
        answer = JS_IsException(value) ? -1 : !JS_IsUndefined(value);
        if (answer > 0 && found)
            *found = (JSPropertyDescriptor){JS_PROP_ENUMERABLE | JS_PROP_CONFIGURABLE, value, JS_UNDEFINED, JS_UNDEFINED};
        else
            JS_FreeValue(ctx, value);
    }
    JS_FreeCString(ctx, asked);
    return answer;
}

static JSClassExoticMethods headers_methods = {.get_own_property = find_header};
static const JSClassDef headers_definition = {.class_name = "Headers", .exotic = &headers_methods};

static const JSCFunctionListEntry request_list[] = {
    GETTER_OF("id", get_text, SP_FIELD_REQUEST_ID),
    GETTER_OF("method", get_text, SP_FIELD_REQUEST_METHOD),
    GETTER_OF("path", get_text, SP_FIELD_REQUEST_PATH),
    GETTER_OF("format", get_text, SP_FIELD_REQUEST_FORMAT),
    GETTER_OF("operation", get_text, SP_FIELD_REQUEST_OPERATION),
    GETTER_OF("clientAddress", get_text, SP_FIELD_REQUEST_CLIENT_ADDRESS),
    GETTER_OF("model", get_text, SP_FIELD_REQUEST_MODEL),
    GETTER("stream", get_stream),
};

/* What the objects of all hooks begin with. */
int add_request_getters(JSContext *ctx, JSValueConst object) {
    JSValue headers = JS_NewObjectProtoClass(ctx, JS_NULL, headers_class);
    if (JS_IsException(headers) || JS_SetPropertyFunctionList(ctx, object, request_list, COUNT(request_list)) < 0) return -1;
    return JS_DefinePropertyValueStr(ctx, object, "headers", headers, JS_PROP_ENUMERABLE);
}

/* The identity's fields are the host's: those of the last look-up or, at later hooks, of whom authenticate let in. A key
 * that a script kept does not show them. */
static bool is_current(JSContext *ctx, JSValueConst self) { return number_of_call(ctx, self, identity_class) >= 0; }

static JSValue identity_text(JSContext *ctx, JSValueConst self, int field) {
    return is_current(ctx, self) ? get_text(ctx, self, field) : JS_EXCEPTION;
}

static JSValue identity_state(JSContext *ctx, JSValueConst self) {
    static const char *const names[] = {[SP_KEY_ACTIVE] = "active", [SP_KEY_DISABLED] = "disabled", [SP_KEY_REVOKED] = "revoked"};
    if (!is_current(ctx, self)) return JS_EXCEPTION;
    int64_t state = sp_get_i64(SP_FIELD_IDENTITY_STATE, 0);
    return state == SP_NO_VALUE ? JS_UNDEFINED : name_value(ctx, names, COUNT(names), state, "unknown");
}

static JSValue identity_expires(JSContext *ctx, JSValueConst self) {
    return is_current(ctx, self) ? get_number(ctx, self, SP_FIELD_IDENTITY_EXPIRES) : JS_EXCEPTION;
}

static JSValue identity_expired(JSContext *ctx, JSValueConst self) {
    if (!is_current(ctx, self)) return JS_EXCEPTION;
    int64_t expires = sp_get_i64(SP_FIELD_IDENTITY_EXPIRES, 0);
    return JS_NewBool(ctx, expires != SP_NO_VALUE && sp_now() >= expires);
}

/* Hands each text of a list to a function that adds it to a value, which it returns. */
static JSValue collect(JSContext *ctx, JSValue into, int32_t field, int (*add)(JSContext *, JSValueConst, uint32_t, JSValue)) {
    for (uint32_t i = 0; !JS_IsException(into); i++) {
        JSValue element = text_of(ctx, "identity", field, (int32_t)i);
        if (JS_IsUndefined(element)) break;
        if (JS_IsException(element) || add(ctx, into, i, element) < 0) {
            JS_FreeValue(ctx, into);
            return JS_EXCEPTION;
        }
    }
    return into;
}

static int add_element(JSContext *ctx, JSValueConst list, uint32_t index, JSValue element) {
    return JS_DefinePropertyValueUint32(ctx, list, index, element, JS_PROP_C_W_E);
}

/* A label is "name=value". */
static int add_label(JSContext *ctx, JSValueConst labels, uint32_t index, JSValue label) {
    size_t length;
    const char *text = JS_ToCStringLen(ctx, &length, label);
    JS_FreeValue(ctx, label);
    if (!text) return -1;
    const char *end = memchr(text, '=', length);
    size_t name_length = end ? (size_t)(end - text) : length;
    size_t value_from = end ? name_length + 1 : length;
    JSAtom name = JS_NewAtomLen(ctx, text, name_length);
    int answer = JS_DefinePropertyValue(ctx, labels, name, JS_NewStringLen(ctx, text + value_from, length - value_from), JS_PROP_C_W_E);
    JS_FreeAtom(ctx, name);
    JS_FreeCString(ctx, text);
    return answer;
}

static JSValue identity_models(JSContext *ctx, JSValueConst self) {
    return is_current(ctx, self) ? collect(ctx, JS_NewArray(ctx), SP_FIELD_IDENTITY_MODELS, add_element) : JS_EXCEPTION;
}

static JSValue identity_labels(JSContext *ctx, JSValueConst self) {
    if (!is_current(ctx, self)) return JS_EXCEPTION;
    return collect(ctx, JS_NewObjectProto(ctx, JS_NULL), SP_FIELD_IDENTITY_LABELS, add_label);
}

/* The names of the limits, as a script writes them. */
const char *const limit_names[SP_NUM_LIMITS] = {
    [SP_LIMIT_RPM] = "rpm",
    [SP_LIMIT_RPH] = "rph",
    [SP_LIMIT_RPD] = "rpd",
    [SP_LIMIT_TPM] = "tpm",
    [SP_LIMIT_TPD] = "tpd",
    [SP_LIMIT_INPUT_TPM] = "inputTpm",
    [SP_LIMIT_INPUT_TPD] = "inputTpd",
    [SP_LIMIT_OUTPUT_TPM] = "outputTpm",
    [SP_LIMIT_OUTPUT_TPD] = "outputTpd",
    [SP_LIMIT_CONCURRENT] = "concurrent",
    [SP_LIMIT_MAX_INPUT_TOKENS] = "maxInputTokens",
    [SP_LIMIT_MAX_OUTPUT_TOKENS] = "maxOutputTokens",
};

static JSValue identity_limits(JSContext *ctx, JSValueConst self) {
    int64_t list[SP_ROOM];
    if (!is_current(ctx, self)) return JS_EXCEPTION;
    if (sp_read_list(SP_FIELD_IDENTITY_LIMITS, list, SP_ROOM) < 0) return throw_code(ctx, "identity.limits", SP_BAD_ARGUMENT);
    JSValue limits = JS_NewObject(ctx);
    for (int i = 0; i < SP_NUM_LIMITS && !JS_IsException(limits); i++)
        if (JS_DefinePropertyValueStr(ctx, limits, limit_names[i], JS_NewInt64(ctx, list[i]), JS_PROP_C_W_E) < 0) return JS_EXCEPTION;
    return limits;
}

static const JSCFunctionListEntry identity_list[] = {
    GETTER_OF("keyId", identity_text, SP_FIELD_IDENTITY_KEY_ID),
    GETTER_OF("name", identity_text, SP_FIELD_IDENTITY_NAME),
    GETTER_OF("team", identity_text, SP_FIELD_IDENTITY_TEAM),
    GETTER_OF("defaultModel", identity_text, SP_FIELD_IDENTITY_DEFAULT_MODEL),
    GETTER("state", identity_state),
    GETTER("expires", identity_expires),
    GETTER("expired", identity_expired),
    GETTER("models", identity_models),
    GETTER("labels", identity_labels),
    GETTER("limits", identity_limits),
};

static const JSClassDef identity_definition = {.class_name = "Identity"};

/* choice.identity and pricing.identity. */
JSValue get_identity(JSContext *ctx, JSValueConst self) { return new_of_call(ctx, identity_class, 0); }

/* The handle of a key that was looked up in this call. */
int32_t handle_of(JSContext *ctx, JSValueConst key) {
    if (JS_GetClassID(key) != identity_class) {
        JS_ThrowTypeError(ctx, "allow takes a key that request.lookup() found; allowAs takes an identity of the policy's own");
        return -1;
    }
    return number_of_call(ctx, key, identity_class);
}

/* Whom another policy let in; only a policy with a veto is asked then. */
static JSValue get_allowed(JSContext *ctx, JSValueConst self) {
    return sp_get(SP_FIELD_IDENTITY_KEY_ID, 0, NULL, 0) > 0 ? get_identity(ctx, self) : JS_UNDEFINED;
}

static JSValue get_shape(JSContext *ctx, JSValueConst self) {
    static const char *const names[] = {[SP_CREDENTIAL_NONE] = "none",
                                        [SP_CREDENTIAL_FOREIGN] = "foreign",
                                        [SP_CREDENTIAL_GENERATED] = "generated",
                                        [SP_CREDENTIAL_MISTYPED] = "mistyped"};
    return name_value(ctx, names, COUNT(names), sp_get_i64(SP_FIELD_CREDENTIAL_SHAPE, 0), "foreign");
}

/* Finds the stored key of the request's credential. */
static JSValue js_lookup(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    uint8_t digest[SP_DIGEST_SIZE];
    int32_t n = sp_get(SP_FIELD_CREDENTIAL_DIGEST, 0, digest, sizeof digest);
    if (n == SP_ABSENT) return JS_UNDEFINED;
    int32_t handle = n < 0 ? n : sp_identity_lookup(digest, sizeof digest);
    if (handle == SP_NOT_FOUND) return JS_UNDEFINED;
    return handle > 0 ? new_of_call(ctx, identity_class, handle) : throw_code(ctx, "identity_lookup", handle);
}

/* The raw credential is not enumerable: an object that is logged or copied must not carry it along. */
static const JSCFunctionListEntry authentication_list[] = {
    JS_CGETSET_MAGIC_DEF("credential", get_text, NULL, SP_FIELD_CREDENTIAL),
    GETTER("shape", get_shape),
    GETTER("allowed", get_allowed),
    JS_CFUNC_DEF("lookup", 0, js_lookup),
};

int add_request_classes(JSContext *ctx) {
    if (add_class(ctx, &headers_class, &headers_definition, NULL, 0) < 0) return -1;
    return add_class(ctx, &identity_class, &identity_definition, identity_list, COUNT(identity_list));
}

/* The object that authenticate gets. There is one, which says something else in each call. */
JSValue new_request(JSContext *ctx) {
    JSValue request = JS_NewObject(ctx);
    if (JS_IsException(request) || add_request_getters(ctx, request) < 0 ||
        JS_SetPropertyFunctionList(ctx, request, authentication_list, COUNT(authentication_list)) < 0 ||
        JS_FreezeObject(ctx, request) < 0)
        return JS_EXCEPTION;
    return request;
}
