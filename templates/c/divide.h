/* ---- floor(((a << shift) * 2 + b) / (2 * b)) with b at least 1, without a library's division ---- */

INLINE int64_t divide_round(int64_t a, int64_t b, int shift)
{
    const int64_t d = b > 1 ? b : 1, n = a * ((int64_t)1 << shift) * 2 + d;
    const uint64_t two = (uint64_t)d * 2;
    uint64_t left = n < 0 ? (uint64_t)(-(n + 1)) : (uint64_t)n, quotient = 0, part = two;
    while (part <= left >> 1)
        part <<= 1;
    for (; part >= two; part >>= 1) {
        quotient <<= 1;
        if (left >= part) {
            left -= part;
            quotient |= 1;
        }
    }
    return n < 0 ? -(int64_t)quotient - 1 : (int64_t)quotient;
}
