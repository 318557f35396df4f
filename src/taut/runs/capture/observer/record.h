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

enum { READ = 1, WRITTEN = 2, PARTLY = 4 /* What it held is still in it. */, TOLD = 8 };

static int record = -1;
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

static void tell(char kind, pid_t pid, const struct stat *as, const char *path, const char *more) {
    char head[256];
    struct stat none = {0};
    if (!as) as = &none;
    int length = snprintf(head, sizeof head, "%c %d %llu %llu %lld %lld %lld %u", kind, pid,
        (unsigned long long)as->st_dev, (unsigned long long)as->st_ino, (long long)as->st_size,
        as->st_mtim.tv_sec * 1000000000LL + as->st_mtim.tv_nsec,
        as->st_ctim.tv_sec * 1000000000LL + as->st_ctim.tv_nsec,
        (unsigned)as->st_mode);
    put(head, (size_t)length + 1);
    put(path, strlen(path) + 1);
    put(more, strlen(more) + 1);
}

static uint64_t hash_of(char kind, const char *one, const char *two) {
    uint64_t hash = 0xcbf29ce484222325ULL ^ (unsigned char)kind; /* FNV-1a over both, then mixed. */
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

static void forget(void) { /* After this things are written again that are in the record already; that is allowed. */
    memset(known, 0, known_slots * sizeof *known);
    known_used = 0;
}

static unsigned char *bits_of(uint64_t hash) {
    if (known_used * 4 >= known_slots * 3) {
        unsigned slots = known_slots * 2;
        uint64_t *table = slots > KNOWN_MAX ? NULL : calloc(slots, sizeof *table);
        unsigned char *bits = table ? calloc(slots, 1) : NULL;
        if (!bits) {
            free(table);
            forget();
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
