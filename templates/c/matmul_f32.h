/* ---- x @ w, float weights ---- */

#define KERNEL(part) matmul_f32_##part
#define WEIGHT float
#define LOAD(p) vload(p)
#define STEP(acc, x, w) vfma(x, w, acc)
