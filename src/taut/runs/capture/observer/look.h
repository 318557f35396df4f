/* A look at a call of a stopped process: what it opens, changes, moves, runs and connects to. */

#include <arpa/inet.h>
#include <dirent.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define KEPT_MAX (256LL << 20)  /* The command waits while a file is copied; this is about a quarter of a second. */

static int listener = -1, kept = -1, kept_count, rings;
struct shared { _Alignas(16) char request[2048]; volatile int busy, copying; };
static struct shared *shared;

static const struct seccomp_notif *request(void) { return (const struct seccomp_notif *)shared->request; }

static pid_t asking(void) { return (pid_t)request()->pid; }

static int still_there(void) { /* Else its number may belong to another process already. */
    uint64_t id = request()->id;
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static ssize_t peek(uint64_t from, void *into, size_t length) {
    struct iovec here = {into, length}, there = {(void *)(uintptr_t)from, length};
    return process_vm_readv((pid_t)request()->pid, &here, 1, &there, 1, 0);
}

/* A text of the stopped process. Up to a page's end at a time, since the next page may not be there. */
static int peek_text(uint64_t from, char *into) {
    size_t done = 0;
    while (done < PATH_MAX) {
        size_t length = 4096 - ((from + done) & 4095);
        if (length > 512) length = 512;
        if (length > PATH_MAX - done) length = PATH_MAX - done;
        ssize_t count = peek(from + done, into + done, length);
        if (count <= 0) {
            if (count < 0 && errno == EPERM)
                tell_once('u', 0, NULL, "what processes opened that let nobody read their memory", "");
            return -1;
        }
        if (memchr(into + done, 0, (size_t)count)) return 0;
        done += (size_t)count;
    }
    return -1; /* Too long for the kernel as well. */
}

/* Copy what is about to change, for it is an input of the run and its bytes are gone in a moment. */
static void keep(pid_t pid, const char *real, const struct stat *as) {
    if (!in_project(real) || !S_ISREG(as->st_mode)) return;
    if (as->st_size > KEPT_MAX) { tell('k', pid, as, real, ""); return; }
    char name[16];
    snprintf(name, sizeof name, "%d", kept_count++);
    int from = open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), whole = 0;
    int to = from < 0 ? -1 : openat(kept, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to >= 0) {
        shared->copying = 1;
        off_t left = as->st_size;
        ssize_t count = 1;
        while (left > 0 && (count = copy_file_range(from, NULL, to, NULL, (size_t)left, 0)) > 0) left -= count;
        for (char part[1 << 14]; left > 0 && (count = read(from, part, sizeof part)) > 0; left -= count)
            if (write(to, part, (size_t)count) != count) break;
        whole = left <= 0;
        shared->copying = 0;
        close(to);
    }
    if (from >= 0) close(from);
    tell('k', pid, as, real, whole ? name : "");
}

/* Whether the file holds an input that goes when it is replaced or removed. */
static int is_input(int bits) { return bits & (READ | ONCE) && (!(bits & WRITTEN) || bits & MOVED); }

static void reads(pid_t pid, const char *real, const struct stat *as, const char *raw) {
    unsigned char *bits = file_bits(real);
    int news = !(*bits & READ) && (!(*bits & WRITTEN) || *bits & (PARTLY | MOVED));
    if (news) *bits |= READ;
    if (*raw) tell_once('r', pid, as, real, raw);
    else if (news) tell('r', pid, as, real, "");
}

static void writes(pid_t pid, const char *real, const struct stat *as, int reads_too, int anew, const char *raw) {
    unsigned char *bits = file_bits(real);
    int before = *bits, stays = as->st_mode && !anew;
    if (before & WRITTEN && !(before & MOVED)) return;
    *bits = (unsigned char)((before & ~MOVED) | WRITTEN | (stays ? PARTLY : 0));
    if (stays || (as->st_mode && is_input(before))) keep(pid, real, as);
    tell(!stays ? 'w' : reads_too ? 'b' : 'a', pid, as, real, raw);
}

/* Whether what an open would tell is in the record already, so that it needs no look at the file. */
static int is_known(const char *whole, int changes) {
    int bits = *file_bits(whole);
    return changes ? bits & WRITTEN && !(bits & MOVED) : bits & READ || (bits & WRITTEN && !(bits & (PARTLY | MOVED)));
}

static void opened(pid_t pid, int dir, const char *path, uint64_t flags, uint64_t resolve) {
    char real[PATH_MAX], raw[PATH_MAX], target[PATH_MAX];
    struct stat as;
    if (flags & (O_PATH | O_DIRECTORY) || is_of_kernel(path)) return;
    int changes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
    if (!find(dir, path, flags & O_NOFOLLOW ? O_NOFOLLOW : 0, resolve, real, &as)) {
        if (!S_ISREG(as.st_mode) || is_known(real, changes)) {
            if (S_ISREG(as.st_mode) && !changes) {
                typed(raw, dir, path, real);
                if (*raw && !(*file_bits(real) & WRITTEN)) tell_once('r', pid, &as, real, raw);
            }
            return;
        }
        if (changes && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return; /* It will fail. */
        int wants = ((flags & O_ACCMODE) != O_WRONLY ? MAY_READ : 0) | (changes ? MAY_WRITE : 0);
        if (!may(pid, real, &as, wants) || !still_there()) return;
        typed(raw, dir, path, real);
        if (!changes) reads(pid, real, &as, raw);
        else writes(pid, real, &as, (flags & O_ACCMODE) == O_RDWR, (flags & O_TRUNC) != 0, raw);
        return;
    }
    if (errno != ENOENT || !(flags & O_CREAT) || resolve) return;
    for (int links = 0; links < 8 && !find_entry(dir, path, real, &as) && still_there(); links++) {
        if (!S_ISLNK(as.st_mode)) {
            if (!as.st_mode && may_enter(pid, real)) writes(pid, real, &as, 0, 1, "");
            return;
        }
        ssize_t length = readlink(real, target, sizeof target - 1); /* To what is not there yet: opening makes that. */
        if (length <= 0) return;
        target[length] = 0;
        if (target[0] != '/') {
            char *slash = strrchr(real, '/');
            if (slash - real + 1 + length >= PATH_MAX) return;
            memmove(target + (slash - real) + 1, target, (size_t)length + 1);
            memcpy(target, real, (size_t)(slash - real) + 1);
        }
        path = target, dir = AT_FDCWD;
    }
}

static int is_empty(const char *folder) {
    DIR *at = opendir(folder);
    int names = 0;
    while (at && names < 3 && readdir(at)) names++; /* It holds itself and the one above. */
    if (at) closedir(at);
    return names < 3;
}

/* Whether a rename cannot be done, as far as the two files tell. */
static int will_fail(const char *old, const struct stat *as, const char *new, const struct stat *over, uint64_t flags) {
    const char *rest = below(old, new);
    if (over->st_dev && as->st_dev != over->st_dev) return 1;
    if (!over->st_mode) {
        char folder[PATH_MAX];
        struct stat there;
        strcpy(folder, new);
        char *slash = strrchr(folder, '/');
        slash[slash == folder] = 0;
        return (flags & 2) || (!lstat(folder, &there) && there.st_dev != as->st_dev) || (rest && *rest);
    }
    if (flags & 2 /* RENAME_EXCHANGE */) return 0;
    if (as->st_ino == over->st_ino || !S_ISDIR(as->st_mode) != !S_ISDIR(over->st_mode)) return 1;
    return S_ISDIR(as->st_mode) && !is_empty(new);
}

static void moved(pid_t pid, int dir, const char *path, int dir2, const char *path2, uint64_t flags, int is_link) {
    char old[PATH_MAX], new[PATH_MAX];
    struct stat as, over;
    int found;
    if (is_link && (!*path || flags & AT_SYMLINK_FOLLOW)) found = find(dir, path, 0, 0, old, &as);
    else found = find_entry(dir, path, old, &as);
    if (found || !as.st_mode || find_entry(dir2, path2, new, &over) || !still_there()) return;
    if (over.st_mode && (is_link || flags & 1 /* RENAME_NOREPLACE */)) return; /* It will fail. */
    if (!may_enter(pid, new) || will_fail(old, &as, new, &over, is_link ? 0 : flags)) return;
    int was = *file_bits(old), over_was = *file_bits(new), exchanges = !is_link && flags & 2;
    if (is_link) {
        *file_bits(new) = (unsigned char)(WRITTEN | (was & READ) | (was & WRITTEN && !(was & MOVED) ? 0 : MOVED));
        tell('l', pid, &as, old, new);
        return;
    }
    if (!may_enter(pid, old)) return;
    if (over.st_mode && !exchanges && is_input(over_was)) keep(pid, new, &over);
    *file_bits(new) = (unsigned char)(WRITTEN | (was & READ) | (was & WRITTEN && !(was & MOVED) ? 0 : MOVED));
    was = over_was;
    *file_bits(old) = (unsigned char)(!exchanges ? 0
        : WRITTEN | (was & READ) | (was & WRITTEN && !(was & MOVED) ? 0 : MOVED));
    tell(exchanges ? 'M' : 'm', pid, &as, old, new);
    if (!S_ISREG(as.st_mode) || (exchanges && !S_ISREG(over.st_mode))) forget_dirs();
    if (S_ISDIR(as.st_mode) || (exchanges && S_ISDIR(over.st_mode))) forget_names(), forget_working();
}

/* Whether a socket of the stopped process is a datagram one: connecting that asks the kernel for a route, no more. */
static int is_datagram(int socket) {
    int type = 0, process = (int)syscall(__NR_pidfd_open, request()->pid, 0);
    int here = process < 0 ? -1 : (int)syscall(__NR_pidfd_getfd, process, socket, 0);
    socklen_t size = sizeof type;
    if (here >= 0) getsockopt(here, SOL_SOCKET, SO_TYPE, &type, &size);
    close(here);
    close(process);
    return type == SOCK_DGRAM;
}

static void connects(int socket, uint64_t address, uint64_t length) {
    union { struct sockaddr any; struct sockaddr_in four; struct sockaddr_in6 six; } to = {0};
    char text[INET6_ADDRSTRLEN], whole[INET6_ADDRSTRLEN + 16];
    if (length > sizeof to) length = sizeof to;
    if (length < sizeof to.four || peek(address, &to, length) != (ssize_t)length || is_datagram(socket)) return;
    if (!still_there()) return;
    if (to.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &to.four.sin_addr, text, sizeof text);
        snprintf(whole, sizeof whole, "%s:%u", text, ntohs(to.four.sin_port));
    } else if (to.any.sa_family == AF_INET6 && length >= sizeof to.six) {
        inet_ntop(AF_INET6, &to.six.sin6_addr, text, sizeof text);
        snprintf(whole, sizeof whole, "[%s]:%u", text, ntohs(to.six.sin6_port));
    } else return;
    tell_once('c', (pid_t)request()->pid, NULL, whole, "");
}

/* Opened by a number that name_to_handle_at(2) gave; we ask the kernel for the same file. */
static void by_handle(pid_t pid, int mount, uint64_t handle, uint64_t flags) {
    struct { struct file_handle head; unsigned char rest[MAX_HANDLE_SZ]; } file;
    char place[64], real[PATH_MAX];
    struct stat as;
    if (peek(handle, &file.head, sizeof file.head) != sizeof file.head || file.head.handle_bytes > MAX_HANDLE_SZ ||
        peek(handle + sizeof file.head, file.head.f_handle, file.head.handle_bytes) != (ssize_t)file.head.handle_bytes)
        return;
    snprintf(place, sizeof place, mount == AT_FDCWD ? "/proc/%d/cwd" : "/proc/%d/fd/%d", pid, mount);
    int from = open(place, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int made = from < 0 ? -1 : open_by_handle_at(from, &file.head, O_PATH | O_CLOEXEC);
    if (from >= 0) close(from);
    if (describe(made, real, &as)) {
        if (made >= 0 || errno != ESTALE) tell_once('u', 0, NULL, "files opened by handle", "");
        return;
    }
    int changes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
    if (!S_ISREG(as.st_mode) || flags & (O_PATH | O_DIRECTORY) || !still_there()) return;
    if (!changes) reads(pid, real, &as, "");
    else writes(pid, real, &as, (flags & O_ACCMODE) == O_RDWR, (flags & O_TRUNC) != 0, "");
}

/* A program, and where it is a script its interpreter, which the kernel opens by itself. */
static void executed(pid_t pid, int dir, const char *path) {
    char real[PATH_MAX], line[256];
    struct stat as;
    for (int depth = 0; depth < 5; depth++) {
        if (find(dir, path, 0, 0, real, &as) || !S_ISREG(as.st_mode)) return;
        if (!may(pid, real, &as, MAY_EXECUTE) || !still_there()) return;
        tell_once('x', pid, &as, real, "");
        if (as.st_mode & (S_ISUID | S_ISGID)) other_users = 1;
        if (!in_project(real)) return;
        int file = open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        ssize_t length = file < 0 ? 0 : read(file, line, sizeof line - 1);
        if (file >= 0) close(file);
        if (length < 3 || line[0] != '#' || line[1] != '!') return;
        line[length] = 0;
        char *start = line + 2 + strspn(line + 2, " \t");
        start[strcspn(start, " \t\n")] = 0;
        path = start, dir = AT_FDCWD;
    }
}

/* What happens to one name. */
static void changed(pid_t pid, enum what what, int dir, const char *path, const char *target, uint64_t flags) {
    char real[PATH_MAX];
    struct stat as;
    if (what == TRUNCATE) {
        if (find(dir, path, 0, 0, real, &as) || !S_ISREG(as.st_mode) || !may(pid, real, &as, MAY_WRITE)) return;
        if (still_there()) writes(pid, real, &as, 0, 0, "");
        return;
    }
    if (what == UNLINK && flags & AT_REMOVEDIR) return;
    if (find_entry(dir, path, real, &as) || !may_enter(pid, real) || !still_there()) return;
    if (what == UNLINK) {
        unsigned char *bits = file_bits(real);
        if (as.st_mode && is_input(*bits)) keep(pid, real, &as);
        *bits &= (unsigned char)~(READ | ONCE | MOVED);
    } else if (!as.st_mode && what == SYMLINK) {
        *file_bits(real) = WRITTEN;
        forget_dirs();
        tell('s', pid, NULL, real, target);
    } else if (!as.st_mode && (S_ISREG(flags) || !(flags & S_IFMT))) writes(pid, real, &as, 0, 1, "");
}

/* Look at a call, for one run. 0 to let it go on, else the error with which it fails. */
static int look(void) {
    const struct seccomp_notif *asked = request();
    const uint64_t *arguments = (const uint64_t *)asked->data.args;
    pid_t pid = (pid_t)asked->pid;
    const struct call *call = NULL;
    int is_native = asked->data.arch == NATIVE_ARCH;
    unsigned number = (unsigned)asked->data.nr & ~(is_native ? X32_BIT : 0);
    for (size_t i = 0; i < (is_native ? LENGTH(NATIVE) : LENGTH(COMPAT)) && !call; i++) {
        const struct call *candidate = is_native ? NATIVE + i : COMPAT + i;
        if ((unsigned)candidate->number == number) call = candidate;
    }
    if (!call) return 0;
    switch (call->what) {
    case RING:
        if (rings) tell_once('u', 0, NULL, "files opened through io_uring", "");
        return rings ? 0 : ENOSYS;
    case FOLDER: forget_working(); return 0;
    case ROOT: other_roots = 1; return 0;
    case MOUNT: forget_mounts(); return 0;
    case USER: other_users = 1; return 0;
    case HANDLE: by_handle(pid, (int)arguments[0], arguments[1], arguments[2]); return 0;
    case CONNECT: connects((int)arguments[0], arguments[1], (uint32_t)arguments[2]); return 0;
    case SOCKETCALL: {
        uint32_t words[3];
        if (peek(arguments[1], words, sizeof words) == sizeof words) connects((int)words[0], words[1], words[2]);
        return 0;
    }
    default: break;
    }
    char path[PATH_MAX], path2[PATH_MAX];
    int dir = call->dir == NO ? AT_FDCWD : (int)arguments[call->dir];
    int dir2 = call->dir2 == NO ? AT_FDCWD : (int)arguments[call->dir2];
    uint64_t flags = call->flags == NO ? 0 : arguments[call->flags];
    struct open_how how = {.flags = flags};
    if (peek_text(arguments[call->path], path)) return 0;
    if (call->path2 != NO && peek_text(arguments[call->path2], path2)) return 0;
    switch (call->what) {
    case OPEN2:
        if (peek(flags, &how, sizeof how) != sizeof how) return 0;
        how.resolve &= ~(uint64_t)0x20; /* RESOLVE_CACHED: does not say which file. */
        /* fall through */
    case OPEN: opened(pid, dir, path, how.flags, how.resolve); break;
    case CREAT: opened(pid, dir, path, O_WRONLY | O_CREAT | O_TRUNC, 0); break;
    case RENAME: moved(pid, dir, path, dir2, path2, flags, 0); break;
    case LINK: moved(pid, dir, path, dir2, path2, flags, 1); break;
    case EXEC: executed(pid, dir, path); break;
    default: changed(pid, call->what, dir, path, path2, flags);
    }
    return 0;
}

/* Look at a call, for our run and those within it that the process is of, and say how it is to be answered. */
static void observe(struct seccomp_notif_resp *answer) {
    if (is_asking(request())) {
        int is_new = request()->data.args[2] == ASK_TO_SEE;
        if (!is_new) flush();
        answer->val = is_new ? admit(asking()) : record >= 0;
        answer->error = answer->val ? 0 : -ENOSPC;
        return;
    }
    answer->error = -look();
    for (unsigned number = run_of(asking()); number; number = inner[number - 1].outer) {
        account = number;
        look();
    }
    account = 0;
    if (!answer->error) answer->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
}

