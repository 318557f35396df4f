/* One folder's names and stamps. */

#ifndef TAUT_FOLDER_H
#define TAUT_FOLDER_H

#include <dirent.h>

#include "content.h"

/* What grows while a folder is read. */
typedef struct {
    char *data;
    size_t length, room;
} growing;

static int append(growing *to, const void *data, size_t length) {
    if (to->room - to->length < length) {
        size_t room = (to->room + length) * 2;
        char *moved = realloc(to->data, room);
        if (!moved)
            return -1;
        to->data = moved, to->room = room;
    }
    memcpy(to->data + to->length, data, length);
    to->length += length;
    return 0;
}

/* One folder's entries in its own order. Returns an errno, of the folder or of the entry in `bad`. */
static int scan_folder(const char *path, const char *prefix, growing kinds[3], growing *stamps, char bad[256]) {
    int file = open_retried(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0), error = 0;
    DIR *folder = file < 0 ? NULL : fdopendir(file);
    if (!folder) {
        error = errno;
        if (file >= 0)
            close(file);
        return error;
    }
    size_t before = strlen(prefix);
    while (!error) {
        errno = 0;
        struct dirent *entry = readdir(folder);
        if (!entry) {
            error = errno;
            break;
        }
        const char *name = entry->d_name;
        if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])))
            continue;
        struct stat found;
        int kind = entry->d_type == DT_DIR ? 1 : 0;
        if (entry->d_type == DT_UNKNOWN) {
            if (fstatat(file, name, &found, AT_SYMLINK_NOFOLLOW))
                error = errno;
            kind = !error && S_ISDIR(found.st_mode);
        }
        if (!kind && !error) {
            if (fstatat(file, name, &found, 0))
                error = errno;
            else if (!S_ISREG(found.st_mode))
                kind = S_ISDIR(found.st_mode) ? -1 : 2; /* Links to folders are not followed. */
        }
        if (error)
            snprintf(bad, 256, "%s", name);
        else if (kind >= 0 && ((!kind && append(&kinds[0], prefix, before)) || append(&kinds[kind], name, strlen(name) + 1)))
            error = ENOMEM;
        if (!error && !kind) {
            int64_t mtime = (int64_t)found.st_mtim.tv_sec * 1000000000 + found.st_mtim.tv_nsec;
            int64_t ctime = (int64_t)found.st_ctim.tv_sec * 1000000000 + found.st_ctim.tv_nsec;
            int64_t stamp[] = {found.st_size, mtime, found.st_nlink > 1 ? 0 : ctime, (int64_t)found.st_ino};
            if (append(stamps, stamp, sizeof stamp))
                error = ENOMEM;
        }
    }
    closedir(folder);
    return error;
}

#endif
