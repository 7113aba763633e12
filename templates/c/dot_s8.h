/* ---- x @ w in integers, signed 8-bit x ---- */

#define KERNEL(part) dot_s8_##part
#define READ(p) qinput_s8(p)
