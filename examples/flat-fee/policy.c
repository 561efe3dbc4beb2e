/* flat-fee: a request costs what the list below says, however many tokens it takes.
 *
 * Both phases are charged alike, so that what is reserved before an attempt is what is booked after it. */
#include "sallyport.h"

#define CENT INT64_C(10000000) /* in nano-dollars */

typedef struct {
    sp_text model; /* as clients name it: exact, or "prefix*" */
    int64_t fee;
} fee;

/* The first that fits decides. */
static const fee fees[] = {
    {SP_TEXT("llama"), 0},
    {SP_TEXT("claude-*"), 5 * CENT},
    {SP_TEXT("*"), 1 * CENT},
};

/* Room for the longest name above: one that is longer than the buffer is read empty, and fits "*" alone. */
static char model_buffer[256];

static bool fits(sp_text model, sp_text pattern) {
    if (pattern.at[pattern.len - 1] != '*') return sp_equal(model, pattern);
    return sp_begins(model, (sp_text){pattern.at, pattern.len - 1});
}

SP_HOOK(price_response) {
    sp_text model = sp_read(SP_FIELD_REQUEST_MODEL, 0, model_buffer, sizeof model_buffer);
    for (uint32_t i = 0; i < sizeof fees / sizeof fees[0]; i++) {
        if (!fits(model, fees[i].model)) continue;
        int64_t breakdown[SP_NUM_DIMENSIONS] = {[SP_DIMENSION_REQUESTS] = fees[i].fee};
        return sp_charge_parts(fees[i].fee, breakdown, SP_NUM_DIMENSIONS);
    }
    return SP_RETURN_PASS;
}
