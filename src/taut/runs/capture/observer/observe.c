/* Runs a command and writes down which files it and all its descendants open, make, rename and run.

   observe PARENT RECORD KEPT PROJECT own|shared PROGRAM ARGUMENTS...

   A seccomp filter makes the kernel stop a process at the few system calls of calls.h and tell us (seccomp
   user notification, seccomp_unotify(2)). We look at the arguments and always let the call go on: this observes and
   decides nothing. What another thread changes between our look and the kernel's is accepted (TOCTOU); a program that
   wants to hide what it reads can. Needs Linux 5.5, no root and no ptrace; nothing is trapped per read, write or stat.

   RECORD is appended to: triplets of NUL-ended texts, `KIND PID DEV INODE SIZE MTIME_NS CTIME_NS MODE`, path, path.
     o  this format's number, and why nothing can be observed     e  the command ended
     r  opened for reading, as it was then; the second path is the one that was typed, where links led elsewhere
     w  opened for writing anew, as it was before (all 0: was not there); a  for changing it; b  that and reading
     x  executed    m, M  renamed, exchanged (old, new)    l  linked (old, new)    s  symlink made (link, target)
     k  the bytes of a file about to be changed that had been read lie in KEPT (path, name there)
     c  connected to (address)                   u  something that cannot be seen (which)
   Paths are as the kernel resolves them at that moment, from our root folder and with our mounts. What was seen before is
   not written again. io_uring opens files without a system call, so a program is told that the kernel has none and does
   without, unless TAUT_IO_URING is "allow".

   Three processes: the command; we, its parent, who pass on signals and end as it ends; and a keeper that answers the
   kernel when we no longer do, since a call that nobody answers hangs and one whose listener is gone fails. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "calls.h"
#include "record.h"
#include "places.h"
#include "rights.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* Linux 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, uint64_t)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

#define FORMAT 1
#define KEPT_MAX (256LL << 20)  /* The command waits while a file is copied; this is about a quarter of a second. */
#define FLUSH_MS 50
#define LINGER_MS 1000
#define STUCK_MS 1000           /* After this long over one call the keeper answers the others. */

/* -- What a stopped process means -- */

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

/* Look at a call. 0 to let it go on, else the error with which it fails. */
static int observe(void) {
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

/* -- Answering the kernel -- */

static void go_on(int from, uint64_t id) {
    struct seccomp_notif_resp answer = {.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    ioctl(from, SECCOMP_IOCTL_NOTIF_SEND, &answer); /* Fails only where the process was killed meanwhile. */
}

static void answer_one(void) {
    memset(shared->request, 0, sizeof(struct seccomp_notif));
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, shared->request)) return;
    shared->busy = 1;
    int problem = observe();
    if (!problem) go_on(listener, request()->id);
    else {
        struct seccomp_notif_resp answer = {.id = request()->id, .error = -problem};
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    shared->busy = 0;
}

/* Answer without a look: while the observer is stuck on a call, or (0) until no process is left that could ask. */
static void answer_blindly(uint64_t stuck) {
    _Alignas(16) char other[2048];
    struct pollfd asked = {listener, POLLIN, 0};
    while (!stuck || (shared->busy && request()->id == stuck)) {
        if (poll(&asked, 1, stuck ? 50 : -1) > 0) {
            if (asked.revents & (POLLHUP | POLLERR)) return;
            memset(other, 0, sizeof other);
            if (!ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, other)) {
                if (stuck) tell_once('u', 0, NULL, "files opened while a file system did not answer", "");
                go_on(listener, ((struct seccomp_notif *)other)->id);
            }
            flush();
        }
    }
}

/* The keeper. It takes over when the observer is gone; and where the observer itself hangs in a file system that a
   process of the command serves (FUSE), it lets that process go on, or both would wait for each other for ever. */
static void keep_answering(int observer) {
    uint64_t before = 0;
    setsid();
    for (;;) {
        struct pollfd two[] = {{observer, POLLIN, 0}, {listener, 0, 0}};
        int ready = poll(two, 2, STUCK_MS);
        if (two[1].revents & (POLLHUP | POLLERR)) _exit(0);
        if (ready > 0 && two[0].revents) break;
        uint64_t now = shared->busy && !shared->copying ? request()->id : 0;
        if (now && now == before) answer_blindly(now);
        before = now;
    }
    if (request()->id) go_on(listener, request()->id);
    answer_blindly(0);
    _exit(0);
}

/* -- The command -- */

/* Make the filter ours and our descendants'. The descriptor of its listener, or -1 with errno. */
static int install(void) {
    struct sock_filter code[LENGTH(NATIVE) + LENGTH(COMPAT) + 32];
    size_t length = 0;
    struct utsname system;
    int major = 0, minor = 0;
    if (uname(&system) || sscanf(system.release, "%d.%d", &major, &minor) != 2 || major * 1000 + minor < 5005) {
        errno = ENOSYS; /* Without SECCOMP_USER_NOTIF_FLAG_CONTINUE. */
        return -1;
    }
    code[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    length += add_table(code + length, NATIVE_ARCH, NATIVE, LENGTH(NATIVE));
    length += add_table(code + length, COMPAT_ARCH, COMPAT, LENGTH(COMPAT));
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {(unsigned short)length, code};
    unsigned long least = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW; /* We guard nothing. */
    unsigned long flags = least | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    for (int tries = 0; tries < 4; tries++) {
        int made = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
        if (made >= 0) return made;
        if (errno == EINVAL && tries < 2) flags = least;
        else if (errno != EACCES || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -1;
        /* Tried without that first: whoever may do without it keeps sudo. */
    }
    return -1;
}

static int send_listener(int socket, int made, int problem) {
    struct iovec body = {&problem, sizeof problem};
    union { char room[CMSG_SPACE(sizeof made)]; struct cmsghdr align; } control = {0};
    struct msghdr message = {.msg_iov = &body, .msg_iovlen = 1};
    if (made >= 0) {
        message.msg_control = control.room, message.msg_controllen = sizeof control.room;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof made);
        memcpy(CMSG_DATA(header), &made, sizeof made);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static int receive_listener(int socket, int *problem) {
    int made = -1;
    struct iovec body = {problem, sizeof *problem};
    union { char room[CMSG_SPACE(sizeof made)]; struct cmsghdr align; } control = {0};
    struct msghdr message = {.msg_iov = &body, .msg_iovlen = 1};
    message.msg_control = control.room, message.msg_controllen = sizeof control.room;
    *problem = ECONNRESET;
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0) return -1;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_RIGHTS) memcpy(&made, CMSG_DATA(header), sizeof made);
    return made;
}

static void become(pid_t parent, int socket, int own_group, const sigset_t *mask, char **command) {
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* A run that nobody records should not go on. */
    if (getppid() != parent) _exit(128 + SIGTERM);
    if (own_group) setpgid(0, 0);
    int made = install();
    if (send_listener(socket, made, errno)) _exit(125);
    if (made >= 0) { close(made); setenv("TAUT_WATCHED", "1", 1); }
    sigprocmask(SIG_SETMASK, mask, NULL);
    execv(command[0], command + 1);
    dprintf(2, "taut: %s: %s\n", command[1], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

static void end_like(int status) {
    if (WIFSIGNALED(status)) {
        struct rlimit none = {0, 0};
        sigset_t only;
        setrlimit(RLIMIT_CORE, &none);
        signal(WTERMSIG(status), SIG_DFL);
        sigemptyset(&only);
        sigaddset(&only, WTERMSIG(status));
        sigprocmask(SIG_UNBLOCK, &only, NULL);
        raise(WTERMSIG(status));
        _exit(128 + WTERMSIG(status));
    }
    _exit(WEXITSTATUS(status));
}

/* One turn: answer one question, or say that a signal came, or that no process is left that could ask. */
enum turn { ASKED, SIGNALLED, GONE };

static enum turn turn(int signals) {
    struct pollfd two[] = {{listener, POLLIN, 0}, {signals, POLLIN, 0}};
    if (poll(two, 2, buffered ? FLUSH_MS : -1) == 0) flush();
    if (two[1].revents) return SIGNALLED;
    if (two[0].revents & POLLIN) answer_one();
    else if (two[0].revents) return GONE;
    return ASKED;
}

static int watch(pid_t command, int signals, pid_t parent, int own_group) {
    for (;;) {
        struct signalfd_siginfo got;
        switch (turn(signals)) {
        case ASKED: continue;
        case GONE:
            close(listener);
            listener = -1; /* Which poll(2) passes over. */
            continue;
        case SIGNALLED: break;
        }
        while (read(signals, &got, sizeof got) == sizeof got) {
            int status, number = (int)got.ssi_signo;
            flush();
            if (number == SIGCHLD) { /* Several may have become one. */
                if (waitpid(command, &status, WNOHANG) == command) return status;
            } else if (number != SIGINT || own_group || getppid() != parent) /* Else the terminal sent it to all. */
                kill(own_group ? -command : command, number);
        }
    }
}

/* Whether all descendants end with the command; helpers of a pool notice its end a moment later. */
static int is_over(void) {
    int64_t end = now_ns() + LINGER_MS * 1000000LL, left;
    while ((left = end - now_ns()) > 0) {
        struct pollfd asked = {listener, POLLIN, 0};
        if (poll(&asked, 1, (int)(left / 1000000) + 1) <= 0) continue;
        if (!(asked.revents & POLLIN)) return 1;
        answer_one();
    }
    return 0;
}

int main(int count, char **arguments) {
    if (count < 8) {
        dprintf(2, "usage: observe PARENT RECORD KEPT PROJECT own|shared PROGRAM ARGUMENTS...\n");
        return 2;
    }
    pid_t parent = atoi(arguments[1]), self = getpid();
    int own_group = !strcmp(arguments[5], "own"), sockets[2], alive[2], problem = 0;
    sigset_t all, mask, taken;
    record = open(arguments[2], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    kept = open(arguments[3], O_PATH | O_DIRECTORY | O_CLOEXEC);
    project = arguments[4], project_length = strlen(project);
    working = calloc(WORKING, sizeof *working);
    const char *asked = getenv("TAUT_IO_URING");
    rings = asked && !strcmp(asked, "allow");
    learn_mounts();
    known_slots = 1 << 12;
    known = calloc(known_slots, sizeof *known), known_bits = calloc(known_slots, 1);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &mask);
    sigemptyset(&taken);
    for (const int *each = (const int[]){SIGCHLD, SIGTERM, SIGINT, SIGHUP, 0}; *each; each++) sigaddset(&taken, *each);
    if (record < 0 || kept < 0 || !known || !known_bits || !working || shared == MAP_FAILED ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) || pipe2(alive, O_CLOEXEC)) {
        perror("taut: cannot observe");
        return 125;
    }
    int signals = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    pid_t command = fork();
    if (command == 0) become(self, sockets[1], own_group, &mask, arguments + 6);
    if (command < 0 || signals < 0) {
        perror("taut: cannot start the command");
        return 125;
    }
    if (own_group) setpgid(command, command);
    close(sockets[1]);
    listener = receive_listener(sockets[0], &problem);
    char format[8];
    snprintf(format, sizeof format, "%d", FORMAT);
    tell('o', command, NULL, format, listener < 0 ? strerror(problem) : "");
    char input[PATH_MAX];
    struct stat as;
    if (!fstat(0, &as) && S_ISREG(as.st_mode) && !name_of(0, input)) reads(command, input, &as, "");
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int each = 0; each < 3; each++) dup2(nothing, each); /* Who reads the output waits for its last holder. */
    flush();
    pid_t keeper = 0;
    if (listener >= 0) {
        uint64_t wake = SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP;
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, wake); /* Only faster; older kernels refuse. */
        keeper = fork();
        if (keeper == 0) { close(alive[1]); keep_answering(alive[0]); }
    }
    close(alive[0]);
    if (getppid() != parent) kill(command, SIGTERM); /* It died before the kernel knew that we care. */
    int status = watch(command, signals, parent, own_group);
    if (listener >= 0 && !is_over()) tell_once('u', 0, NULL, "what processes did that went on after the command", "");
    tell('e', command, NULL, "", "");
    flush();
    if (listener >= 0 && fork() == 0) { /* They are still answered, and what they do is written down. */
        setsid();
        while (turn(-1) != GONE) {}
        flush();
        _exit(0);
    }
    if (listener < 0 && keeper > 0) { kill(keeper, SIGKILL); waitpid(keeper, NULL, 0); }
    end_like(status);
}
