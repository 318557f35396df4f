/* Content read once, hashed, and copied or linked to where it belongs, by several threads. */

#ifndef TAUT_CONTENT_H
#define TAUT_CONTENT_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "md5.h"

#define SMALL (1 << 20)   /* Up to here a file is read whole, and its name is known before anything is written. */
#define PIECE (512 << 10) /* Of larger ones: what is hashed is still in the processor's cache when it is written. */
#define PIECES 8          /* In flight between the thread that hashes and the one that writes. */
#define EARLY (32 << 20)  /* The disk is told to begin so often, so that the sync at the end finds little left. */
#define STAMP 3           /* Numbers: size, mtime in ns and inode. */
#define STORES 2
#define TEMPORARY 48
#define OBJECT 36 /* Of `ab/cdef...` with its NUL. */
#define MODE 0444 /* Of what is stored. */
#define TARGET 65536 /* Added to an errno that is not the source's. */

enum { DONE = 0, PRESENT = -1, DAMAGED = -2, CHANGED = -3, SKIPPED = -4 };


typedef struct {
    const char *source, *target; /* Relative to the folders below; NULL: the object of the digest; no target. */
    unsigned char digest[DIGEST];
    int64_t stamp[STAMP]; /* Before: of the source when it was verified; after: of the stored object, else the source. */
    int code, is_copied;
} job;

typedef struct {
    job *jobs;
    Py_ssize_t count, at_once;
    int source_base, target_base, stores[STORES], staging[STORES], stores_count;
    int has_digests, has_stamps, mode, sync, go_on, is_linked;
    atomic_int stop, no_links, running;
    atomic_size_t next, read;
    pthread_mutex_t lock;
    pthread_cond_t ended;
} work;

typedef struct {
    unsigned char *data;
    size_t length;
} piece;

typedef struct { /* Files that one source goes to. */
    int files[STORES + 1], count, error;
    char names[STORES][TEMPORARY];
    size_t written, begun;
} sinks;

typedef struct { /* Between the thread that hashes a large file and the one that writes it. */
    sinks *into;
    piece ring[PIECES];
    size_t filled, emptied;
    int is_over, error;
    pthread_mutex_t lock;
    pthread_cond_t moved;
} pipeline;

static atomic_ulong names_given;

static void object_name(const unsigned char digest[DIGEST], char name[OBJECT]) {
    static const char HEX[] = "0123456789abcdef";
    char *at = name;
    for (int i = 0; i < DIGEST; i++) {
        *at++ = HEX[digest[i] >> 4], *at++ = HEX[digest[i] & 15];
        if (i == 0)
            *at++ = '/';
    }
    *at = 0;
}

static int open_retried(int base, const char *name, int flags, mode_t mode) {
    int file;
    do
        file = openat(base, name, flags | O_CLOEXEC, mode);
    while (file < 0 && errno == EINTR);
    return file;
}

/* As much as there is, at most `room`; less only where the file ends. */
static ssize_t read_full(int file, unsigned char *data, size_t room) {
    size_t have = 0;
    while (have < room) {
        ssize_t got = read(file, data + have, room - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (!got)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

static int write_full(int file, const unsigned char *data, size_t length) {
    while (length) {
        ssize_t put = write(file, data, length);
        if (put < 0 && errno != EINTR)
            return errno;
        if (put > 0)
            data += put, length -= (size_t)put;
    }
    return 0;
}

static void note(int64_t stamp[STAMP], const struct stat *found) {
    stamp[0] = found->st_size;
    stamp[1] = (int64_t)found->st_mtim.tv_sec * 1000000000 + found->st_mtim.tv_nsec;
    stamp[2] = (int64_t)found->st_ino;
}

static int staged_in(const work *all, int store) {
    return all->staging[store] < 0 ? all->stores[store] : all->staging[store];
}

/* Make the files that a source is written to; each is new, and no link that somebody put there is followed. */
static int sinks_open(sinks *into, work *all, job *one, unsigned stores) {
    into->count = into->error = 0;
    into->written = into->begun = 0;
    for (int i = 0; i < STORES + 1; i++)
        into->files[i] = -1;
    for (int i = 0; i < all->stores_count; i++)
        if (stores & (1u << i)) {
            if (all->staging[i] < 0) /* The store itself is not whole yet. */
                object_name(one->digest, into->names[i]);
            else
                snprintf(into->names[i], TEMPORARY, "native-%lu", atomic_fetch_add(&names_given, 1));
            into->files[i] = open_retried(staged_in(all, i), into->names[i], O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, MODE);
            if (into->files[i] < 0)
                return errno;
            into->count++;
        }
    if (one->target) {
        into->files[STORES] =
            open_retried(all->target_base, one->target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, (mode_t)all->mode);
        if (into->files[STORES] < 0)
            return errno;
        into->count++;
    }
    return 0;
}

static void sinks_write(sinks *into, const unsigned char *data, size_t length) {
    for (int i = 0; i < STORES + 1 && !into->error; i++)
        if (into->files[i] >= 0)
            into->error = write_full(into->files[i], data, length);
    into->written += length;
    if (into->written - into->begun >= EARLY) {
        for (int i = 0; i < STORES + 1; i++)
            if (into->files[i] >= 0)
                (void)sync_file_range(into->files[i], (off_t)into->begun, (off_t)(into->written - into->begun),
                                      SYNC_FILE_RANGE_WRITE); /* Where it cannot be asked, the sync does it all. */
        into->begun = into->written;
    }
}

/* Move a whole file to its name in a store, whose folder for it is made where it is not there. */
static int adopt(int staging, const char *temporary, int store, const char *name) {
    char shard[3] = {name[0], name[1], 0};
    for (int tries = 0;; tries++) {
        if (!renameat(staging, temporary, store, name))
            return 0;
        if (errno != ENOENT || tries || (mkdirat(store, shard, 0777) && errno != EEXIST))
            return errno;
    }
}

/* Close what was written and give it its names, or remove it where `error` says so. Returns an errno. */
static int sinks_close(sinks *into, work *all, job *one, const char *name, int error) {
    for (int i = 0; i < STORES + 1; i++) {
        struct stat made;
        int file = into->files[i], is_stored = i < STORES;
        if (file < 0)
            continue;
        if (!error && is_stored) {
            if (fstat(file, &made) || ((made.st_mode & 0777) != MODE && fchmod(file, MODE)))
                error = errno;
            else
                note(one->stamp, &made);
        }
        if (!error && all->sync && fsync(file))
            error = errno;
        if (close(file) && !error && errno != EINTR)
            error = errno;
        if (!error && is_stored && all->staging[i] >= 0)
            error = adopt(all->staging[i], into->names[i], all->stores[i], name);
        if (error && is_stored)
            (void)unlinkat(staged_in(all, i), into->names[i], 0); /* What is left is in a folder that goes anyway. */
    }
    if (error && into->files[STORES] >= 0)
        (void)unlinkat(all->target_base, one->target, 0);
    return error;
}

static void *write_pieces(void *given) {
    pipeline *line = given;
    pthread_mutex_lock(&line->lock);
    for (;;) {
        while (line->emptied == line->filled && !line->is_over)
            pthread_cond_wait(&line->moved, &line->lock);
        if (line->emptied == line->filled)
            break;
        piece *next = &line->ring[line->emptied % PIECES];
        pthread_mutex_unlock(&line->lock);
        if (!line->into->error) /* Nobody else touches it until the line is over. */
            sinks_write(line->into, next->data, next->length);
        pthread_mutex_lock(&line->lock);
        line->error = line->into->error;
        line->emptied++;
        pthread_cond_broadcast(&line->moved);
    }
    pthread_mutex_unlock(&line->lock);
    return NULL;
}

/* Hash a large file from its first bytes on, while another thread writes them. Returns a code. */
static int flow(work *all, int file, unsigned char *first, size_t length, sinks *into, md5 *sum) {
    unsigned char *room = malloc((size_t)PIECES * PIECE);
    pipeline line = {.into = into, .lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
    pthread_t writer;
    int code = room ? 0 : ENOMEM, is_threaded = 0;
    if (!code && into->count) {
        sinks_write(into, first, length);
        is_threaded = !pthread_create(&writer, NULL, write_pieces, &line);
    }
    md5_add(sum, first, length);
    atomic_fetch_add(&all->read, length);
    for (size_t turn = 0; !code; turn++) {
        size_t slot = is_threaded ? turn % PIECES : 0;
        piece *next = &line.ring[slot];
        int error = 0;
        if (is_threaded) {
            pthread_mutex_lock(&line.lock);
            while (line.filled - line.emptied == PIECES)
                pthread_cond_wait(&line.moved, &line.lock);
            error = line.error;
            pthread_mutex_unlock(&line.lock);
        }
        next->data = room + slot * PIECE;
        ssize_t got = read_full(file, next->data, PIECE);
        if (got <= 0) {
            code = got ? errno : 0;
            break;
        }
        next->length = (size_t)got;
        md5_add(sum, next->data, next->length);
        atomic_fetch_add(&all->read, next->length);
        if (is_threaded) {
            pthread_mutex_lock(&line.lock);
            line.filled++;
            pthread_cond_broadcast(&line.moved);
            pthread_mutex_unlock(&line.lock);
        } else if (into->count) {
            sinks_write(into, next->data, next->length);
            error = into->error;
        }
        if (error || atomic_load(&all->stop))
            code = error ? TARGET + error : SKIPPED;
    }
    if (is_threaded) {
        pthread_mutex_lock(&line.lock);
        line.is_over = 1;
        pthread_cond_broadcast(&line.moved);
        pthread_mutex_unlock(&line.lock);
        pthread_join(writer, NULL);
    }
    free(room);
    return !code && into->error ? TARGET + into->error : code;
}

/* Which stores lack content of this size; the stamp of what another has is noted. */
static unsigned lacking(work *all, job *one, const char *name, int64_t size) {
    unsigned stores = 0;
    for (int i = 0; i < all->stores_count; i++) {
        struct stat there;
        if (all->staging[i] < 0 || fstatat(all->stores[i], name, &there, 0) || there.st_size != size)
            stores |= 1u << i;
        else
            note(one->stamp, &there);
    }
    return stores;
}

static int cannot_link(int error) {
    return error == EXDEV || error == EPERM || error == EOPNOTSUPP || error == EMLINK || error == EINVAL ||
           error == ENOSYS || error == EACCES || error == ENOTTY;
}

/* Give a store the very file that was read; what has this name there and is damaged gives way. */
static int link_in(work *all, job *one, int file, const char *name, const struct stat *found) {
    char shard[3] = {name[0], name[1], 0};
    struct stat there;
    for (int tries = 0; linkat(all->source_base, one->source, all->stores[0], name, 0); tries++) {
        if (errno == ENOENT && !tries && (!mkdirat(all->stores[0], shard, 0777) || errno == EEXIST))
            continue;
        if (errno != EEXIST || tries > 1)
            return TARGET + errno;
        if (!lacking(all, one, name, found->st_size)) /* Another thread had the same content. */
            return PRESENT;
        if (unlinkat(all->stores[0], name, 0) && errno != ENOENT)
            return TARGET + errno;
    }
    if (fstatat(all->stores[0], name, &there, AT_SYMLINK_NOFOLLOW))
        return TARGET + errno;
    if (there.st_ino != found->st_ino || there.st_dev != found->st_dev) { /* Another file has come in its place. */
        (void)unlinkat(all->stores[0], name, 0);
        return CHANGED;
    }
    if (fchmod(file, MODE))
        return TARGET + errno;
    note(one->stamp, &there);
    return DONE;
}

/* A second name for an object that is verified; an empty one is made anew, for links have a limit. */
static int link_out(work *all, job *one, const char *source, const struct stat *found) {
    if (!found->st_size) {
        int file = open_retried(all->target_base, one->target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0666);
        return file < 0 || close(file) ? TARGET + errno : DONE;
    }
    if (found->st_mode & 0222 && fchmodat(all->source_base, source, MODE, 0))
        return TARGET + errno;
    return linkat(all->source_base, source, all->target_base, one->target, 0) ? TARGET + errno : DONE;
}

static int finish(work *all, job *one, int file, const struct stat *found, unsigned char *buffer, size_t length) {
    unsigned char digest[DIGEST];
    char name[OBJECT];
    sinks into;
    md5 sum;
    unsigned stores = (1u << all->stores_count) - 1;
    int code, is_linked = all->is_linked && !one->is_copied && !atomic_load(&all->no_links), is_large = length == SMALL;
    int is_kept = is_linked && (all->stores_count || one->target); /* It is only read. */
    md5_begin(&sum);
    if (is_large) {
        into = (sinks){.count = 0};
        for (int i = 0; i < STORES + 1; i++)
            into.files[i] = -1;
        if (!is_kept) {
            if ((code = sinks_open(&into, all, one, stores)))
                return TARGET + sinks_close(&into, all, one, "", code);
            for (int i = 0; i < STORES + 1; i++) /* Blocks given out at once cost half of those given one by one. */
                if (into.files[i] >= 0 && fallocate(into.files[i], FALLOC_FL_KEEP_SIZE, 0, found->st_size) &&
                    (errno == ENOSPC || errno == EDQUOT))
                    return TARGET + sinks_close(&into, all, one, "", errno);
        }
        if ((code = flow(all, file, buffer, length, &into, &sum))) {
            sinks_close(&into, all, one, "", EIO);
            return code;
        }
        for (int i = 0; i < STORES + 1; i++) /* A file that became shorter meanwhile left room behind it. */
            if (into.files[i] >= 0 && (int64_t)sum.length < found->st_size &&
                ftruncate(into.files[i], (off_t)sum.length))
                return TARGET + sinks_close(&into, all, one, "", errno);
    } else {
        md5_add(&sum, buffer, length);
        atomic_fetch_add(&all->read, length);
    }
    int64_t size = (int64_t)sum.length;
    md5_end(&sum, digest);
    if (all->has_digests && memcmp(digest, one->digest, DIGEST)) {
        if (is_large)
            sinks_close(&into, all, one, "", EIO);
        return DAMAGED;
    }
    memcpy(one->digest, digest, DIGEST);
    object_name(digest, name);
    note(one->stamp, found);
    one->stamp[0] = size;
    if (is_large && !is_kept)
        return (code = sinks_close(&into, all, one, name, 0)) ? TARGET + code : DONE;
    if (is_kept && !all->stores_count)
        return link_out(all, one, one->source ? one->source : name, found);
    if (!(stores = lacking(all, one, name, size)) && all->stores_count && !one->target)
        return PRESENT;
    if (is_kept && size) {
        code = link_in(all, one, file, name, found);
        if (code <= TARGET || !cannot_link(code - TARGET))
            return code;
        atomic_store(&all->no_links, 1);
        if (is_large) { /* Once more, as a copy: its bytes are not at hand. */
            if (lseek(file, 0, SEEK_SET))
                return errno;
            ssize_t again = read_full(file, buffer, SMALL);
            return again < 0 ? errno : finish(all, one, file, found, buffer, (size_t)again);
        }
    }
    if (!stores && !one->target)
        return DONE;
    if ((code = sinks_open(&into, all, one, stores)))
        return TARGET + sinks_close(&into, all, one, name, code);
    sinks_write(&into, buffer, length);
    return (code = sinks_close(&into, all, one, name, into.error)) ? TARGET + code : DONE;
}

static int handle(work *all, job *one, unsigned char *buffer) {
    char name[OBJECT];
    const char *source = one->source;
    struct stat found;
    int is_linked_in = all->is_linked && all->stores_count && !one->is_copied, flags = O_RDONLY | O_NONBLOCK; /* A pipe is not waited for. */
    if (!source) {
        object_name(one->digest, name);
        source = name;
    }
    if (all->has_stamps && all->is_linked && one->target) {
        int64_t stamp[STAMP];
        if (fstatat(all->source_base, source, &found, 0))
            return errno;
        note(stamp, &found);
        if (!memcmp(stamp, one->stamp, sizeof stamp))
            return link_out(all, one, source, &found);
    }
    int file = open_retried(all->source_base, source, is_linked_in ? flags | O_NOFOLLOW : flags, 0);
    if (file < 0 && errno == ELOOP && is_linked_in) { /* What a link stands for is copied. */
        one->is_copied = 1;
        return handle(all, one, buffer);
    }
    if (file < 0)
        return errno;
    int code;
    ssize_t got = -1;
    if (fstat(file, &found))
        code = errno;
    else if (!S_ISREG(found.st_mode))
        code = CHANGED;
    else
        code = (got = read_full(file, buffer, SMALL)) < 0 ? errno : finish(all, one, file, &found, buffer, (size_t)got);
    close(file);
    return code;
}

static void *run(void *given) {
    work *all = given;
    unsigned char *buffer = malloc(SMALL);
    for (;;) {
        size_t from = atomic_fetch_add(&all->next, (size_t)all->at_once), to = from + (size_t)all->at_once;
        if (from >= (size_t)all->count)
            break;
        for (; from < to && from < (size_t)all->count && !atomic_load(&all->stop); from++) {
            job *one = &all->jobs[from];
            one->code = buffer ? handle(all, one, buffer) : ENOMEM;
            if (one->code != DONE && one->code != PRESENT && !all->go_on)
                atomic_store(&all->stop, 1);
        }
    }
    free(buffer);
    pthread_mutex_lock(&all->lock);
    if (atomic_fetch_sub(&all->running, 1) == 1)
        pthread_cond_signal(&all->ended);
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

#endif
