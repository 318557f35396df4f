/* Runs a command and writes down which files it and all its descendants open, make, rename and run.

   observe PARENT RECORD KEPT PROJECT own|shared PROGRAM ARGUMENTS...

   A seccomp filter makes the kernel stop a process at the few system calls of calls.h and tell us (seccomp
   user notification, seccomp_unotify(2)). We look at the arguments and always let the call go on: this observes and
   decides nothing. What another thread changes between our look and the kernel's is accepted (TOCTOU); a program that
   wants to hide what it reads can. Needs Linux 5.5, no root and no ptrace; nothing is trapped per read, write or stat.

   RECORD is appended to: triplets of NUL-ended texts, `KIND PID DEV INODE SIZE MTIME_NS CTIME_NS MODE RUN`, path, path.
   RUN is 0, or the number of a run within this one for which it is told.
     o  this format's number, and why nothing can be observed     e  the command ended
     r  opened for reading, as it was then; the second path is the one that was typed, where links led elsewhere
     w  opened for writing anew, as it was before (all 0: was not there); a  for changing it; b  that and reading
     x  executed    m, M  renamed, exchanged (old, new)    l  linked (old, new)    s  symlink made (link, target)
     k  the bytes of a file about to be changed that had been read lie in KEPT (path, name there)
     n  this run's number, and the record of the run around it, which has what was seen of this one
     c  connected to (address)                   u  something that cannot be seen (which)
   Paths are as the kernel resolves them at that moment, from our root folder and with our mounts. What was seen before
   is not written again. io_uring opens files without a system call, so a program is told that the kernel has none and
   does without, unless TAUT_IO_URING is "allow".

   Three processes: the command; we, its parent, who pass on signals and end as it ends; and a keeper that answers the
   kernel when we no longer do, since a call that nobody answers hangs and one whose listener is gone fails. */

#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "calls.h"
#include "record.h"
#include "places.h"
#include "rights.h"
#include "inner.h"
#include "look.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS /* Linux 6.6 */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, uint64_t)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

#define FORMAT 2
#define FLUSH_MS 50
#define LINGER_MS 1000
#define STUCK_MS 1000           /* After this long over one call the keeper answers the others. */

/* -- Answering the kernel -- */

static void go_on(int from, uint64_t id) {
    struct seccomp_notif_resp answer = {.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    ioctl(from, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

static void answer_one(void) {
    memset(shared->request, 0, sizeof(struct seccomp_notif));
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, shared->request)) return;
    shared->busy = 1;
    struct seccomp_notif_resp answer = {.id = request()->id};
    observe(&answer);
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer); /* Fails only where the process was killed meanwhile. */
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

/* `own`: the record of our run. The kernel refuses a second listener; then the one around us may look for us. */
static void become(pid_t parent, int socket, int own_group, const sigset_t *mask, const char *own, char **command) {
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* A run that nobody records should not go on. */
    if (getppid() != parent) _exit(128 + SIGTERM);
    if (own_group) setpgid(0, 0);
    int made = install();
    int problem = errno;
    const char *within = getenv("TAUT_WITHIN");
    long number = made < 0 && problem == EBUSY && within ? syscall(__NR_mknodat, -1, NULL, ASK_TO_SEE, 0) : 0;
    if (send_listener(socket, made, number > 0 ? -(int)number : problem)) _exit(125);
    if (made >= 0) close(made);
    if (made >= 0 || number > 0) setenv("TAUT_WATCHED", made >= 0 ? own : within, 1);
    unsetenv("TAUT_WITHIN");
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

static int watch(pid_t command, int signals, pid_t parent, int own_group, int adopts) {
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
                pid_t ended;
                while ((ended = waitpid(adopts ? -1 : command, &status, WNOHANG)) > 0)
                    if (ended == command) return status;
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
    if (command == 0) become(self, sockets[1], own_group, &mask, arguments[2], arguments + 6);
    if (command < 0 || signals < 0) {
        perror("taut: cannot start the command");
        return 125;
    }
    if (own_group) setpgid(command, command);
    close(sockets[1]);
    listener = receive_listener(sockets[0], &problem);
    char format[8];
    snprintf(format, sizeof format, "%d", FORMAT);
    int is_inner = listener < 0 && problem < 0;
    tell('o', command, NULL, format, listener < 0 && !is_inner ? strerror(problem) : "");
    if (is_inner) {
        char number[16];
        snprintf(number, sizeof number, "%d", -problem);
        tell('n', command, NULL, number, getenv("TAUT_WITHIN"));
        prctl(PR_SET_CHILD_SUBREAPER, 1); /* So that whoever looks for us knows all of ours by their parents. */
    }
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
    int status = watch(command, signals, parent, own_group, is_inner);
    if (listener >= 0 && !is_over()) tell_once('u', 0, NULL, "what processes did that went on after the command", "");
    if (!is_inner || syscall(__NR_mknodat, -1, NULL, ASK_TO_WRITE, 0) > 0) tell('e', command, NULL, "", "");
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
