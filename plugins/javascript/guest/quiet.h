/* quiet.h: included before the engine's own sources. It prints only for those who debug it: without that code the module needs
 * no files from its host, and is smaller. */
#include <stdio.h>

#define printf(...) ((void)0)
#define fprintf(...) ((void)0)
#undef putchar
#define putchar(c) ((void)0)
#define fwrite(...) ((void)0)
#define fputs(...) ((void)0)
