/** The SDK for policies of the Sallyport gateway that are written in AssemblyScript. A policy exports the hooks that it
 * wants to be asked at, and answers each with a verdict:
 *
 *     import * as sallyport from "sallyport-policy/assembly";
 *
 *     export function authenticate(): i32 {
 *       return sallyport.authenticate(guestPass);
 *     }
 *
 *     function guestPass(a: sallyport.Authentication): sallyport.Verdict {
 *       if (a.shape != sallyport.CredentialShape.None || a.clientAddress != "127.0.0.1") return sallyport.PASS;
 *       const guest = new sallyport.PolicyIdentity("guest");
 *       guest.models = ["llama"];
 *       return a.allowAs(guest);
 *     }
 *
 * The exports stand in the policy's own file because a policy is asked wherever its module has an export. Nothing is
 * read before it is asked for: each property that reads is one call of the host, which takes some tens of nanoseconds.
 * It is compiled with --runtime incremental, so that the collector frees what calls leave behind, and with
 * --use abort=…/host/abort, so that what ends a call is logged and nothing else is imported: there is no WASI. */

import * as kv from "./kv";

export * from "./authenticate";
export * from "./choose_step";
export * from "./host";
export * from "./json";
export * from "./price_response";
export * from "./request";
export * from "./verdict";
export {
  ABI_VERSION, ALL_INDEXES, Code, CredentialShape, DIGEST_SIZE, Dimension, ErrorClass, Field, KeyState, Level, Limit, MAX_COST, NO_VALUE,
  NUM_DIMENSIONS, NUM_LIMITS, Period, PricePhase, fieldName, meaning,
} from "./abi";
export { kv };
