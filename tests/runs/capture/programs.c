/* Small programs, each named and chosen by the first argument, that reach files in ways of their own. 0 if they could,
   77 where this machine cannot. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char bytes[64], place[8192];

static int got(int file) { return file < 0 ? errno : read(file, bytes, 9) != 9; }
static int reads(const char *path) { return got(open(path, O_RDONLY)); }
static int makes(const char *path) {
    int file = creat(path, 0644);
    return file < 0 || write(file, "x", 1) != 1 || close(file);
}
static int fails(int result) { return result >= 0; }

static int openat2_as(const char *folder, const char *path, unsigned long long resolve) {
    struct open_how how = {.resolve = resolve};
    return (int)syscall(SYS_openat2, open(folder, O_PATH), path, &how, sizeof how);
}
static int by_handle(int flags) {
    union { struct file_handle head; char room[sizeof(struct file_handle) + MAX_HANDLE_SZ]; } file;
    int mount;
    file.head.handle_bytes = MAX_HANDLE_SZ;
    if (name_to_handle_at(AT_FDCWD, "a.csv", &file.head, &mount, 0)) exit(77);
    return open_by_handle_at(AT_FDCWD, &file.head, flags);
}
static int in_private_mounts(void) {
    if (unshare(CLONE_NEWNS)) exit(77);
    return mount(0, "/", 0, MS_REC | MS_PRIVATE, 0);
}
static int another_user(void) { return setuid(65534); }
static int opens_in_memory_of_parent(void *into) { *(int *)into = open("a.csv", O_RDONLY); return 0; }
static void *in_own_folder(void *nothing) {
    if (!unshare(CLONE_FS) && !chdir("sub")) reads("b.csv");
    return nothing;
}

#define PROGRAM(name) static int name(void)
PROGRAM(openat2_beneath) { return got(openat2_as("sub", "b.csv", RESOLVE_BENEATH)); }
PROGRAM(openat2_in_root) { return got(openat2_as("sub", "/b.csv", RESOLVE_IN_ROOT)); }
PROGRAM(openat2_refused) { return symlink("sub", "s") || fails(openat2_as(".", "s/b.csv", RESOLVE_NO_SYMLINKS)); }
PROGRAM(path_only) { return open("a.csv", O_PATH) < 0; }
PROGRAM(path_reopened) { sprintf(place, "/proc/%d/fd/%d", getpid(), open("a.csv", O_PATH)); return reads(place); }
PROGRAM(below_proc) { sprintf(place, "%d", open("a.csv", O_PATH)); return chdir("/proc/self/fd") || reads(place); }
PROGRAM(proc_cwd) { return reads("/proc/self/cwd/a.csv"); }
PROGRAM(proc_root) {
    strcpy(place, "/proc/self/root");
    return !getcwd(place + strlen(place), 4096) || reads(strcat(place, "/a.csv"));
}
PROGRAM(handle) { return got(by_handle(O_RDONLY)); }
PROGRAM(handle_written) { return write(by_handle(O_RDWR), "zz", 2) != 2; }
PROGRAM(rings_refused) { char asked[120] = {0}; return syscall(425, 8, asked) != -1 || errno != ENOSYS || reads("a.csv"); }
PROGRAM(sent) { return sendfile(creat("o", 0644), open("a.csv", O_RDONLY), 0, 9) != 9; }
PROGRAM(spliced) {
    int ends[2], from = open("a.csv", O_RDONLY), to = creat("o", 0644);
    return pipe(ends) || splice(from, 0, ends[1], 0, 9, 0) != 9 || splice(ends[0], 0, to, 0, 9, 0) != 9;
}
PROGRAM(cut) { return ftruncate(open("a.csv", O_WRONLY), 3); }
PROGRAM(allocated) { return posix_fallocate(open("o", O_CREAT | O_WRONLY, 0600), 0, 100); }
PROGRAM(node_made) { return mknod("o", S_IFREG | 0600, 0); }
PROGRAM(exchanged) { return reads("a.csv") || makes("n") || renameat2(-100, "n", -100, "a.csv", RENAME_EXCHANGE); }
PROGRAM(folders_exchanged) {
    return reads("sub/b.csv") || mkdir("n", 0700) || makes("n/o") || renameat2(-100, "n", -100, "sub", RENAME_EXCHANGE);
}
PROGRAM(unnamed_linked) { return linkat(open(".", O_TMPFILE | O_RDWR, 0600), "", AT_FDCWD, "o", AT_EMPTY_PATH); }
PROGRAM(folders_changed) {
    int folder = open("sub", O_RDONLY);
    for (int i = 0; i < 50; i++)
        if (chdir("sub") || reads("b.csv") || chdir("..") || reads("a.csv")) return 1;
    return chdir("/") || fchdir(folder) || reads("b.csv");
}
PROGRAM(thread_in_own_folder) {
    pthread_t thread;
    return pthread_create(&thread, 0, in_own_folder, 0) || pthread_join(thread, 0) || reads("a.csv");
}
PROGRAM(root_changed) { return chroot("sub") || chdir("/") || reads("/b.csv") || makes("/o") || rename("/o", "/p"); }
PROGRAM(link_in_other_root) { return symlink("/b.csv", "sub/l") || chroot("sub") || chdir("/") || reads("/l"); }
PROGRAM(mounted_elsewhere) {
    mkdir("../m", 0700);
    return in_private_mounts() || mount("sub", "../m", 0, MS_BIND, 0) || reads("../m/b.csv") ||
        makes("../m/o");
}
PROGRAM(mounted_over) { return in_private_mounts() || mount("none", "sub", "tmpfs", 0, 0) || makes("sub/b.csv"); }
PROGRAM(own_users) { return unshare(CLONE_NEWUSER) ? 77 : reads("a.csv"); }
PROGRAM(vforked) {
    int status;
    if (!vfork()) { execl("/bin/cat", "cat", "a.csv", NULL); _exit(1); }
    return wait(&status) < 0 || status;
}
PROGRAM(files_shared) {
    static char stack[1 << 16];
    int file = -1, child = clone(opens_in_memory_of_parent, stack + sizeof stack, CLONE_VM | CLONE_FILES | SIGCHLD, &file);
    return waitpid(child, 0, 0) < 0 || got(file);
}
PROGRAM(others_file) { return chmod("a.csv", 0600) || another_user() || fails(open("a.csv", O_RDONLY)); }
PROGRAM(others_folder) { return chmod("sub", 0700) || another_user() || fails(open("sub/b.csv", O_RDONLY)); }
PROGRAM(others_open_file) { return another_user() || reads("a.csv"); }
PROGRAM(others_writes) {
    return another_user() || fails(open("a.csv", O_RDWR)) || fails(unlink("a.csv")) || fails(rename("a.csv", "z")) ||
        fails(creat("o", 0600));
}
PROGRAM(not_executable) { char *arguments[] = {"a.csv", 0}; return fails(execv("a.csv", arguments)); }
PROGRAM(onto_full_folder) { return mkdir("n", 0700) || makes("n/o") || fails(rename("n", "sub")); }
PROGRAM(to_other_device) { return makes("o") || fails(rename("o", "/dev/shm/taut-o")); }
PROGRAM(onto_itself) { return makes("o") || link("o", "p") || rename("o", "p"); }
PROGRAM(moved_then_read) { return rename("a.csv", "z") || reads("z"); }
PROGRAM(moved_read_and_written) { return rename("a.csv", "z") || reads("z") || makes("z"); }
PROGRAM(folder_moved_then_read) { return rename("sub", "s") || reads("s/b.csv"); }
PROGRAM(read_then_folder_moved) { return reads("sub/b.csv") || rename("sub", "s") || rename("s", "t"); }
PROGRAM(changed_after_folder_moved) { return reads("a.csv") || rename("sub", "s") || makes("a.csv"); }
PROGRAM(made_in_moved_folder) { return mkdir("t", 0700) || makes("t/o") || rename("t", "u") || open("u/o", O_RDONLY) < 0; }
PROGRAM(linked_then_read) { return link("a.csv", "z") || reads("z"); }
PROGRAM(linked_then_written) { return link("a.csv", "z") || reads("z") || write(open("z", O_WRONLY), "q", 1) != 1; }
PROGRAM(folder_becomes_link) {
    return rename("sub", "old") || mkdir("sub", 0700) || makes("sub/n") || rename("sub", "new") || symlink("old", "sub") ||
        reads("sub/b.csv");
}

int main(int count, char **arguments) {
    static const struct { const char *name; int (*run)(void); } ALL[] = {
#define ROW(name) {#name, name}
        ROW(openat2_beneath), ROW(openat2_in_root), ROW(openat2_refused), ROW(path_only), ROW(path_reopened),
        ROW(below_proc), ROW(proc_cwd), ROW(proc_root), ROW(handle), ROW(handle_written), ROW(rings_refused), ROW(sent),
        ROW(spliced), ROW(cut), ROW(allocated), ROW(node_made), ROW(exchanged), ROW(folders_exchanged),
        ROW(unnamed_linked), ROW(folders_changed), ROW(thread_in_own_folder), ROW(root_changed), ROW(link_in_other_root),
        ROW(mounted_elsewhere), ROW(mounted_over), ROW(own_users), ROW(vforked), ROW(files_shared), ROW(others_file),
        ROW(others_folder), ROW(others_open_file), ROW(others_writes), ROW(not_executable), ROW(onto_full_folder),
        ROW(to_other_device), ROW(onto_itself), ROW(moved_then_read), ROW(moved_read_and_written),
        ROW(folder_moved_then_read), ROW(read_then_folder_moved), ROW(changed_after_folder_moved),
        ROW(made_in_moved_folder), ROW(linked_then_read), ROW(linked_then_written), ROW(folder_becomes_link),
    };
    for (size_t i = 0; count == 2 && i < sizeof ALL / sizeof *ALL; i++)
        if (!strcmp(ALL[i].name, arguments[1])) return ALL[i].run();
    return 78;
}
