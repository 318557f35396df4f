/* The record: what was seen, once each, in a file that only grows; and the table that knows what is in it already. */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KNOWN_MAX (1U << 21)    /* Slots of the table of what was seen: 18 MB. */
#define RECORD_MAX (1LL << 30)  /* Of the record on disk. */

enum {
    READ = 1, WRITTEN = 2,
    PARTLY = 4,  /* What it held is still in it. */
    TOLD = 8,
    ONCE = 16,   /* It was read, if its name means what it meant then. */
    MOVED = 32   /* It has this name by the run, but not what it holds. */
};

static int record = -1;
static unsigned account; /* For which run: 0 for ours, else for one that goes on within it. */
static long long recorded;
static char buffer[1 << 16];
static size_t buffered;
static uint64_t *known;
static unsigned char *known_bits;
static unsigned known_slots, known_used;

static void flush(void) {
    for (size_t done = 0; done < buffered;) {
        ssize_t count = write(record, buffer + done, buffered - done);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) { record = -1; break; } /* A full disk: the missing end mark tells. */
        done += (size_t)count;
    }
    buffered = 0;
}

static void put(const char *text, size_t length) {
    if (record < 0 || recorded > RECORD_MAX) { record = -1; return; }
    if (buffered + length > sizeof buffer) flush();
    if (length > sizeof buffer) return;
    memcpy(buffer + buffered, text, length);
    buffered += length;
    recorded += (long long)length;
}

/* A number and a space; printf(3) would take a fifth of the time of a look. */
static char *digits(char *at, unsigned long long number) {
    char reversed[24];
    int length = 0;
    do reversed[length++] = (char)('0' + number % 10);
    while (number /= 10);
    while (length) *at++ = reversed[--length];
    *at++ = ' ';
    return at;
}

static char *nanoseconds(char *at, struct timespec when) {
    long long all = when.tv_sec * 1000000000LL + when.tv_nsec;
    if (all < 0) *at++ = '-'; /* Before 1970. */
    return digits(at, all < 0 ? -(unsigned long long)all : (unsigned long long)all);
}

static void tell(char kind, pid_t pid, const struct stat *as, const char *path, const char *more) {
    static const struct stat none;
    char head[256] = {kind, ' '}, *at = digits(head + 2, (unsigned long long)pid);
    if (!as) as = &none;
    at = digits(digits(digits(at, as->st_dev), as->st_ino), (unsigned long long)as->st_size);
    at = digits(nanoseconds(nanoseconds(at, as->st_mtim), as->st_ctim), as->st_mode);
    at = digits(at, account);
    at[-1] = 0;
    put(head, (size_t)(at - head));
    put(path, strlen(path) + 1);
    put(more, strlen(more) + 1);
}

static uint64_t hash_of(char kind, const char *one, const char *two) {
    uint64_t hash = 0xcbf29ce484222325ULL ^ (unsigned char)kind ^ (uint64_t)account << 32; /* FNV-1a, mixed. */
    for (const char *text = one; text; text = text == one ? two : NULL)
        for (const char *at = text;; at++) {
            hash = (hash ^ (unsigned char)*at) * 0x100000001b3ULL;
            if (!*at) break;
        }
    hash ^= hash >> 32;
    hash *= 0x9e3779b97f4a7c15ULL;
    return (hash ^ hash >> 29) | 1; /* 0 marks an empty slot. */
}

static unsigned slot_of(const uint64_t *table, unsigned slots, uint64_t hash) {
    unsigned slot = (unsigned)hash >> 1 & (slots - 1);
    while (table[slot] && table[slot] != hash) slot = (slot + 1) & (slots - 1);
    return slot;
}

/* After this things are written again that are in the record already; that is allowed. */
static void forget_all(void) {
    memset(known, 0, known_slots * sizeof *known);
    known_used = 0;
}

/* The same where names mean something else from here on; what may be an input is still copied before it changes. */
static void forget_names(void) {
    for (unsigned slot = 0; slot < known_slots; slot++) known_bits[slot] = known_bits[slot] & (READ | ONCE) ? ONCE : 0;
}

static unsigned char *bits_of(uint64_t hash) {
    if (known_used * 4 >= known_slots * 3) {
        unsigned slots = known_slots * 2;
        uint64_t *table = slots > KNOWN_MAX ? NULL : calloc(slots, sizeof *table);
        unsigned char *bits = table ? calloc(slots, 1) : NULL;
        if (!bits) {
            free(table);
            forget_all();
        } else {
            for (unsigned old = 0; old < known_slots; old++)
                if (known[old]) {
                    unsigned slot = slot_of(table, slots, known[old]);
                    table[slot] = known[old];
                    bits[slot] = known_bits[old];
                }
            free(known);
            free(known_bits);
            known = table, known_bits = bits, known_slots = slots;
        }
    }
    unsigned slot = slot_of(known, known_slots, hash);
    if (!known[slot]) {
        known[slot] = hash;
        known_bits[slot] = 0;
        known_used++;
    }
    return known_bits + slot;
}

static unsigned char *file_bits(const char *real) { return bits_of(hash_of('f', real, "")); }

static void tell_once(char kind, pid_t pid, const struct stat *as, const char *path, const char *more) {
    unsigned char *bits = bits_of(hash_of(kind, path, more));
    if (*bits & TOLD) return;
    *bits |= TOLD;
    tell(kind, pid, as, path, more);
}
