/* Drawing a token. Every sum has one order, so a seed means one text on every machine. */

#include "model.h"

#include <string.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

/* ln x of a normal x > 0: 2 artanh((m - 1) / (m + 1)) of the mantissa. */
static double logarithm(double x)
{
    uint64_t bits;
    double m, sum = 0.0;
    memcpy(&bits, &x, 8);
    int32_t n = (int32_t)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffu) | (uint64_t)1023 << 52;
    memcpy(&m, &bits, 8);
    if (m > 1.4142135623730951)
        m *= 0.5, n++;
    const double t = (m - 1.0) / (m + 1.0), t2 = t * t;
    for (int32_t i = 21; i > 0; i -= 2)
        sum = sum * t2 + 1.0 / i;
    return n * 0.6931471805599453 + 2.0 * t * sum;
}

double crystal_log_probability(const crystal *c, const float *logits, int32_t token)
{
    const float top = c->layer->largest(logits, c->vocabulary);
    const float sum = c->layer->weights(logits, c->vocabulary, top, 1.0f, c->room.weights);
    return (double)logits[token] - (double)top - logarithm((double)sum);
}

/* SplitMix64: [0, 1), 24 bits. */
static float uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (float)((z ^ z >> 31) >> 40) * (1.0f / 16777216.0f);
}

/* Of the pieces of ``size`` between two places, the start of the first that has the largest. */
static int32_t narrow(
    const crystal *c, const float *logits, int32_t from, int32_t end, int32_t size, float *top)
{
    int32_t best = from;
    for (int32_t i = from; i < end; i += size) {
        const float found = c->layer->largest(logits + i, end - i < size ? end - i : size);
        if (i == from || found > *top)
            *top = found, best = i;
    }
    return best;
}

static int32_t first_largest(const crystal *c, const float *logits)
{
    float top = logits[0];
    const int32_t n = c->vocabulary, a = narrow(c, logits, 0, n, 2048, &top);
    const int32_t b = narrow(c, logits, a, n - a < 2048 ? n : a + 2048, 64, &top);
    for (int32_t i = b; i < n && i < b + 64; i++)
        if (logits[i] == top)
            return i;
    return 0;
}

/* ---- a heap of tokens, the likeliest on top, the first of equals before the others ---- */

static int32_t before(const float *logits, int32_t a, int32_t b)
{
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
}

static void sink(int32_t *heap, int32_t n, int32_t at, const float *logits)
{
    const int32_t moving = heap[at];
    for (int32_t child; (child = 2 * at + 1) < n; at = child) {
        child += child + 1 < n && before(logits, heap[child + 1], heap[child]);
        if (!before(logits, heap[child], moving))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

/* Tokens in falling order, as far as they are asked for: the i-th is order[n - 1 - i]. */
typedef struct {
    int32_t *order, n, left;
    const float *logits;
} ranking;

static ranking rank(const crystal *c, const float *logits)
{
    const int32_t n = c->vocabulary;
    const ranking r = { c->order, n, n, logits };
    for (int32_t i = 0; i < n; i++)
        r.order[i] = i;
    for (int32_t i = n / 2; i-- > 0;)
        sink(r.order, n, i, logits);
    return r;
}

static int32_t ranked(ranking *r, int32_t i)
{
    for (; r->n - r->left <= i; r->left--) {
        const int32_t top = r->order[0];
        r->order[0] = r->order[r->left - 1];
        sink(r->order, r->left - 1, 0, r->logits);
        r->order[r->left - 1] = top;
    }
    return r->order[r->n - 1 - i];
}

/* How many of the likeliest may be drawn, and their weight together. */
static int32_t keep_likely(
    ranking *r, const crystal_sampler *how, const float *weights, float all, float *sum)
{
    const int32_t limited = how->top_k > 0 && how->top_k < r->n, most = limited ? how->top_k : r->n;
    if (limited) {
        all = 0.0f;
        for (int32_t i = 0; i < most; i++)
            all += weights[ranked(r, i)];
    }
    *sum = 0.0f;
    for (int32_t i = 0; i < most; i++) {
        *sum += weights[ranked(r, i)];
        if (how->top_p < 1.0f && *sum >= all * how->top_p)
            return i + 1;
    }
    return most;
}

/* The token at which the weights added up pass ``goal``; by rank, or by number. */
static int32_t walk(const float *weights, ranking *r, int32_t n, float goal)
{
    float sum = 0.0f;
    int32_t id = 0;
    for (int32_t i = 0; i < n; i++) {
        id = r ? ranked(r, i) : i;
        sum += weights[id];
        if (sum > goal)
            break;
    }
    return id;
}

int32_t crystal_sample(crystal *c, crystal_sampler *how, const float *logits)
{
    float *weights = c->room.weights, sum;
    const int32_t n = c->vocabulary;
    if (!(how->temperature > 0.0f))
        return first_largest(c, logits);
    const float top = c->layer->largest(logits, n);
    const float all = c->layer->weights(logits, n, top, how->temperature, weights);
    const float u = uniform(&how->state);
    if ((how->top_k <= 0 || how->top_k >= n) && !(how->top_p < 1.0f))
        return walk(weights, NULL, n, u * all);
    ranking r = rank(c, logits);
    const int32_t kept = keep_likely(&r, how, weights, all, &sum);
    return walk(weights, &r, kept, u * sum);
}
