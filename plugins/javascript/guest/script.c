/* script.c: brings a script up and asks it. */
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

#include "guest.h"

/* What errors call the script. */
#define SCRIPT "script.js"

/* How much of the stack of 256 KiB scripts may use: the rest is for what the engine does between its checks. */
enum { STACK = 192 * 1024 };

static const char *const hook_names[HOOKS] = {"authenticate", "chooseStep", "priceResponse"};

static JSRuntime *runtime;
static JSContext *ctx;
static JSValue functions[HOOKS]; /* undefined for a hook that the script does not export */
static JSValue objects[HOOKS];   /* what they are called with */
static int32_t served;           /* the bits of the hooks that it exports */

/* Standard error belongs to the record of a failure. */
static void say(const char *text, size_t length) {
    __wasi_ciovec_t part = {(const uint8_t *)text, length};
    __wasi_size_t written;
    (void)__wasi_fd_write(2, &part, 1, &written);
}

static const char *text_of_property(JSValueConst object, const char *name, size_t *length) {
    JSValue value = JS_GetPropertyStr(ctx, object, name);
    const char *text = JS_IsString(value) ? JS_ToCStringLen(ctx, length, value) : NULL;
    JS_FreeValue(ctx, value);
    return text;
}

/* One line that says what went wrong and, if the stack is known, where. */
static void log_error(const char *message, size_t length, const char *stack) {
    char line[1024];
    if (length > sizeof line - 256) length = sizeof line - 256;
    memcpy(line, message, length);
    while (stack && *stack == ' ') stack++;
    const char *end = stack ? strchr(stack, '\n') : NULL;
    size_t place = end ? (size_t)(end - stack) : 0;
    if (place > 0 && place < 200) {
        memcpy(line + length, ", ", 2);
        memcpy(line + length + 2, stack, place);
        length += place + 2;
    }
    sp_log(SP_LOG_ERROR, line, (uint32_t)length);
}

/* Tells of the exception that is pending: a line of log and, while a hook runs, the whole stack for the failure's record. */
static int32_t report(bool running) {
    JSValue error = JS_GetException(ctx);
    size_t stack_length = 0, length = 0;
    const char *stack = JS_IsError(error) ? text_of_property(error, "stack", &stack_length) : NULL;
    const char *message = JS_ToCStringLen(ctx, &length, error);
    if (!message) JS_FreeValue(ctx, JS_GetException(ctx)); /* it cannot even be told */
    const char *shown = message ? message : "an error that has no text";
    if (!message) length = strlen(shown);
    if (running) {
        say(shown, length);
        say("\n", 1);
        if (stack) say(stack, stack_length);
    }
    bool plain = strncmp(shown, "Error: ", 7) == 0;
    log_error(shown + (plain ? 7 : 0), length - (plain ? 7 : 0), stack);
    JS_FreeCString(ctx, message);
    JS_FreeCString(ctx, stack);
    JS_FreeValue(ctx, error);
    return SP_RETURN_ERROR;
}

/* Runs what was put off by promises. Nothing ever comes from outside, so when nothing is left, nothing more will happen. */
static void run_jobs(void) {
    JSContext *of;
    while (JS_ExecutePendingJob(runtime, &of) != 0) {
        if (JS_HasException(ctx)) JS_FreeValue(ctx, JS_GetException(ctx));
    }
}

/* What a promise has come to; any other value as it is. */
static JSValue await(JSValue value) {
    if (JS_IsException(value) || !JS_IsPromise(value)) return value;
    run_jobs();
    JSPromiseStateEnum state = JS_PromiseState(ctx, value);
    JSValue result = JS_PromiseResult(ctx, value);
    JS_FreeValue(ctx, value);
    if (state == JS_PROMISE_FULFILLED) return result;
    if (state == JS_PROMISE_REJECTED) return JS_Throw(ctx, result);
    return JS_ThrowTypeError(ctx, "a promise stays pending: a policy has nothing to wait for");
}

/* Evaluates the script and answers the namespace of what it exports. */
static JSValue run_script(void) {
    int32_t length = sp_script(NULL, 0);
    if (length < 0) return throw_code(ctx, "reading the script", length);
    char *text = js_malloc(ctx, (size_t)length + 1);
    if (!text) return JS_EXCEPTION;
    sp_script(text, (uint32_t)length);
    text[length] = 0;
    JSValue module = JS_Eval(ctx, text, (size_t)length, SCRIPT, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
    js_free(ctx, text);
    if (JS_IsException(module)) return module;
    JSModuleDef *definition = JS_VALUE_GET_PTR(module);
    JSValue done = await(JS_EvalFunction(ctx, module));
    if (JS_IsException(done)) return done;
    JS_FreeValue(ctx, done);
    return JS_GetModuleNamespace(ctx, definition);
}

/* A function that the script exports; undefined if it exports nothing of the name. */
static JSValue exported(JSValueConst namespace, const char *name) {
    JSValue f = JS_GetPropertyStr(ctx, namespace, name);
    if (JS_IsException(f) || JS_IsUndefined(f) || JS_IsFunction(ctx, f)) return f;
    JS_FreeValue(ctx, f);
    return JS_ThrowTypeError(ctx, "%s is exported, but it is no function", name);
}

/* The hooks' names elsewhere, which are easily taken for those of a script. */
static bool has_foreign_name(JSValueConst namespace) {
    static const char *const foreign[HOOKS] = {"Authenticate", "choose_step", "price_response"};
    for (int h = 0; h < HOOKS; h++) {
        JSValue f = JS_GetPropertyStr(ctx, namespace, foreign[h]);
        bool there = JS_IsFunction(ctx, f);
        JS_FreeValue(ctx, f);
        if (!there) continue;
        JS_ThrowTypeError(ctx, "exports %s, which is called %s in JavaScript", foreign[h], hook_names[h]);
        return true;
    }
    return false;
}

static bool find_hooks(JSValueConst namespace) {
    for (int h = 0; h < HOOKS; h++) {
        functions[h] = exported(namespace, hook_names[h]);
        if (JS_IsException(functions[h])) return false;
        if (!JS_IsUndefined(functions[h])) served |= 1 << h;
    }
    if (has_foreign_name(namespace)) return false;
    if (served == 0) JS_ThrowTypeError(ctx, "exports no hook: a policy exports at least one of authenticate, chooseStep, priceResponse");
    return served != 0;
}

/* Hands the configuration to the script's own configure, and answers whether the script asks for a fresh state. */
static bool configure_script(JSValueConst namespace, bool *fresh) {
    JSValue global = JS_GetGlobalObject(ctx), sallyport = JS_GetPropertyStr(ctx, global, "sallyport");
    JSValue config = JS_GetPropertyStr(ctx, sallyport, "config"), f = exported(namespace, "configure");
    JSValue done = JS_UNDEFINED, state = JS_UNDEFINED;
    if (JS_IsException(f)) done = JS_EXCEPTION;
    if (JS_IsFunction(ctx, f)) done = await(JS_Call(ctx, f, JS_UNDEFINED, 1, &config));
    if (JS_IsObject(config)) state = JS_GetPropertyStr(ctx, config, "fresh_state");
    *fresh = JS_ToBool(ctx, state) == 1;
    bool good = !JS_IsException(done);
    JS_FreeValue(ctx, done);
    JS_FreeValue(ctx, state);
    JS_FreeValue(ctx, f);
    JS_FreeValue(ctx, config);
    JS_FreeValue(ctx, sallyport);
    JS_FreeValue(ctx, global);
    return good;
}

/* Makes the engine and everything that a script finds in it. */
static bool start_engine(void) {
    runtime = JS_NewRuntime();
    if (!runtime || !(ctx = JS_NewContext(runtime))) return false;
    JS_SetMaxStackSize(runtime, STACK);
    if (add_request_classes(ctx) < 0 || add_choice_classes(ctx) < 0 || add_globals(ctx) < 0) return false;
    objects[AUTHENTICATE] = new_request(ctx);
    objects[CHOOSE_STEP] = new_choice(ctx);
    objects[PRICE_RESPONSE] = new_pricing(ctx);
    return !JS_HasException(ctx);
}

static int32_t refuse(const char *why) {
    sp_log(SP_LOG_ERROR, why, (uint32_t)strlen(why));
    return SP_RETURN_ERROR;
}

/* Called once in each instance, before the first hook: a script that does not come up refuses its configuration. */
SP_HOOK(configure) {
    bool fresh = false;
    if (!start_engine()) return ctx ? report(false) : refuse("there is no memory for the engine");
    JSValue namespace = run_script();
    bool good = !JS_IsException(namespace) && find_hooks(namespace) && configure_script(namespace, &fresh);
    JS_FreeValue(ctx, namespace);
    run_jobs();
    if (!good) return report(false);
    JS_RunGC(runtime);
    if (fresh && !keep_state()) return refuse("there is no memory for a copy of the state: limits.memory is too low");
    return SP_RETURN_VERDICT;
}

/* The hooks that the script exports, a bit for each by its number. The module has all of them. */
SP_HOOK(hooks) { return served; }

/* Calls the script's function for a hook. */
static int32_t call(enum hook hook) {
    begin_call();
    forget_verdicts();
    JSValue answer = await(JS_Call(ctx, functions[hook], JS_UNDEFINED, 1, &objects[hook]));
    int32_t code = JS_IsException(answer) ? SP_RETURN_ERROR : settle(ctx, hook, answer);
    if (JS_HasException(ctx)) code = report(true);
    JS_FreeValue(ctx, answer);
    run_jobs();
    forget_steps(ctx);
    return code;
}

static int32_t ask(enum hook hook) {
    if (!(served & 1 << hook)) return SP_RETURN_PASS;
    int32_t code = call(hook);
    restore_state();
    return code;
}

SP_HOOK(authenticate) { return ask(AUTHENTICATE); }
SP_HOOK(choose_step) { return ask(CHOOSE_STEP); }
SP_HOOK(price_response) { return ask(PRICE_RESPONSE); }
