/* Places: what a path means to the stopped process, and the one name by which a file is told. */

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <time.h>

#define DIRS (1U << 12)         /* Folders whose names hold no link; a collision is asked again. */
#define WORKING (1U << 6)       /* Processes whose working directory is remembered. */
#define REMEMBERED_NS 500000000 /* No process number comes back as soon as this. */
#define SETTLED_NS 10000000     /* A call that we let go on is done by then. */

static int other_roots, other_mounts; /* Whether a process changed its root folder, or mounted something. */
static const char *project;
static size_t project_length;
static uint64_t dirs[DIRS];
static struct working { pid_t pid; int64_t at_ns; char name[PATH_MAX]; } *working;
static int64_t unsettled_ns;

static pid_t asking(void); /* The stopped process. */

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* A name may become a link now, or a folder another one. */
static void forget_dirs(void) { memset(dirs, 0, sizeof dirs); }

/* A working directory is about to change, maybe that of several threads: what was read just before is not yet so. */
static void forget_working(void) {
    for (size_t i = 0; i < WORKING; i++) working[i].pid = 0;
    unsettled_ns = now_ns() + SETTLED_NS;
}

static int in_project(const char *path) {
    return !strncmp(path, project, project_length) && path[project_length] == '/';
}

static int name_at(const char *link, char *into) {
    ssize_t length = readlink(link, into, PATH_MAX - 1);
    if (length <= 0 || into[0] != '/') return -1;
    into[length] = 0;
    return 0;
}

static int name_of(int descriptor, char *into) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    return name_at(link, into);
}

/* -- Mounts: where one folder is reached by two names, or by one that means another thing to us -- */

struct mount { unsigned major, minor; size_t root, point; }; /* Offsets into the text. */
struct mounts { char *text; struct mount *all; size_t count; };
static struct mounts ours, theirs;
static ino_t theirs_of;
static const struct mount *home; /* That which the project lies on. */
static dev_t home_device;
static int aliased, ours_stale; /* Whether another one of ours shows some of the same file system; or may soon. */

static void unescape(char *text) {
    char *to = text;
    for (; *text; text++)
        if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
            *to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 3;
        } else *to++ = *text;
    *to = 0;
}

/* Read proc_pid_mountinfo(5): `id parent major:minor root point ...` a line. */
static int read_mounts(const char *file, struct mounts *into) {
    size_t room = 1 << 14, length = 0;
    free(into->text), free(into->all);
    *into = (struct mounts){malloc(room), NULL, 0};
    int from = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t count = 0;
    while (from >= 0 && into->text && (count = read(from, into->text + length, room - length - 1)) > 0)
        if ((length += (size_t)count) + 1 == room) {
            char *more = realloc(into->text, room *= 2);
            if (!more) break;
            into->text = more;
        }
    if (from >= 0) close(from);
    if (from < 0 || !into->text || count) return -1;
    into->text[length] = 0;
    size_t lines = 0;
    for (const char *at = into->text; (at = strchr(at, '\n')); at++) lines++;
    into->all = calloc(lines + 1, sizeof *into->all);
    char *rest = into->text;
    for (char *line; into->all && (line = strsep(&rest, "\n")) && *line;) {
        struct mount *mount = into->all + into->count;
        int root = 0, root_end = 0, point = 0, point_end = 0;
        if (sscanf(line, "%*d %*d %u:%u %n%*s%n %n%*s%n", &mount->major, &mount->minor, &root, &root_end, &point,
                &point_end) != 2 || !point_end) continue;
        line[root_end] = line[point_end] = 0;
        unescape(line + root), unescape(line + point);
        mount->root = (size_t)(line - into->text) + (size_t)root;
        mount->point = (size_t)(line - into->text) + (size_t)point;
        into->count++;
    }
    return 0;
}

/* What follows a folder's name in a path, with its slash; NULL where the path is not below it. */
static const char *below(const char *folder, const char *path) {
    size_t length = strcmp(folder, "/") ? strlen(folder) : 0;
    return !strncmp(folder, path, length) && (path[length] == '/' || !path[length]) ? path + length : NULL;
}

static const struct mount *mount_of(const struct mounts *in, const char *path) {
    const struct mount *found = NULL;
    for (const struct mount *each = in->all; each < in->all + in->count; each++)
        if (below(in->text + each->point, path) &&
            (!found || strlen(in->text + each->point) >= strlen(in->text + found->point))) found = each;
    return found;
}

static void learn_mounts(void) {
    struct stat as;
    aliased = 0, home = NULL;
    if (read_mounts("/proc/self/mountinfo", &ours) || stat(project, &as) || !(home = mount_of(&ours, project))) return;
    home_device = as.st_dev;
    for (const struct mount *each = ours.all; each < ours.all + ours.count; each++)
        if (each != home && each->major == home->major && each->minor == home->minor) aliased = 1;
}

/* The mounts of some process are about to change. */
static void forget_mounts(void) {
    other_roots = other_mounts = ours_stale = 1;
    theirs_of = 0;
    forget_working();
}

static int is_same(const char *path, const struct stat *as) {
    struct stat found;
    return !lstat(path, &found) && found.st_ino == as->st_ino && found.st_dev == as->st_dev;
}

/* Give a file the name that it has for us: in the project if it is there, whatever mount it was reached by. */
static int translate(char *real, const struct stat *as) {
    struct mounts *in = &ours;
    if (other_mounts) {
        char link[64];
        struct stat space, own;
        snprintf(link, sizeof link, "/proc/%d/ns/mnt", asking());
        if (!stat(link, &space) && !stat("/proc/self/ns/mnt", &own)) {
            if (space.st_ino == own.st_ino) {
                if (ours_stale) learn_mounts();
                ours_stale = now_ns() < unsettled_ns;
            } else {
                snprintf(link, sizeof link, "/proc/%d/mountinfo", asking());
                if (space.st_ino != theirs_of && read_mounts(link, &theirs)) return -1;
                theirs_of = now_ns() < unsettled_ns ? 0 : space.st_ino;
                in = &theirs;
            }
        }
    }
    if (in == &ours && (!aliased || !home || as->st_dev != home_device || in_project(real))) return 0;
    const struct mount *by = mount_of(in, real);
    if (!by || by == home) return 0;
    char inside[PATH_MAX], named[PATH_MAX], best[PATH_MAX] = "";
    const char *root = in->text + by->root;
    if (snprintf(inside, sizeof inside, "%s%s", strcmp(root, "/") ? root : "", below(in->text + by->point, real)) >=
        (int)sizeof inside) return 0;
    for (const struct mount *each = ours.all; each < ours.all + ours.count; each++) {
        const char *rest = below(ours.text + each->root, inside), *point = ours.text + each->point;
        if (each->major != by->major || each->minor != by->minor || !rest) continue;
        if (snprintf(named, sizeof named, "%s%s", strcmp(point, "/") ? point : "", rest) >= (int)sizeof named) continue;
        if (is_same(named, as) && (!*best || in_project(named) || !strcmp(named, project))) strcpy(best, named);
    }
    if (*best && (in_project(best) || !strcmp(best, project) || in == &theirs)) strcpy(real, best);
    return in == &ours || *best ? 0 : -1;
}

/* -- Paths -- */

/* How we reach what a path of the stopped process names, where that is not as it is typed. */
static int reach(char *into, int dir, const char *path) {
    pid_t pid = asking();
    static const struct { const char *from, *to; } OWN[] = {
        {"/proc/self/", "/proc/%d/"}, {"/proc/thread-self/", "/proc/%d/"}, {"/dev/fd/", "/proc/%d/fd/"},
        {"/dev/stdin", "/proc/%d/fd/0"}, {"/dev/stdout", "/proc/%d/fd/1"}, {"/dev/stderr", "/proc/%d/fd/2"},
    };
    int length;
    if (path[0] == '/') {
        for (size_t i = 0; i < LENGTH(OWN) && (path[1] == 'p' || path[1] == 'd'); i++) {
            size_t prefix = strlen(OWN[i].from);
            if (strncmp(path, OWN[i].from, prefix)) continue;
            char start[64];
            snprintf(start, sizeof start, OWN[i].to, pid);
            length = snprintf(into, PATH_MAX, "%s%s", start, path + prefix);
            return length < PATH_MAX ? 0 : -1;
        }
        length = snprintf(into, PATH_MAX, "%s", path);
    } else {
        const char *slash = *path ? "/" : "";
        if (dir == AT_FDCWD) length = snprintf(into, PATH_MAX, "/proc/%d/cwd%s%s", pid, slash, path);
        else length = snprintf(into, PATH_MAX, "/proc/%d/fd/%d%s%s", pid, dir, slash, path);
    }
    return length < PATH_MAX ? 0 : -1;
}

/* The working directory's name, or that of an open folder; remembered for the first. */
static const char *folder_of(int dir) {
    static char other[PATH_MAX];
    char link[64];
    pid_t pid = asking();
    int is_working = dir == AT_FDCWD;
    if (is_working) snprintf(link, sizeof link, "/proc/%d/cwd", pid);
    else snprintf(link, sizeof link, "/proc/%d/fd/%d", pid, dir);
    struct working *at = working + ((unsigned)pid & (WORKING - 1));
    int64_t now = is_working ? now_ns() : 0;
    if (is_working && at->pid == pid && now - at->at_ns < REMEMBERED_NS) return at->name;
    char *into = is_working ? at->name : other;
    at->pid = is_working ? 0 : at->pid;
    if (name_at(link, into)) return NULL;
    if (is_working && now > unsettled_ns) at->pid = pid, at->at_ns = now;
    return into;
}

/* Whether the kernel would print an absolute path as it stands if no part of it is a link. */
static int is_plain(const char *path) {
    if (!strncmp(path, "/proc/", 6) || !strncmp(path, "/dev/", 5)) return 0;
    for (const char *at = path; (at = strchr(at, '/')); at++)
        if (at[1] == '/' || !at[1] || (at[1] == '.' && (at[2] == '/' || !at[2] || at[2] == '.'))) return 0;
    return 1;
}

/* Make the whole name of a path, if its folder's name holds no link: most do not, and then a file is one call away. */
static int is_direct(int dir, const char *path, char *whole) {
    if (other_roots || !*path) return 0;
    if (path[0] != '/') {
        const char *folder = folder_of(dir);
        while (path[0] == '.' && path[1] == '/') path += 2;
        if (!folder) return 0;
        size_t first = strcmp(folder, "/") ? strlen(folder) : 0, rest = strlen(path);
        if (first + rest + 2 > PATH_MAX) return 0;
        memcpy(whole, folder, first);
        whole[first] = '/';
        memcpy(whole + first + 1, path, rest + 1);
    } else strcpy(whole, path);
    if (!is_plain(whole)) return 0;
    char *slash = strrchr(whole, '/');
    if (slash == whole) return 1;
    *slash = 0;
    uint64_t hash = hash_of('d', whole, "");
    int is_known = dirs[hash & (DIRS - 1)] == hash;
    if (!is_known) {
        struct open_how how = {.flags = O_PATH | O_CLOEXEC | O_DIRECTORY, .resolve = RESOLVE_NO_SYMLINKS};
        int descriptor = (int)syscall(__NR_openat2, AT_FDCWD, whole, &how, sizeof how);
        if (descriptor >= 0) {
            close(descriptor);
            dirs[hash & (DIRS - 1)] = hash;
            is_known = 1;
        }
    }
    *slash = '/';
    return is_known;
}

/* A descriptor of what a path names for a process whose root folder may be another. */
static int open_place(int dir, const char *path, int more, uint64_t resolve) {
    char place[PATH_MAX], root[PATH_MAX], link[64], inside[PATH_MAX];
    struct open_how how = {.flags = (uint64_t)(O_PATH | O_CLOEXEC | more), .resolve = resolve};
    int from = -1, made;
    if (resolve) { /* Something of openat2(2) that decides what the path means. */
        if (reach(place, dir, "") || (from = open(place, O_PATH | O_CLOEXEC)) < 0) return -1;
        made = (int)syscall(__NR_openat2, from, path, &how, sizeof how);
        close(from);
        return made;
    }
    if (reach(place, dir, path)) return -1;
    if (!other_roots || (path[0] == '/' && strcmp(place, path))) return open(place, O_PATH | O_CLOEXEC | more);
    snprintf(link, sizeof link, "/proc/%d/root", asking());
    const char *folder = path[0] == '/' ? "" : folder_of(dir), *rest = folder;
    if (path[0] != '/' && (!folder || name_at(link, root) || !(rest = below(root, folder))))
        return open(place, O_PATH | O_CLOEXEC | more);
    if (snprintf(inside, sizeof inside, "%s/%s", rest, path) >= (int)sizeof inside) return -1;
    if ((from = open(link, O_PATH | O_CLOEXEC)) < 0) return -1;
    how.resolve = RESOLVE_IN_ROOT;
    made = (int)syscall(__NR_openat2, from, inside, &how, sizeof how);
    close(from);
    return made;
}

static int describe(int descriptor, char *real, struct stat *as) {
    if (descriptor < 0) return -1;
    int found = fstat(descriptor, as) || name_of(descriptor, real) ? -1 : 0;
    close(descriptor);
    return found || ((other_mounts || aliased) && translate(real, as)) ? -1 : 0;
}

/* The file that a path names: its name without links, and its state. -1 where there is none. */
static int find(int dir, const char *path, int more, uint64_t resolve, char *real, struct stat *as) {
    if (!resolve && is_direct(dir, path, real)) {
        if (lstat(real, as)) return -1;
        if (!S_ISLNK(as->st_mode)) return (other_mounts || aliased) && translate(real, as) ? -1 : 0;
    }
    return describe(open_place(dir, path, more, resolve), real, as);
}

/* The name that a path has or would have in its folder, whose name has no links; the last part is not followed. */
static int find_entry(int dir, const char *path, char *real, struct stat *as) {
    struct stat folder;
    char place[PATH_MAX];
    size_t length = strlen(path);
    if (length >= PATH_MAX || !length) return -1;
    memcpy(place, path, length + 1);
    while (length > 1 && place[length - 1] == '/') place[--length] = 0;
    char *slash = strrchr(place, '/');
    const char *last = slash ? slash + 1 : place;
    if (!*last || !strcmp(last, ".") || !strcmp(last, "..")) return find(dir, path, 0, 0, real, as);
    if (slash) *slash = 0;
    const char *above = slash == place ? "/" : slash ? place : ".";
    if (describe(open_place(dir, above, O_DIRECTORY, 0), real, &folder)) return -1;
    size_t used = strcmp(real, "/") ? strlen(real) : 0;
    if (used + strlen(last) + 1 >= PATH_MAX) return -1;
    real[used] = '/';
    strcpy(real + used + 1, last);
    if (lstat(real, as)) memset(as, 0, sizeof *as);
    return 0;
}

/* The path as typed, made absolute, where that is in the project and is not the real one; else an empty text. */
static void typed(char *into, int dir, const char *path, const char *real) {
    into[0] = 0;
    if (path[0] == '/') {
        if (strcmp(path, real) && in_project(path)) strcpy(into, path);
        return;
    }
    const char *rest = path;
    while (rest[0] == '.' && rest[1] == '/') rest += 2;
    size_t length = strlen(rest), whole = strlen(real);
    if (whole > length && real[whole - length - 1] == '/' && !strcmp(real + whole - length, rest)) return;
    struct stat as;
    if (find(dir, ".", 0, 0, into, &as) || strlen(into) + length + 2 >= PATH_MAX) into[0] = 0;
    else {
        strcat(strcat(into, "/"), rest);
        if (!in_project(into) || !strcmp(into, real)) into[0] = 0;
    }
}
