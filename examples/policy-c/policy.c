/* guest-pass: whoever calls from the gateway's own machine needs no key for the models of the list below.
 *
 * Everybody else is left to the other policies. */
#include "sallyport.h"

/* What guests may use: aliases and chains, exact or "prefix*". */
static const sp_text models[] = {SP_TEXT("llama"), SP_TEXT("demo*")};

/* Room for an IPv6 address as text with its zone. */
static char address_buffer[64];

static bool is_loopback(sp_text address) {
    return sp_begins(address, SP_TEXT("127.")) || sp_equal(address, SP_TEXT("::1"));
}

SP_HOOK(authenticate) {
    /* Who shows a credential wants to be known by it: a mistyped key must not turn into a guest. */
    if (sp_get_i64(SP_FIELD_CREDENTIAL_SHAPE, 0) != SP_CREDENTIAL_NONE) return SP_RETURN_PASS;

    sp_text address = sp_read(SP_FIELD_REQUEST_CLIENT_ADDRESS, 0, address_buffer, sizeof address_buffer);
    if (!is_loopback(address)) return SP_RETURN_PASS;

    return sp_allow_as(SP_TEXT("guest"), models, sizeof models / sizeof models[0]);
}
