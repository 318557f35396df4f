/* The system calls that are looked at, natively and of 32-bit programs, and the filter that asks for them. */

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

enum what {
    OPEN, OPEN2, CREAT, EXEC, RENAME, LINK, SYMLINK, UNLINK, TRUNCATE, CONNECT, SOCKETCALL, ROOT, RING, HANDLE
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
    {__NR_chroot, ROOT, NO, NO, NO, NO, NO},
    {__NR_pivot_root, ROOT, NO, NO, NO, NO, NO},
    {__NR_io_uring_setup, RING, NO, NO, NO, NO, NO},
    {__NR_open_by_handle_at, HANDLE, NO, NO, NO, NO, NO},
#ifdef __NR_renameat
    {__NR_renameat, RENAME, 0, 1, NO, 2, 3},
#endif
#ifdef __NR_open /* What newer architectures do without. */
    {__NR_open, OPEN, NO, 0, 1, NO, NO},
    {__NR_creat, CREAT, NO, 0, NO, NO, NO},
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
    {102, SOCKETCALL, NO, NO, NO, NO, NO}, {61, ROOT, NO, NO, NO, NO, NO}, {217, ROOT, NO, NO, NO, NO, NO},
    {425, RING, NO, NO, NO, NO, NO},  {342, HANDLE, NO, NO, NO, NO, NO},
#elif defined(__aarch64__)
    {5, OPEN, NO, 0, 1, NO, NO},      {322, OPEN, 0, 1, 2, NO, NO},     {437, OPEN2, 0, 1, 2, NO, NO},
    {8, CREAT, NO, 0, NO, NO, NO},    {11, EXEC, NO, 0, NO, NO, NO},    {387, EXEC, 0, 1, 4, NO, NO},
    {38, RENAME, NO, 0, NO, NO, 1},   {329, RENAME, 0, 1, NO, 2, 3},    {382, RENAME, 0, 1, 4, 2, 3},
    {9, LINK, NO, 0, NO, NO, 1},      {330, LINK, 0, 1, 4, 2, 3},       {83, SYMLINK, NO, 1, NO, NO, 0},
    {331, SYMLINK, 1, 2, NO, NO, 0},  {10, UNLINK, NO, 0, NO, NO, NO},  {328, UNLINK, 0, 1, 2, NO, NO},
    {92, TRUNCATE, NO, 0, NO, NO, NO}, {193, TRUNCATE, NO, 0, NO, NO, NO}, {283, CONNECT, NO, 1, 2, NO, NO},
    {61, ROOT, NO, NO, NO, NO, NO},   {218, ROOT, NO, NO, NO, NO, NO},  {425, RING, NO, NO, NO, NO, NO},
    {371, HANDLE, NO, NO, NO, NO, NO},
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

/* "Of this architecture: ask us about these calls, and about socketcall(2) where it connects; allow all others." */
static size_t add_table(struct sock_filter *at, unsigned arch, const struct call *table, size_t length) {
    const struct sock_filter *first = at;
    *at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arch, 0, (unsigned char)(length + 7));
    *at++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    *at++ = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, arch == NATIVE_ARCH ? ~X32_BIT : ~0U);
    for (size_t left = length; left-- > 0;) {
        unsigned char to = (unsigned char)(table->what == SOCKETCALL ? left + 1 : left + 3);
        *at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)table++->number, to, 0);
    }
    *at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    *at++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]));
    *at++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 3 /* SYS_CONNECT */, 0, 1);
    *at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    *at++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return (size_t)(at - first);
}
