/* MD5, RFC 1321. Of the second round's function the half that needs no result of the step before is added first, and
   the compiler is kept from joining the halves again: a tenth faster than the chain as it is written down. */

#ifndef TAUT_MD5_H
#define TAUT_MD5_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DIGEST 16

typedef struct {
    uint32_t state[4];
    uint64_t length;
    unsigned char rest[64];
} md5;

static const uint32_t SINES[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

#define STEP(a, b, i, word, turn, first, second) \
    a += w[word] + SINES[i]; \
    { uint32_t half = (first); a += half; __asm__("" : "+r"(a)); } \
    a += (second); \
    a = ((a << turn) | (a >> (32 - turn))) + b;
#define FOUR(F, i, x, y, s1, s2, s3, s4) \
    F(a, b, c, d, i, ((x) * (i) + y) % 16, s1) \
    F(d, a, b, c, i + 1, ((x) * (i + 1) + y) % 16, s2) \
    F(c, d, a, b, i + 2, ((x) * (i + 2) + y) % 16, s3) \
    F(b, c, d, a, i + 3, ((x) * (i + 3) + y) % 16, s4)
#define ROUND(F, i, x, y, ...) FOUR(F, i, x, y, __VA_ARGS__) FOUR(F, (i + 4), x, y, __VA_ARGS__) \
    FOUR(F, (i + 8), x, y, __VA_ARGS__) FOUR(F, (i + 12), x, y, __VA_ARGS__)
#define ONE(a, b, c, d, i, word, turn) STEP(a, b, i, word, turn, 0, d ^ (b & (c ^ d)))
#define TWO(a, b, c, d, i, word, turn) STEP(a, b, i, word, turn, ~d & c, d & b)
#define THREE(a, b, c, d, i, word, turn) STEP(a, b, i, word, turn, 0, b ^ (c ^ d))
#define FOURTH(a, b, c, d, i, word, turn) STEP(a, b, i, word, turn, 0, c ^ (b | ~d))

static void md5_blocks(uint32_t state[4], const unsigned char *data, size_t blocks) {
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    for (; blocks; blocks--, data += 64) {
        uint32_t w[16], a0 = a, b0 = b, c0 = c, d0 = d;
        memcpy(w, data, 64); /* Little endian, as all machines that this is compiled for. */
        ROUND(ONE, 0, 1, 0, 7, 12, 17, 22)
        ROUND(TWO, 16, 5, 1, 5, 9, 14, 20)
        ROUND(THREE, 32, 3, 5, 4, 11, 16, 23)
        ROUND(FOURTH, 48, 7, 0, 6, 10, 15, 21)
        a += a0, b += b0, c += c0, d += d0;
    }
    state[0] = a, state[1] = b, state[2] = c, state[3] = d;
}

static void md5_begin(md5 *sum) {
    *sum = (md5){{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}, 0, {0}};
}

static void md5_add(md5 *sum, const unsigned char *data, size_t length) {
    size_t held = sum->length % 64;
    sum->length += length;
    if (held) {
        size_t take = 64 - held < length ? 64 - held : length;
        memcpy(sum->rest + held, data, take);
        if (held + take < 64)
            return;
        md5_blocks(sum->state, sum->rest, 1);
        data += take, length -= take;
    }
    md5_blocks(sum->state, data, length / 64);
    memcpy(sum->rest, data + length / 64 * 64, length % 64);
}

static void md5_end(md5 *sum, unsigned char digest[DIGEST]) {
    unsigned char tail[128] = {0x80};
    uint64_t bits = sum->length * 8;
    size_t fill = (sum->length % 64 < 56 ? 56 : 120) - sum->length % 64;
    memcpy(tail + fill, &bits, 8);
    md5_add(sum, tail, fill + 8);
    memcpy(digest, sum->state, DIGEST);
}

#endif
