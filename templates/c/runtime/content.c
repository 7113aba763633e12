/* Steps 7 and 8: checksums, padding, numbers, tokens and merges. */

#include "file.h"

#include <string.h>

static int32_t check_bytes(const file *f, const entry *e)
{
    const uint8_t *p = f->bytes + e->offset;
    if (crystal_crc32c(0, p, (size_t)e->bytes) != e->crc)
        return CRYSTAL_SECTION_CRC;
    for (uint64_t i = e->bytes; (e->offset + i) % 64; i++)
        if (p[i])
            return CRYSTAL_PADDING;
    return CRYSTAL_OK;
}

/* Two floats at a time: the top bit of a half is set where a magnitude is beyond 2^40. */
static int32_t floats_are_sane(const uint8_t *p, uint64_t n)
{
    const uint64_t both = 0x100000001u, over = 0x7fffffffu - LARGEST_BITS;
    uint64_t wrong = 0, pair;
    for (uint64_t i = 0; i + 2 <= n; i += 2) {
        memcpy(&pair, p + 4 * i, 8);
        wrong |= (pair & both * 0x7fffffffu) + both * over;
    }
    if (n % 2)
        wrong |= (crystal_read32(p + 4 * (n - 1)) & 0x7fffffffu) + over;
    return !(wrong & both * 0x80000000u);
}

/* A finite half is always small enough. */
static int32_t halves_are_sane(const uint8_t *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if ((p[2 * i + 1] & 0x7cu) == 0x7cu)
            return 0;
    return 1;
}

static int32_t check_temperature(const file *f, const uint8_t *p, uint64_t n)
{
    const uint32_t radial = f->kernel == RADIAL;
    const uint32_t low = radial ? 0x2b800000u : 0x35800000u;  /* 2^-40, 2^-20 */
    const uint32_t high = radial ? LARGEST_BITS : 0x49800000u; /* 2^40, 2^20 */
    for (uint64_t i = 0; f->kernel != LAPLACE && i < n; i++) {
        const uint32_t size = crystal_read32(p + 4 * i) & 0x7fffffffu;
        if (size < low || size > high)
            return CRYSTAL_TEMPERATURE;
    }
    return CRYSTAL_OK;
}

static int32_t check_offsets(const file *f, const uint8_t *offsets)
{
    const uint32_t longest = f->split ? 4 : 1024;
    entry bytes;
    if (!crystal_find(f, TOKEN_BYTES, f->blocks, 0, &bytes) || crystal_read32(offsets))
        return CRYSTAL_TOKENS;
    for (uint32_t t = 0; t < f->tokens; t++) {
        const uint32_t start = crystal_read32(offsets + 4 * (size_t)t);
        const uint32_t end = crystal_read32(offsets + 4 * (size_t)t + 4);
        if (end <= start || end - start > longest)
            return CRYSTAL_TOKENS;
    }
    const uint32_t last = crystal_read32(offsets + 4 * (size_t)f->tokens);
    return last == bytes.bytes ? CRYSTAL_OK : CRYSTAL_TOKENS;
}

typedef struct {
    const uint8_t *offsets, *bytes;
    uint32_t size;
} tokens;

/* Bytes of a token; the table may stand behind the merges, unchecked, so both ends are cut off. */
static const uint8_t *token(const tokens *t, uint32_t id, uint32_t *length)
{
    uint32_t start = crystal_read32(t->offsets + 4 * (size_t)id);
    uint32_t end = crystal_read32(t->offsets + 4 * (size_t)id + 4);
    start = start < t->size ? start : t->size;
    end = end < t->size ? end : t->size;
    *length = end > start ? end - start : 0;
    return t->bytes + start;
}

static int32_t merge_fits(const tokens *t, const uint8_t *merge)
{
    uint32_t left, right, made;
    const uint8_t *a = token(t, crystal_read32(merge), &left);
    const uint8_t *b = token(t, crystal_read32(merge + 4), &right);
    const uint8_t *c = token(t, crystal_read32(merge + 8), &made);
    return made == left + right && !memcmp(a, c, left) && !memcmp(b, c + left, right);
}

static int32_t check_merges(const file *f, const uint8_t *merges)
{
    entry offsets, bytes;
    if (!crystal_find(f, TOKEN_OFFSETS, f->blocks, 0, &offsets)
        || !crystal_find(f, TOKEN_BYTES, f->blocks, 0, &bytes))
        return CRYSTAL_MERGES;
    const tokens t = { f->bytes + offsets.offset, f->bytes + bytes.offset, (uint32_t)bytes.bytes };
    for (size_t i = 0; i < (size_t)f->merges * 3; i++)
        if (crystal_read32(merges + 4 * i) >= f->tokens)
            return CRYSTAL_MERGES;
    for (size_t i = 0; i < f->merges; i++)
        if (!merge_fits(&t, merges + 12 * i))
            return CRYSTAL_MERGES;
    return CRYSTAL_OK;
}

/* Which rows: ascending, and rows of the matrix. */
static int32_t check_rows(const file *f, const entry *e)
{
    entry values;
    const uint8_t *p = f->bytes + e->offset;
    uint32_t least = 0;
    const uint32_t block = e->block < f->blocks ? e->block : f->blocks;
    if (!crystal_find(f, e->kind, block, 0, &values))
        return CRYSTAL_ROWS;
    for (uint32_t i = 0; i < e->dims[0]; i++) {
        const uint32_t row = crystal_read32(p + 4 * (size_t)i);
        if (row < least || row >= values.dims[0])
            return CRYSTAL_ROWS;
        least = row + 1;
    }
    return CRYSTAL_OK;
}

/* Sections of an unknown kind are not looked into: ``found`` does not have them. */
static int32_t check_numbers(const file *f, const entry *e)
{
    const uint8_t *p = f->bytes + e->offset;
    if (e->kind > METADATA || (e->kind > HEAD_BIAS && e->kind < NORM1)
        || (e->kind > QUERY + 7 && e->kind < NORM2) || (e->kind > FROZEN && e->kind < NORM3)
        || (e->kind > DOWN_BIAS && e->kind < TOKEN_OFFSETS) || !e->kind)
        return CRYSTAL_OK;
    if (e->dtype == F32 && !floats_are_sane(p, e->bytes / 4))
        return CRYSTAL_NUMBER;
    if (e->dtype == F16 && !halves_are_sane(p, e->bytes / 2))
        return CRYSTAL_NUMBER;
    if (e->part == FINE_ROWS)
        return check_rows(f, e);
    if (e->kind == TEMPERATURE)
        return check_temperature(f, p, e->bytes / 4);
    if (e->kind == TOKEN_OFFSETS)
        return check_offsets(f, p);
    return e->kind == MERGES ? check_merges(f, p) : CRYSTAL_OK;
}

int32_t crystal_check_content(const file *f)
{
    int32_t verdict = CRYSTAL_OK;
    for (uint32_t i = 0; i < f->sections && !verdict; i++) {
        const entry e = crystal_entry(f, i);
        verdict = check_bytes(f, &e);
    }
    for (uint32_t i = 0; i < f->sections && !verdict; i++) {
        const entry e = crystal_entry(f, i);
        verdict = check_numbers(f, &e);
    }
    return verdict;
}
