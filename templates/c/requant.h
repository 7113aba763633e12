/* ---- saturate(floor((x * mul + half) / 2^shift)); >> of a negative number is arithmetic ---- */

INLINE int32_t requant32(int32_t x, int32_t mul, int shift, int32_t low, int32_t high)
{
    const int32_t q = (x * mul + ((int32_t)1 << (shift - 1))) >> shift;
    return q < low ? low : q > high ? high : q;
}

INLINE int64_t requant64(int64_t x, int64_t mul, int shift, int64_t low, int64_t high)
{
    const int64_t q = (x * mul + ((int64_t)1 << (shift - 1))) >> shift;
    return q < low ? low : q > high ? high : q;
}
