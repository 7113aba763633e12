/* Matrices in rows, and rows of a matrix as the numbers that they stand for. */

#define WIDE 1
#include "layer_begin.h"
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2") /* else each conversion to float waits for the one before */
#endif

/* Number of ``r`` among the rows that have more than eight bits, or -1. */
static int32_t fine_of(const matrix *m, uint32_t r)
{
    int32_t low = 0, high = m->fine_count;
    while (low < high) {
        const int32_t middle = (low + high) / 2;
        if (m->fine_rows[middle] < r)
            low = middle + 1;
        else
            high = middle;
    }
    return low < m->fine_count && m->fine_rows[low] == r ? low : -1;
}

static void add_nibbles(const matrix *m, size_t k, float *y)
{
    const size_t groups = ((size_t)m->cols + 31) / 32, apart = m->panels ? 64 : 1;
    const size_t row = m->panels ? k / 64 * groups * 64 + k % 64 : k * groups;
    const uint8_t *p = m->fine + 16 * row - (m->panels ? k % 64 * 12 : 0);
    for (int32_t c = 0; c < m->cols; c += 8, p += 4 * apart) {
        const size_t at = row + (size_t)c / 32 * apart;
        const float scale = from_half(m->fine_scales[at]), least = from_half(m->fine_minima[at]);
        for (int b = 0; b < 4; b++) {
            y[c + b] += (float)(p[b] & 15) * scale + least;
            y[c + b + 4] += (float)(p[b] >> 4) * scale + least;
        }
    }
    for (int32_t c = m->cols; c % 8; c++)
        y[c] = 0.0f;
}

/* Successive elements are next to each other, but for the steps of a panel. */
void crystal_row(const matrix *m, int32_t r, float *y)
{
    const int32_t size = 4 / m->per;
    const int32_t columns = m->cols, fine = fine_of(m, (uint32_t)r), skip = m->panels ? 252 : 0;
    const size_t row = (size_t)r, steps = (size_t)m->steps;
    const float scale = m->scales ? ((const float *)m->scales)[r] : m->scale, zero = m->zero;
    const uint8_t *p = m->data + (m->panels ? row / 64 * steps * 256 + row % 64 * 4
                                            : row * (size_t)columns * (size_t)size);
    for (int32_t c = 1; c <= columns; c++, p += size, y++) {
        int16_t wide = (int8_t)*p;
        if (size == 4)
            memcpy(y, p, 4);
        else {
            if (size == 2)
                memcpy(&wide, p, 2);
            *y = (float)wide * scale;
            *y += zero;
        }
        if (c * size % 4 == 0)
            p += skip;
    }
    if (fine >= 0)
        add_nibbles(m, (size_t)fine, y - columns);
}

void crystal_squares(const matrix *m, float *x, float *y)
{
    for (int32_t r = 0; r < m->rows; r++) {
        crystal_row(m, r, x);
        y[r] = 0.0f;
        for (int32_t c = 0; c < m->cols; c++)
            y[r] += x[c] * x[c];
    }
}

/* ---- matrices in rows: steps of a panel, gathered ---- */

/* Element (r, c) is ``size`` bytes; zeros where there is none. */
static void gather_one(const matrix *m, int r, int c, int size, uint8_t *to)
{
    const size_t at = m->turned ? (size_t)c * (size_t)m->rows + (size_t)r
                                : (size_t)r * (size_t)m->cols + (size_t)c;
    if (r < m->rows && c < m->cols)
        memcpy(to, m->data + at * (size_t)size, (size_t)size);
    else
        memset(to, 0, (size_t)size);
}
const uint8_t *crystal_gather(const matrix *m, int panel, int step, int steps, uint8_t *to)
{
    const int per = m->per, row_bytes = m->steps * 4;
    for (int s = 0; s < steps; s++)
        for (int i = 0; i < 64; i++) {
            const int r = panel * 64 + i;
            uint8_t *word = to + (s * 64 + i) * 4;
            if (m->type == Q4 && r < m->rows)
                memcpy(word, m->data + (size_t)r * (size_t)row_bytes + (step + s) * 4, 4);
            else if (m->type == Q4)
                memset(word, 0, 4);
            else
                for (int c = 0; c < per; c++)
                    gather_one(m, r, (step + s) * per + c, 4 / per, word + c * (4 / per));
        }
    return to;
}
const uint16_t *crystal_gather_halves(
    const matrix *m, const uint16_t *from, int panel, int group, uint16_t *to)
{
    const int groups = (m->cols + 31) / 32;
    for (int i = 0; i < 64; i++) {
        const int r = panel * 64 + i;
        to[i] = r < m->rows ? from[(size_t)r * (size_t)groups + (size_t)group] : 0;
    }
    return to;
}
