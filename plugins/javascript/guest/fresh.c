/* fresh.c: giving each call the memory as it was when the instance had come up.
 *
 * What a script may change lies between the constants and the end of the heap. It is copied once, behind the heap, and copied
 * back after each call: nothing of one call is there in the next, whatever the script did to its globals or to the engine's
 * own objects. The stack lies below and holds nothing between calls. */
#include "guest.h"

enum { PAGE = 65536 };

/* The linker puts what may change behind what may not, and in the order of the files: build.sh names this one first. */
static char first_that_changes[16] = "first";
extern char __heap_base;

static uintptr_t heap_end;
static char *copy;
static size_t copy_size;

/* The allocator's only source of memory, in place of the C library's: a restored heap is a smaller one, and takes again what
 * it had grown by. The library's would ask the host for more each time, which never gets any back. */
void *sbrk(intptr_t increment) {
    uintptr_t size = __builtin_wasm_memory_size(0) * (uintptr_t)PAGE;
    if (heap_end == 0) heap_end = size;
    uintptr_t old = heap_end, end = old + (uintptr_t)increment;
    if (increment < 0 || end < old) return (void *)-1;
    if (end > size && __builtin_wasm_memory_grow(0, (end - size + PAGE - 1) / PAGE) == SIZE_MAX) return (void *)-1;
    heap_end = end;
    return (void *)old;
}

/* Keeps the memory as it is. It answers false if there is no room for the copy. */
bool keep_state(void) {
    char *from = first_that_changes;
    size_t size = (uintptr_t)sbrk(0) - (uintptr_t)from;
    void *room = sbrk((intptr_t)((size + PAGE - 1) / PAGE * PAGE));
    if (room == (void *)-1) return false;
    copy = room;
    copy_size = size;
    __asm__ volatile("" ::: "memory"); /* what was set above is part of the copy */
    __builtin_memcpy(room, from, size);
    return true;
}

/* Makes the memory what keep_state kept, if it did. */
void restore_state(void) {
    if (copy) __builtin_memcpy(first_that_changes, copy, copy_size);
    __asm__ volatile("" ::: "memory");
}
