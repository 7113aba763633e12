/* A file while it is being checked. Numbers are read byte by byte until they are known to be fine. */

#ifndef CRYSTAL_FILE_H
#define CRYSTAL_FILE_H

#include "model.h"

enum {
    HEADER_BYTES = 192, ENTRY_BYTES = 64, MAX_SECTIONS = 8192, MAX_NEURONS = 1 << 20,
    MODE_F32 = 0, MODE_INT16, MODE_INT8, MODE_MIXED, MODE_MIXED8, MODE_Q8, MODE_Q8Q4,
    TOKENS = 1, PLACES, NORM_WEIGHT, NORM_BIAS, HEAD, HEAD_BIAS,
    NORM1 = 16, QUERY = 18, NORM2 = 32, POSITIONS = 34, VALUES, TEMPERATURE, RADIUS, FIELD_BIAS,
    FROZEN, NORM3 = 48, UP = 50, UP_BIAS, DOWN, DOWN_BIAS,
    TOKEN_OFFSETS = 64, TOKEN_BYTES, MERGES, METADATA,
    KINDS = 38, PARTS = 7, /* of a block; the others need fewer */
    FINE = 3, FINE_SCALES, FINE_MINIMA, FINE_ROWS /* parts */
};
#define LARGEST_BITS 0x53800000u /* 2^40 */

typedef struct {
    const uint8_t *bytes;
    size_t size;
    uint32_t sections, flags, kind, vocabulary, dim, context, heads, blocks, ffn, tokens, merges;
    uint32_t split, metric, kernel, activation, weights;
    float epsilon;
    uint16_t *found; /* [blocks + 1][KINDS][PARTS]: number of the entry + 1, or 0 */
} file;

typedef struct {
    uint32_t kind, part, block, dtype, layout, rank, flags, dims[4], crc, scale, zero;
    uint64_t offset, bytes;
    const uint8_t *reserved;
} entry;

uint32_t crystal_read32(const uint8_t *p);
entry crystal_entry(const file *f, uint32_t number);

/* The entry of a section, or 0 if the file has none. ``block`` is ``blocks`` for what is of none. */
int32_t crystal_find(const file *f, uint32_t kind, uint32_t block, uint32_t part, entry *found);

/* Steps of the loader's contract, in their order: a verdict each. */
int32_t crystal_check_header(file *f);
int32_t crystal_check_table(file *f);
int32_t crystal_check_content(const file *f);

/* CRC-32C of ``n`` bytes that follow what gave ``crc`` (0 at the start). */
uint32_t crystal_crc32c(uint32_t crc, const uint8_t *p, size_t n);

#endif
