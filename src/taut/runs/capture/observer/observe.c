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
   Paths are as the kernel resolves them at that moment. What was seen before is not written again.

   Three processes: the command; we, its parent, who pass on signals and end as it ends; and a keeper that answers the
   kernel when we no longer do, since a call that nobody answers hangs and one whose listener is gone fails. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
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
#define STUCK_MS 1000           /* After this long over one call the keeper answers the others. */

/* -- What a stopped process means -- */

static int listener = -1, kept = -1, kept_count, other_roots;
static const char *project;
static size_t project_length;
struct shared { _Alignas(16) char request[2048]; volatile int busy, copying; };
static struct shared *shared;

static const struct seccomp_notif *request(void) { return (const struct seccomp_notif *)shared->request; }

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

/* How we reach what a path of the stopped process names. */
static int reach(char *into, int dir, const char *path) {
    pid_t pid = (pid_t)request()->pid;
    static const struct { const char *from, *to; } OWN[] = {
        {"/proc/self/", "/proc/%d/"}, {"/proc/thread-self/", "/proc/%d/"}, {"/dev/fd/", "/proc/%d/fd/"},
        {"/dev/stdin", "/proc/%d/fd/0"}, {"/dev/stdout", "/proc/%d/fd/1"}, {"/dev/stderr", "/proc/%d/fd/2"},
    };
    int length;
    if (path[0] == '/') {
        for (size_t i = 0; i < LENGTH(OWN); i++) {
            size_t prefix = strlen(OWN[i].from);
            if (strncmp(path, OWN[i].from, prefix)) continue;
            char start[64];
            snprintf(start, sizeof start, OWN[i].to, pid);
            length = snprintf(into, PATH_MAX, "%s%s", start, path + prefix);
            return length < PATH_MAX ? 0 : -1;
        }
        if (other_roots) length = snprintf(into, PATH_MAX, "/proc/%d/root%s", pid, path);
        else length = snprintf(into, PATH_MAX, "%s", path);
    } else {
        const char *slash = *path ? "/" : "";
        if (dir == AT_FDCWD) length = snprintf(into, PATH_MAX, "/proc/%d/cwd%s%s", pid, slash, path);
        else length = snprintf(into, PATH_MAX, "/proc/%d/fd/%d%s%s", pid, dir, slash, path);
    }
    return length < PATH_MAX ? 0 : -1;
}

static int name_of(int descriptor, char *into) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, into, PATH_MAX - 1);
    if (length <= 0 || into[0] != '/') return -1;
    into[length] = 0;
    return 0;
}

/* Whether a path is absolute and would be printed by the kernel as it stands if no part of it is a link. */
static int is_plain(const char *path) {
    if (path[0] != '/' || !strncmp(path, "/proc/", 6)) return 0;
    for (const char *at = path; (at = strchr(at, '/')); at++)
        if (at[1] == '/' || at[1] == '.' || !at[1]) return 0;
    return 1;
}

/* The file at a place: its name without links, and its state. -1 where there is none. */
static int find(const char *place, int more, char *real, struct stat *as) {
    if (is_plain(place)) { /* Most are, and then one call less does: the kernel says whether a part is a link. */
        struct open_how how = {.flags = (uint64_t)(O_PATH | O_CLOEXEC | more), .resolve = RESOLVE_NO_SYMLINKS};
        int descriptor = (int)syscall(__NR_openat2, AT_FDCWD, place, &how, sizeof how);
        if (descriptor >= 0) {
            int found = fstat(descriptor, as);
            close(descriptor);
            strcpy(real, place);
            return found;
        }
        if (errno == ENOENT) return -1;
    }
    int descriptor = open(place, O_PATH | O_CLOEXEC | more);
    if (descriptor < 0) return -1;
    int found = fstat(descriptor, as) || name_of(descriptor, real) ? -1 : 0;
    close(descriptor);
    return found;
}

/* The name that a place has or would have in its folder, whose name has no links; the last part is not followed. */
static int find_entry(char *place, char *real, struct stat *as) {
    struct stat folder;
    size_t length = strlen(place);
    while (length > 1 && place[length - 1] == '/') place[--length] = 0;
    char *slash = strrchr(place, '/');
    if (!slash || !strcmp(slash, "/.") || !strcmp(slash, "/..")) return find(place, 0, real, as);
    *slash = 0;
    int found = find(slash == place ? "/" : place, O_DIRECTORY, real, &folder);
    *slash = '/';
    if (found) return -1;
    size_t used = strcmp(real, "/") ? strlen(real) : 0;
    if (used + strlen(slash) >= PATH_MAX) return -1;
    strcpy(real + used, slash);
    if (lstat(place, as)) memset(as, 0, sizeof *as);
    return 0;
}

static int in_project(const char *path) {
    return !strncmp(path, project, project_length) && path[project_length] == '/';
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
    char place[PATH_MAX];
    struct stat as;
    if (reach(place, dir, "") || find(place, 0, into, &as) || strlen(into) + length + 2 >= PATH_MAX) into[0] = 0;
    else {
        strcat(strcat(into, "/"), rest);
        if (!in_project(into) || !strcmp(into, real)) into[0] = 0;
    }
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

static void reads(pid_t pid, const char *real, const struct stat *as, const char *raw) {
    unsigned char *bits = file_bits(real);
    int news = !(*bits & READ) && (!(*bits & WRITTEN) || *bits & PARTLY);
    if (news) *bits |= READ;
    if (*raw) tell_once('r', pid, as, real, raw);
    else if (news) tell('r', pid, as, real, "");
}

static void writes(pid_t pid, const char *real, const struct stat *as, int reads_too, int anew, const char *raw) {
    unsigned char *bits = file_bits(real);
    int before = *bits;
    if (before & WRITTEN) return;
    *bits |= WRITTEN;
    int stays = as->st_mode && !anew;
    if (stays) *bits |= PARTLY;
    if (stays || (as->st_mode && before & READ)) keep(pid, real, as);
    tell(!stays ? 'w' : reads_too ? 'b' : 'a', pid, as, real, raw);
}

static void opened(pid_t pid, int dir, const char *path, uint64_t flags) {
    char place[PATH_MAX], real[PATH_MAX], raw[PATH_MAX];
    struct stat as;
    if (flags & (O_PATH | O_DIRECTORY)) return; /* O_TMPFILE holds O_DIRECTORY; such a file gets its name by linkat. */
    if ((!strncmp(path, "/proc/", 6) && !strstr(path, "/fd/")) || !strncmp(path, "/sys/", 5)) return;
    if (reach(place, dir, path)) return;
    int changes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
    if (!find(place, flags & O_NOFOLLOW ? O_NOFOLLOW : 0, real, &as)) {
        if (!S_ISREG(as.st_mode) || !still_there()) return;
        if (changes && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return; /* It will fail. */
        typed(raw, dir, path, real);
        if (!changes) reads(pid, real, &as, raw);
        else writes(pid, real, &as, (flags & O_ACCMODE) == O_RDWR, (flags & O_TRUNC) != 0, raw);
        return;
    }
    if (errno != ENOENT || !(flags & O_CREAT)) return;
    for (int links = 0; links < 8 && !find_entry(place, real, &as) && still_there(); links++) {
        if (!S_ISLNK(as.st_mode)) {
            if (!as.st_mode) writes(pid, real, &as, 0, 1, "");
            return;
        }
        char target[PATH_MAX]; /* A link to what is not there yet: opening makes that. */
        ssize_t length = readlink(place, target, sizeof target - 1);
        if (length <= 0) return;
        target[length] = 0;
        *strrchr(real, '/') = 0;
        int absolute = target[0] == '/';
        int whole = snprintf(place, sizeof place, "%s%s%s", absolute ? "" : real, absolute ? "" : "/", target);
        if (whole >= PATH_MAX) return;
    }
}

static void moved(pid_t pid, int dir, const char *path, int dir2, const char *path2, uint64_t flags, int is_link) {
    char place[PATH_MAX], old[PATH_MAX], new[PATH_MAX];
    struct stat as, over;
    int found;
    if (reach(place, dir, path)) return;
    if (is_link && (!*path || flags & AT_SYMLINK_FOLLOW)) found = find(place, 0, old, &as);
    else found = find_entry(place, old, &as);
    if (found || !as.st_mode || reach(place, dir2, path2) || find_entry(place, new, &over) || !still_there()) return;
    if (over.st_mode && (is_link || flags & 1 /* RENAME_NOREPLACE */)) return; /* It will fail. */
    if (is_link) {
        *file_bits(new) |= WRITTEN;
        tell('l', pid, &as, old, new);
        return;
    }
    unsigned char *bits = file_bits(old);
    if ((*bits & (READ | WRITTEN)) == READ) keep(pid, old, &as);
    *file_bits(old) = 0;
    bits = file_bits(new);
    if ((*bits & (READ | WRITTEN)) == READ && over.st_mode) keep(pid, new, &over);
    *bits |= WRITTEN;
    tell(flags & 2 /* RENAME_EXCHANGE */ ? 'M' : 'm', pid, &as, old, new);
    if (S_ISDIR(as.st_mode)) forget(); /* Every name below it means something else from here on. */
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

static void observe(void) {
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
    if (!call) return;
    switch (call->what) {
    case RING: tell_once('u', 0, NULL, "files opened through io_uring", ""); return;
    case HANDLE: tell_once('u', 0, NULL, "files opened by handle", ""); return;
    case ROOT:
        other_roots = 1;
        tell_once('u', 0, NULL, "the true names of files below another root folder", "");
        return;
    case CONNECT: connects((int)arguments[0], arguments[1], (uint32_t)arguments[2]); return;
    case SOCKETCALL: {
        uint32_t words[3];
        if (peek(arguments[1], words, sizeof words) == sizeof words) connects((int)words[0], words[1], words[2]);
        return;
    }
    default: break;
    }
    char path[PATH_MAX], path2[PATH_MAX], place[PATH_MAX], real[PATH_MAX];
    struct stat as;
    int dir = call->dir == NO ? AT_FDCWD : (int)arguments[call->dir];
    int dir2 = call->dir2 == NO ? AT_FDCWD : (int)arguments[call->dir2];
    uint64_t flags = call->flags == NO ? 0 : arguments[call->flags];
    if (peek_text(arguments[call->path], path)) return;
    if (call->path2 != NO && peek_text(arguments[call->path2], path2)) return;
    switch (call->what) {
    case OPEN2:
        if (peek(arguments[call->flags], &flags, sizeof flags) != sizeof flags) return;
        /* fall through */
    case OPEN: opened(pid, dir, path, flags); return;
    case CREAT: opened(pid, dir, path, O_WRONLY | O_CREAT | O_TRUNC); return;
    case RENAME: moved(pid, dir, path, dir2, path2, flags, 0); return;
    case LINK: moved(pid, dir, path, dir2, path2, flags, 1); return;
    case EXEC:
        if (!reach(place, dir, path) && !find(place, 0, real, &as) && S_ISREG(as.st_mode) && still_there())
            tell_once('x', pid, &as, real, "");
        return;
    case TRUNCATE:
        if (!reach(place, dir, path) && !find(place, 0, real, &as) && S_ISREG(as.st_mode) && still_there())
            writes(pid, real, &as, 0, 0, "");
        return;
    case UNLINK:
        if (flags & AT_REMOVEDIR || reach(place, dir, path) || find_entry(place, real, &as) || !still_there()) return;
        if (as.st_mode && (*file_bits(real) & (READ | WRITTEN)) == READ) keep(pid, real, &as);
        *file_bits(real) &= (unsigned char)~READ;
        return;
    case SYMLINK:
        if (reach(place, dir, path) || find_entry(place, real, &as) || as.st_mode || !still_there()) return;
        *file_bits(real) |= WRITTEN;
        tell('s', pid, NULL, real, path2);
        return;
    default: return;
    }
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
    observe();
    go_on(listener, request()->id);
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
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    for (int tries = 0; tries < 4; tries++) {
        int made = (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
        if (made >= 0) return made;
        if (errno == EINVAL && tries < 2) flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
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
    known_slots = 1 << 12;
    known = calloc(known_slots, sizeof *known), known_bits = calloc(known_slots, 1);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &mask);
    sigemptyset(&taken);
    for (const int *each = (const int[]){SIGCHLD, SIGTERM, SIGINT, SIGHUP, 0}; *each; each++) sigaddset(&taken, *each);
    if (record < 0 || kept < 0 || !known || !known_bits || shared == MAP_FAILED ||
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
    tell('e', command, NULL, "", "");
    flush();
    if (listener >= 0 && fork() == 0) { /* Descendants may go on without it and are still seen. */
        setsid();
        while (turn(-1) != GONE) {}
        flush();
        _exit(0);
    }
    if (listener < 0 && keeper > 0) { kill(keeper, SIGKILL); waitpid(keeper, NULL, 0); }
    end_like(status);
}
