/* What the parts of the runtime share: a checked model, and the room that running it needs. */

#ifndef CRYSTAL_MODEL_H
#define CRYSTAL_MODEL_H

#include "crystal.h"

enum { F32, S16, S8, S8R, Q4, U32, U8, BITS, F16, S16R };  /* element types of the file */
enum { RADIAL, LAPLACE, GAUSS };                           /* kernels */
enum { RELU = 1, GELU = 2 };                               /* activations */

#if defined(__x86_64__) && defined(__GNUC__) && !defined(CRYSTAL_NO_SIMD)
#define CRYSTAL_X86
#elif defined(__aarch64__) && defined(__GNUC__) && !defined(CRYSTAL_NO_SIMD)
#define CRYSTAL_ARM
#endif
#define NO_TOKEN 0xffffffffu

/* A matrix as it lies in the file; y [rows] = matrix x [cols]. ``panels``: rows in panels of 64,
   steps of [64][4 bytes]; else element (r, c) is number r * cols + c, or c * rows + r where
   ``turned``. The bytes of every section may be read up to the next multiple of 64. */
typedef struct {
    const uint8_t *data;
    const void *scales; /* S8R, S16R: float [rows]; Q4: halves [rows, cols / 32] */
    const uint16_t *minima;
    const float *bias; /* [rows] or NULL */
    const uint8_t *fine; /* Q4 [fine_count, cols]: what is added to the rows ``fine_rows`` */
    const uint16_t *fine_scales, *fine_minima;
    const uint32_t *fine_rows; /* ascending */
    float scale, zero;         /* of S16 and S8 */
    int32_t rows, cols, fine_count, steps; /* steps of a panel, of ``per`` columns each */
    uint8_t type, per, panels, turned, back; /* ``back``: the last panel first */
} matrix;

typedef struct {
    matrix query, key, value, output, positions, values, up, down;
    const float *norm_weight[3], *norm_bias[3]; /* before attention, field, ffn: [dim] */
    const float *temperature, *radius;
    float *norms;         /* [neurons]: |p|^2 */
    float *keys, *memory; /* keys [dim][stride], values [context][dim padded to 16] */
} block;

/* Rooms for whole vectors: each length is rounded up to 64, and zero past the end. */
typedef struct {
    float *x, *h, *y, *query, *key, *value; /* [dim] */
    float *scores;                          /* [context] */
    float *neurons, *hidden, *logits, *weights;
    int8_t *high, *low; /* [longest input of a matrix] */
    float *sums;        /* [longest input / 32]: of groups of a vector */
    float *fine;        /* [most rows]: products with what is added to rows */
} rooms;

typedef struct {
    const char *name;
    int32_t (*usable)(void);
    void (*forward)(const crystal *, int32_t token, int32_t place, float *logits);
    float (*largest)(const float *, int32_t n);
    float (*weights)(const float *logits, int32_t n, float top, float temperature, float *weights);
} layer;

struct crystal {
    int32_t causal, vocabulary, dim, context, heads, blocks, ffn, tokens, merges, chars;
    int32_t l1, kernel, activation, normalized, stride, width;
    float epsilon;
    matrix embedding, places, head;
    const float *norm_weight, *norm_bias;
    block *block;
    rooms room;
    const layer *layer;
    const uint8_t *token_offsets, *token_bytes, *merge_table;
    const uint8_t *file;           /* what crystal_open took, and its size */
    size_t file_bytes;
    uint32_t *hash, hash_mask;     /* open: number + 1 of a merge, or of a character's token; 0 */
    uint32_t *makers;              /* [tokens]: number + 1 of the first merge that makes it, or 0 */
    uint32_t single[256];          /* lowest token that is one byte, or NO_TOKEN */
    int32_t *window, filled, done; /* ids of the context; how many; how many have been evaluated */
    int32_t *order;                /* [vocabulary], for sampling */
    void *arena;
};

extern const layer crystal_layer_scalar;
#if defined(CRYSTAL_X86)
extern const layer crystal_layer_avx2, crystal_layer_avx512;
#elif defined(CRYSTAL_ARM)
extern const layer crystal_layer_neon;
#endif

float crystal_root(float a); /* correctly rounded square root without a library */

/* y [cols] = row ``r`` as numbers; y [rows] = squared lengths of the rows, by way of x [cols]. */
void crystal_row(const matrix *m, int32_t r, float *y);
void crystal_squares(const matrix *m, float *x, float *y);

/* ``steps`` steps of a panel, and a group's halves for its 64 rows, of a matrix in rows: ``to``. */
const uint8_t *crystal_gather(const matrix *m, int panel, int step, int steps, uint8_t *to);
const uint16_t *crystal_gather_halves(
    const matrix *m, const uint16_t *from, int panel, int group, uint16_t *to);

/* Builds the tables of crystal_encode in ``hash`` and ``makers``, which are zero. */
void crystal_index_tokens(crystal *c);

/* A file in memory, mapped where that can be done; 0 where it cannot be read. */
int32_t crystal_map(const char *path, const uint8_t **bytes, size_t *size);
void crystal_unmap(const uint8_t *bytes, size_t size);

#endif
