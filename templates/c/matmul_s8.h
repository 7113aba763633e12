/* ---- x @ w, int8 weights ---- */

#define KERNEL(part) matmul_s8_##part
#define WEIGHT int8_t
#define LOAD(p) vload_s8(p)
#define STEP(acc, x, w) vfma(x, w, acc)
