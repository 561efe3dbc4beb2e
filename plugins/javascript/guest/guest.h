/* guest.h: what the files of this guest share.
 *
 * The guest is QuickJS and what a script sees of the gateway. script.c brings the script up and asks it; the files beside it
 * are the objects that its functions get, the verdicts that they return, and the global `sallyport`. Everything that is read
 * is read from the host at the moment when the script reads it. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quickjs.h"
#include "sallyport.h"

#define COUNT(list) ((int)(sizeof(list) / sizeof((list)[0])))

/* The hooks, in the order of the contract: their numbers are the bits of the export `hooks`. */
enum hook { AUTHENTICATE, CHOOSE_STEP, PRICE_RESPONSE, HOOKS };

/* An enumerable property that is read by a function of its own, or by one that serves several by a number. */
#define GETTER(name, get) JS_CGETSET_DEF2(name, get, NULL, JS_PROP_ENUMERABLE | JS_PROP_CONFIGURABLE)
#define GETTER_OF(name, get, number) JS_CGETSET_MAGIC_DEF2(name, get, NULL, number, JS_PROP_ENUMERABLE | JS_PROP_CONFIGURABLE)

/* host.c: fields and functions of the host as JavaScript values. What throws says what was read or called. */
JSValue throw_code(JSContext *ctx, const char *what, int32_t code);
JSValue text_of(JSContext *ctx, const char *what, int32_t field, int32_t index);
JSValue number_of(JSContext *ctx, const char *what, int32_t field);
JSValue header_of(JSContext *ctx, const char *what, const char *name, size_t length);
JSValue whole_text(JSContext *ctx, const char *what, int32_t (*read)(void *buf, uint32_t cap));
JSValue get_text(JSContext *ctx, JSValueConst self, int field);
JSValue get_number(JSContext *ctx, JSValueConst self, int field);
JSValue name_value(JSContext *ctx, const char *const *names, int count, int64_t number, const char *otherwise);

/* Objects that are valid during one call only: a number and the call that it belongs to, in place of an object's pointer. */
void begin_call(void);
JSValue new_of_call(JSContext *ctx, JSClassID class, int32_t number);
int32_t number_of_call(JSContext *ctx, JSValueConst object, JSClassID class);

/* Makes a class with a prototype that has these properties. */
int add_class(JSContext *ctx, JSClassID *class, const JSClassDef *definition, const JSCFunctionListEntry *list, int count);

/* request.c: what every hook is told of a request, and who it belongs to. */
extern const char *const limit_names[SP_NUM_LIMITS];
int add_request_classes(JSContext *ctx);
int add_request_getters(JSContext *ctx, JSValueConst object);
JSValue new_request(JSContext *ctx);
JSValue get_identity(JSContext *ctx, JSValueConst self);
int32_t handle_of(JSContext *ctx, JSValueConst key);

/* choice.c: what chooseStep is told. */
int add_choice_classes(JSContext *ctx);
JSValue new_choice(JSContext *ctx);
void forget_steps(JSContext *ctx);
bool is_step(JSValueConst value);
int32_t index_of_step(JSContext *ctx, JSValueConst step);

/* pricing.c: what priceResponse is told, and money. */
JSValue new_pricing(JSContext *ctx);
int money_of(JSContext *ctx, const char *what, JSValueConst value, int64_t *nano_usd);
int row_of(JSContext *ctx, const char *what, JSValueConst object, int64_t row[SP_ROOM]);
JSValue js_cost(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv);
JSValue js_usd(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv);

/* verdict.c: what a hook may return. identity.c: writing an identity of the policy's own to the host. */
int add_verdicts(JSContext *ctx, JSValueConst sallyport);
void forget_verdicts(void);
int32_t settle(JSContext *ctx, enum hook hook, JSValueConst answer);
bool refused(JSContext *ctx, const char *output, int32_t code);
bool write_identity(JSContext *ctx, JSValueConst who);

/* kv.c: what the gateway keeps for the policy. */
int add_kv(JSContext *ctx, JSValueConst sallyport);

/* globals.c: the globals `sallyport` and `console`, and Math.random. */
int add_globals(JSContext *ctx);

/* fresh.c: giving each call the memory as it was when the instance had come up. */
bool keep_state(void);
void restore_state(void);

#endif
