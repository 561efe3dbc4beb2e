/* choice.c: what chooseStep is told. */
#include "guest.h"

static JSClassID step_class;

/* The steps of the running call. They are made when the script first asks for them, and stay the same then. */
static JSValue steps = JS_UNDEFINED;

void forget_steps(JSContext *ctx) {
    JS_FreeValue(ctx, steps);
    steps = JS_UNDEFINED;
}

static JSValue step_text(JSContext *ctx, JSValueConst self, int field) {
    int32_t index = number_of_call(ctx, self, step_class);
    return index < 0 ? JS_EXCEPTION : text_of(ctx, "step", field, index);
}

static JSValue step_number(JSContext *ctx, JSValueConst self, int field) {
    int32_t index = number_of_call(ctx, self, step_class);
    return index < 0 ? JS_EXCEPTION : JS_NewInt64(ctx, sp_get_i64(field, index));
}

/* A number for which the contract has another one where it is not known. */
static JSValue known_number(JSContext *ctx, JSValueConst self, int field) {
    int32_t index = number_of_call(ctx, self, step_class);
    if (index < 0) return JS_EXCEPTION;
    int64_t n = sp_get_i64(field, index);
    return n <= 0 ? JS_UNDEFINED : JS_NewInt64(ctx, n);
}

static JSValue step_price(JSContext *ctx, JSValueConst self, int field) {
    int32_t index = number_of_call(ctx, self, step_class);
    if (index < 0) return JS_EXCEPTION;
    int64_t price = sp_get_i64(field, index);
    return price < 0 ? JS_UNDEFINED : JS_NewBigInt64(ctx, price);
}

static JSValue step_available(JSContext *ctx, JSValueConst self) {
    int32_t index = number_of_call(ctx, self, step_class);
    return index < 0 ? JS_EXCEPTION : JS_NewBool(ctx, sp_get_i64(SP_FIELD_STEP_AVAILABLE, index) == 1);
}

static JSValue step_health(JSContext *ctx, JSValueConst self) {
    static const char *const names[] = {
        [SP_HEALTH_HEALTHY] = "healthy", [SP_HEALTH_PROBING] = "probing", [SP_HEALTH_OPEN] = "open",
        [SP_HEALTH_PARKED] = "parked",   [SP_HEALTH_REFUSED] = "refused", [SP_HEALTH_DRAINED] = "drained",
        [SP_HEALTH_FULL] = "full"};
    int32_t index = number_of_call(ctx, self, step_class);
    return index < 0 ? JS_EXCEPTION : name_value(ctx, names, COUNT(names), sp_get_i64(SP_FIELD_STEP_HEALTH, index), "unknown");
}

static JSValue step_index(JSContext *ctx, JSValueConst self) {
    int32_t index = number_of_call(ctx, self, step_class);
    return index < 0 ? JS_EXCEPTION : JS_NewInt32(ctx, index);
}

static const JSCFunctionListEntry step_list[] = {
    GETTER("index", step_index),
    GETTER_OF("model", step_text, SP_FIELD_STEP_MODEL),
    GETTER_OF("provider", step_text, SP_FIELD_STEP_PROVIDER),
    GETTER_OF("priority", step_number, SP_FIELD_STEP_PRIORITY),
    GETTER_OF("weight", step_number, SP_FIELD_STEP_WEIGHT),
    GETTER_OF("tries", step_number, SP_FIELD_STEP_TRIES),
    GETTER("available", step_available),
    GETTER("health", step_health),
    GETTER_OF("cooldown", step_number, SP_FIELD_STEP_COOLDOWN),
    GETTER_OF("latency", known_number, SP_FIELD_STEP_LATENCY),
    GETTER_OF("active", step_number, SP_FIELD_STEP_ACTIVE),
    GETTER_OF("inputPrice", step_price, SP_FIELD_STEP_PRICE_INPUT),
    GETTER_OF("outputPrice", step_price, SP_FIELD_STEP_PRICE_OUTPUT),
    GETTER_OF("context", known_number, SP_FIELD_STEP_CONTEXT),
};

static const JSClassDef step_definition = {.class_name = "Step"};

bool is_step(JSValueConst value) { return JS_GetClassID(value) == step_class; }

int32_t index_of_step(JSContext *ctx, JSValueConst step) { return number_of_call(ctx, step, step_class); }

/* How many steps an object's 8 bits can tell apart. */
#define MAX_STEPS 256

static JSValue get_steps(JSContext *ctx, JSValueConst self) {
    if (!JS_IsUndefined(steps)) return JS_DupValue(ctx, steps);
    int64_t count = sp_get_i64(SP_FIELD_STEP_COUNT, 0);
    if (count < 0) return throw_code(ctx, "step.count", SP_WRONG_HOOK);
    JSValue list = JS_NewArray(ctx);
    for (int32_t i = 0; i < count && i < MAX_STEPS && !JS_IsException(list); i++) {
        JSValue step = new_of_call(ctx, step_class, i);
        if (JS_IsException(step) || JS_DefinePropertyValueUint32(ctx, list, (uint32_t)i, step, JS_PROP_C_W_E) < 0) {
            JS_FreeValue(ctx, list);
            return JS_EXCEPTION;
        }
    }
    steps = list;
    return JS_DupValue(ctx, list);
}

static JSValue get_last_error(JSContext *ctx, JSValueConst self) {
    static const char *const names[] = {
        [SP_ERROR_NONE] = "none",
        [SP_ERROR_NOT_SENT] = "notSent",
        [SP_ERROR_TRANSIENT] = "transient",
        [SP_ERROR_AMBIGUOUS] = "ambiguous",
        [SP_ERROR_REJECTED] = "rejected",
        [SP_ERROR_BAD_CREDENTIAL] = "badCredential",
        [SP_ERROR_RATE_LIMITED] = "rateLimited",
        [SP_ERROR_CONTEXT_LENGTH] = "contextLength",
        [SP_ERROR_MODEL_NOT_FOUND] = "modelNotFound",
        [SP_ERROR_CONTENT_POLICY] = "contentPolicy",
    };
    return name_value(ctx, names, COUNT(names), sp_get_i64(SP_FIELD_LAST_ERROR, 0), "transient");
}

static const JSCFunctionListEntry choice_list[] = {
    GETTER("identity", get_identity),
    GETTER_OF("chain", get_text, SP_FIELD_CHAIN),
    GETTER("steps", get_steps),
    GETTER_OF("attempt", get_number, SP_FIELD_ATTEMPT),
    GETTER("lastError", get_last_error),
    GETTER_OF("lastStep", get_number, SP_FIELD_LAST_STEP),
    GETTER_OF("strategy", get_text, SP_FIELD_STRATEGY),
    GETTER_OF("affinity", get_number, SP_FIELD_AFFINITY),
};

int add_choice_classes(JSContext *ctx) { return add_class(ctx, &step_class, &step_definition, step_list, COUNT(step_list)); }

/* The object that chooseStep gets. */
JSValue new_choice(JSContext *ctx) {
    JSValue choice = JS_NewObject(ctx);
    if (JS_IsException(choice) || add_request_getters(ctx, choice) < 0 ||
        JS_SetPropertyFunctionList(ctx, choice, choice_list, COUNT(choice_list)) < 0 || JS_FreezeObject(ctx, choice) < 0)
        return JS_EXCEPTION;
    return choice;
}
