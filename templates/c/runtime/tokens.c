/* Text to tokens and back: byte-level BPE behind GPT-2's pattern, or one token a character. */

#include "model.h"
#include "unicode.h"

#include <stdlib.h>
#include <string.h>

static uint32_t word_at(const uint8_t *p, size_t index)
{
    p += 4 * index;
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int32_t crystal_has_tokens(const crystal *c) { return c->tokens > 0; }

const char *crystal_token(const crystal *c, int32_t token, int32_t *count)
{
    *count = 0;
    if (token < 0 || token >= c->tokens)
        return "";
    const uint32_t start = word_at(c->token_offsets, (size_t)token);
    *count = (int32_t)(word_at(c->token_offsets, (size_t)token + 1) - start);
    return (const char *)c->token_bytes + start;
}

/* ---- open hash: merges by (left, right), or characters by their bytes ---- */

static uint32_t mix(uint32_t a, uint32_t b)
{
    uint32_t h = a * 0x9e3779b1u ^ (b + 0x7f4a7c15u) * 0x85ebca77u;
    h ^= h >> 15;
    h *= 0x2c1b3c6du;
    return h ^ h >> 13;
}

static uint32_t packed(const char *bytes, int32_t count)
{
    uint32_t word = 0;
    for (int32_t i = 0; i < count; i++)
        word = word << 8 | (uint8_t)bytes[i];
    return word;
}

/* The two numbers that entry ``i`` of the hash is known by. */
static void key_of(const crystal *c, uint32_t i, uint32_t *a, uint32_t *b)
{
    if (c->chars) {
        int32_t count;
        const char *bytes = crystal_token(c, (int32_t)i, &count);
        *a = packed(bytes, count);
        *b = (uint32_t)count;
    } else {
        *a = word_at(c->merge_table, (size_t)i * 3);
        *b = word_at(c->merge_table, (size_t)i * 3 + 1);
    }
}

/* The slot with (a, b), or the empty one where it belongs. */
static uint32_t *slot(const crystal *c, uint32_t a, uint32_t b)
{
    for (uint32_t at = mix(a, b) & c->hash_mask;; at = (at + 1) & c->hash_mask) {
        uint32_t x, y;
        if (!c->hash[at])
            return c->hash + at;
        key_of(c, c->hash[at] - 1, &x, &y);
        if (x == a && y == b)
            return c->hash + at;
    }
}

void crystal_index_tokens(crystal *c)
{
    const uint32_t entries = (uint32_t)(c->chars ? c->tokens : c->merges);
    memset(c->single, 0xff, sizeof c->single);
    for (int32_t t = c->tokens; t-- > 0;) {
        int32_t count;
        const char *bytes = crystal_token(c, t, &count);
        if (count == 1)
            c->single[(uint8_t)*bytes] = (uint32_t)t;
    }
    for (uint32_t i = 0; i < entries; i++) {
        uint32_t a, b;
        key_of(c, i, &a, &b);
        uint32_t *at = slot(c, a, b);
        if (!*at)
            *at = i + 1;
    }
    for (uint32_t i = (uint32_t)c->merges; i-- > 0;)
        c->makers[word_at(c->merge_table, (size_t)i * 3 + 2)] = i + 1;
}

/* ---- characters ---- */

/* Bytes of the character at ``p``, 0 where it goes on beyond ``left`` bytes, -1 if it is none. */
static int32_t character(const uint8_t *p, size_t left, uint32_t *code)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const int32_t n = *p < 0x80 ? 1 : *p < 0xc2 ? -1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3
                      : *p < 0xf5 ? 4 : -1;
    *code = n == 1 ? *p : n < 0 ? 0 : *p & (0xffu >> (n + 1));
    for (int32_t i = 1; i < n; i++) {
        if ((size_t)i >= left)
            return 0;
        if ((p[i] & 0xc0) != 0x80)
            return -1;
        *code = *code << 6 | (p[i] & 0x3fu);
        const uint32_t low = *code << 6 * (n - 1 - i), high = low | ((1u << 6 * (n - 1 - i)) - 1);
        if (high < least[n] || low > 0x10ffff || (low >= 0xd800 && high <= 0xdfff))
            return -1;
    }
    return n;
}

enum { LETTER, NUMBER, SPACE, OTHER, END };

static int32_t listed(const uint8_t *ranges, size_t bytes, uint32_t code)
{
    uint32_t at = 0, inside = 0;
    for (size_t i = 0; i < bytes; inside ^= 1) {
        uint32_t run = ranges[i++];
        if (run >= 0x80)
            run = (run & 0x7f) << 8 | ranges[i++];
        at += run;
        if (code < at)
            return (int32_t)inside;
    }
    return 0;
}

static int32_t is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == 32 || c == 0x85 || c == 0xa0 || c == 0x1680
           || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f
           || c == 0x205f || c == 0x3000;
}

/* What is at ``p``, and over how many bytes. A byte that is no character is of no kind. */
static int32_t kind_at(const uint8_t *p, size_t left, size_t *length)
{
    uint32_t code;
    *length = 0;
    if (!left)
        return END;
    const int32_t n = character(p, left, &code);
    *length = n > 0 ? (size_t)n : 1;
    if (n <= 0)
        return OTHER;
    if (is_space(code))
        return SPACE;
    if (code < 0x80)
        return (code | 32) - 'a' < 26 ? LETTER : code - '0' < 10 ? NUMBER : OTHER;
    if (listed(letter_ranges, sizeof letter_ranges, code))
        return LETTER;
    return listed(number_ranges, sizeof number_ranges, code) ? NUMBER : OTHER;
}

/* ---- GPT-2's pattern: 's|'t|'re|'ve|'m|'ll|'d| ?L+| ?N+| ?[^space L N]+|space+(?!other)|space+ */

static size_t contraction(const uint8_t *p, size_t left)
{
    static const char *const ends[] = { "s", "t", "re", "ve", "m", "ll", "d" };
    if (left < 2 || *p != '\'')
        return 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const size_t n = strlen(ends[i]);
        if (n < left && !memcmp(p + 1, ends[i], n))
            return n + 1;
    }
    return 0;
}

static size_t run_of(int32_t kind, const uint8_t *p, size_t left, size_t *last)
{
    size_t n = 0, length;
    *last = 0;
    for (; kind_at(p + n, left - n, &length) == kind; n += length)
        *last = length;
    return n;
}

/* Bytes of the first cut of the text. */
static size_t cut(const uint8_t *p, size_t left)
{
    size_t length, last;
    const size_t short_form = contraction(p, left);
    if (short_form)
        return short_form;
    int32_t kind = kind_at(p, left, &length);
    const size_t blank = *p == ' ';
    if (blank)
        kind = kind_at(p + 1, left - 1, &length);
    if (kind != SPACE && kind != END)
        return blank + run_of(kind, p + blank, left - blank, &last);
    const size_t n = run_of(SPACE, p, left, &last);
    return n < left && n > last ? n - last : n;
}

/* ---- merging ---- */

static uint32_t rank_of(const crystal *c, const int32_t *pair)
{
    const uint32_t found = *slot(c, (uint32_t)pair[0], (uint32_t)pair[1]);
    return found ? found - 1 : NO_TOKEN;
}

/* One pass: every pair of the lowest rank, left to right, until one of lower rank comes up.
   Returns how many ids are left, the same number if there is nothing to merge. */
static int64_t merge_pass(const crystal *c, int32_t *ids, uint32_t *ranks, int64_t n)
{
    uint32_t best = NO_TOKEN, lower = 0;
    int64_t to = 0, from = 0;
    for (int64_t i = 0; i + 1 < n; i++)
        best = ranks[i] < best ? ranks[i] : best;
    if (best == NO_TOKEN)
        return n;
    while (from < n) {
        const int32_t hit = !lower && from + 1 < n && ranks[from] == best;
        ids[to] = hit ? (int32_t)word_at(c->merge_table, (size_t)best * 3 + 2) : ids[from];
        ranks[to] = ranks[from];
        from += hit ? 2 : 1;
        if (hit && to)
            ranks[to - 1] = rank_of(c, ids + to - 1);
        if (hit && from < n) {
            const int32_t next[] = { ids[to], ids[from] };
            ranks[to] = rank_of(c, next);
        }
        lower = hit && ((to && ranks[to - 1] < best) || (from < n && ranks[to] < best)) ? 1 : lower;
        to++;
    }
    return to;
}

/* Writes a token; a piece, which has no row in the model, as what it was merged from. */
static int64_t write_token(const crystal *c, int32_t token, int32_t *out, int64_t *dropped)
{
    int32_t waiting[1026], top = 0;
    int64_t n = 0;
    waiting[top++] = token;
    while (top) {
        const int32_t t = waiting[--top];
        const uint32_t maker = t >= c->vocabulary && c->makers ? c->makers[t] : 0;
        if (t < c->vocabulary)
            out[n++] = t;
        else if (!maker)
            ++*dropped;
        else {
            waiting[top++] = (int32_t)word_at(c->merge_table, (size_t)(maker - 1) * 3 + 1);
            waiting[top++] = (int32_t)word_at(c->merge_table, (size_t)(maker - 1) * 3);
        }
    }
    return n;
}

/* ids of the bytes of a cut; bytes without a token are left out. */
static int64_t bytes_to_ids(
    const crystal *c, const uint8_t *p, size_t bytes, int32_t *ids, int64_t *dropped)
{
    int64_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        const uint32_t token = c->single[p[i]];
        if (token == NO_TOKEN)
            ++*dropped;
        else
            ids[n++] = (int32_t)token;
    }
    return n;
}

/* ``ids`` and ``ranks`` have room for the bytes of the cut. */
static int64_t encode_cut(const crystal *c, const uint8_t *p, size_t bytes, int32_t *ids,
                          uint32_t *ranks, int32_t *out, int64_t *dropped)
{
    int64_t n = bytes_to_ids(c, p, bytes, ids, dropped), before = 0, written = 0;
    for (int64_t i = 0; i + 1 < n; i++)
        ranks[i] = rank_of(c, ids + i);
    while (n != before) {
        before = n;
        n = merge_pass(c, ids, ranks, n);
    }
    for (int64_t i = 0; i < n; i++)
        written += write_token(c, ids[i], out + written, dropped);
    return written;
}

static int64_t encode_pairs(
    const crystal *c, const uint8_t *p, size_t bytes, int32_t *out, int64_t *dropped)
{
    int64_t n = 0;
    size_t longest = 0, length;
    for (size_t i = 0; i < bytes; i += length) {
        length = cut(p + i, bytes - i);
        longest = length > longest ? length : longest;
    }
    int32_t *ids = malloc(longest * sizeof *ids);
    uint32_t *ranks = malloc(longest * sizeof *ranks);
    for (size_t i = 0; ids && ranks && i < bytes; i += length) {
        length = cut(p + i, bytes - i);
        n += encode_cut(c, p + i, length, ids, ranks, out + n, dropped);
    }
    n = ids && ranks ? n : -1;
    free(ids);
    free(ranks);
    return n;
}

static int64_t encode_characters(
    const crystal *c, const uint8_t *p, size_t bytes, int32_t *out, int64_t *dropped)
{
    int64_t n = 0;
    size_t length;
    for (size_t i = 0; i < bytes; i += length) {
        kind_at(p + i, bytes - i, &length);
        const uint32_t word = packed((const char *)p + i, (int32_t)length);
        const uint32_t found = *slot(c, word, (uint32_t)length);
        if (found && (int32_t)found - 1 < c->vocabulary)
            out[n++] = (int32_t)found - 1;
        else
            *dropped += (int64_t)length;
    }
    return n;
}

int64_t crystal_encode(
    const crystal *c, const char *text, size_t bytes, int32_t *tokens, int64_t *dropped)
{
    const uint8_t *p = (const uint8_t *)text;
    *dropped = 0;
    if (!bytes || !c->tokens)
        return 0;
    if (c->chars)
        return encode_characters(c, p, bytes, tokens, dropped);
    return encode_pairs(c, p, bytes, tokens, dropped);
}

/* ---- streaming ---- */

size_t crystal_decode(crystal_stream *s, const char *bytes, int32_t count, char *out)
{
    size_t n = 0;
    for (int32_t i = 0; i < count; i++) {
        uint32_t code;
        s->bytes[s->held++] = bytes[i];
        while (s->held) {
            const int32_t found = character((const uint8_t *)s->bytes, (size_t)s->held, &code);
            if (!found)
                break;
            const int32_t out_now = found > 0 ? found : 1;
            memcpy(out + n, s->bytes, (size_t)out_now);
            n += (size_t)out_now;
            s->held -= out_now;
            memmove(s->bytes, s->bytes + out_now, (size_t)s->held);
        }
    }
    return n;
}
