/* Many files at a time, without Python's objects for each: a folder's names and stamps, and content read once, hashed
   with MD5 as DVC does, and copied or linked to where it belongs, by several threads that need no interpreter.

   bulk.py is its only caller, and has the same in Python for machines without it. Sizes of all that comes in are checked
   there and here; names are bytes that end in NUL and are used relative to folders opened once. Nothing is synced but
   where that is asked for: the caller syncs all of it at the end. */

#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <signal.h>
#include <stddef.h>

#include "content.h"
#include "folder.h"

#define VERSION 2  /* Of what bulk.py calls; it takes no other. */
#define THREADS 64
#define WAIT_MS 50 /* Between looks for Ctrl-C. */

/* Wait for all threads, tell `advance` what was read, and stop them where it or a signal's handler raises. */
static void attend(work *all, PyObject *advance) {
    size_t told = 0;
    int is_over = 0;
    while (!is_over) {
        Py_BEGIN_ALLOW_THREADS
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WAIT_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L, until.tv_nsec %= 1000000000L;
        pthread_mutex_lock(&all->lock);
        if (atomic_load(&all->running))
            (void)pthread_cond_timedwait(&all->ended, &all->lock, &until);
        is_over = !atomic_load(&all->running);
        pthread_mutex_unlock(&all->lock);
        Py_END_ALLOW_THREADS
        if (PyErr_Occurred())
            continue;
        size_t read = atomic_load(&all->read);
        PyObject *said = NULL;
        if (PyErr_CheckSignals() || (advance != Py_None && !(said = PyObject_CallFunction(advance, "n", read - told))))
            atomic_store(&all->stop, 1);
        Py_XDECREF(said);
        told = read;
    }
}

static void start(work *all, PyObject *advance, int threads) {
    pthread_t ids[THREADS];
    pthread_condattr_t monotonic;
    sigset_t blocked, before;
    int started = 0, error = 0;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->ended, &monotonic);
    sigfillset(&blocked); /* Signals are Python's; those of a defect are answered where they arise. */
    sigdelset(&blocked, SIGSEGV), sigdelset(&blocked, SIGBUS), sigdelset(&blocked, SIGILL), sigdelset(&blocked, SIGFPE);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    pthread_mutex_lock(&all->lock); /* None ends before all are counted. */
    while (started < threads && !(error = pthread_create(&ids[started], NULL, run, all)))
        started++;
    atomic_store(&all->running, started);
    pthread_mutex_unlock(&all->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) {
        attend(all, advance);
        for (int i = 0; i < started; i++)
            pthread_join(ids[i], NULL);
    } else {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    pthread_cond_destroy(&all->ended);
    pthread_mutex_destroy(&all->lock);
    pthread_condattr_destroy(&monotonic);
}

/* Names that end in NUL, as many as there are jobs. */
static int parse_names(PyObject *given, work *all, int is_target) {
    char *at, *end;
    Py_ssize_t length;
    if (given == Py_None)
        return 0;
    if (PyBytes_AsStringAndSize(given, &at, &length))
        return -1;
    end = at + length;
    for (Py_ssize_t i = 0; i < all->count; i++, at++) {
        size_t size = at < end ? strnlen(at, (size_t)(end - at)) : 0;
        if (!size || at + size == end) {
            PyErr_SetString(PyExc_ValueError, "names must not be empty, and each ends in NUL");
            return -1;
        }
        *(is_target ? &all->jobs[i].target : &all->jobs[i].source) = at;
        at += size;
    }
    if (at != end)
        PyErr_SetString(PyExc_ValueError, "there are more names than items");
    return at != end ? -1 : 0;
}

static int parse_numbers(PyObject *given, work *all, size_t size, size_t place, int *is_given) {
    char *data;
    Py_ssize_t length;
    *is_given = given != Py_None;
    if (!*is_given)
        return 0;
    if (PyBytes_AsStringAndSize(given, &data, &length))
        return -1;
    if (length % (Py_ssize_t)size || length / (Py_ssize_t)size != all->count) {
        PyErr_SetString(PyExc_ValueError, "there must be a digest and a stamp for each item, or none for any");
        return -1;
    }
    for (Py_ssize_t i = 0; i < all->count; i++)
        memcpy((char *)&all->jobs[i] + place, data + i * (Py_ssize_t)size, size);
    return 0;
}

static int open_folder(PyObject *given, int *folder) {
    PyObject *path;
    *folder = -1;
    if (given == Py_None)
        return 0;
    if (!PyUnicode_FSConverter(given, &path))
        return -1;
    if ((*folder = open_retried(AT_FDCWD, PyBytes_AsString(path), O_PATH | O_DIRECTORY, 0)) < 0)
        PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, given);
    Py_DECREF(path);
    return *folder < 0 ? -1 : 0;
}

static int open_folders(work *all, PyObject *source_base, PyObject *target_base, PyObject *stores) {
    Py_ssize_t count = PyTuple_Size(stores);
    if (count < 0)
        return -1;
    if (count > STORES) {
        PyErr_SetString(PyExc_ValueError, "there are too many stores");
        return -1;
    }
    if (open_folder(source_base, &all->source_base) || open_folder(target_base, &all->target_base))
        return -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *root, *staging;
        if (!PyArg_ParseTuple(PyTuple_GetItem(stores, i), "OO", &root, &staging) ||
            open_folder(root, &all->stores[i]) || open_folder(staging, &all->staging[i]))
            return -1;
        all->stores_count++;
    }
    return 0;
}

static int is_direct(const work *all) {
    for (int i = 0; i < all->stores_count; i++)
        if (all->staging[i] < 0)
            return 1;
    return 0;
}

static PyObject *results(const work *all) {
    PyObject *digests = PyBytes_FromStringAndSize(NULL, all->count * DIGEST);
    PyObject *stamps = PyBytes_FromStringAndSize(NULL, all->count * (Py_ssize_t)sizeof all->jobs->stamp);
    PyObject *codes = PyBytes_FromStringAndSize(NULL, all->count * (Py_ssize_t)sizeof(int32_t)), *told = NULL;
    if (digests && stamps && codes) {
        char *digest = PyBytes_AsString(digests), *stamp = PyBytes_AsString(stamps), *code = PyBytes_AsString(codes);
        for (Py_ssize_t i = 0; i < all->count; i++) {
            int32_t said = all->jobs[i].code;
            memcpy(digest + i * DIGEST, all->jobs[i].digest, DIGEST);
            memcpy(stamp + i * (Py_ssize_t)sizeof all->jobs->stamp, all->jobs[i].stamp, sizeof all->jobs->stamp);
            memcpy(code + i * (Py_ssize_t)sizeof said, &said, sizeof said);
        }
        told = PyTuple_Pack(3, digests, stamps, codes);
    }
    Py_XDECREF(digests), Py_XDECREF(stamps), Py_XDECREF(codes);
    return told;
}

/* bring(count, source_base, sources, digests, stamps, stores, target_base, targets, is_linked, mode, sync, go_on, threads,
   advance) -> (digests, stamps, codes). See bulk.py. */
static PyObject *bring(PyObject *Py_UNUSED(module), PyObject *given) {
    PyObject *source_base, *sources, *digests, *stamps, *stores, *target_base, *targets, *advance, *told = NULL;
    work all = {.source_base = -1, .target_base = -1, .stores = {-1, -1}, .staging = {-1, -1}};
    int threads;
    if (!PyArg_ParseTuple(given, "nOOOOO!OOpippiO", &all.count, &source_base, &sources, &digests, &stamps, &PyTuple_Type,
                          &stores, &target_base, &targets, &all.is_linked, &all.mode, &all.sync, &all.go_on, &threads,
                          &advance))
        return NULL;
    if (all.count < 0 || all.count > PY_SSIZE_T_MAX / (Py_ssize_t)sizeof(job) || threads < 1) {
        PyErr_SetString(PyExc_ValueError, "there cannot be so many items or threads");
        return NULL;
    }
    if (!(all.jobs = calloc((size_t)all.count + 1, sizeof(job))))
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < all.count; i++)
        all.jobs[i].code = SKIPPED;
    if (!parse_names(sources, &all, 0) && !parse_names(targets, &all, 1) &&
        !parse_numbers(digests, &all, DIGEST, offsetof(job, digest), &all.has_digests) &&
        !parse_numbers(stamps, &all, STAMP * sizeof(int64_t), offsetof(job, stamp), &all.has_stamps) &&
        !open_folders(&all, source_base, target_base, stores)) {
        if (sources == Py_None && !all.has_digests)
            PyErr_SetString(PyExc_ValueError, "items without names are objects, and have digests");
        else if (!all.has_digests && is_direct(&all))
            PyErr_SetString(PyExc_ValueError, "a store that is written to directly takes items with digests");
        else if (all.is_linked && (targets != Py_None) == (all.stores_count > 0))
            PyErr_SetString(PyExc_ValueError, "links go into one store or out to targets");
        else {
            threads = threads > THREADS ? THREADS : threads;
            threads = threads > all.count ? (all.count ? (int)all.count : 1) : threads;
            all.at_once = all.count / (threads * 8) + 1;
            start(&all, advance, threads);
        }
    }
    if (!PyErr_Occurred())
        told = results(&all);
    int folders[] = {all.source_base, all.target_base, all.stores[0], all.stores[1], all.staging[0], all.staging[1]};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (folders[i] >= 0)
            close(folders[i]);
    free(all.jobs);
    return told;
}
/* scan(folder, prefix) -> (names of files behind the prefix, their stamps, names of folders, names of what is neither);
   each name ends in NUL. Raises OSError. */
static PyObject *scan(PyObject *Py_UNUSED(module), PyObject *given) {
    PyObject *shown, *path = NULL, *prefix = NULL, *told = NULL;
    growing kinds[3] = {{0}}, stamps = {0};
    char bad[256] = "";
    int error;
    if (!PyArg_ParseTuple(given, "OO&", &shown, PyUnicode_FSConverter, &prefix))
        return NULL;
    if (PyUnicode_FSConverter(shown, &path)) {
        const char *folder = PyBytes_AsString(path), *before = PyBytes_AsString(prefix);
        Py_BEGIN_ALLOW_THREADS
        error = scan_folder(folder, before, kinds, &stamps, bad);
        Py_END_ALLOW_THREADS
        if (error) {
            PyObject *entry = PyUnicode_DecodeFSDefault(bad);
            PyObject *where = !entry || !*bad ? entry : PyUnicode_FromFormat("%U/%U", shown, entry);
            errno = error;
            if (where)
                PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, *bad ? where : shown);
            if (where != entry)
                Py_XDECREF(where);
            Py_XDECREF(entry);
        } else
            told = Py_BuildValue("y#y#y#y#", kinds[0].data ? kinds[0].data : "", (Py_ssize_t)kinds[0].length,
                                 stamps.data ? stamps.data : "", (Py_ssize_t)stamps.length,
                                 kinds[1].data ? kinds[1].data : "", (Py_ssize_t)kinds[1].length,
                                 kinds[2].data ? kinds[2].data : "", (Py_ssize_t)kinds[2].length);
    }
    for (int i = 0; i < 3; i++)
        free(kinds[i].data);
    free(stamps.data);
    Py_XDECREF(path);
    Py_DECREF(prefix);
    return told;
}

static PyMethodDef METHODS[] = {
    {"bring", bring, METH_VARARGS, "Hash, copy and link many files."},
    {"scan", scan, METH_VARARGS, "The names and stamps of a folder."},
    {NULL, NULL, 0, NULL},
};

static int set_up(PyObject *module) { return PyModule_AddIntConstant(module, "VERSION", VERSION); }

static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, (void *)set_up}, {0, NULL}};

static PyModuleDef MODULE = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_native", .m_methods = METHODS, .m_slots = SLOTS};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&MODULE); }
