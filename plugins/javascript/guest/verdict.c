/* verdict.c: what a hook may return. A verdict is only an object until its hook returns it: then it is written to the host, so
 * that a script may make several and return one of them. */
#include "guest.h"

enum kind { PASS, FAIL, ALLOW, ALLOW_AS, DENY, CHOOSE, STOP, CHARGE, KINDS };

/* What belongs to a verdict: the arguments that it was made of. */
enum { MOST_ARGUMENTS = 3 };
typedef struct {
    enum kind kind;
    JSValue arguments[MOST_ARGUMENTS];
} verdict;

static JSClassID verdict_class;

/* How many verdicts the running call has made. One that is made and not returned is most likely a forgotten `return`: to
 * pass then would let in whom the script denies. */
static int made;

void forget_verdicts(void) { made = 0; }

static void finalize_verdict(JSRuntime *runtime, JSValueConst object) {
    verdict *v = JS_GetOpaque(object, verdict_class);
    if (!v) return;
    for (int i = 0; i < MOST_ARGUMENTS; i++) JS_FreeValueRT(runtime, v->arguments[i]);
    js_free_rt(runtime, v);
}

static void mark_verdict(JSRuntime *runtime, JSValueConst object, JS_MarkFunc *mark) {
    verdict *v = JS_GetOpaque(object, verdict_class);
    for (int i = 0; v && i < MOST_ARGUMENTS; i++) JS_MarkValue(runtime, v->arguments[i], mark);
}

static const JSClassDef verdict_definition = {.class_name = "Verdict", .finalizer = finalize_verdict, .gc_mark = mark_verdict};

/* Makes a verdict: deny(…) and the others. */
static JSValue js_verdict(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv, int kind) {
    JSValue object = JS_NewObjectClass(ctx, (int)verdict_class);
    if (JS_IsException(object)) return object;
    verdict *v = js_malloc(ctx, sizeof *v);
    if (!v) {
        JS_FreeValue(ctx, object);
        return JS_EXCEPTION;
    }
    v->kind = (enum kind)kind;
    for (int i = 0; i < MOST_ARGUMENTS; i++) v->arguments[i] = i < argc ? JS_DupValue(ctx, argv[i]) : JS_UNDEFINED;
    JS_SetOpaque(object, v);
    made += kind != PASS;
    return object;
}

/* Throws what the host answered to an output. */
bool refused(JSContext *ctx, const char *output, int32_t code) {
    if (code == SP_OK) return false;
    char what[64] = "setting ";
    for (int i = 8; i < (int)sizeof what - 1 && *output; i++) what[i] = *output++;
    throw_code(ctx, what, code);
    return true;
}

/* Writes a text, unless it is missing or empty: then the default holds. */
static bool write_text(JSContext *ctx, const char *output, int32_t field, JSValueConst value) {
    if (JS_IsUndefined(value) || JS_IsNull(value)) return true;
    if (!JS_IsString(value)) {
        JS_ThrowTypeError(ctx, "setting %s: it must be a text", output);
        return false;
    }
    size_t length;
    const char *text = JS_ToCStringLen(ctx, &length, value);
    if (!text) return false;
    int32_t code = length == 0 ? SP_OK : sp_set(field, 0, text, (uint32_t)length);
    JS_FreeCString(ctx, text);
    return !refused(ctx, output, code);
}

/* Writes a number, which has to be a whole one. */
static bool write_number(JSContext *ctx, const char *output, int32_t field, JSValueConst value) {
    double number;
    if (!JS_IsNumber(value) || JS_ToFloat64(ctx, &number, value) < 0 || number != (double)(int32_t)number) {
        if (!JS_HasException(ctx)) JS_ThrowTypeError(ctx, "setting %s: it must be a whole number", output);
        return false;
    }
    return !refused(ctx, output, sp_set_i64(field, 0, (int64_t)number));
}

static bool write_denial(JSContext *ctx, JSValueConst status, JSValueConst message, JSValueConst code) {
    return write_number(ctx, "deny.status", SP_FIELD_DENY_STATUS, status) &&
           write_text(ctx, "deny.message", SP_FIELD_DENY_MESSAGE, message) && write_text(ctx, "deny.code", SP_FIELD_DENY_CODE, code);
}

static bool write_key(JSContext *ctx, JSValueConst key) {
    int32_t handle = handle_of(ctx, key);
    return handle >= 0 && !refused(ctx, "allow.handle", sp_set_i64(SP_FIELD_ALLOW_HANDLE, 0, handle));
}

/* A step is one of choice.steps, or its index. */
static bool write_step(JSContext *ctx, JSValueConst step) {
    if (!is_step(step)) return write_number(ctx, "chosen_step", SP_FIELD_CHOSEN_STEP, step);
    int32_t index = index_of_step(ctx, step);
    return index >= 0 && !refused(ctx, "chosen_step", sp_set_i64(SP_FIELD_CHOSEN_STEP, 0, index));
}

static bool write_choice(JSContext *ctx, JSValueConst step, JSValueConst reason) {
    return write_step(ctx, step) && write_text(ctx, "choice.reason", SP_FIELD_CHOICE_REASON, reason);
}

static bool write_stop(JSContext *ctx, JSValueConst reason) {
    return !refused(ctx, "stop", sp_set_i64(SP_FIELD_STOP, 0, 1)) &&
           write_text(ctx, "choice.reason", SP_FIELD_CHOICE_REASON, reason);
}

static bool write_cost(JSContext *ctx, JSValueConst cost, JSValueConst breakdown) {
    int64_t nano_usd, row[SP_ROOM];
    if (money_of(ctx, "cost", cost, &nano_usd) < 0) return false;
    if (refused(ctx, "cost", sp_set_i64(SP_FIELD_COST, 0, nano_usd))) return false;
    if (JS_IsUndefined(breakdown)) return true;
    if (row_of(ctx, "breakdown", breakdown, row) < 0) return false;
    int count = SP_ROOM;
    while (count > 0 && row[count - 1] == 0) count--; /* an older host knows fewer dimensions */
    return count == 0 ||
           !refused(ctx, "cost.breakdown", sp_set(SP_FIELD_COST_BREAKDOWN, SP_ALL_INDEXES, row, (uint32_t)count * sizeof *row));
}

/* fail("why"): the policy cannot decide. */
static int32_t write_failure(JSContext *ctx, JSValueConst why) {
    size_t length;
    const char *text = JS_ToCStringLen(ctx, &length, why);
    if (text) sp_log(SP_LOG_ERROR, text, (uint32_t)length);
    JS_FreeCString(ctx, text);
    return SP_RETURN_ERROR;
}

/* The hook at which a kind of verdict may be returned; HOOKS for every one. */
static const enum hook hook_of[KINDS] = {
    [PASS] = HOOKS,           [FAIL] = HOOKS,           [ALLOW] = AUTHENTICATE, [ALLOW_AS] = AUTHENTICATE,
    [DENY] = AUTHENTICATE,    [CHOOSE] = CHOOSE_STEP,   [STOP] = CHOOSE_STEP,   [CHARGE] = PRICE_RESPONSE,
};

static const char *const kind_names[KINDS] = {"pass", "fail", "allow", "allowAs", "deny", "choose", "stop", "charge"};

static int32_t write_verdict(JSContext *ctx, enum hook hook, const verdict *v) {
    const JSValue *a = v->arguments;
    bool good = false;
    if (hook_of[v->kind] != HOOKS && hook_of[v->kind] != hook) {
        JS_ThrowTypeError(ctx, "sallyport.%s() is no verdict of this hook", kind_names[v->kind]);
        return SP_RETURN_ERROR;
    }
    switch (v->kind) {
    case PASS: return SP_RETURN_PASS;
    case FAIL: return write_failure(ctx, a[0]);
    case ALLOW: good = write_key(ctx, a[0]); break;
    case ALLOW_AS: good = write_identity(ctx, a[0]); break;
    case DENY: good = write_denial(ctx, a[0], a[1], a[2]); break;
    case CHOOSE: good = write_choice(ctx, a[0], a[1]); break;
    case STOP: good = write_stop(ctx, a[0]); break;
    default: good = write_cost(ctx, a[0], a[1]); break;
    }
    return good ? SP_RETURN_VERDICT : SP_RETURN_ERROR;
}

/* Writes to the host what a hook returned, and answers what the export returns. With SP_RETURN_ERROR an exception is
 * pending, unless the script itself said that it failed. */
int32_t settle(JSContext *ctx, enum hook hook, JSValueConst answer) {
    const verdict *v = JS_GetOpaque(answer, verdict_class);
    if (v) return write_verdict(ctx, hook, v);
    bool good = false;
    if (JS_IsUndefined(answer) && made == 0) return SP_RETURN_PASS;
    if (JS_IsUndefined(answer))
        JS_ThrowTypeError(ctx, "the hook made a verdict and returned none: is there a `return` missing?");
    else if (hook == CHOOSE_STEP && is_step(answer))
        good = write_step(ctx, answer);
    else if (hook == PRICE_RESPONSE && JS_IsBigInt(answer))
        good = write_cost(ctx, answer, JS_UNDEFINED);
    else
        JS_ThrowTypeError(ctx, "the hook returned something that is no verdict");
    return good ? SP_RETURN_VERDICT : SP_RETURN_ERROR;
}

static const JSCFunctionListEntry verdict_list[] = {
    JS_CFUNC_MAGIC_DEF("pass", 0, js_verdict, PASS),     JS_CFUNC_MAGIC_DEF("fail", 1, js_verdict, FAIL),
    JS_CFUNC_MAGIC_DEF("allow", 1, js_verdict, ALLOW),   JS_CFUNC_MAGIC_DEF("allowAs", 1, js_verdict, ALLOW_AS),
    JS_CFUNC_MAGIC_DEF("deny", 3, js_verdict, DENY),     JS_CFUNC_MAGIC_DEF("choose", 1, js_verdict, CHOOSE),
    JS_CFUNC_MAGIC_DEF("stop", 0, js_verdict, STOP),     JS_CFUNC_MAGIC_DEF("charge", 2, js_verdict, CHARGE),
};

int add_verdicts(JSContext *ctx, JSValueConst sallyport) {
    if (add_class(ctx, &verdict_class, &verdict_definition, NULL, 0) < 0) return -1;
    return JS_SetPropertyFunctionList(ctx, sallyport, verdict_list, COUNT(verdict_list));
}
