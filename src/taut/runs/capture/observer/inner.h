/* Runs within the run. The kernel lets no second one listen, so each asks us, and we look once for each run that a
   process is of. It asks by a call that fails without us: mknodat(2) of no name, with one of these as its mode. */

#define ASK_TO_SEE 0x74617501U   /* For all that descends from the asking process's parent. Answered by a number. */
#define ASK_TO_WRITE 0x74617502U /* Answered when all that was seen is in the record. */
#define INNER_MAX 64

static struct inner { pid_t root; int handle; unsigned outer; } inner[INNER_MAX]; /* Numbered from 1. */
static unsigned inners;
static struct member { pid_t pid; unsigned of; int64_t at_ns; } members[WORKING];

static int is_asking(const struct seccomp_notif *asked) {
    return asked->data.arch == NATIVE_ARCH && asked->data.nr == __NR_mknodat && (int)asked->data.args[0] == -1 &&
        !asked->data.args[1] && (unsigned)asked->data.args[2] >> 8 == ASK_TO_SEE >> 8;
}

static pid_t parent_of(pid_t pid) {
    char place[64], text[1 << 10];
    int parent = 0;
    snprintf(place, sizeof place, "/proc/%d/status", pid);
    int file = open(place, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
    if (file >= 0) close(file);
    text[length > 0 ? length : 0] = 0;
    const char *line = strstr(text, "\nPPid:");
    return line && sscanf(line, " PPid: %d", &parent) == 1 ? parent : 0;
}

static int has_ended(const struct inner *one) {
    struct pollfd end = {one->handle, POLLIN, 0};
    return poll(&end, 1, 0) > 0;
}

/* The innermost run that a process is of; its parents tell, since the root of each adopts the orphans below it. */
static unsigned run_of(pid_t pid) {
    struct member *at = members + ((unsigned)pid & (WORKING - 1));
    int64_t now = now_ns();
    if (!inners || (at->pid == pid && now - at->at_ns < REMEMBERED_NS)) return inners ? at->of : 0;
    *at = (struct member){pid, 0, now};
    for (int depth = 0; pid > 1 && depth < 256 && !at->of; depth++, pid = parent_of(pid))
        for (unsigned number = inners; number > 0 && !at->of; number--)
            if (inner[number - 1].root == pid && !has_ended(inner + number - 1)) at->of = number;
    return at->of;
}

/* Remember a run that asks. Its number, or 0 when there are too many. */
static unsigned admit(pid_t asking_pid) {
    pid_t root = parent_of(asking_pid);
    int handle = root > 1 && inners < INNER_MAX ? (int)syscall(__NR_pidfd_open, root, 0) : -1;
    if (handle < 0) return 0;
    inner[inners] = (struct inner){root, handle, run_of(asking_pid)};
    memset(members, 0, sizeof members);
    return ++inners;
}
