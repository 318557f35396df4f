/* Rights: whether the stopped process may do what it asks for; what fails is not told. Where in doubt, it may. */

#include <sys/xattr.h>

enum { MAY_EXECUTE = 1, MAY_WRITE = 2, MAY_READ = 4 };

static int other_users; /* Whether a process may act as another user than we do. */

struct rights { unsigned user; unsigned long long capabilities; char groups[1 << 12]; };

/* Read proc_pid_status(5). */
static int rights_of(pid_t pid, struct rights *into) {
    char text[1 << 13], place[64];
    unsigned group = 0;
    snprintf(place, sizeof place, "/proc/%d/status", pid);
    int file = open(place, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0) close(file);
    if (length <= 0) return -1;
    text[length] = 0;
    const char *users = strstr(text, "\nUid:"), *own = strstr(text, "\nGid:"), *groups = strstr(text, "\nGroups:");
    const char *capabilities = strstr(text, "\nCapEff:");
    if (!users || !own || !groups || !capabilities) return -1;
    if (sscanf(users, " Uid: %*u %*u %*u %u", &into->user) != 1 || sscanf(own, " Gid: %*u %*u %*u %u", &group) != 1 ||
        sscanf(capabilities, " CapEff: %llx", &into->capabilities) != 1) return -1;
    groups += strlen("\nGroups:");
    snprintf(into->groups, sizeof into->groups, " %u %.*s ", group, (int)strcspn(groups, "\n"), groups);
    for (char *at = into->groups; *at; at++)
        if (*at == '\t') *at = ' ';
    return 0;
}

/* Whether capabilities of the process hold for files of the whole machine, not only of its own users. */
static int is_of_our_users(pid_t pid) {
    char place[64];
    struct stat its, own;
    snprintf(place, sizeof place, "/proc/%d/ns/user", pid);
    return !stat(place, &its) && !stat("/proc/self/ns/user", &own) && its.st_ino == own.st_ino;
}

static int allows(const struct rights *who, int everywhere, const char *real, const struct stat *as, unsigned wants) {
    char group[32];
    unsigned mode = as->st_mode, is_owner = who->user == as->st_uid;
    int overrides = (who->capabilities >> 1 & 1 /* CAP_DAC_OVERRIDE */) ||
        ((who->capabilities >> 2 & 1 /* CAP_DAC_READ_SEARCH */) && (wants == MAY_READ || S_ISDIR(mode)));
    if (overrides && (everywhere || is_owner)) return wants != MAY_EXECUTE || S_ISDIR(mode) || mode & 0111;
    if (getxattr(real, "system.posix_acl_access", NULL, 0) > 0) return 1; /* A list of who may: not worked out here. */
    snprintf(group, sizeof group, " %u ", as->st_gid);
    unsigned its = is_owner ? mode >> 6 : strstr(who->groups, group) ? mode >> 3 : mode;
    return (its & wants) == wants;
}

/* Whether a file's mode lets the process do it; and where it may be of another user, whether the folders above do. */
static int may(pid_t pid, const char *real, const struct stat *as, unsigned wants) {
    struct rights who;
    if (!other_users && (as->st_mode & wants * 0111) == wants * 0111) return 1;
    if (!other_users && as->st_uid == geteuid() && (as->st_mode >> 6 & wants) == wants) return 1;
    if (rights_of(pid, &who)) return 1;
    int everywhere = is_of_our_users(pid);
    if (!allows(&who, everywhere, real, as, wants)) return 0;
    if (!other_users) return 1;
    char folder[PATH_MAX];
    struct stat above;
    strcpy(folder, real);
    for (char *slash; (slash = strrchr(folder, '/')) && slash != folder;) {
        *slash = 0;
        if (!stat(folder, &above) && !allows(&who, everywhere, folder, &above, MAY_EXECUTE)) return 0;
    }
    return 1;
}

/* Whether it may make or remove the name in its folder. */
static int may_enter(pid_t pid, const char *real) {
    char folder[PATH_MAX];
    struct stat above;
    strcpy(folder, real);
    char *slash = strrchr(folder, '/');
    slash[slash == folder] = 0;
    return stat(folder, &above) || may(pid, folder, &above, MAY_WRITE | MAY_EXECUTE);
}

/* Whether a path is the kernel's own account of something; below /proc links lead out of there again. */
static int is_of_kernel(const char *path) {
    if (!strncmp(path, "/sys/", 5)) return 1;
    if (strncmp(path, "/proc/", 6)) return 0;
    return !strstr(path, "/fd/") && !strstr(path, "/cwd") && !strstr(path, "/root") && !strstr(path, "/exe") &&
        !strstr(path, "/map_files/");
}
