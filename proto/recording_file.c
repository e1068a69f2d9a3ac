#include "proto/recording_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#define CHUNK 65536
#define LEVEL 3
#define WINDOW_LOG_MAX 27 /* 128 MiB: what zstd itself reads without --long */

/* --- reading through zstd --- */

struct unpack {
    FILE *from;
    ZSTD_DCtx *decoder;
    ZSTD_inBuffer in;
    bool ended, inside; /* end of the file; inside a zstd frame */
    uint8_t bytes[CHUNK];
};

/* Frames may follow each other; an end inside one is an error, so that a torn file is not taken
 * for a short one. */
static ssize_t unpack_read(void *cookie, char *to, size_t size)
{
    struct unpack *u = cookie;
    ZSTD_outBuffer out = { to, size, 0 };

    while (out.pos == 0 && size) {
        if (u->in.pos == u->in.size) {
            u->in = (ZSTD_inBuffer){ u->bytes, fread(u->bytes, 1, CHUNK, u->from), 0 };
            u->ended = u->in.size == 0;
        }
        if (u->ended && !u->inside)
            return 0;
        size_t left = ZSTD_decompressStream(u->decoder, &out, &u->in);
        if (ZSTD_isError(left) || (u->ended && out.pos == 0)) {
            errno = EIO;
            return -1;
        }
        u->inside = left != 0;
    }
    return (ssize_t)out.pos;
}

static int unpack_seek(void *cookie, off64_t *offset, int whence)
{
    struct unpack *u = cookie;

    if (*offset != 0 || whence != SEEK_SET) {
        errno = ESPIPE;
        return -1;
    }
    rewind(u->from);
    (void)ZSTD_DCtx_reset(u->decoder, ZSTD_reset_session_only);
    u->in = (ZSTD_inBuffer){ u->bytes, 0, 0 };
    u->ended = u->inside = false;
    return 0;
}

static int unpack_close(void *cookie)
{
    struct unpack *u = cookie;

    (void)fclose(u->from);
    (void)ZSTD_freeDCtx(u->decoder);
    free(u);
    return 0;
}

/* Takes `from` over, also when it fails. */
static FILE *unpack_open(FILE *from)
{
    const cookie_io_functions_t functions = { unpack_read, NULL, unpack_seek, unpack_close };
    struct unpack *u = calloc(1, sizeof *u);

    if (!u) {
        (void)fclose(from);
        return NULL;
    }
    u->from = from;
    u->decoder = ZSTD_createDCtx();
    if (u->decoder)
        (void)ZSTD_DCtx_setParameter(u->decoder, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    FILE *file = u->decoder ? fopencookie(u, "r", functions) : NULL;
    if (!file)
        (void)unpack_close(u);
    return file;
}

/* --- opening --- */

static bool copy_all(FILE *from, FILE *to)
{
    char bytes[CHUNK];
    size_t got;

    while ((got = fread(bytes, 1, sizeof bytes, from)) > 0)
        if (fwrite(bytes, 1, got, to) != got)
            return false;
    return !ferror(from);
}

/* A pipe is read once into an unnamed file, and so are two segments (`more`, or NULL). Takes both
 * over. */
static FILE *spool(FILE *from, FILE *more, const char *name, struct err *err)
{
    FILE *to = tmpfile();
    bool good = to && copy_all(from, to) && (!more || copy_all(more, to)) && fflush(to) == 0 &&
                fseeko(to, 0, SEEK_SET) == 0;

    if (!good)
        (void)err_at(err, -EIO, name, 0, 0, "cannot be spooled: %s", strerror(errno));
    if (from != stdin)
        (void)fclose(from);
    if (more)
        (void)fclose(more);
    if (!good && to)
        (void)fclose(to);
    return good ? to : NULL;
}

/* The second segment beside a first one, or NULL. */
static FILE *open_second(const char *path)
{
    static const char first[] = "-0.rlc", second[] = "-1.rlc";
    char sibling[ERR_FILE_MAX];
    size_t length = strlen(path), end = sizeof first - 1;

    if (length < end || length >= sizeof sibling || strcmp(path + length - end, first) != 0)
        return NULL;
    memcpy(sibling, path, length - end);
    memcpy(sibling + length - end, second, sizeof second);
    return fopen(sibling, "rb");
}

static bool begins_with_zstd(FILE *file)
{
    uint8_t magic[4];
    bool is = fread(magic, 1, 4, file) == 4 && magic[0] == 0x28 && magic[1] == 0xb5 &&
              magic[2] == 0x2f && magic[3] == 0xfd;

    rewind(file);
    return is;
}

/* The file itself; NULL with *err filled for what cannot be opened or is a folder. */
static FILE *open_regular(const char *path, bool *ret_regular, struct err *err)
{
    FILE *file = !strcmp(path, "-") ? stdin : fopen(path, "rb");
    struct stat info;

    if (file && fstat(fileno(file), &info) == 0 && !S_ISDIR(info.st_mode)) {
        *ret_regular = file != stdin && S_ISREG(info.st_mode);
        return file;
    }
    (void)err_at(err, -EIO, path, 0, 0, "cannot be opened: %s", strerror(file ? EISDIR : errno));
    if (file && file != stdin)
        (void)fclose(file);
    return NULL;
}

FILE *recording_file_read(const char *path, struct err *err)
{
    bool regular;
    FILE *file = open_regular(path, &regular, err);

    if (!file)
        return NULL;
    FILE *second = regular ? open_second(path) : NULL;
    if (second || !regular)
        file = spool(file, second, file == stdin ? "<stdin>" : path, err);
    if (!file)
        return NULL;
    if (begins_with_zstd(file))
        file = unpack_open(file);
    if (!file)
        (void)err_at(err, -ENOMEM, path, 0, 0, "no memory to unpack it");
    return file;
}

/* --- writing through zstd --- */

struct packer {
    FILE *to;
    ZSTD_CCtx *encoder;
    uint8_t bytes[CHUNK];
};

static int packer_drain(struct packer *p, ZSTD_inBuffer *in, ZSTD_EndDirective how)
{
    size_t left;

    do {
        ZSTD_outBuffer out = { p->bytes, sizeof p->bytes, 0 };
        left = ZSTD_compressStream2(p->encoder, &out, in, how);
        if (ZSTD_isError(left) || fwrite(p->bytes, 1, out.pos, p->to) != out.pos) {
            errno = EIO;
            return -1;
        }
    } while (how == ZSTD_e_end ? left != 0 : in->pos != in->size);
    return 0;
}

static ssize_t packer_write(void *cookie, const char *bytes, size_t size)
{
    ZSTD_inBuffer in = { bytes, size, 0 };

    return packer_drain(cookie, &in, ZSTD_e_continue) < 0 ? 0 : (ssize_t)size;
}

static int packer_close(void *cookie)
{
    struct packer *p = cookie;
    ZSTD_inBuffer in = { NULL, 0, 0 };
    int rc = packer_drain(p, &in, ZSTD_e_end);

    (void)ZSTD_freeCCtx(p->encoder);
    free(p);
    return rc;
}

FILE *recording_file_pack(FILE *to, struct err *err)
{
    const cookie_io_functions_t functions = { NULL, packer_write, NULL, packer_close };
    struct packer *p = calloc(1, sizeof *p);
    FILE *file = NULL;

    if (p) {
        p->to = to;
        p->encoder = ZSTD_createCCtx();
    }
    if (p && p->encoder) {
        (void)ZSTD_CCtx_setParameter(p->encoder, ZSTD_c_compressionLevel, LEVEL);
        (void)ZSTD_CCtx_setParameter(p->encoder, ZSTD_c_checksumFlag, 1);
        file = fopencookie(p, "w", functions);
    }
    if (file)
        return file;
    if (p)
        (void)ZSTD_freeCCtx(p->encoder);
    free(p);
    (void)err_plain(err, -ENOMEM, "no memory to pack the output");
    return NULL;
}
