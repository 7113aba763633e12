/* ---- softmax: y [n] from x [n], both with room for whole vectors ---- */

INLINE void softmax(const float *x, float *y, int n)
{
    float top = x[0], sum = 0.0f;
    for (int i = 1; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (int i = 0; i < n; i += LANES)
        vstore(y + i, vexp(vsub(vload(x + i), vset1(top))));
    for (int i = 0; i < n; i++)
        sum += y[i];
    for (int i = 0; i < n; i += LANES)
        vstore(y + i, vdiv(vload(y + i), vset1(sum)));
}
