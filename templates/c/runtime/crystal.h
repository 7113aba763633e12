/* Crystal language models: load a .crystal file, evaluate tokens, turn text to tokens and back.

   No function aborts, asserts or exits; none keeps state outside the model that it is given. */

#ifndef CRYSTAL_H
#define CRYSTAL_H

#include "crystal_names.h"

#include <stddef.h>
#include <stdint.h>

typedef struct crystal crystal;

/* What a loader says about a file; docs/format.md has the rule behind each. */
enum {
    CRYSTAL_OK = 0, CRYSTAL_SHORT, CRYSTAL_MAGIC, CRYSTAL_VERSION, CRYSTAL_TABLE, CRYSTAL_SIZE,
    CRYSTAL_HEADER_CRC, CRYSTAL_RESERVED, CRYSTAL_ENUM, CRYSTAL_LIMIT, CRYSTAL_CONFIG,
    CRYSTAL_MEMORY, CRYSTAL_PLACE, CRYSTAL_END, CRYSTAL_UNKNOWN, CRYSTAL_TWICE, CRYSTAL_MISSING,
    CRYSTAL_UNEXPECTED, CRYSTAL_DTYPE, CRYSTAL_LAYOUT, CRYSTAL_SHAPE, CRYSTAL_BYTES,
    CRYSTAL_SECTION_CRC, CRYSTAL_PADDING, CRYSTAL_NUMBER, CRYSTAL_TEMPERATURE, CRYSTAL_TOKENS,
    CRYSTAL_MERGES, CRYSTAL_ROWS, CRYSTAL_OLD = 30, CRYSTAL_IO = 31, CRYSTAL_NO_MEMORY = 32
};

/* Checks the ``size`` bytes of a file and makes a model of them. ``bytes`` begins at a multiple of
   64, is used in place, and outlives the model. Returns one of the codes above. */
int32_t crystal_load(const void *bytes, size_t size, crystal **model);

/* The same for a file: mapped where that can be done, else read. */
int32_t crystal_open(const char *path, crystal **model);

/* The same for the file inside a program that crystalc made with --target c; no other has it. */
int32_t crystal_embedded(crystal **model);

/* Frees the model, and the file that crystal_open took. NULL is allowed. */
void crystal_free(crystal *model);

/* One sentence about a code. */
const char *crystal_verdict(int32_t code);

/* ``layer``: "scalar", "avx2", "avx512", "neon"; 0 if this machine or program lacks it. Without
   a call the fastest is used; all give the same bits. crystal_layer says which. */
int32_t crystal_use(crystal *model, const char *layer);
const char *crystal_layer(const crystal *model);

int32_t crystal_vocabulary(const crystal *model);
int32_t crystal_context(const crystal *model);

/* ---- evaluating ---- */

/* Forgets all tokens. */
void crystal_reset(crystal *model);

/* Appends a token. When the context is full, the oldest one leaves it. */
void crystal_push(crystal *model, int32_t token);

/* Logits [vocabulary] of what follows the tokens pushed so far, at least one; they stay until the
   next call. */
const float *crystal_logits(crystal *model);

/* ---- sampling ---- */

typedef struct {
    float temperature; /* 0: always the likeliest, the first of equals */
    float top_p;       /* 1: no limit */
    int32_t top_k;     /* 0: no limit */
    uint64_t state;    /* of the random numbers: set it to a seed, then leave it alone */
} crystal_sampler;

/* A token drawn from logits [vocabulary]. */
int32_t crystal_sample(crystal *model, crystal_sampler *how, const float *logits);

/* Natural logarithm of the probability that logits give to ``token``. */
double crystal_log_probability(const crystal *model, const float *logits, int32_t token);

/* ---- text ---- */

/* 1 if the file has a token table. */
int32_t crystal_has_tokens(const crystal *model);

/* Bytes of a token (not ended by 0) and their count; count 0 without a table. */
const char *crystal_token(const crystal *model, int32_t token, int32_t *count);

/* Tokens of ``text``, as many as there is room for, one a byte being always enough. Returns their
   count; ``dropped`` counts bytes that the vocabulary cannot write. -1: no memory. */
int64_t crystal_encode(
    const crystal *model, const char *text, size_t bytes, int32_t *tokens, int64_t *dropped);

/* Holds back the bytes of a character that is not complete. */
typedef struct {
    char bytes[4];
    int32_t held;
} crystal_stream;

/* Appends the bytes of a token; writes whole characters to ``out`` (room for them and 3 bytes more)
   and returns how many bytes. Bytes that can never become a character pass through. */
size_t crystal_decode(crystal_stream *stream, const char *bytes, int32_t count, char *out);


#endif
