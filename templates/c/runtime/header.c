/* Steps 1 to 3: is this a file of version 3, and does its header make sense? */

#include "file.h"

#include <string.h>

uint32_t crystal_read32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t read64(const uint8_t *p)
{
    return crystal_read32(p) | (uint64_t)crystal_read32(p + 4) << 32;
}

entry crystal_entry(const file *f, uint32_t number)
{
    const uint8_t *p = f->bytes + HEADER_BYTES + (size_t)number * ENTRY_BYTES;
    entry e;
    e.kind = crystal_read32(p) & 0xffffu;
    e.part = crystal_read32(p) >> 16;
    e.block = crystal_read32(p + 4);
    e.dtype = p[8], e.layout = p[9], e.rank = p[10], e.flags = p[11];
    for (int i = 0; i < 4; i++)
        e.dims[i] = crystal_read32(p + 12 + 4 * i);
    e.crc = crystal_read32(p + 28);
    e.offset = read64(p + 32);
    e.bytes = read64(p + 40);
    e.scale = crystal_read32(p + 48);
    e.zero = crystal_read32(p + 52);
    e.reserved = p + 56;
    return e;
}

static uint32_t header_crc(const file *f)
{
    static const uint8_t none[4] = { 0 };
    const size_t length = HEADER_BYTES + (size_t)f->sections * ENTRY_BYTES;
    uint32_t crc = crystal_crc32c(0, f->bytes, 128);
    crc = crystal_crc32c(crc, none, 4);
    return crystal_crc32c(crc, f->bytes + 132, length - 132);
}

static void take_fields(file *f)
{
    const uint8_t *p = f->bytes;
    uint32_t *fields[] = { &f->flags, &f->kind, &f->vocabulary, &f->dim, &f->context, &f->heads,
                           &f->blocks, &f->ffn, &f->tokens, &f->merges, &f->split, &f->metric,
                           &f->kernel, &f->activation };
    const uint32_t epsilon = crystal_read32(p + 80);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        *fields[i] = crystal_read32(p + 24 + 4 * i);
    memcpy(&f->epsilon, &epsilon, 4);
    f->weights = crystal_read32(p + 84);
}

static int32_t check_place(file *f)
{
    const uint8_t *p = f->bytes;
    if (f->size < 8)
        return CRYSTAL_SHORT;
    if (memcmp(p, "CRYS", 4) != 0)
        return CRYSTAL_MAGIC;
    if (crystal_read32(p + 4) == 2)
        return CRYSTAL_OLD;
    if (crystal_read32(p + 4) != 3)
        return CRYSTAL_VERSION;
    if (f->size < HEADER_BYTES)
        return CRYSTAL_SHORT;
    const uint32_t length = crystal_read32(p + 8);
    f->sections = crystal_read32(p + 12);
    if (f->sections < 1 || f->sections > MAX_SECTIONS
        || length != HEADER_BYTES + f->sections * ENTRY_BYTES)
        return CRYSTAL_TABLE;
    if (read64(p + 16) != f->size || length > f->size)
        return CRYSTAL_SIZE;
    return crystal_read32(p + 128) == header_crc(f) ? CRYSTAL_OK : CRYSTAL_HEADER_CRC;
}

static int32_t in(uint32_t value, uint32_t low, uint32_t high)
{
    return value >= low && value <= high;
}

static int32_t check_fields(const file *f)
{
    for (int i = 132; i < HEADER_BYTES; i++)
        if (f->bytes[i])
            return CRYSTAL_RESERVED;
    if (f->flags > 3)
        return CRYSTAL_RESERVED;
    if (f->kind > 1 || f->split > 1 || f->metric > 1 || f->kernel > GAUSS || f->activation > GELU
        || f->weights > MODE_Q8Q4 || crystal_read32(f->bytes + 88)
        || crystal_read32(f->bytes + 92))
        return CRYSTAL_ENUM;
    if (!in(f->vocabulary, 1, 1u << 20) || !in(f->dim, 1, 1u << 14)
        || !in(f->context, 1, 1u << 16) || !in(f->blocks, 1, 256) || f->ffn > 1u << 16
        || f->merges > 1u << 20 || !in(f->heads, 1, f->dim)
        || (f->tokens && !in(f->tokens, f->vocabulary, 1u << 20)))
        return CRYSTAL_LIMIT;
    const int radial = f->kernel == RADIAL;
    if (f->dim % f->heads || (!f->kind && f->heads != 1) || radial != (f->activation != 0)
        || (radial && f->flags & 1) || !(f->epsilon >= 0x1p-40f && f->epsilon <= 1.0f)
        || (f->merges && (!f->tokens || f->split)))
        return CRYSTAL_CONFIG;
    if ((uint64_t)8 * f->blocks * f->context * f->dim > 1u << 25)
        return CRYSTAL_MEMORY;
    return CRYSTAL_OK;
}

int32_t crystal_check_header(file *f)
{
    const int32_t verdict = check_place(f);
    if (verdict)
        return verdict;
    take_fields(f);
    return check_fields(f);
}
