/* The system calls that are looked at, natively and of 32-bit programs, and the filter that asks for them. */

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

enum what {
    OPEN, OPEN2, CREAT, MAKE, EXEC, RENAME, LINK, SYMLINK, UNLINK, TRUNCATE, CONNECT, SOCKETCALL, FOLDER, ROOT, MOUNT,
    USER, RING, HANDLE
};

/* Which argument of a call is what; NO where it has none (no directory: the working directory). */
#define NO (-1)
struct call { int number; enum what what; signed char dir, path, flags, dir2, path2; };

static const struct call NATIVE[] = {
    {__NR_openat, OPEN, 0, 1, 2, NO, NO},
    {__NR_openat2, OPEN2, 0, 1, 2, NO, NO},
    {__NR_execve, EXEC, NO, 0, NO, NO, NO},
    {__NR_execveat, EXEC, 0, 1, 4, NO, NO},
    {__NR_unlinkat, UNLINK, 0, 1, 2, NO, NO},
    {__NR_renameat2, RENAME, 0, 1, 4, 2, 3},
    {__NR_linkat, LINK, 0, 1, 4, 2, 3},
    {__NR_symlinkat, SYMLINK, 1, 2, NO, NO, 0},
    {__NR_truncate, TRUNCATE, NO, 0, NO, NO, NO},
    {__NR_connect, CONNECT, NO, 1, 2, NO, NO},
    {__NR_mknodat, MAKE, 0, 1, 2, NO, NO},
    {__NR_chdir, FOLDER, NO, NO, NO, NO, NO},
    {__NR_fchdir, FOLDER, NO, NO, NO, NO, NO},
    {__NR_chroot, ROOT, NO, NO, NO, NO, NO},
    {__NR_pivot_root, MOUNT, NO, NO, NO, NO, NO},
    {__NR_mount, MOUNT, NO, NO, NO, NO, NO},
    {__NR_umount2, MOUNT, NO, NO, NO, NO, NO},
    {__NR_move_mount, MOUNT, NO, NO, NO, NO, NO},
    {__NR_setns, MOUNT, NO, NO, NO, NO, NO},
    {__NR_setuid, USER, NO, NO, NO, NO, NO},
    {__NR_setreuid, USER, NO, NO, NO, NO, NO},
    {__NR_setresuid, USER, NO, NO, NO, NO, NO},
    {__NR_setfsuid, USER, NO, NO, NO, NO, NO},
    {__NR_capset, USER, NO, NO, NO, NO, NO},
    {__NR_io_uring_setup, RING, NO, NO, NO, NO, NO},
    {__NR_open_by_handle_at, HANDLE, 0, 1, 2, NO, NO},
#ifdef __NR_renameat
    {__NR_renameat, RENAME, 0, 1, NO, 2, 3},
#endif
#ifdef __NR_open /* What newer architectures do without. */
    {__NR_open, OPEN, NO, 0, 1, NO, NO},
    {__NR_creat, CREAT, NO, 0, NO, NO, NO},
    {__NR_mknod, MAKE, NO, 0, 1, NO, NO},
    {__NR_rename, RENAME, NO, 0, NO, NO, 1},
    {__NR_link, LINK, NO, 0, NO, NO, 1},
    {__NR_symlink, SYMLINK, NO, 1, NO, NO, 0},
    {__NR_unlink, UNLINK, NO, 0, NO, NO, NO},
#endif
};

/* The 32-bit programs that the same kernel runs; numbers of arch/x86/entry/syscalls/syscall_32.tbl and of
   arch/arm/tools/syscall.tbl. */
static const struct call COMPAT[] = {
#if defined(__x86_64__)
    {5, OPEN, NO, 0, 1, NO, NO},      {295, OPEN, 0, 1, 2, NO, NO},     {437, OPEN2, 0, 1, 2, NO, NO},
    {8, CREAT, NO, 0, NO, NO, NO},    {11, EXEC, NO, 0, NO, NO, NO},    {358, EXEC, 0, 1, 4, NO, NO},
    {38, RENAME, NO, 0, NO, NO, 1},   {302, RENAME, 0, 1, NO, 2, 3},    {353, RENAME, 0, 1, 4, 2, 3},
    {9, LINK, NO, 0, NO, NO, 1},      {303, LINK, 0, 1, 4, 2, 3},       {83, SYMLINK, NO, 1, NO, NO, 0},
    {304, SYMLINK, 1, 2, NO, NO, 0},  {10, UNLINK, NO, 0, NO, NO, NO},  {301, UNLINK, 0, 1, 2, NO, NO},
    {92, TRUNCATE, NO, 0, NO, NO, NO}, {193, TRUNCATE, NO, 0, NO, NO, NO}, {362, CONNECT, NO, 1, 2, NO, NO},
    {102, SOCKETCALL, NO, NO, NO, NO, NO}, {217, MOUNT, NO, NO, NO, NO, NO}, {346, MOUNT, NO, NO, NO, NO, NO},
    {297, MAKE, 0, 1, 2, NO, NO},     {342, HANDLE, 0, 1, 2, NO, NO},
    {12, FOLDER, NO, NO, NO, NO, NO}, {133, FOLDER, NO, NO, NO, NO, NO}, {61, ROOT, NO, NO, NO, NO, NO},
    {21, MOUNT, NO, NO, NO, NO, NO},  {52, MOUNT, NO, NO, NO, NO, NO},  {429, MOUNT, NO, NO, NO, NO, NO},
    {23, USER, NO, NO, NO, NO, NO},   {70, USER, NO, NO, NO, NO, NO},   {164, USER, NO, NO, NO, NO, NO},
    {138, USER, NO, NO, NO, NO, NO},  {213, USER, NO, NO, NO, NO, NO},  {203, USER, NO, NO, NO, NO, NO},
    {208, USER, NO, NO, NO, NO, NO},  {215, USER, NO, NO, NO, NO, NO},  {185, USER, NO, NO, NO, NO, NO},
    {425, RING, NO, NO, NO, NO, NO},  {14, MAKE, NO, 0, 1, NO, NO},
#elif defined(__aarch64__)
    {5, OPEN, NO, 0, 1, NO, NO},      {322, OPEN, 0, 1, 2, NO, NO},     {437, OPEN2, 0, 1, 2, NO, NO},
    {8, CREAT, NO, 0, NO, NO, NO},    {11, EXEC, NO, 0, NO, NO, NO},    {387, EXEC, 0, 1, 4, NO, NO},
    {38, RENAME, NO, 0, NO, NO, 1},   {329, RENAME, 0, 1, NO, 2, 3},    {382, RENAME, 0, 1, 4, 2, 3},
    {9, LINK, NO, 0, NO, NO, 1},      {330, LINK, 0, 1, 4, 2, 3},       {83, SYMLINK, NO, 1, NO, NO, 0},
    {331, SYMLINK, 1, 2, NO, NO, 0},  {10, UNLINK, NO, 0, NO, NO, NO},  {328, UNLINK, 0, 1, 2, NO, NO},
    {92, TRUNCATE, NO, 0, NO, NO, NO}, {193, TRUNCATE, NO, 0, NO, NO, NO}, {283, CONNECT, NO, 1, 2, NO, NO},
    {218, MOUNT, NO, NO, NO, NO, NO}, {375, MOUNT, NO, NO, NO, NO, NO}, {324, MAKE, 0, 1, 2, NO, NO},
    {371, HANDLE, 0, 1, 2, NO, NO},
    {12, FOLDER, NO, NO, NO, NO, NO}, {133, FOLDER, NO, NO, NO, NO, NO}, {61, ROOT, NO, NO, NO, NO, NO},
    {21, MOUNT, NO, NO, NO, NO, NO},  {52, MOUNT, NO, NO, NO, NO, NO},  {429, MOUNT, NO, NO, NO, NO, NO},
    {23, USER, NO, NO, NO, NO, NO},   {70, USER, NO, NO, NO, NO, NO},   {164, USER, NO, NO, NO, NO, NO},
    {138, USER, NO, NO, NO, NO, NO},  {213, USER, NO, NO, NO, NO, NO},  {203, USER, NO, NO, NO, NO, NO},
    {208, USER, NO, NO, NO, NO, NO},  {215, USER, NO, NO, NO, NO, NO},  {185, USER, NO, NO, NO, NO, NO},
    {425, RING, NO, NO, NO, NO, NO},  {14, MAKE, NO, 0, 1, NO, NO},
#endif
};

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#define COMPAT_ARCH AUDIT_ARCH_I386
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#define COMPAT_ARCH AUDIT_ARCH_ARM
#else
#error "taut observes on x86-64 and 64-bit ARM; elsewhere it does without this program"
#endif
#define X32_BIT 0x40000000U /* The x32 variant of x86-64: this bit, and the same numbers for all but execve. */
#define LENGTH(table) (sizeof(table) / sizeof *(table))


#define STEP(code, value) *at++ = (struct sock_filter)BPF_STMT(code, value)
#define JUMP(code, value, yes, no) *at++ = (struct sock_filter)BPF_JUMP(code, value, yes, no)
#define ARGUMENT(n) ((unsigned)offsetof(struct seccomp_data, args[n])) /* Its lower half: both are little-endian. */

/* "Of this architecture: ask us about these calls, but not of an open that opens no file to read or write, and of
   socketcall(2) only where it connects; allow all others." O_DIRECTORY opens folders, and files without a name
   (O_TMPFILE), which get one by linkat. */
static size_t add_table(struct sock_filter *at, unsigned arch, const struct call *table, size_t length) {
    const struct sock_filter *first = at;
    const unsigned tail = 10; /* The steps after the table. */
    JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 0, (unsigned char)(length + tail + 2));
    STEP(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    STEP(BPF_ALU | BPF_AND | BPF_K, arch == NATIVE_ARCH ? ~X32_BIT : ~0U);
    for (size_t left = length; left-- > 0; table++) {
        unsigned to = table->what == SOCKETCALL ? 6 : table->what != OPEN ? 5 : table->flags == 1 ? 1 : 3;
        JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)table->number, (unsigned char)(left + to), 0);
    }
    STEP(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);                             /* 0 */
    STEP(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(1));                          /* 1: open(path, flags) */
    JUMP(BPF_JMP | BPF_JA, 1, 0, 0);                                      /* 2 */
    STEP(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(2));                          /* 3: openat(folder, path, flags) */
    JUMP(BPF_JMP | BPF_JSET | BPF_K, O_PATH | O_DIRECTORY, 4, 0);         /* 4 */
    STEP(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);                        /* 5 */
    STEP(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(0));                          /* 6: socketcall(which, words) */
    JUMP(BPF_JMP | BPF_JEQ | BPF_K, 3 /* SYS_CONNECT */, 0, 1);           /* 7 */
    STEP(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);                        /* 8 */
    STEP(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);                             /* 9 */
    return (size_t)(at - first);
}
