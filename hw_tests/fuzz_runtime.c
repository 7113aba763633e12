/* libFuzzer harness of the .crystal loader: mutations that know the format, checksums put right. */

#define _POSIX_C_SOURCE 200809L

#include "file.h"

#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

static void use(crystal *m, const uint8_t *text, size_t size)
{
    crystal_sampler how = { 0.8f, 0.9f, 5, size };
    crystal_stream stream = { { 0 }, 0 };
    int32_t tokens[256], count;
    int64_t dropped;
    char out[1032];
    const size_t bytes = size < 256 ? size : 256;
    const int64_t found = crystal_encode(m, (const char *)text, bytes, tokens, &dropped);
    crystal_push(m, -1);
    for (int64_t i = 0; i < found && i < 3; i++)
        crystal_push(m, tokens[i]);
    for (int i = 0; i < 3; i++) {
        const int32_t next = crystal_sample(m, &how, crystal_logits(m));
        const char *piece = crystal_token(m, next, &count);
        crystal_decode(&stream, piece, count, out);
        crystal_push(m, next);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const layers[] = { "scalar", "avx2", "avx512", "neon" };
    uint8_t *room = NULL;
    crystal *m = NULL;
    if (posix_memalign((void **)&room, 64, size ? size : 1))
        return 0;
    memcpy(room, data, size); /* its end is the end of what may be read */
    const int32_t verdict = crystal_load(room, size, &m);
    if (!verdict && size < 1 << 16) {
        crystal_use(m, layers[size / 64 % 4]);
        use(m, data + size / 2, size / 2);
    }
    crystal_free(m);
    free(room);
    return 0;
}

/* ---- mutations ---- */

static uint32_t next(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }
static uint32_t below(uint32_t *state, uint32_t n) { return (uint32_t)((uint64_t)next(state) * n >> 32); }

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t sections_of(const uint8_t *data, size_t size)
{
    const uint32_t said = crystal_read32(data + 12);
    const size_t fit = (size - HEADER_BYTES) / ENTRY_BYTES;
    return said < fit ? said : (uint32_t)fit;
}

static void repair(uint8_t *data, size_t size)
{
    const uint32_t n = sections_of(data, size);
    const file f = { .bytes = data, .size = size, .sections = n };
    for (uint32_t i = 0; i < n; i++) {
        const entry e = crystal_entry(&f, i);
        if (e.offset <= size && e.bytes <= size - e.offset)
            put32(data + HEADER_BYTES + i * ENTRY_BYTES + 28,
                  crystal_crc32c(0, data + e.offset, (size_t)e.bytes));
    }
    put32(data + 128, 0);
    put32(data + 128, crystal_crc32c(0, data, HEADER_BYTES + (size_t)n * ENTRY_BYTES));
}

static uint32_t word(uint32_t *state)
{
    static const uint32_t words[] = { 0, 1, 2, 31, 63, 64, 255, 65535, 65536, 1u << 20, 1u << 30,
                                      0x7fffffff, 0x80000000, 0xffffffff, 0xffffffc0, 0x7f800000 };
    const uint32_t kind = below(state, 4);
    if (kind == 0)
        return next(state);
    return words[below(state, 16)] + below(state, 3) - 1;
}

static void change(uint8_t *data, size_t size, uint32_t *state)
{
    const uint32_t n = sections_of(data, size), kind = below(state, 5);
    const size_t at = HEADER_BYTES + (size_t)below(state, n ? n : 1) * ENTRY_BYTES;
    if (kind == 0)
        put32(data + 4 * (4 + below(state, 44)), word(state));
    else if (kind == 1 && n)
        put32(data + at + 4 * below(state, 16), word(state));
    else if (kind == 2 && n)
        data[at + below(state, ENTRY_BYTES)] = (uint8_t)below(state, 70);
    else if (kind == 3)
        put32(data + 4 * (size_t)below(state, (uint32_t)(size / 4)), word(state));
    else
        data[below(state, (uint32_t)size)] ^= (uint8_t)(1u << below(state, 8));
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    uint32_t state = seed;
    if (size < HEADER_BYTES || below(&state, 16) == 0)
        return LLVMFuzzerMutate(data, size, most);
    for (uint32_t i = below(&state, 3) + 1; i; i--)
        change(data, size, &state);
    if (below(&state, 16) == 0) {
        size = HEADER_BYTES + below(&state, (uint32_t)(size - HEADER_BYTES) + 1);
        put32(data + 16, (uint32_t)size);
    }
    if (below(&state, 16))
        repair(data, size);
    return size;
}
